"""The sizes of a model and its position encoding, read from its configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import SimpleNamespace
from typing import Any

from milepost.catalog import Sizes, read_spec, require_loaded
from milepost.diagnostics.cost.formulas import price
from milepost.errors import DataError, OptionError, UnknownFamily
from milepost.spec import Spec, Value, parse_spec
from milepost.storage.files import expand
from milepost.tables import (
    PREFIX,
    Family,
    Folder,
    HubModel,
    Match,
    Variant,
    family_of,
    is_hub_id,
    locate_transformer,
)

_ROLES = ("text", "decoder", "encoder", "vision", "audio", "query", "entity")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "layers": ("decoder_layers", "num_decoder_layers", "num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "heads": ("decoder_attention_heads", "num_decoder_attention_heads", "num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"),
    "dim": ("hidden_size", "n_embd", "d_model", "dim", "emb_dim"),
}  # fmt: skip
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "seq_length")


@dataclass(frozen=True)
class Stored:
    """One position table; ``rows`` counts reserved ones too."""

    role: str
    kind: str
    rows: int
    first_row: int
    dim: int

    @property
    def parameters(self) -> int:
        """Its numbers."""
        return self.rows * self.dim

    def document(self) -> dict[str, Any]:
        """The table as it stands in JSON."""
        return {**asdict(self), "parameters": self.parameters}


@dataclass(frozen=True)
class Shape:
    """What a configuration says.

    Attributes:
        source: where it was read.
        family: Milepost's name of the family.
        model_type: of the model, or of its part.
        part: the field of the part that is looked at; empty for the model itself.
        sizes: of the stack that the first table belongs to.
        positions_by: how the family knows positions (see ``tables.Checkpoint``).
        encoding: the nearest spec; ``None`` where there is none.
        tables: position tables.
        parameters: of the position encoding; ``None`` where it is not known.
        vocabulary: tokens; ``None`` where the model has none.
    """

    source: str
    family: str
    model_type: str
    part: str
    sizes: Sizes
    positions_by: str
    encoding: Spec | None
    tables: tuple[Stored, ...]
    parameters: int | None
    vocabulary: int | None


def read_shape(
    model: str | os.PathLike[str] | Mapping[str, Any],
    *,
    revision: str | None = None,
    max_len: int | None = None,
) -> Shape:
    """Read sizes and position encoding from a configuration; weights are not looked at.

    Args:
        model: a folder with ``config.json``, such a file, a Hub id, or the configuration itself.
        revision: of a Hub id.
        max_len: positions that tables get, instead of the present number.

    Raises:
        UnknownFamily: MP120. DataError: MP110, no such file, or a size that is not there.
        OptionError: MP105, a model that claims no length, without ``max_len``. UnsafeFile: MP130. HubError: MP131.
    """
    config, source = (model, "a configuration") if isinstance(model, Mapping) else _read(model, revision)
    family, config, part = _find_family(config)
    matches = tuple(_matches(family, config))
    tables = tuple(_stored(match) for match in matches)
    claimed = tables[0].rows - tables[0].first_row if tables else _first(config, _LENGTHS)
    record = config.get("milepost")
    if isinstance(record, Mapping) and isinstance(record.get("max_len"), int):
        claimed = record["max_len"]
    length = max_len or claimed
    if length is None:
        raise OptionError("the configuration claims no length", got=source, fix="give one: --max-len N")
    sizes = _sizes(family, config, matches, length)
    if family.positions_by == "rotary":
        partial = read_spec(Spec("rotary", _rotary_options(config)))[1].number("partial", auto=1.0)
        sizes = replace(sizes, partial=partial)
    positions_by = _positions_by(family, config, tables)
    encoding, parameters = _encoding(positions_by, family, config, sizes, tables)
    if isinstance(record, Mapping) and "encoding" in record:  # else it holds lengths alone
        encoding, tables = parse_spec(str(record.get("encoding"))), ()
        require_loaded(encoding)
        parameters = price(encoding, replace(sizes, max_len=claimed or length)).parameters
    return Shape(
        source=source,
        family=family.name,
        model_type=str(config["model_type"]),
        part=part,
        sizes=sizes,
        positions_by=positions_by,
        encoding=encoding,
        tables=tables,
        parameters=parameters,
        vocabulary=_count(config.get("vocab_size")),
    )


def _read(model: str | os.PathLike[str], revision: str | None) -> tuple[dict[str, Any], str]:
    text, path = os.fspath(model), expand(model)
    folder = locate_transformer(path)
    if folder is not None:
        with Folder(folder) as opened:
            return opened.read_json("config.json"), text
    if path.exists():  # a pipe too, which is refused there, and is no name on the Hub
        with Folder(path.parent) as opened:
            return opened.read_json(path.name), text
    if is_hub_id(text):
        with HubModel(text, revision) as remote:
            return remote.read_json("config.json"), text
    raise DataError("there is no such model", got=ascii(text[:200]), fix="give a folder or a config.json")


def _find_family(config: Mapping[str, Any]) -> tuple[Family, dict[str, Any], str]:
    """The family; for models made of parts, that of the first part, text before images."""
    kind = config.get("model_type")
    family = family_of(kind.removeprefix(PREFIX)) if isinstance(kind, str) else None
    if family is None:
        raise UnknownFamily(
            "Milepost does not know this model family",
            got=f"model_type {ascii(kind)[:80]}",
            fix="use a configuration of a known family (docs/families-of-tables.md)",
        )
    if family.tables or not family.parts:
        return family, dict(config), ""
    part = family.parts[0]
    inner = config.get(part.config)
    if not isinstance(inner, Mapping):
        raise _missing(part.config, family.name)
    known = {"model_type": part.model_type} if part.model_type else {}
    found, deepest, below = _find_family({**inner, **known})
    return found, deepest, ".".join(name for name in (part.config, below) if name)


def _matches(family: Family, config: Mapping[str, Any]) -> Iterator[Match]:
    for form in family.tables:
        unsure = form.optional and form.present_if is None and form.kind == "learned"
        if form.role not in _ROLES or unsure or not form.is_in(config):
            continue
        if form.fixed_if and config.get(form.fixed_if):
            form = replace(form, kind="fixed_sinusoid")
        yield Match("", form, family, config)


def _stored(match: Match) -> Stored:
    rows = match.expected_rows()
    if rows is None:
        raise _missing(match.form.field or "the length", match.family.name)
    dim = _table_dim(match.family, match.config)
    return Stored(match.form.role, match.form.kind, rows, match.first_row(), dim)


def _table_dim(family: Family, config: Mapping[str, Any]) -> int:
    own = _variant(family, config).dim_field
    return _require(config, (own,) if own else _FIELDS["dim"])


def _variant(family: Family, config: Mapping[str, Any]) -> Variant:
    return family.variant(str(config.get("model_type")).removeprefix(PREFIX))


def _sizes(family: Family, config: Mapping[str, Any], matches: tuple[Match, ...], max_len: int) -> Sizes:
    hidden, heads = (_require(config, _FIELDS[name]) for name in ("dim", "heads"))
    head_dim = _first(config, ("head_dim", "d_kv")) or hidden // heads
    grid = matches[0].grid() if matches else None
    is_image = grid is not None and len(grid) == 2
    return Sizes(
        layers=_require(config, _FIELDS["layers"]),
        dim=_table_dim(family, config),
        heads=heads,
        kv_heads=_first(config, ("num_key_value_heads",)) or heads,
        head_dim=head_dim,
        max_len=max_len,
        causal=not is_image and _is_causal(family, config),
        grid=(grid[0], grid[1]) if grid is not None and is_image else None,
        prefix=matches[0].form.prefix_rows if is_image else 0,
    )


def _is_causal(family: Family, config: Mapping[str, Any]) -> bool:
    """Of an encoder-decoder its decoder; true where the family does not say."""
    kind = str(config.get("model_type")).removeprefix(PREFIX)
    stacks = [stack for stack in family.stacks if stack.model_type == kind]
    return not stacks or stacks[-1].is_causal(SimpleNamespace(**config))


def _positions_by(family: Family, config: Mapping[str, Any], tables: tuple[Stored, ...]) -> str:
    if family.alibi_if and config.get(family.alibi_if):
        return "alibi"
    if any(table.kind != "fixed_sinusoid" for table in tables):
        return "learned"
    return "fixed_sinusoid" if tables else family.positions_by


def _encoding(
    positions_by: str, family: Family, config: Mapping[str, Any], sizes: Sizes, tables: tuple[Stored, ...]
) -> tuple[Spec | None, int | None]:
    """The spec nearest to what the family has, and the parameters of what it has."""
    if positions_by == "learned":
        return Spec("learned"), sum(table.parameters for table in tables if table.kind != "fixed_sinusoid")
    if positions_by == "rotary":
        return Spec("rotary", _rotary_options(config)), 0
    if positions_by == "relative_bias" and _variant(family, config).shares_bias:
        buckets = _count(config.get("relative_attention_num_buckets")) or 32
        distance = _count(config.get("relative_attention_max_distance")) or 128
        stacks = 2 if config.get("is_encoder_decoder", True) else 1
        return Spec("t5", {"buckets": buckets, "max_distance": distance}), stacks * buckets * sizes.heads
    plain = {"alibi": "alibi", "fixed_sinusoid": "sinusoidal", "none": "none"}.get(positions_by)
    return (Spec(plain), 0) if plain else (None, None)


def _rotary_options(config: Mapping[str, Any]) -> dict[str, Value]:
    rope = config.get("rope_parameters")
    rope = rope if isinstance(rope, Mapping) else {}
    found: dict[str, Value] = {}
    for option, names in (
        ("theta", ("rope_theta", "rotary_emb_base")),
        ("partial", ("partial_rotary_factor", "rotary_pct")),
    ):
        values = [held[name] for held in (rope, config) for name in names if name in held]
        if values and isinstance(values[0], int | float) and values[0] > 0:
            found[option] = values[0]
    default = {"theta": 10000, "partial": 1}
    return {option: value for option, value in found.items() if value != default[option]}


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((found for name in names if (found := _count(config.get(name)))), None)


def _require(config: Mapping[str, Any], names: tuple[str, ...]) -> int:
    found = _first(config, names)
    if found is None:
        raise _missing(" or ".join(names), str(config.get("model_type")))
    return found


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 < value < 2**31 else None


def _missing(field: str, family: str) -> DataError:
    return DataError(
        "the configuration does not say a size that is needed",
        got=f"no {field} in a configuration of {ascii(family)[:80]}",
        fix="save it whole, with transformers' config.save_pretrained",
    )
