"""What the position tables of a checkpoint have learned."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from milepost.diagnostics.inspect.compare_tables import contrast_checkpoints
from milepost.diagnostics.inspect.findings import Facts, check_table
from milepost.diagnostics.inspect.measures import (
    MEASURED_ROWS,
    MINIMUM_ROWS,
    Measurement,
    Sample,
    is_measurable,
    is_sinusoid,
    measure,
)
from milepost.diagnostics.inspect.other_tables import find_others
from milepost.diagnostics.inspect.pictures import draw_pictures
from milepost.statistics.chance import ChanceLevel, shipped_chance, simulate_chance
from milepost.tables import MAX_HEADER_BYTES, Checkpoint, PositionTable, read, read_rule

SCHEMA_VERSION = 1
_SCALE = ("norm_mean", "norm_sd")
_INITIAL_SD = ("initializer_range", "init_std")


def inspect_model(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    tensor: str | None = None,
    first_row: int | None = None,
    chance: bool = False,
    compare: str | os.PathLike[str] | None = None,
    max_header_bytes: int = MAX_HEADER_BYTES,
    allow_pickle: bool = False,
) -> dict[str, Any]:
    """Read, measure and check the position tables of a model, as `milepost.inspect` says; nothing is written.

    Returns:
        The document of ``schemas/inspect.json``.

    Raises:
        MilepostError: what ``milepost.tables.read`` raises. OptionError: MP105, nothing to compare.
    """
    reader = partial(
        read, tensor=tensor, first_row=first_row, max_header_bytes=max_header_bytes, allow_pickle=allow_pickle
    )
    checkpoint = reader(model, revision=revision)
    comparison = None if compare is None else contrast_checkpoints(checkpoint, reader(compare))
    tables = [_inspect_table(table, checkpoint, chance) for table in checkpoint.tables]
    return {
        "schema_version": SCHEMA_VERSION,
        "source": checkpoint.source,
        "family": checkpoint.family.name if checkpoint.family else None,
        "model_type": checkpoint.model_type,
        "positions_by": _positions_by(checkpoint, tables),
        "position_rule": rule.document() if (rule := read_rule(checkpoint.config)) else None,
        "tables": tables,
        "other_tables": find_others(checkpoint, (table.key for table in checkpoint.tables)),
        "comparison": comparison,
    }


def _positions_by(checkpoint: Checkpoint, tables: Sequence[Mapping[str, Any]]) -> str:
    """As the family says, but for tables that turn out to be sinusoids."""
    if tables and all(table["kind"] == "fixed_sinusoid" for table in tables):
        return "fixed_sinusoid"
    return checkpoint.positions_by


def _inspect_table(table: PositionTable, checkpoint: Checkpoint, simulate: bool) -> dict[str, Any]:
    facts = _read_facts(table, checkpoint.config)
    sample = Sample(facts.positions)
    measured = measure(facts.positions, sample)
    size = min(len(facts.positions), MEASURED_ROWS), facts.dim
    levels = _chance(*size, simulate)
    facts = replace(facts, values={name: found.value for name, found in measured.items()}, chance=levels)
    return {
        "key": table.key,
        "role": table.role,
        "kind": facts.kind,
        "rows": len(table.rows),
        "dim": facts.dim,
        "dtype": table.dtype,
        "first_row": table.first_row,
        "reserved_rows": [row for row in table.reserved_rows if row >= table.prefix_rows],
        "padding_row": table.padding_row,
        "prefix_rows": max(table.prefix_rows - table.first_row, 0),
        "trailing_rows": table.trailing_rows,
        "grid": list(table.grid) if table.grid else None,
        "usable_length": table.usable_length,
        "measured_positions": size[0],
        "parameters": table.parameters,
        "share_of_model": table.share_of_model,
        "metrics": {name: _metric(name, found, levels.get(name)) for name, found in measured.items()},
        "findings": [finding.document() for finding in check_table(facts)],
        "pictures": draw_pictures(facts.positions, sample),
    }


def _read_facts(table: PositionTable, config: Mapping[str, Any]) -> Facts:
    facts = Facts(
        rows=table.rows,
        key=table.key,
        dtype=table.dtype,
        first_row=table.first_row,
        prefix_rows=table.prefix_rows,
        trailing_rows=table.trailing_rows,
        padding_row=table.padding_row,
        knows_reserved_rows=_family_names_first_row(table),
        kind=table.kind,
        trained_counts=table.trained_counts,
        initial_sd=_initial_sd(table, config),
    )
    if facts.kind != "fixed_sinusoid" and _is_fixed(facts, table.grid):
        facts = replace(facts, kind="fixed_sinusoid")
    return facts


def _family_names_first_row(table: PositionTable) -> bool:
    """Whether the row of position 0 is the family's, not one that the user named."""
    return table.form is not None and table.form.first_row in ("pad+1", table.first_row)


def _is_fixed(facts: Facts, grid: tuple[int, ...] | None) -> bool:
    """Whether the rows are a sinusoid, whatever the family says; then no training moved them."""
    if facts.rounding is None or not is_measurable(facts.positions):
        return False
    return is_sinusoid(facts.positions, facts.rounding, grid)


def _chance(rows: int, dim: int, simulate: bool) -> dict[str, ChanceLevel]:
    """Levels as they ship; simulated when asked, and for tables so short that it takes no time."""
    shipped = shipped_chance(rows, dim)
    if rows and (simulate or (not shipped and rows < MINIMUM_ROWS["reverse_mapping_error"])):
        return simulate_chance(_values, rows, dim)
    return shipped


def _values(rows: np.ndarray) -> dict[str, float | None]:
    """The measures that do not depend on the scale of the table, for chance levels."""
    return {name: found.value for name, found in measure(rows).items() if name not in _SCALE}


def _metric(name: str, found: Measurement, level: ChanceLevel | None) -> dict[str, Any]:
    """One metric as it stands in JSON: the value, and what random tables of this size give."""
    metric: dict[str, Any] = {
        "value": found.value,
        "chance": None,
        "low": None,
        "high": None,
        "obtained": "none",
    }
    if found.value is None:
        return {**metric, "reason": found.reason}
    if level is None:
        why = (
            "depends on the scale of the table"
            if name in _SCALE
            else "no level for this size: ask for --chance"
        )
        return {**metric, "reason": why}
    return {
        **metric,
        "chance": level.mean,
        "low": level.low,
        "high": level.high,
        "obtained": level.obtained,
        "reason": None,
    }


def _initial_sd(table: PositionTable, config: Mapping[str, Any]) -> float | None:
    """The standard deviation that rows start with, from the part of the configuration that has the table's length."""
    path = (table.length_field or "").split(".")[:-1]
    for name in path:
        inner = config.get(name)
        config = inner if isinstance(inner, Mapping) else {}
    for field in _INITIAL_SD:
        value = config.get(field)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 100:
            return float(value)
    return None
