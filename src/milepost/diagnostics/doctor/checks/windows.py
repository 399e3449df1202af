"""MP321: the windows, blocks and segments that attention is cut into."""

from __future__ import annotations

from collections.abc import Iterator

from milepost.diagnostics.doctor.folder import CHECKS, ModelFolder, count, place, shown
from milepost.finding import Verdict
from milepost.tables import Match, PositionTable, segment_of, step_of, windows_of

_LAYERS = ("num_hidden_layers", "encoder_layers")


@CHECKS.enter("MP321", "windows and segments of attention")
def windows(folder: ModelFolder) -> Iterator[Verdict]:
    """Local attention takes even windows, one per layer, and pads texts to whole ones."""
    seen = False
    for table, match in folder.placed:
        if match.form.role == "decoder":
            continue
        stated, segment = windows_of(match), segment_of(match)
        step = step_of(match, table.usable_length)
        seen = seen or bool(stated) or segment is not None or step > 1
        yield from _of_windows(folder, match, stated)
        if step > 1 and table.usable_length % step:
            yield _half_window(folder, table, match, step)
        if segment:
            yield from _of_segments(folder, table, match, *segment)
    if not seen:
        yield Verdict("not_applicable", "attention is not cut into windows")


def _of_windows(folder: ModelFolder, match: Match, stated: list[object]) -> Iterator[Verdict]:
    where = place(folder.config_file, f"{match.path}attention_window")
    wrong = [window for window in stated if not (number := count(window)) or number % 2]
    if wrong:
        yield Verdict(
            "issue",
            f"attention_window = {shown(wrong[0])}: the model does not load",
            where,
            "even numbers above 0",
            "correct it: half of a window lies on each side of a token",
        )
    layers = next((n for name in _LAYERS if (n := count(match.config.get(name)))), None)
    if isinstance(match.config.get("attention_window"), list) and layers and layers != len(stated):
        yield Verdict(
            "issue",
            f"attention_window lists {len(stated)} windows; the model has {layers} layers",
            where,
            f"one number, or {layers}",
            "get the configuration that belongs to these weights",
        )


def _half_window(folder: ModelFolder, table: PositionTable, match: Match, step: int) -> Verdict:
    whole = table.usable_length // step * step
    return Verdict(
        "issue",
        f"the model pads texts to a multiple of {step} tokens; the table has {table.usable_length} positions, so texts of "
        f"more than {whole} tokens fail",
        place(folder.config_file, table.length_field or ""),
        f"a multiple of {step}",
        f"cut texts at {whole} tokens, or extend the table: milepost extend MODEL --to {whole + step}",
    )


def _of_segments(
    folder: ModelFolder, table: PositionTable, match: Match, length: int, landmarks: int
) -> Iterator[Verdict]:
    where = place(folder.config_file, f"{match.path}segment_means_seq_len")
    if length % landmarks:
        yield Verdict(
            "issue",
            f"segment_means_seq_len = {length} is no multiple of num_landmarks = {landmarks}: no text can be read",
            where,
            f"a multiple of {landmarks}",
            "get the configuration that belongs to these weights",
        )
    if length > table.usable_length:
        yield Verdict(
            "issue",
            f"segment_means_seq_len = {length}; the table has {table.usable_length} positions: no text can be read",
            where,
            f"at most {table.usable_length}",
            f"extend the table: milepost extend MODEL --to {length}",
        )
    elif length < table.usable_length:
        yield Verdict(
            "tip",
            f"segment_means_seq_len = {length}: the model reads inputs of exactly {length} tokens, though the table has "
            f"{table.usable_length} positions",
            where,
            f"inputs padded or cut to {length} tokens",
            "pad to this length: padding='max_length'",
        )
