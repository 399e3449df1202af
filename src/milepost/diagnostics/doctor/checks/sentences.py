"""MP311 and MP312: sentence-transformers' limit, and the length that fine-tuning saw."""

from __future__ import annotations

from collections.abc import Iterator

from milepost.diagnostics.doctor.folder import CHECKS, ModelFolder, place, shown
from milepost.diagnostics.doctor.limits import SENTENCE
from milepost.finding import FieldChange, Verdict


@CHECKS.enter("MP311", "sentence-transformers' limit against the others")
def sentence_limit(folder: ModelFolder) -> Iterator[Verdict]:
    """Its max_seq_length goes before the tokenizer's limit, but only inside sentence-transformers."""
    stated = folder.value(SENTENCE, "max_seq_length")
    limit, tokenizer = folder.limit("sentence_transformers"), folder.limit("tokenizer")
    usable = folder.limit("usable") if folder.text_table else None
    if stated is None:
        yield Verdict("not_applicable", f"no max_seq_length in {SENTENCE}")
    elif limit is None or (usable is not None and limit > usable):
        yield Verdict(
            "issue",
            f"max_seq_length = {shown(stated)}; the table has {usable} positions"
            if usable
            else f"max_seq_length = {shown(stated)}",
            place(SENTENCE, "max_seq_length"),
            f"max_seq_length = {usable}" if usable else "a number of tokens",
            "set it (--fix); longer texts fail" if usable else "set it to the length of the training texts",
            [FieldChange(SENTENCE, "max_seq_length", stated, usable)] if usable else (),
        )
    elif tokenizer is not None and tokenizer != limit:
        yield Verdict(
            "tip",
            f"max_seq_length = {limit}, the tokenizer's limit is {tokenizer}: sentence-transformers and other "
            "programs cut the same text at different places",
            place(SENTENCE, "max_seq_length"),
            "one limit",
            "decide which is meant, and write it into tokenizer_config.json too",
        )


@CHECKS.enter("MP312", "positions that fine-tuning never saw", most="tip")
def tuned_short(folder: ModelFolder) -> Iterator[Verdict]:
    """The rows are there and were pre-trained, but the task was learned on shorter texts."""
    usable = folder.limit("usable") if folder.text_table else None
    tuned = folder.limits["tuned"]
    if usable is None:
        yield Verdict("not_applicable", "no table of text positions")
    elif tuned.value is None:
        yield Verdict("cannot_tell", f"{tuned.note} how long the texts of fine-tuning were")
    elif tuned.value < usable:
        more = f" ({tuned.note})" if tuned.note else ""
        yield Verdict(
            "tip",
            f"{tuned.where} = {tuned.value}{more}, the table has {usable} positions: rows of positions from {tuned.value} "
            "on are there, but were not fine-tuned",
            tuned.where,
            f"texts of at most {tuned.value} tokens",
            "measure on longer texts before raising the limit",
        )
