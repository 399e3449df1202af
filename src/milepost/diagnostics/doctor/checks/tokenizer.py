"""MP306 to MP310: what the tokenizer lets through, cuts off and counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from milepost.diagnostics.doctor.case import Case, Change, Outcome, check, count, dig, place, shown
from milepost.diagnostics.doctor.limits import TOKENIZER, TOKENIZER_DATA

_FIELD = "model_max_length"


@check("MP306", "a tokenizer without a limit")
def no_limit(case: Case) -> Iterator[Outcome]:
    """Absent, or the 1e30 that stands for none: `truncation=True` then cuts nothing."""
    usable = _usable(case)
    if usable is None or not _has_tokenizer(case):
        yield _not_applicable(case)
    elif case.limit("tokenizer") is None:
        exists = TOKENIZER in case.documents
        yield Outcome(
            "issue",
            f"{case.limits['tokenizer'].note}; the table has {usable} positions",
            place(TOKENIZER, _FIELD),
            f"{_FIELD} = {usable}",
            f"set it (--fix); {_past(case, usable)}"
            if exists
            else f"save the tokenizer with {_FIELD}={usable}",
            [_change(case, usable)] if exists else (),
        )


@check("MP307", "a tokenizer limit past the end of the table")
def limit_too_large(case: Case) -> Iterator[Outcome]:
    """A limit that counts rows instead of positions (514 for RoBERTa's 512) belongs here."""
    usable, limit = _usable(case), case.limit("tokenizer")
    if usable is None or not _has_tokenizer(case):
        yield _not_applicable(case)
        return
    stated = {"max_length": count(case.value(TOKENIZER, "max_length"))}
    if limit is not None:
        stated[case.limits["tokenizer"].where.rpartition(" ")[2]] = limit
    for field, value in sorted(stated.items(), reverse=True):
        if value is not None and value > usable:
            table = case.text_table
            rows = f" in {len(table.rows)} rows" if table and len(table.rows) != usable else ""
            yield Outcome(
                "issue",
                f"{field} = {value}; the table has {usable} positions{rows}",
                place(TOKENIZER, field),
                f"{field} = {usable}",
                f"set it (--fix); {_past(case, usable)}",
                [Change(TOKENIZER, field, case.value(TOKENIZER, field), usable)],
            )


@check("MP308", "a tokenizer limit before the end of the table")
def limit_small(case: Case) -> Iterator[Outcome]:
    """It may be meant (a fine-tuned length); who does not know of it loses the end of every long text."""
    usable, limit = _usable(case), case.limit("tokenizer")
    if usable is None or not _has_tokenizer(case):
        yield _not_applicable(case)
    elif limit is not None and limit < usable:
        yield Outcome(
            "tip",
            f"{case.limits['tokenizer'].where} = {limit}: texts are cut there, though the table has {usable} positions",
            case.limits["tokenizer"].where,
            f"{usable}, or a smaller one that is meant",
            "raise it if the later rows were trained: milepost inspect looks at them",
        )


@check("MP309", "truncation written into tokenizer.json")
def truncation_written(case: Case) -> Iterator[Outcome]:
    """The tokenizers library applies it without being asked: no count ever exceeds it."""
    if TOKENIZER_DATA not in case.documents:
        yield Outcome("not_applicable", f"there is no {TOKENIZER_DATA}")
        return
    setting = case.value(TOKENIZER_DATA, "truncation")
    if setting is None:
        return
    length, usable = case.limit("truncation"), _usable(case)
    known = {name: case.limit(name) for name in ("tokenizer", "sentence_transformers")} | {"usable": usable}
    others = {name: value for name, value in known.items() if value is not None}
    counts = f"every token count made with it stops at {length}"
    sound = length is not None and length >= min(others.values(), default=length)
    sound = sound and (usable is None or length is None or length <= usable)
    said = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in others.items())
    yield Outcome(
        "tip" if sound else "issue",
        f"max_length = {length}: {counts}" + (f"; other limits: {said}" if said else ""),
        place(TOKENIZER_DATA, "truncation"),
        "truncation = null; the limit belongs into tokenizer_config.json",
        "before you count tokens, turn it off on a copy: Tokenizer.no_truncation()"
        if sound
        else "remove it (--fix), or set it to the limit that is meant",
        () if sound else [Change(TOKENIZER_DATA, "truncation", setting, None)],
    )


@check("MP310", "padding to a fixed length written into tokenizer.json")
def padding_written(case: Case) -> Iterator[Outcome]:
    """The tokenizers library then makes every text at least this long, pads included."""
    if TOKENIZER_DATA not in case.documents:
        yield Outcome("not_applicable", f"there is no {TOKENIZER_DATA}")
        return
    setting = case.value(TOKENIZER_DATA, "padding")
    fixed = dig(setting, ("strategy", "Fixed"))
    if fixed is not None:
        yield Outcome(
            "issue",
            f"every text becomes {shown(fixed)} tokens, however short: counts are wrong and computation is wasted",
            place(TOKENIZER_DATA, "padding", "strategy", "Fixed"),
            "padding = null; pad to the longest text of a batch",
            "remove it (--fix)",
            [Change(TOKENIZER_DATA, "padding", setting, None)],
        )


def _usable(case: Case) -> int | None:
    return case.limit("usable") if case.text_table else None


def _has_tokenizer(case: Case) -> bool:
    return TOKENIZER in case.documents or TOKENIZER_DATA in case.documents


def _not_applicable(case: Case) -> Outcome:
    return Outcome(
        "not_applicable",
        "there is no tokenizer" if _usable(case) else "no table of text positions sets a limit",
    )


def _past(case: Case, usable: int) -> str:
    clamps = case.checkpoint.family is not None and case.checkpoint.family.clamps
    what = "reads the last row again" if clamps else "is an index error, on a GPU a device-side assert"
    return f"token {usable + 1} {what}"


def _change(case: Case, usable: int) -> Change:
    old: Any = case.value(TOKENIZER, _FIELD)
    return Change(TOKENIZER, _FIELD, old, usable)
