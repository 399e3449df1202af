"""What is to be tuned on what, worked out before anything is trained."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import torch

from milepost import __version__
from milepost.errors import DataError, ModelError, OptionError
from milepost.extension.buffers import refuse_quantised
from milepost.extension.documents import RECORD
from milepost.extension.methods import build_method
from milepost.extension.source import Source, find_source
from milepost.tables import Checkpoint, PositionTable, read
from milepost.tasks import TextSource, read_text
from milepost.tuning.loading import open_subject
from milepost.tuning.patch import hash_tensors
from milepost.tuning.subject import Subject
from milepost.tuning.training.training import Recipe
from milepost.tuning.training.windows import Span

ROWS: Final = ("new", "all")
_PARTS: Final = {"report": (0.2, 3, 24), "stop": (0.1, 1, 16)}
"""Documents held out: their share, how many at least, and at most."""
_SHORTEST: Final = 8
"""Tokens of a text in a window, and of a document beyond the first trained row, at least."""


@dataclass(frozen=True)
class Aim:
    """What a user wants tuned.

    Args:
        rows: ``new``: those past the trained length. ``all``: every row that a position reads.
        trained_length: positions that were trained before; None for what the configuration records.
        window: positions of a window, special tokens included; None for the shorter of trained and tuned length.
        objective: ``masked-lm``, ``causal-lm`` or ``embedding``; None for what the model is.
        tensor: the key of the table, where several could be meant.
        device: a torch device.
        text_column: name of the texts' column, or its index from 0, where the data is a table.
        header: whether the first row of a table names its columns.
    """

    rows: str = "new"
    trained_length: int | None = None
    window: int | None = None
    objective: str | None = None
    tensor: str | None = None
    device: str = "cpu"
    text_column: str | None = None
    header: bool = True


@dataclass(frozen=True, eq=False)
class Split:
    """Token ids of documents, by what they are for."""

    train: list[np.ndarray]
    stop: list[np.ndarray]
    report: list[np.ndarray]

    def counts(self) -> dict[str, int]:
        """How many documents each has."""
        return {name: len(documents) for name, documents in vars(self).items()}


@dataclass(frozen=True, eq=False)
class TuningJob:
    """A run of tuning, ready to begin.

    Attributes:
        model: what was asked for.
        source: its files.
        checkpoint: what was read of it.
        table: the table.
        span: which rows, and windows of what length.
        trained: positions that were trained before.
        subject: the model, loaded.
        data: the name of the data.
        split: its documents.
        recipe: how to train.
        identity: all of this in numbers and hashes: another identity is another run.
    """

    model: str
    source: Source
    checkpoint: Checkpoint
    table: PositionTable
    span: Span
    trained: int
    subject: Subject
    data: str
    split: Split
    recipe: Recipe
    identity: Mapping[str, Any]

    @property
    def method(self) -> str | None:
        """How the model was extended, as its configuration records."""
        return _method_of(self.checkpoint)


def plan_job(model: str | os.PathLike[str], data: str, aim: Aim, recipe: Recipe) -> TuningJob:
    """Read model and data and lay out what will be trained; nothing is written.

    Raises:
        OptionError: MP105. ModelError: MP124. DataError: MP110, too few documents, or none that reaches the rows.
        MilepostError: what reading model and data raises.
    """
    if aim.rows not in ROWS:
        raise OptionError(
            "invalid value for rows", got=ascii(aim.rows)[:80], fix=f"one of: {', '.join(ROWS)}"
        )
    source = find_source(model, None)
    checkpoint = read(source.weights or source.folder)
    table = checkpoint.table(aim.tensor)
    if table.kind != "learned":
        raise ModelError(
            "this table is no learned one of a text model", got=table.kind, fix="give another --tensor KEY"
        )
    refuse_quantised(checkpoint, table)
    if (method := _method_of(checkpoint)) is not None:
        build_method(method, in_file=True)  # an unknown one is an error now, not after the training
    span, trained = _choose_span(checkpoint, table, aim)
    subject = open_subject(model, source, table, objective=aim.objective, device=aim.device)
    if subject.room(span.window) < _SHORTEST:
        raise OptionError(
            "the window is too short for a text",
            got=f"{span.window} positions",
            fix=f"--window {2 * _SHORTEST} or more",
        )
    texts = read_text(data, aim.text_column, header=aim.header)
    identity = {
        "model_sha256": _hash_model(checkpoint, source, table), "data_sha256": texts.sha256, "key": table.key,
        "objective": subject.kind, "rows": aim.rows, "first_position": span.begin, "length": span.length,
        "trained_length": trained, "window": span.window, **asdict(recipe), "device": str(aim.device),
        "threads": torch.get_num_threads(), "milepost": __version__, "torch": version("torch"),
        "transformers": version("transformers"),
    }  # fmt: skip
    split = _split(subject, texts, span)
    return TuningJob(
        os.fspath(model),
        source,
        checkpoint,
        table,
        span,
        trained,
        subject,
        texts.name,
        split,
        recipe,
        identity,
    )


def _method_of(checkpoint: Checkpoint) -> str | None:
    extension = record_of(checkpoint).get("extension")
    method = extension.get("method") if isinstance(extension, Mapping) else None
    return method if isinstance(method, str) else None


def record_of(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """What Milepost keeps of the lengths in a model's configuration."""
    record = checkpoint.config.get(RECORD)
    return record if isinstance(record, Mapping) else {}


def _choose_span(checkpoint: Checkpoint, table: PositionTable, aim: Aim) -> tuple[Span, int]:
    length, record = table.usable_length, record_of(checkpoint)
    trained = aim.trained_length or record.get("trained_length")
    if aim.rows == "all":
        trained = trained or length
    if not isinstance(trained, int) or not 0 < trained <= length or (aim.rows == "new" and trained == length):
        raise OptionError(
            "which rows are new is not known" if trained is None else "there are no new rows",
            got=f"{length} positions, trained: {trained or 'not recorded'}",
            fix="say how many positions were trained: --trained-length N; or tune every row: --rows all",
        )
    tuned = record.get("tuned_length")
    window = aim.window or min(trained, tuned if isinstance(tuned, int) and tuned > 0 else trained)
    if not 0 < window <= length:
        raise OptionError(
            "the window does not fit the table",
            got=f"{window} of {length} positions",
            fix="a smaller --window",
        )
    begin = trained if aim.rows == "new" else 0
    if table.padding_row is not None:  # the padding row stays what it is, also where a position reads it
        begin = max(begin, table.padding_row + 1 - table.first_row)
    return Span(begin, length, window), trained


def _hash_model(checkpoint: Checkpoint, source: Source, table: PositionTable) -> str:
    found = hashlib.sha256(table.rows.tobytes())
    for name, (shape, content) in sorted(hash_tensors(checkpoint, source.folder, table.key).items()):
        found.update(f"{name} {shape} {content}".encode())
    return found.hexdigest()


def _split(subject: Subject, texts: TextSource, span: Span) -> Split:
    """Whole documents by the order of their hashes: equal ones stay together, and what is reported on reaches the rows."""
    ordered = [
        text
        for _, text in sorted(
            {hashlib.sha256(text.encode()).hexdigest(): text for text in texts.documents}.items()
        )
    ]
    tokens = [subject.tokenize(text) for text in ordered]
    tokens = [one for one in tokens if len(one) >= _SHORTEST]
    long = [
        index
        for index, one in enumerate(tokens)
        if len(one) + len(subject.prefix) >= min(span.begin + _SHORTEST, span.length)
    ]
    counts = {
        name: min(most, max(least, round(share * len(long)))) for name, (share, least, most) in _PARTS.items()
    }
    if len(long) < sum(counts.values()) or len(tokens) <= sum(counts.values()):
        raise DataError(
            "too few documents reach the rows to be tuned",
            got=f"{len(long)} of {len(tokens)} different documents go past position {span.begin}",
            fix=f"at least {1 + sum(least for _, least, _ in _PARTS.values())} are needed: some to hold out, and one to train on",
        )
    report, stop = long[: counts["report"]], long[counts["report"] : sum(counts.values())]
    held = {*report, *stop}
    return Split(
        [one for index, one in enumerate(tokens) if index not in held], [tokens[index] for index in stop],
        [tokens[index] for index in report],
    )  # fmt: skip
