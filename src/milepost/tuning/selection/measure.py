"""Methods of extension measured on documents: none is trained, nothing is written."""

from __future__ import annotations

import copy
import os
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from milepost import __version__
from milepost.errors import DataError, MilepostError, MissingExtra, ModelError, OptionError
from milepost.extension.methods import Method, build_method, default_candidates
from milepost.extension.plan import read_size
from milepost.plugins import Imports, complete, read_code
from milepost.spec import parse_specs
from milepost.storage.files import expand

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from milepost.extension.source import Source
    from milepost.tables import Checkpoint
    from milepost.tasks import TextSource
    from milepost.tuning.selection.cache import Cache
    from milepost.tuning.selection.evaluation import Outcome, Reading, ReadingMetric, Text
    from milepost.tuning.subject import Subject

SCHEMA_VERSION: Final = 1
FEWEST_DOCUMENTS: Final = 3


@dataclass(frozen=True)
class Selection:
    """What is measured, as `milepost.choose` takes it."""

    to: int | str | tuple[int, int]
    candidates: Sequence[str] | str | None
    documents: int
    text_column: str | None
    header: bool
    objective: str | None
    seed: int
    device: str
    revision: str | None
    tensor: str | None
    cache: str | os.PathLike[str] | None
    imports: Imports | None = None


def measure_methods(
    model: str | os.PathLike[str],
    source: Source,
    checkpoint: Checkpoint,
    data: str,
    wanted: Selection,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure every candidate on documents, and compare all with the model as it is; the work of `milepost.choose`.

    Args:
        model: what the user called it.
        source: its files.
        checkpoint: what was read of them.

    Returns:
        The document of ``schemas/choose.json``.

    Raises:
        MilepostError: as `milepost.choose`.
    """
    for module in ("torch", "transformers"):
        if find_spec(module) is None:
            raise MissingExtra.of("torch", module)
    methods, length = _build(wanted.candidates), _read_length(wanted.to)
    _refuse_numbers(wanted.documents, wanted.seed)
    from milepost.tasks import read_text
    from milepost.tuning.loading import open_subject
    from milepost.tuning.selection.cache import Cache, make_folder
    from milepost.tuning.selection.evaluation import LossReading, PassageReading

    say = on_progress or (lambda what, done, total: None)
    texts_read = read_text(data, wanted.text_column, header=wanted.header)
    say("loading the model", 0, 0)
    table = checkpoint.table(wanted.tensor)
    subject = open_subject(model, source, table, objective=wanted.objective, device=wanted.device)
    say("counting tokens", 0, 0)
    texts, longer = _draw(subject, texts_read.documents, length, wanted.documents, wanted.seed)
    cache = None if wanted.cache is None else expand(wanted.cache)
    code = () if cache is None else complete(read_code(wanted.imports), map(type, methods))
    if cache is not None:
        make_folder(cache)  # before the minutes of measuring
    progress = _Progress(say, len(texts), len(methods) + 1)
    progress.begin("the model as it is")
    ask = PassageReading if subject.kind == "embedding" else LossReading
    reading = ask(subject, texts, seed=wanted.seed, tick=progress.tick)
    baseline = reading.baseline()
    kept = Cache(cache, reading, baseline, to=length, tensor=wanted.tensor, code=code)
    measured = []
    for method in methods:
        progress.begin(str(method.spec))
        measured.append(_measure(reading, method, length, wanted.tensor, kept))
    return {
        "schema_version": SCHEMA_VERSION,
        "source": os.fspath(model),
        "objective": subject.kind,
        "pooling": subject.pooling,
        "from_length": subject.length,
        "to_length": length,
        "seed": wanted.seed,
        "milepost_version": __version__,
        "data": _describe_data(texts_read, texts, longer),
        "metrics": [_describe_metric(metric, reading) for metric in reading.metrics],
        **_rule(reading, baseline, measured, _command(os.fspath(model), length, wanted)),
        "extension": None,
    }


def _command(model: str, length: int, wanted: Selection) -> str:
    """What extends the model on a command line, without the method."""
    options = {"--to": str(length), "--revision": wanted.revision, "--tensor": wanted.tensor}
    words = [word for name, value in options.items() if value is not None for word in (name, value)]
    return shlex.join(["milepost", "extend", model, *words])


def _rule(
    reading: Reading,
    baseline: Outcome,
    measured: Sequence[tuple[dict[str, Any], Outcome | None]],
    command: str,
) -> dict[str, Any]:
    """The parts of the document that hold outcomes against each other."""
    from milepost.tuning.selection.verdict import compare_outcomes, recommend

    outcomes = {row["method"]: outcome for row, outcome in measured if outcome is not None}
    found = compare_outcomes(reading, baseline, outcomes)
    rows = [row | found.get(row["method"], {}) for row, _ in measured]
    references = compare_outcomes(reading, baseline, reading.references())
    return {
        "baseline": {
            "name": reading.baseline_name,
            "values": {name: values.tolist() for name, values in baseline.values.items()},
            "passes": [passes for passes, _ in reading.passes()]
            if reading.deciding == "end"
            else [1] * len(reading.texts),
        },
        "references": [{"name": name} | facts for name, facts in references.items()],
        "candidates": rows,
        "recommendation": recommend(reading, rows, references, command=command),
    }


def _describe_data(source: TextSource, texts: Sequence[Text], longer: int) -> dict[str, Any]:
    return {
        "source": source.name,
        "sha256": source.sha256,
        "documents": len(source.documents),
        "longer": longer,
        "measured": [
            {"index": text.index, "tokens": len(text.tokens), "total_tokens": text.total_tokens}
            for text in texts
        ],
    }


def _describe_metric(metric: ReadingMetric, reading: Reading) -> dict[str, Any]:
    better = "higher" if metric.higher_is_better else "lower"
    decides = metric.name == reading.deciding
    return {"name": metric.name, "title": metric.title, "better": better, "decides": decides}


def _read_length(to: int | str | tuple[int, int]) -> int:
    length = read_size(to)
    if not isinstance(length, int):
        raise ModelError("images cannot be measured yet", got=f"{to}", fix="choose a method with --method")
    return length


def _refuse_numbers(documents: int, seed: int) -> None:
    if documents < FEWEST_DOCUMENTS:
        raise OptionError(
            "an interval takes three documents",
            got=f"{documents} wanted",
            fix="--documents 50, or leave it out",
        )
    if seed < 0:
        raise OptionError("a seed is a number from 0 on", got=f"{seed}", fix="--seed 0, or leave it out")


def _build(candidates: Sequence[str] | str | None) -> list[Method]:
    """The methods to be measured, each once.

    Raises:
        OptionError: MP105, methods for images, or that make a table shorter. UnknownName: MP104. SpecError: MP103.
    """
    wanted = parse_specs(candidates) if isinstance(candidates, str) else candidates or default_candidates()
    methods = [build_method(one) for one in wanted]
    for method in methods:
        if method.kind != "text" or method.shrinks:
            raise OptionError(
                "this method gives no text model more positions",
                got=str(method.spec),
                fix=f"candidates like: {', '.join(default_candidates()[:3])}",
            )
    return list({str(method.spec): method for method in methods}.values())


def _draw(
    subject: Subject, documents: Sequence[str], to: int, wanted: int, seed: int
) -> tuple[list[Text], int]:
    """Documents that go on past the model's length, in their order, and how many of them there are.

    Raises:
        DataError: MP110, when there are too few. OptionError: MP105, a length that lets nothing be measured.
    """
    from milepost.tuning.selection.evaluation import Text, passage_tokens

    if to <= subject.length:
        raise OptionError(
            "the target is not larger than the table",
            got=f"{subject.length} positions, {to} wanted",
            fix=f"ask for more than {subject.length}",
        )
    least = subject.room() + passage_tokens(subject.length)
    if subject.room(to) < least:
        raise OptionError(
            "the target is too close to the table's length to be measured",
            got=f"{subject.length} positions, {to} wanted",
            fix=f"ask for {subject.length + passage_tokens(subject.length)} or more",
        )
    texts, longest = [], 0
    for index, document in enumerate(documents):
        tokens = subject.tokenize(document)
        longest = max(longest, len(tokens))
        if len(tokens) >= least:
            texts.append(Text(index, tokens[: subject.room(to)].copy(), len(tokens)))
    if len(texts) < FEWEST_DOCUMENTS:
        raise DataError(
            "too few documents are longer than what the model can read",
            got=f"{len(texts)} of {len(documents)} have {least} tokens or more; the longest has {longest}",
            fix="give three long documents or more; short inputs need no extension",
        )
    drawn = np.random.default_rng(seed).permutation(len(texts))[:wanted]
    return [texts[index] for index in sorted(drawn)], len(texts)


def _measure(
    reading: Reading, method: Method, to: int, tensor: str | None, cache: Cache
) -> tuple[dict[str, Any], Outcome | None]:
    """One candidate: what it is, and what its reading gave where it could be applied."""
    from milepost.extension.in_memory import extend_in_memory
    from milepost.tuning.selection.cache import TimedOutcome

    facts: dict[str, Any] = {
        "method": str(method.spec), "keeps_old_rows": method.keeps_old_rows, "guarantee": method.guarantee,
    }  # fmt: skip
    if (found := cache.read(str(method.spec))) is None:
        begin = time.monotonic()
        try:
            extended = _copy(reading.subject.model)
            extend_in_memory(extended, to=to, method=method, tensor=tensor)
            outcome = reading.measure(extended)
        except MilepostError as error:
            why = f"{error.problem} ({error.got})"
            return facts | {"status": "refused", "reason": why, "measured": None}, None
        found = TimedOutcome(outcome, time.monotonic() - begin)
        cache.write(str(method.spec), found)
    return facts | {"status": "done", "reason": None, "measured": {"seconds": found.seconds}}, found.outcome


def _copy(model: PreTrainedModel) -> PreTrainedModel:
    """Modules and configuration of their own, weights in common: an extension replaces tensors and changes none."""
    held = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(one): one for one in held})


class _Progress:
    """Counts documents in stages of as many, and says what reads them."""

    def __init__(self, say: Callable[[str, int, int], None], documents: int, stages: int) -> None:
        self._say = say
        self._documents = documents
        self._total = documents * stages
        self._stage = -1

    def begin(self, what: str) -> None:
        self._what = what
        self._stage += 1
        self._done = self._stage * self._documents - 1  # a candidate may be refused before it reads
        self.tick()

    def tick(self) -> None:
        self._done += 1
        self._say(self._what, self._done, self._total)
