"""Does a model give a token the same answer wherever it stands in a batch, a pad, a pack or a cache?"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
import transformers
from torch import Tensor
from transformers import AutoConfig, AutoModel, GenerationConfig, PretrainedConfig, PreTrainedModel

from milepost.errors import MilepostError, UnknownFamily
from milepost.finding import Finding, Status
from milepost.models.check.subject import PADS_FAR, NotFinite, NotRunnable, Subject
from milepost.models.families import families
from milepost.models.loading import load
from milepost.models.output import quietly

_SAME = "the same outputs as alone"
_REPORT = "look at the error; docs/contributing/compatibility.md lists the tested versions of transformers"
_OTHER_INPUTS = frozenset({"pixel_values", "input_features", "input_values", "bbox"})


class _Said(NamedTuple):
    status: Status
    got: str = ""
    expected: str = ""
    fix: str = ""


_Check: TypeAlias = Callable[[Subject], _Said]
_CHECKS: dict[str, tuple[str, _Check]] = {}


def _check(code: str, title: str) -> Callable[[_Check], _Check]:
    def enter(run: _Check) -> _Check:
        _CHECKS[code] = title, run
        return run

    return enter


def check_positions(
    model: PreTrainedModel,
    tokenizer: Any = None,
    *,
    length: int = 12,
    longest: int = 2048,
    tolerance: float = 1e-4,
) -> list[Finding]:
    """Run a model on random tokens and say where its positions go wrong, why, and what helps.

    Outputs of a sequence alone are compared with those of the same tokens in a batch, after and before
    pads, packed after another document, decoded from a cache, with a pad id in their middle and as embeddings;
    ``generate`` with left pads, and one token past the last position, are tried too. Pads and caches are
    also tried on both sides of each threshold of the positions: FIRE's, and the trained length of
    ``dynamic`` and ``longrope`` rotary settings. A fix that names ``position_ids`` was run and is right.
    The model is left as it is: a copy that shares its weights is run, and no random state is used.

    Args:
        model: a model of transformers, on its device. One in half precision is copied to float32.
        tokenizer: its tokenizer, for the ids that are special; the config's are used without it.
        length: tokens of the sequences; fewer where the model has no room for two.
        longest: inputs longer than this are not tried, so that the end of a long table is left alone.
        tolerance: largest difference that is none, as a share of the largest number expected.

    Returns:
        One finding for each of MP340 to MP349 (``docs/doctor``); MP340 alone for a model that cannot be run
        on tokens. ``issue``: outputs are wrong, silently, or there are none.

    Raises:
        UnknownFamily: MP120, no model of transformers.

    >>> from transformers import GPT2Config, GPT2Model
    >>> model = GPT2Model(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=16, n_positions=32))
    >>> [(found.code, found.status) for found in check_positions(model) if found.status == "issue"]
    [('MP343', 'issue')]
    """
    if not isinstance(model, PreTrainedModel):
        raise UnknownFamily(
            "only models of transformers can be checked",
            got=type(model).__name__,
            fix="pass a PreTrainedModel; milepost.testing checks an encoding",
        )
    with torch.no_grad():
        try:
            subject = Subject(model, tokenizer, length=length, longest=longest, tolerance=tolerance)
        except NotRunnable as error:
            return [_runs(_Said("not_applicable", str(error)), type(model).__name__)]
        except NotFinite as error:
            return [_runs(_not_finite(error, model), type(model).__name__)]
        except Exception as error:  # whatever a model raises is what is to be reported
            return [_runs(_not_run(error, model), type(model).__name__)]
        findings = [_runs(_finite_weights(model), subject.name)]
        for code, (title, run) in sorted(_CHECKS.items()):
            try:
                said = run(subject)
            except Exception as error:  # it applies and did not run: never as good as passed
                said = _Said("issue", f"the check did not run: {_shown(error)}", "a check that runs", _REPORT)
            findings.append(
                Finding(code, said.status, title, subject.name, said.got, said.expected, said.fix)
            )
    return findings


def check_folder(folder: str | os.PathLike[str]) -> list[Finding]:
    """Load a model's folder and run ``check_positions`` on it.

    Only safetensors are read and no code of the folder is run. A folder that cannot be loaded gives one
    finding, an ``issue`` with the reason, and no error.
    """
    try:
        options = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
        with quietly():
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            model, seen = _class_of(config).from_pretrained(folder, output_loading_info=True, **options)
    except Exception as error:  # transformers raises whatever a damaged configuration makes its code raise
        try:
            model = load(os.fspath(folder))  # a swapped one, which stock classes refuse
        except MilepostError:
            return [_runs(_not_loaded(error), "the folder")]
        seen = {}
    absent = sorted(name for name in seen.get("missing_keys", ()) if "pooler" not in name.split("."))
    if absent:
        return [_runs(_incomplete(absent), "the folder")]
    return check_positions(model)


def _class_of(config: PretrainedConfig) -> Any:
    """The class that a folder names, head and all, among those of transformers; its body where it names none."""
    names = config.architectures or [""]
    found = getattr(transformers, str(names[0]), None)
    return found if isinstance(found, type) and issubclass(found, PreTrainedModel) else AutoModel


def _not_loaded(error: Exception) -> _Said:
    fix = "fix what the error names, then run again; without --run, only the files are checked"
    return _Said("issue", f"the model does not load: {_shown(error)}", "a model that loads", fix)


def _incomplete(absent: list[str]) -> _Said:
    """transformers draws what a file lacks at random, and only logs it. Checkpoints of masked models have no pooler."""
    got = f"{len(absent)} weights are in no file, so transformers draws them at random: {_listed(absent)}"
    return _Said("issue", got, "a file with all weights", "get the weights that belong to config.json")


def _not_run(error: Exception, model: PreTrainedModel) -> _Said:
    """An error on plain tokens is an issue, unless the model reads images or sounds next to them."""
    others = _OTHER_INPUTS & inspect.signature(model.forward).parameters.keys()
    if others:
        got = f"the model also reads {', '.join(sorted(others))}, and on tokens alone: {_shown(error)}"
        return _Said("cannot_tell", got)
    return _Said(
        "issue", f"the model fails on tokens: {_shown(error)}", "an answer", "fix the error it names"
    )


def _not_finite(error: NotFinite, model: PreTrainedModel) -> _Said:
    weights = _finite_weights(model).got or "no weight is NaN"
    return _Said("issue", f"{error}; {weights}", "finite outputs", "get the weights again, or train again")


def _finite_weights(model: PreTrainedModel) -> _Said:
    """Whether no weight is NaN; random tokens may miss the one row of a table that is."""
    wrong = [name for name, weight in model.named_parameters() if _has_nan(weight)]
    if not wrong:
        return _Said("passed")
    got = f"weights that hold NaN: {_listed(wrong)}"
    return _Said("issue", got, "weights that are numbers", "get the weights again, or train again")


def _has_nan(weight: Tensor) -> bool:
    return weight.is_floating_point() and weight.itemsize > 1 and bool(weight.isnan().any())


def _listed(names: list[str]) -> str:
    return ", ".join(map(ascii, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@_check("MP341", "a batch, against each sequence alone")
def _batched(subject: Subject) -> _Said:
    rows = subject.tokens(subject.length, rows=3, seed=1)
    alone = torch.cat([subject.run(row[None]) for row in rows])
    apart = subject.difference(subject.run(rows), alone)
    if apart <= subject.tolerance:
        return _Said("passed")
    return _Said("issue", f"rows of a batch change each other by {apart:.2g}", _SAME, "run one at a time")


@_check("MP342", "right pads")
def _right_pads(subject: Subject) -> _Said:
    return _at_each_length(subject, lambda n, pads: _padded(subject, n, before=0, after=pads))


@_check("MP343", "left pads")
def _left_pads(subject: Subject) -> _Said:
    return _at_each_length(subject, lambda n, pads: _padded(subject, n, before=pads, after=0))


def _at_each_length(subject: Subject, run: Callable[[int, int], _Said]) -> _Said:
    """The first problem at any of the lengths to try; each comes with a number of pads."""
    for length in subject.lengths:
        far = length > subject.length
        said = run(length, PADS_FAR if far else subject.length // 2)
        if said.status != "passed":
            return said._replace(got=f"{said.got}, at {length} tokens") if far else said
    return _Said("passed")


def _padded(subject: Subject, length: int, *, before: int, after: int) -> _Said:
    tokens = subject.tokens(length)
    expected = subject.run(tokens)
    ids, mask = subject.pad_around(tokens, before=before, after=after)
    inner = slice(before, before + length)
    apart = subject.difference(subject.run(ids, mask)[:, inner], expected)
    if apart <= subject.tolerance:
        return _Said("passed")
    side = "left" if before else "right"
    if subject.first is not None:
        counted = _counted(mask) + subject.first
        if subject.close(subject.run(ids, mask, position_ids=counted)[:, inner], expected):
            got = f"forward without position_ids counts {side} pads: outputs differ by {apart:.2g}"
            return _Said("issue", got, _SAME, f"pass position_ids = {_formula(subject)}{_or_swap(subject)}")
    got = f"{side} pads change the outputs by {apart:.2g}"
    if before and _padded(subject, length, before=0, after=before).status == "passed":
        fix = f"pad on the right: tokenizer.padding_side = 'right'{_or_swap(subject)}"
        return _Said("issue", got, _SAME, fix)
    return _Said("issue", got, _SAME, "run sequences of one length together, without pads")


@_check("MP344", "packed documents, with a block mask")
def _packed(subject: Subject) -> _Said:
    if subject.first is None:
        return _Said("not_applicable", "the model takes no position_ids, so documents cannot restart")
    lengths = (subject.length, subject.length - 2)
    documents = [subject.tokens(n, seed=seed) for seed, n in enumerate(lengths)]
    expected = torch.cat([subject.run(document) for document in documents], 1)
    places = torch.cat([torch.arange(n, device=subject.device) for n in lengths])[None] + subject.first
    mask = _block_mask(lengths, causal=subject.causal).to(expected)
    try:
        got = subject.run(torch.cat(documents, 1), mask, position_ids=places)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return _Said("not_applicable", f"the model takes no block mask: {_shown(error)}")
    apart = subject.difference(got, expected)
    if apart <= subject.tolerance:
        return _Said("passed")
    return _Said(
        "issue",
        f"a document behind another changes by {apart:.2g}, with positions that restart and a block mask",
        _SAME,
        f"do not pack documents for this model{_or_swap(subject)}",
    )


@_check("MP345", "decoding from a cache, in chunks and token by token")
def _cached(subject: Subject) -> _Said:
    if subject.paired or not subject.causal or "use_cache" not in subject.takes:
        return _Said("not_applicable", "no decoder with a cache is run")
    if subject.needs_whole:
        return _Said("not_applicable", "the encoding needs the whole input, and a cache is a clear error")
    return _at_each_length(subject, lambda length, _: _decoded(subject, length))


def _decoded(subject: Subject, length: int) -> _Said:
    tokens = subject.tokens(length)
    expected = subject.run(tokens)
    apart = subject.difference(subject.decode(tokens, explicit=False), expected)
    if apart <= subject.tolerance:
        return _Said("passed")
    got = f"decoding from a cache differs from one forward pass by {apart:.2g}"
    fix = "decode without a cache: use_cache=False"
    if subject.first is not None and subject.close(subject.decode(tokens, explicit=True), expected):
        fix = "pass position_ids that go on where the cache ends"
    return _Said("issue", got, "the same outputs as in one forward pass", fix + _or_swap(subject))


@_check("MP346", "a pad id as an ordinary token")
def _pad_id_inside(subject: Subject) -> _Said:
    tokens = subject.tokens(subject.length)
    tokens[:, subject.length // 2] = subject.pad
    if subject.first is None:
        return _Said("cannot_tell", "the model takes no position_ids to hold its own counting against")
    places = torch.arange(subject.length, device=subject.device)[None] + subject.first
    apart = subject.difference(subject.run(tokens), subject.run(tokens, position_ids=places))
    if apart <= subject.tolerance:
        return _Said("passed")
    return _Said(
        "tip",
        f"positions follow the ids, not the mask: id {subject.pad} in mid-sequence takes no position, "
        f"and outputs differ by {apart:.2g}",
        "a token that the mask shows takes a position",
        f"keep id {subject.pad} out of texts, or pass position_ids",
    )


@_check("MP347", "inputs_embeds in place of input_ids, with left pads")
def _embedded(subject: Subject) -> _Said:
    if "inputs_embeds" not in subject.takes:
        return _Said("not_applicable", "the model takes no inputs_embeds")
    tokens = subject.tokens(subject.length)
    table = subject.model.get_input_embeddings()
    if not subject.close(subject.run(None, inputs_embeds=table(tokens)), subject.run(tokens)):
        return _Said("cannot_tell", "inputs_embeds change the outputs without pads too: more than positions")
    ids, mask = subject.pad_around(tokens, before=subject.length // 2, after=0)
    inner = slice(subject.length // 2, None)
    expected = subject.run(ids, mask)[:, inner]
    apart = subject.difference(subject.run(None, mask, inputs_embeds=table(ids))[:, inner], expected)
    if apart <= subject.tolerance:
        return _Said("passed")
    got = f"forward with inputs_embeds counts left pads, with input_ids it does not: {apart:.2g} apart"
    fix = "pad on the right"
    if subject.first is not None:
        counted = _counted(mask) + subject.first
        explicit = subject.run(None, mask, inputs_embeds=table(ids), position_ids=counted)[:, inner]
        if subject.close(explicit, expected):
            fix = f"pass position_ids = {_formula(subject)}"
    return _Said("issue", got, "the same outputs as with input_ids", fix + _or_swap(subject))


@_check("MP348", "one token past the last position")
def _past_the_end(subject: Subject) -> _Said:
    limit, where, hard = subject.limit.length, subject.limit.where, subject.limit.hard
    if limit is None:
        return _Said("not_applicable", "no limit is claimed")
    if limit + 1 > subject.longest:
        return _Said(
            "cannot_tell", f"{limit} positions ({where}) are more than the {subject.longest} that are tried"
        )
    if hard and subject.device.type != "cpu":
        return _Said("cannot_tell", "on a device this may end the process: move the model to the CPU")
    tokens = subject.tokens(limit + 1)
    try:
        subject.run(tokens[:, :limit])
    except Exception as error:
        got = f"{limit} positions ({where}), yet {limit} tokens fail: {_shown(error)}"
        return _Said("issue", got, f"{limit} tokens are answered", "make all lengths agree: milepost doctor")
    try:
        after = subject.run(tokens)[:, -1:]
    except Exception as error:
        if isinstance(error, MilepostError | ValueError) and str(limit) in str(error):
            return _Said("passed", f"clear error: {_shown(error)}")
        return _Said(
            "tip",
            f"obscure error at token {limit + 1}: {_shown(error)}",
            "an error that names the limit",
            f"cut inputs at {limit} tokens{_or_swap(subject)}",
        )
    if not after.isfinite().all():
        return _Said("issue", f"NaN at token {limit + 1}", "an error", f"cut inputs at {limit} tokens")
    if not hard:
        return _Said("passed", f"no limit: token {limit + 1} is answered")
    return _Said(
        "issue",
        f"token {limit + 1} is answered without an error, and the table has no row for it ({where})",
        "an error",
        f"cut inputs at {limit} tokens{_or_swap(subject)}",
    )


@_check("MP349", "generate, with left pads and without a cache")
def _generated(subject: Subject) -> _Said:
    if subject.paired or not subject.causal or not subject.model.can_generate():
        return _Said("not_applicable", "the model does not generate, or not from one sequence")
    if subject.needs_whole:
        return _Said("not_applicable", "the encoding needs the whole input, and a cache is a clear error")
    tokens, new = subject.tokens(subject.length - 2), 3
    ids, mask = subject.pad_around(tokens, before=2, after=0)
    settings = GenerationConfig(
        max_new_tokens=new,
        min_new_tokens=new,
        do_sample=False,
        pad_token_id=subject.pad,
        output_logits=True,
        return_dict_in_generate=True,
    )
    runs = [
        subject.model.generate(one, attention_mask=seen, generation_config=settings, use_cache=cached)
        for one, seen, cached in (
            (tokens, torch.ones_like(tokens), True),
            (tokens, torch.ones_like(tokens), False),
            (ids, mask, True),
        )
    ]
    alone, uncached, padded = (torch.stack(run.logits, 1) for run in runs)
    apart = subject.difference(alone, uncached)
    if apart > subject.tolerance:
        got = f"generate() with a cache differs from generate(use_cache=False) by {apart:.2g}"
        return _Said("issue", got, "the same scores without a cache", f"use_cache=False{_or_swap(subject)}")
    apart = subject.difference(padded, alone)
    if apart <= subject.tolerance:
        return _Said("passed")
    got = f"generate() with left pads differs by {apart:.2g}"
    return _Said("issue", got, "the same scores as alone", f"one prompt at a time{_or_swap(subject)}")


def _counted(mask: Tensor) -> Tensor:
    return (mask.cumsum(-1) - 1).clamp(min=0)


def _formula(subject: Subject) -> str:
    shift = f" + {subject.first}" if subject.first else ""
    return f"(attention_mask.cumsum(-1) - 1).clamp(min=0){shift}"


def _or_swap(subject: Subject) -> str:
    kind = str(subject.model.config.model_type)
    return ", or milepost.swap(model, 'learned')" if kind in families() else ""


def _block_mask(lengths: tuple[int, ...], *, causal: bool) -> Tensor:
    """Additive, ``(1, 1, seq, seq)``: 0 within a document, the lowest number elsewhere."""
    seen = torch.block_diag(*(torch.ones(n, n) for n in lengths)).bool()
    if causal:
        seen &= torch.ones_like(seen).tril()
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[None, None]


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:160]


def _runs(said: _Said, where: str) -> Finding:
    return Finding("MP340", said.status, "the model runs on tokens", where, said.got, said.expected, said.fix)
