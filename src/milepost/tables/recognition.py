"""Which tensors of a model are position tables: by its configuration and their names, never by their shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from milepost.catalog import rows
from milepost.errors import DataError, SpecError, UnknownFamily
from milepost.spec import parse_spec
from milepost.tables.families import FAMILIES, family_of
from milepost.tables.family import Family, Offset, Part, TableForm, Variant
from milepost.tables.rule import PREFIX, RECORD, read_rule

_BESIDE_THE_SEQUENCE = frozenset({"layout", "time", "entity"})


@dataclass(frozen=True)
class Match:
    """A tensor that a family's form names, with the (inner) configuration that speaks of it and its path."""

    key: str
    form: TableForm
    family: Family
    config: Mapping[str, Any]
    path: str = ""

    def first_row(self) -> int:
        """The row of position 0.

        Raises:
            DataError: MP110, when it follows ``pad_token_id`` and the configuration has none.
        """
        return self._resolve(self.form.first_row)

    def padding_row(self) -> int | None:
        """The row that training holds at zero."""
        return self._resolve("pad+1") - 1 if self.form.padding_row == "pad" else self.form.padding_row

    def length_field(self) -> str | None:
        """The configuration's field for the length, with the path to it."""
        return f"{self.path}{self.form.field}" if self.form.field else None

    def trailing_rows(self) -> int:
        """Rows after the patches."""
        return whole(self.config.get(self.form.trailing)) or 0 if self.form.trailing else 0

    def expected_rows(self) -> int | None:
        """The rows that the configuration asks for, or None where it does not say."""
        if self._is_image():
            grid = self.grid()
            return None if grid is None else self.form.prefix_rows + math.prod(grid) + self.trailing_rows()
        length = whole(self.config.get(self.form.field or ""))
        return None if length is None else length + self._resolve(self.form.extra_rows)

    def grid(self) -> tuple[int, ...] | None:
        """The patches as (height, width), frames first; None for text or where the configuration is silent."""
        return _GRIDS[self.form.layout](self.config, self.form.field or "") if self._is_image() else None

    @property
    def variant(self) -> Variant:
        """In what the model type differs from its family."""
        return self.family.variant(self.config.get("model_type"))

    def _is_image(self) -> bool:
        return self.form.kind == "patches" or self.form.prefix_rows > 0

    def _resolve(self, offset: Offset) -> int:
        if isinstance(offset, int):
            return offset
        pad = whole(self.config.get("pad_token_id", self.family.pad_token_id))
        if pad is None:
            raise DataError(
                "the first row follows the padding token, and the configuration does not say which it is",
                got=f"{self.path}pad_token_id: {self.config.get('pad_token_id')!a}",
                fix="name the row of position 0: --first-row N",
            )
        return pad + 1


def recognise(config: Mapping[str, Any], keys: Collection[str]) -> tuple[Family | None, str, list[Match]]:
    """The family of a model, how it knows positions, and its position tables, text before images.

    Without a configuration only names that mean the same in every family are taken.

    Raises:
        UnknownFamily: MP120, for a family that has no row here, or whose table is not among the tensors.
    """
    installed = _is_installed(config)
    config = _translate(config, keys)
    model_type = config.get("model_type")
    if model_type is None:
        return _recognise_alone(keys)
    family = family_of(model_type) if isinstance(model_type, str) else None
    if family is None:
        raise unknown(f"model_type {ascii(model_type)[:80]}", "its model_type among the known families", keys)
    matches: list[Match] = []
    order = _search(family, config, keys, "", matches)
    matches = [_as_encoding(match) for match in matches] if installed else matches
    if not matches and order == "learned":
        wanted = ", ".join(f"*{form.suffix}" for form in family.tables) or "the tables of its parts"
        raise unknown(f"family {family.name} without its table", wanted, keys)
    return family, order, matches


def unknown(what: str, looked_for: str, keys: Collection[str]) -> UnknownFamily:
    """The error for a model that cannot be read, with the names that look like position tables."""
    likely = list(islice((key for key in keys if re.search(r"pos(?!t|s)|wpe", key)), 4))
    return UnknownFamily(
        f"Milepost does not know where the positions of this model are (looked for {looked_for})",
        got=f"{what}; names that may be it: {', '.join(map(ascii, likely)) or 'none'}",
        fix="name the table and the row of position 0: --tensor KEY --first-row N",
    )


def whole(value: object) -> int | None:
    """``value`` where it is a whole number that a configuration may hold, else None; True is none."""
    return value if type(value) is int and 0 <= value < 2**31 else None


def _ends_with(key: str, suffix: str) -> bool:
    return key == suffix or key.endswith("." + suffix)


def _search(
    family: Family, config: Mapping[str, Any], keys: Collection[str], path: str, matches: list[Match]
) -> str:
    """Add the tables of ``family`` and of its parts to ``matches``; return how it knows positions."""
    inside = {part: [key for key in keys if _is_in(key, part)] for part in family.parts}
    taken = {key for part_keys in inside.values() for key in part_keys}
    own: list[Match] = []
    for form in family.tables:
        others = [other.suffix for other in family.tables if len(other.suffix) > len(form.suffix)]
        if form.fixed_if and config.get(form.fixed_if):
            form = replace(form, kind="fixed_sinusoid")
        own += [
            Match(key, form, family, config, path)
            for key in keys
            if key not in taken
            and _ends_with(key, form.suffix)
            and not any(_ends_with(key, other) for other in others)
        ]
    matches += own
    orders = [_search_part(part, config, part_keys, path, matches) for part, part_keys in inside.items()]
    if family.alibi_if and config.get(family.alibi_if):
        return "alibi"
    if family.tables:
        return _order_of(own, family)
    return next((order for order in orders if order), family.positions_by)


def _search_part(
    part: Part, config: Mapping[str, Any], keys: Collection[str], path: str, matches: list[Match]
) -> str | None:
    inner = config.get(part.config)
    inner = inner if isinstance(inner, dict) else {}
    model_type = part.model_type or inner.get("model_type")
    if model_type is None and not keys:
        return None
    family = family_of(model_type) if isinstance(model_type, str) else None
    if family is None:
        raise unknown(f"{path}{part.config} of model_type {ascii(model_type)[:80]}", "a known family", keys)
    return _search(family, inner, keys, f"{path}{part.config}.", matches)


def _is_in(key: str, part: Part) -> bool:
    """Whether the key belongs to the part: its name comes first, or after one head's prefix."""
    _, _, after = key.partition(".")
    return key.startswith(part.prefixes) or after.startswith(part.prefixes)


def _order_of(own: Collection[Match], family: Family) -> str:
    kinds = {match.form.kind for match in own if match.form.role not in _BESIDE_THE_SEQUENCE}
    if kinds & {"learned", "patches"}:
        return "learned"
    if kinds:
        return "fixed_sinusoid"
    return family.positions_by if all(form.optional for form in family.tables) else "learned"


def _recognise_alone(keys: Collection[str]) -> tuple[Family | None, str, list[Match]]:
    alone = [
        Match(key, form, family, {})
        for family in FAMILIES
        for form in family.tables
        if form.alone
        for key in keys
        if _ends_with(key, form.suffix)
    ]
    found = {match.key: match for match in reversed(alone)}
    others = [
        key
        for key in keys
        if key not in found
        and any(_ends_with(key, form.suffix) for family in FAMILIES for form in family.tables)
    ]
    if found and not others:
        return next(iter(found.values())).family, "learned", list(found.values())
    raise unknown(
        "no config.json beside the weights, and families differ in what their first row is",
        "names that mean the same everywhere: wpe.weight, positions_embed.weight, ...",
        keys,
    )


def _is_installed(config: Mapping[str, Any]) -> bool:
    """Whether an encoding stands in the table's place: a learned one, or one with a position rule."""
    return _is_swapped_learned(config) or (read_rule(config) is not None and "encoding" in config[RECORD])


def _is_swapped_learned(config: Mapping[str, Any]) -> bool:
    """Whether what was swapped in has a table of its own, of full rank."""
    record = config.get(RECORD)
    written = record.get("encoding") if isinstance(record, dict) else None
    try:
        spec = parse_spec(written) if isinstance(written, str) else None
    except SpecError:
        return False
    row = rows().get(spec.name) if spec is not None else None
    return spec is not None and row is not None and row.table and not spec.options.get("rank")


def _as_encoding(match: Match) -> Match:
    """The match of the encoding that stands in a table's place; it has no rows before position 0."""
    form = match.form
    half = form.suffix.partition(".")[0]
    suffix = f"{half}.{RECORD}.weight" if half in ("encoder", "decoder") else f"{RECORD}.weight"
    extra = match._resolve(form.extra_rows) - match.first_row()
    form = replace(form, suffix=suffix, extra_rows=extra, first_row=0, padding_row=None)
    return replace(match, key=match.key.removesuffix(match.form.suffix) + suffix, form=form)


def _translate(config: Mapping[str, Any], keys: Collection[str]) -> Mapping[str, Any]:
    """The configurations of Milepost, timm and open_clip in the words used here; any other as it is."""
    written = config.get("model_type")
    if isinstance(written, str) and written.startswith(PREFIX):
        if read_rule(config) is None and not _is_swapped_learned(config):
            raise UnknownFamily(
                "the position encoding of this model was swapped, so its family says nothing of its tables",
                got=f"model_type {ascii(written)[:80]}",
                fix="take the model as it was before, or milepost.load(FOLDER)",
            )
        return {**config, "model_type": written.removeprefix(PREFIX)}
    architecture, pretrained = config.get("architecture"), config.get("pretrained_cfg")
    if "model_type" not in config and isinstance(architecture, str) and isinstance(pretrained, dict):
        patch = re.match(r"(?:vit|deit)\w*?_patch(\d{1,3})(?:_|$)", architecture)
        size = pretrained.get("input_size")
        tokens = sum(_holds(keys, name) for name in ("cls_token", "dist_token"))
        # whether register tokens and, in some, the class token have rows is in the model's code alone
        plain = patch and not _holds(keys, "reg_token") and not architecture.startswith("deit3")
        return {
            "model_type": f"timm_vit_{tokens}" if plain else f"timm {architecture}",
            "image_size": size[1:] if isinstance(size, list) else None,
            "patch_size": int(patch[1]) if patch else None,
        }
    clip = config.get("model_cfg")
    if "model_type" not in config and isinstance(clip, dict) and isinstance(clip.get("text_cfg"), dict):
        return {
            **clip,
            "model_type": "open_clip",
            "context_length": clip["text_cfg"].get("context_length", 77),
        }
    return config


def _holds(keys: Collection[str], name: str) -> bool:
    return any(_ends_with(key, name) for key in keys)


def _pair(value: Any) -> tuple[int, int] | None:
    """A size as (height, width); one number is a square."""
    sides = value if isinstance(value, (list, tuple)) else (value, value)
    numbers = [whole(side) for side in sides]
    if len(numbers) != 2 or not numbers[0] or not numbers[1]:
        return None
    return numbers[0], numbers[1]


def _image_grid(config: Mapping[str, Any], field: str) -> tuple[int, ...] | None:
    size, patch = _pair(config.get(field)), _pair(config.get("patch_size"))
    return (size[0] // patch[0], size[1] // patch[1]) if size and patch else None


def _video_grid(config: Mapping[str, Any], field: str) -> tuple[int, ...] | None:
    size, frames, tubelet = (
        _pair(config.get(field)),
        whole(config.get("num_frames")),
        config.get("tubelet_size"),
    )
    if (
        not size
        or not frames
        or not isinstance(tubelet, list)
        or len(tubelet) != 3
        or not all(map(whole, tubelet))
    ):
        return None
    return frames // tubelet[0], size[0] // tubelet[1], size[1] // tubelet[2]


def _spectrogram_grid(config: Mapping[str, Any], field: str) -> tuple[int, ...] | None:
    names = ("num_mel_bins", field, "patch_size", "frequency_stride", "time_stride")
    bins, length, patch, down, along = (whole(config.get(name)) for name in names)
    if not (bins and length and patch and down and along) or patch > min(bins, length):
        return None
    return (bins - patch) // down + 1, (length - patch) // along + 1


def _counted_grid(config: Mapping[str, Any], field: str) -> tuple[int, ...] | None:
    side = math.isqrt(whole(config.get(field)) or 0)
    return (side, side) if side and side * side == config.get(field) else None


_GRIDS = {
    "image": _image_grid,
    "video": _video_grid,
    "spectrogram": _spectrogram_grid,
    "count": _counted_grid,
}
