"""MP306 to MP310: what the tokenizer lets through, cuts off and counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from milepost.diagnostics.doctor.folder import CHECKS, ModelFolder, count, dig, place, shown
from milepost.diagnostics.doctor.limits import TOKENIZER, TOKENIZER_DATA
from milepost.finding import FieldChange, Verdict

_FIELD = "model_max_length"


@CHECKS.enter("MP306", "a tokenizer without a limit")
def no_limit(folder: ModelFolder) -> Iterator[Verdict]:
    """Absent, or the 1e30 that stands for none: `truncation=True` then cuts nothing."""
    usable = _usable(folder)
    if usable is None or not _has_tokenizer(folder):
        yield _not_applicable(folder)
    elif folder.limit("tokenizer") is None:
        exists = TOKENIZER in folder.documents
        yield Verdict(
            "issue",
            f"{folder.limits['tokenizer'].note}; the table has {usable} positions",
            place(TOKENIZER, _FIELD),
            f"{_FIELD} = {usable}",
            f"set it (--fix); {_past(folder, usable)}"
            if exists
            else f"save the tokenizer with {_FIELD}={usable}",
            [_change(folder, usable)] if exists else (),
        )


@CHECKS.enter("MP307", "a tokenizer limit past the end of the table")
def limit_too_large(folder: ModelFolder) -> Iterator[Verdict]:
    """A limit that counts rows instead of positions (514 for RoBERTa's 512) belongs here."""
    usable, limit = _usable(folder), folder.limit("tokenizer")
    if usable is None or not _has_tokenizer(folder):
        yield _not_applicable(folder)
        return
    stated = {"max_length": count(folder.value(TOKENIZER, "max_length"))}
    if limit is not None:
        stated[folder.limits["tokenizer"].where.rpartition(" ")[2]] = limit
    for field, value in sorted(stated.items(), reverse=True):
        if value is not None and value > usable:
            table = folder.text_table
            rows = f" in {len(table.rows)} rows" if table and len(table.rows) != usable else ""
            yield Verdict(
                "issue",
                f"{field} = {value}; the table has {usable} positions{rows}",
                place(TOKENIZER, field),
                f"{field} = {usable}",
                f"set it (--fix); {_past(folder, usable)}",
                [FieldChange(TOKENIZER, field, folder.value(TOKENIZER, field), usable)],
            )


@CHECKS.enter("MP308", "a tokenizer limit before the end of the table", most="tip")
def limit_small(folder: ModelFolder) -> Iterator[Verdict]:
    """It may be meant (a fine-tuned length); who does not know of it loses the end of every long text."""
    usable, limit = _usable(folder), folder.limit("tokenizer")
    if usable is None or not _has_tokenizer(folder):
        yield _not_applicable(folder)
    elif limit is not None and limit < usable:
        yield Verdict(
            "tip",
            f"{folder.limits['tokenizer'].where} = {limit}: texts are cut there, though the table has {usable} positions",
            folder.limits["tokenizer"].where,
            f"{usable}, or a smaller one that is meant",
            "raise it if the later rows were trained: milepost inspect looks at them",
        )


@CHECKS.enter("MP309", "truncation written into tokenizer.json")
def truncation_written(folder: ModelFolder) -> Iterator[Verdict]:
    """The tokenizers library applies it without being asked: no count ever exceeds it."""
    if TOKENIZER_DATA not in folder.documents:
        yield Verdict("not_applicable", f"there is no {TOKENIZER_DATA}")
        return
    setting = folder.value(TOKENIZER_DATA, "truncation")
    if setting is None:
        return
    length, usable = folder.limit("truncation"), _usable(folder)
    known = {name: folder.limit(name) for name in ("tokenizer", "sentence_transformers")} | {"usable": usable}
    others = {name: value for name, value in known.items() if value is not None}
    counts = f"every token count made with it stops at {length}"
    sound = length is not None and length >= min(others.values(), default=length)
    sound = sound and (usable is None or length is None or length <= usable)
    said = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in others.items())
    yield Verdict(
        "tip" if sound else "issue",
        f"max_length = {length}: {counts}" + (f"; other limits: {said}" if said else ""),
        place(TOKENIZER_DATA, "truncation"),
        "truncation = null; the limit belongs into tokenizer_config.json",
        "before you count tokens, turn it off on a copy: Tokenizer.no_truncation()"
        if sound
        else "remove it (--fix), or set it to the limit that is meant",
        () if sound else [FieldChange(TOKENIZER_DATA, "truncation", setting, None)],
    )


@CHECKS.enter("MP310", "padding to a fixed length written into tokenizer.json")
def padding_written(folder: ModelFolder) -> Iterator[Verdict]:
    """The tokenizers library then makes every text at least this long, pads included."""
    if TOKENIZER_DATA not in folder.documents:
        yield Verdict("not_applicable", f"there is no {TOKENIZER_DATA}")
        return
    setting = folder.value(TOKENIZER_DATA, "padding")
    fixed = dig(setting, ("strategy", "Fixed"))
    if fixed is not None:
        yield Verdict(
            "issue",
            f"every text becomes {shown(fixed)} tokens, however short: counts are wrong and computation is wasted",
            place(TOKENIZER_DATA, "padding", "strategy", "Fixed"),
            "padding = null; pad to the longest text of a batch",
            "remove it (--fix)",
            [FieldChange(TOKENIZER_DATA, "padding", setting, None)],
        )


def _usable(folder: ModelFolder) -> int | None:
    return folder.limit("usable") if folder.text_table else None


def _has_tokenizer(folder: ModelFolder) -> bool:
    return TOKENIZER in folder.documents or TOKENIZER_DATA in folder.documents


def _not_applicable(folder: ModelFolder) -> Verdict:
    return Verdict(
        "not_applicable",
        "there is no tokenizer" if _usable(folder) else "no table of text positions sets a limit",
    )


def _past(folder: ModelFolder, usable: int) -> str:
    clamps = folder.checkpoint.family is not None and folder.checkpoint.family.clamps
    what = "reads the last row again" if clamps else "is an index error, on a GPU a device-side assert"
    return f"token {usable + 1} {what}"


def _change(folder: ModelFolder, usable: int) -> FieldChange:
    old: Any = folder.value(TOKENIZER, _FIELD)
    return FieldChange(TOKENIZER, _FIELD, old, usable)
