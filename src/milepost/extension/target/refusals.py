"""Why a model cannot be extended, and what it wants instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from milepost.errors import DataError, ExtendRefused, OptionError
from milepost.tables import Checkpoint, Match, PositionTable, segment_of, step_of

INSTEAD: Mapping[str, str] = {
    "alibi": "ALiBi has no table and takes any length; raise model_max_length in tokenizer_config.json alone",
    "relative_bias": "a bias by distance has no last position; raise model_max_length in tokenizer_config.json alone",
    "fixed_sinusoid": "sinusoids are computed for any length: raise the lengths in config.json, and leave stored ones out of the file",
    "convolution": "a convolution takes any length: nothing is to be extended",
    "none": "without positions there is no limit to move",
}


def refusal(checkpoint: Checkpoint, learned: Sequence[PositionTable], to: object) -> ExtendRefused:
    """The error for a model that has no table to extend, with what it wants instead."""
    order = checkpoint.positions_by
    named = f"{checkpoint.model_type!a} knows positions by: {order.replace('_', ' ')}"
    if learned:
        return ExtendRefused(
            "this model's position table cannot grow by itself",
            got=f"{named}; {', '.join(ascii(one.key) for one in learned[:4])}",
            fix="what else reads or bounds its positions is in the model's code",
        )
    if order == "rotary":
        inner = checkpoint.config.get("text_config")
        config = inner if isinstance(inner, Mapping) else checkpoint.config
        length = config.get("max_position_embeddings")
        known = isinstance(length, int) and isinstance(to, int) and 0 < length < to
        factor, old, new = (f"{to / length:g}", length, to) if known else ("F", "L", "F * L")  # type: ignore[operator]
        return ExtendRefused(
            "this model has no position table to extend: rotary positions are scaled instead",
            got=named,
            fix=f'in config.json set "max_position_embeddings": {new} and, beside its rope_theta, "rope_parameters": '
            f'{{"rope_type": "yarn", "factor": {factor}, "original_max_position_embeddings": {old}}}',
        )
    instead = INSTEAD.get(order, "name the table, if there is one: --tensor KEY --first-row N")
    return ExtendRefused("this model has no learned position table to extend", got=named, fix=instead)


def refuse_disagreement(checkpoint: Checkpoint, tables: Sequence[PositionTable]) -> None:
    """Refuse a configuration that says other than the tables: nobody knows which of them is right.

    Raises:
        ExtendRefused: MP123, a family that is not known. DataError: MP110.
    """
    for table in tables:
        if table.form is None and checkpoint.config:
            raise ExtendRefused(
                "the family of this model is unknown, and with it what else holds its length",
                got=f"{checkpoint.model_type!a}, {table.key!a}",
                fix="extend the weights file alone, without a config.json beside it",
            )
        if checkpoint.config and table.expected_rows != len(table.rows):
            raise DataError(
                "the configuration and the table disagree",
                got=f"{table.length_field}: {table.expected_rows} rows expected, {len(table.rows)} in {table.key!a}",
                fix="see what is right first: milepost doctor MODEL",
            )


def refuse_half_windows(match: Match | None, to: int) -> None:
    """Refuse half windows: where the model embeds the pads that fill a window (LED, BigBird), the table must hold them.

    Raises:
        OptionError: MP105.
    """
    step = step_of(match, to) if match else 1
    if to % step:
        raise OptionError(
            "the length is no whole number of attention windows",
            got=f"{to} positions, windows of {step}",
            fix=f"ask for {to + -to % step}",
        )


def refuse_half_segments(match: Match | None, to: int) -> None:
    """Refuse a length that Nystromformer cannot divide by its number of landmarks.

    Raises:
        OptionError: MP105.
    """
    segment = segment_of(match) if match else None
    if segment and to % segment[1]:
        raise OptionError(
            "the length is no multiple of num_landmarks",
            got=f"{to} positions, {segment[1]} landmarks",
            fix=f"ask for {to + -to % segment[1]}",
        )


def refuse_tiles(checkpoint: Checkpoint, match: Match) -> None:
    """Refuse models that cut an image into tiles of the vision tower's size: grids of tiles would have to change too.

    Raises:
        ExtendRefused: MP123.
    """
    family = checkpoint.family
    if match.path and family and family.variant(checkpoint.model_type).cuts == "tiles":
        raise ExtendRefused(
            "this model cuts images into tiles of its vision tower's size",
            got=f"model_type {checkpoint.model_type!a}",
            fix="give it images of more tiles instead: its processor chooses how many",
        )
