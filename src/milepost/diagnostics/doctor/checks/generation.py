"""MP313: how long a model may generate."""

from __future__ import annotations

from collections.abc import Iterator

from milepost.diagnostics.doctor.folder import CHECKS, ModelFolder, count, place
from milepost.diagnostics.doctor.limits import GENERATION
from milepost.finding import FieldChange, Verdict


@CHECKS.enter("MP313", "generation past the last position")
def generation_too_long(folder: ModelFolder) -> Iterator[Verdict]:
    """max_length counts the prompt and what is generated; generate() only warns once, then fails."""
    file = GENERATION if GENERATION in folder.documents else folder.config_file
    table = folder.table("decoder", "text")
    end = table.usable_length if table else folder.limit("configured")
    stated = {name: count(folder.value(file, name)) for name in ("max_length", "max_new_tokens")}
    if end is None or all(value is None for value in stated.values()):
        yield Verdict("not_applicable", "no file sets how long to generate, or nothing ends the positions")
        return
    length, new = stated["max_length"], stated["max_new_tokens"]
    end_of = "the table has" if table else "the configuration claims"
    if length is not None and length > end:
        yield Verdict(
            "issue" if table else "tip",
            f"max_length = {length}; {end_of} {end} positions",
            place(file, "max_length"),
            f"max_length = {end}",
            "set it (--fix)" if table else "lower it, or be sure that the model holds up",
            [FieldChange(file, "max_length", folder.value(file, "max_length"), end)] if table else (),
        )
    if new is not None and new >= end:
        yield Verdict(
            "issue" if table else "tip",
            f"max_new_tokens = {new}; {end_of} {end} positions, the prompt's included",
            place(file, "max_new_tokens"),
            f"fewer than {end}",
            "lower it, so that a prompt has room",
        )
