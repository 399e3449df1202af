"""MP318 and MP319: lengths of models without a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from milepost.diagnostics.doctor.folder import CHECKS, ModelFolder, count, place, shown
from milepost.diagnostics.doctor.limits import TOKENIZER, TOKENIZER_DATA, rope_parts
from milepost.finding import Verdict

ROPE_FIELDS: dict[str, tuple[str, ...]] = {
    "default": (),
    "axial": (),
    "mrope": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "longrope": ("short_factor", "long_factor"),
    "su": ("short_factor", "long_factor"),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "proportional": (),
}
"""Rope types of transformers 5.23 and 5.24, older names included, each with the fields without which it raises an error."""

_ORIGINAL = "original_max_position_embeddings"
_LENGTH = "max_position_embeddings"
_WANT_ORIGINAL = ("yarn", "longrope", "llama3")
# llama3 scales by wavelength, longrope by lists: factor times original is no limit of theirs
_REACH = ("yarn",)


@CHECKS.enter("MP318", "rope scaling against the configured length")
def rope_scaling(folder: ModelFolder) -> Iterator[Verdict]:
    """Scaled from which length, by how much, and what the configuration claims in the end."""
    seen = False
    for path, part in rope_parts(folder.checkpoint.config):
        old, new = part.get("rope_scaling"), part.get("rope_parameters")
        if isinstance(old, Mapping) and isinstance(new, Mapping) and old and new and dict(old) != dict(new):
            yield Verdict(
                "issue",
                "rope_scaling and rope_parameters differ; transformers takes rope_scaling",
                place(folder.config_file, *path, "rope_scaling"),
                "one of them",
                "remove the wrong one",
            )
        name = "rope_scaling" if isinstance(old, Mapping) and old else "rope_parameters"
        for inner, settings in _settings(part.get(name)):
            seen = True
            yield from _check_settings(folder, part, settings, (*path, name, *inner))
    if not seen:
        yield Verdict("not_applicable", "no rope parameters")


@CHECKS.enter("MP319", "a tokenizer that lets more through than the model claims", most="tip")
def past_claimed(folder: ModelFolder) -> Iterator[Verdict]:
    """Without a table nothing fails past the configured length; quality does."""
    claimed, limit = folder.limit("configured"), folder.limit("tokenizer")
    has_tokenizer = TOKENIZER in folder.documents or TOKENIZER_DATA in folder.documents
    if folder.text_table or not claimed or not has_tokenizer:
        yield Verdict(
            "not_applicable", "a table sets the limit, or none is claimed, or there is no tokenizer"
        )
    elif limit is None or limit > claimed:
        got = f"= {limit}" if limit else f"{folder.limits['tokenizer'].note}"
        yield Verdict(
            "tip",
            f"model_max_length {got}; {folder.limits['configured'].where} = {claimed}",
            place(TOKENIZER, "model_max_length"),
            f"at most {claimed}",
            "cut texts there, or be sure that the model holds up beyond",
        )


def _settings(value: Any) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The parameters, or those of each kind of layer."""
    if not isinstance(value, Mapping) or not value:
        return
    nested = [(str(name), inner) for name, inner in value.items() if isinstance(inner, Mapping)]
    for name, inner in nested:
        yield (name,), inner
    if not nested:
        yield (), value


def _check_settings(
    folder: ModelFolder, part: Mapping[str, Any], settings: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[Verdict]:
    kind = settings.get("rope_type", settings.get("type", "default"))
    factor = settings.get("factor")
    where = place(folder.config_file, *path)
    if not isinstance(kind, str) or kind not in ROPE_FIELDS:
        yield Verdict(
            "issue",
            f"rope_type = {shown(kind)}: transformers knows no such scaling, and the model does not run",
            f"{where}.{'rope_type' if 'rope_type' in settings else 'type'}",
            f"one of {', '.join(sorted(ROPE_FIELDS))}",
            "correct it, or run the model with the code that knows it",
        )
        return
    if absent := [name for name in ROPE_FIELDS[kind] if settings.get(name) is None]:
        yield Verdict(
            "issue",
            f"{kind} without {', '.join(absent)}",
            where,
            ", ".join(ROPE_FIELDS[kind]),
            "state what is missing",
        )
    for name in ("short_factor", "long_factor"):
        if kind in ("longrope", "su") and settings.get(name) is not None:
            yield from _check_list(settings[name], _pairs(part, settings, path), f"{where}.{name}")
    if factor is not None and (
        isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 <= factor < 10**20
    ):
        yield Verdict(
            "issue", f"factor = {shown(factor)}", f"{where}.factor", "a number of at least 1", "correct it"
        )
    else:
        original = count(settings.get(_ORIGINAL, part.get(_ORIGINAL)))
        yield from _check_lengths(kind, count(part.get(_LENGTH)), original, factor, where)


def _check_lengths(
    kind: str, length: int | None, original: int | None, factor: float | None, where: str
) -> Iterator[Verdict]:
    """The length before scaling, and the configured length after it."""
    if kind in _WANT_ORIGINAL and original is None:
        yield Verdict(
            "tip",
            f"{kind} without {_ORIGINAL}: {_LENGTH} = {length} is taken for the length before scaling",
            where,
            f"{_ORIGINAL} = the length before scaling",
            "state it",
        )
    if original is None or length is None:
        return
    if length < original:
        yield Verdict(
            "issue",
            f"{_LENGTH} = {length}, yet {_ORIGINAL} = {original}",
            where,
            f"{_LENGTH} of at least {original}",
            "correct the one that is wrong",
        )
    elif kind in _REACH and factor and length > original * factor:
        yield Verdict(
            "issue",
            f"{_LENGTH} = {length}, yet {_ORIGINAL} x factor = {original} x {factor:g} = {original * factor:g}",
            where,
            f"{_LENGTH} of at most {original * factor:g}",
            "raise the factor, or lower the length",
        )


def _pairs(part: Mapping[str, Any], settings: Mapping[str, Any], path: tuple[str, ...]) -> int | None:
    """Pairs of channels that are rotated; None where the configuration does not say, or says it for each kind of layer."""
    if path[-1] not in ("rope_scaling", "rope_parameters"):
        return None
    dim = next((n for name in ("qk_rope_head_dim", "head_dim") if (n := count(part.get(name)))), None)
    hidden, heads = count(part.get("hidden_size")), count(part.get("num_attention_heads"))
    if dim is None and hidden and heads:
        dim = hidden // heads
    share = settings.get(
        "partial_rotary_factor", part.get("partial_rotary_factor", part.get("rotary_pct", 1.0))
    )
    if dim is None or isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        return None
    return int(dim * share) // 2


def _check_list(stated: Any, pairs: int | None, where: str) -> Iterator[Verdict]:
    """One positive factor for each pair of channels."""
    right = isinstance(stated, list) and all(
        isinstance(one, int | float) and not isinstance(one, bool) and 0 < one < 10**20 for one in stated
    )
    if right and pairs in (None, len(stated)):
        return
    got = f"{len(stated)} factors" if right else "not a list of positive numbers"
    yield Verdict(
        "issue",
        f"{got}; the model rotates {pairs} pairs of channels" if pairs else got,
        where,
        f"a list of {pairs} numbers" if pairs else "a list of numbers",
        "get the configuration that belongs to these weights",
    )
