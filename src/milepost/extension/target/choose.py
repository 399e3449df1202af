"""Which tables an extension means, or why the model has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from milepost.errors import ExtendRefused, NoTable
from milepost.extension.methods.base import Method, build_method, default_method
from milepost.extension.target.base import Size, Target, is_image, refuse_disagreement, rematch
from milepost.extension.target.image import image_target
from milepost.extension.target.text import COMPUTED, rule_target, sinusoid_target, text_target
from milepost.tables import PREFIX, Checkpoint, Match, PositionTable, read_rule

_INSTEAD: Mapping[str, str] = {
    "alibi": "ALiBi has no table and takes any length; raise model_max_length in tokenizer_config.json alone",
    "relative_bias": "a bias by distance has no last position; raise model_max_length in tokenizer_config.json alone",
    "fixed_sinusoid": COMPUTED,
    "convolution": "a convolution takes any length: nothing is to be extended",
    "none": "without positions there is no limit to move",
}


def choose_target(
    checkpoint: Checkpoint, to: Size, method: str | Method | None, tensor: str | None
) -> Target:
    """Find the tables that are meant and lay out what they become; refuse what cannot be done, with the reason.

    Raises:
        ExtendRefused: MP123, no table, or one that an extension would break. NoTable: MP122, several could be meant.
        OptionError: MP105, a target that fits neither table nor method. DataError: MP110, configuration and table disagree.
    """
    chosen = build_method(method) if isinstance(method, str) else method
    if (rule := read_rule(checkpoint.config)) is not None:
        raise ExtendRefused(
            f"this model's positions find their rows by a rule already: {rule.spec}",
            got=f"{rule.rows} rows, a limit of {rule.to_length}",
            fix="extend the model that it was made from",
        )
    if str(checkpoint.config.get("model_type", "")).startswith(PREFIX):
        raise ExtendRefused(
            "this model's table was swapped in, and its record says how long it is",
            got=f"model_type {ascii(checkpoint.config['model_type'])[:80]}",
            fix="extend the model as it was before, then swap: milepost.swap(model, 'learned')",
        )
    matches = rematch(checkpoint, checkpoint.config) if checkpoint.family else {}
    if checkpoint.positions_by == "fixed_sinusoid":
        return sinusoid_target(checkpoint, matches, to, chosen)
    tables = _choose(checkpoint, matches, to, chosen, tensor)
    table = tables[0]
    chosen = chosen or default_method("image" if is_image(table) else "text")
    refuse_disagreement(checkpoint, tables)
    paired = tuple((one, matches.get(one.key)) for one in tables)
    if is_image(table):
        return image_target(checkpoint, paired, to, chosen)
    if chosen.position_rule:
        return rule_target(checkpoint, paired, to, chosen)
    return text_target(checkpoint, paired, to, chosen)


def _choose(
    checkpoint: Checkpoint, matches: Mapping[str, Match], to: Size, method: Method | None, tensor: str | None
) -> list[PositionTable]:
    """The table that is meant, and all others that the same field makes as long as it is."""
    learned = [one for one in checkpoint.tables if one.kind != "fixed_sinusoid"]
    movable = [
        one
        for one in learned
        if (one.form is None or one.form.resizable) and not _is_bound(matches.get(one.key))
    ]
    if tensor is not None:
        checkpoint.table(tensor)  # says so where there is none of this name
        meant = [one for one in movable if one.key == tensor]
    else:
        kind = method.kind if method else "image" if isinstance(to, tuple) else None
        meant = [one for one in movable if kind is None or is_image(one) == (kind == "image")] or movable
    if not meant:
        raise _explain(checkpoint, learned, to)
    fields = {one.length_field or one.key for one in meant}
    if len(fields) > 1:
        raise NoTable(
            "which table is meant is not clear",
            got=", ".join(f"{one.key!a} ({one.role})" for one in meant),
            fix="choose one: --tensor KEY",
        )
    field = fields.pop()
    return meant[:1] + [one for one in movable if one is not meant[0] and one.length_field == field]


def _is_bound(match: Match | None) -> bool:
    """Whether attention knows distances of its own up to the table's length, so that it cannot grow alone."""
    if match is None or match.family.positions_by != "relative_bias":
        return False
    return bool(match.config.get("relative_attention", True))


def _explain(checkpoint: Checkpoint, learned: Sequence[PositionTable], to: object) -> ExtendRefused:
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
            fix=f'in config.json set "max_position_embeddings": {new} and, next to its rope_theta, "rope_parameters": '
            f'{{"rope_type": "yarn", "factor": {factor}, "original_max_position_embeddings": {old}}}',
        )
    instead = _INSTEAD.get(order, "name the table, if there is one: --tensor KEY --first-row N")
    return ExtendRefused("this model has no learned position table to extend", got=named, fix=instead)
