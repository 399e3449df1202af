"""A model's position encoding and its alternatives, priced."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from milepost.catalog import Sizes, rows
from milepost.diagnostics.cost.formulas import price
from milepost.diagnostics.cost.shape import Shape, read_shape
from milepost.errors import OptionError
from milepost.spec import Spec, parse_specs

SCHEMA_VERSION = 1
_FLOAT32_BYTES = 4
_WEIGHT_BYTES = {"float32": 4, "bfloat16": 2}
_TRAINING_BYTES = {
    "float32": 4 * 4,  # weight, gradient, and Adam's two moments
    "bfloat16": 4 * 2,
    "mixed": 2 + 2 + 3 * 4,  # bfloat16 weight and gradient; float32 weight and moments
}


def price_model(
    model: str | os.PathLike[str] | Mapping[str, Any],
    *,
    lengths: str | Sequence[int] | None = None,
    encodings: str | None = None,
    max_len: int | None = None,
    revision: str | None = None,
) -> dict[str, Any]:
    """Compute what a model's position encoding and its alternatives cost, as `milepost.cost` says.

    Returns:
        The document of ``schemas/cost.json``. The model's own encoding comes first among ``encodings``.

    Raises:
        MilepostError: as `milepost.cost`.
    """
    if max_len is not None and max_len < 1:
        raise OptionError("max_len counts positions", got=f"max_len={max_len}", fix="--max-len 1 or more")
    wanted = _read_lengths(lengths)
    shape = read_shape(model, revision=revision, max_len=max_len)
    asked = wanted or [shape.sizes.max_len]
    for number in (*asked, shape.sizes.max_len):
        if not 0 < number < 2**31:
            raise OptionError("lengths are positive numbers", got=str(number), fix="--lengths 512,2048")
    sizes = shape.sizes
    specs = {str(spec): spec for spec in ([shape.encoding] if shape.encoding else [])}
    for spec in _alternatives(sizes) if encodings is None else parse_specs(encodings):
        specs.setdefault(str(spec), spec)
    present = str(shape.encoding) if shape.encoding else None
    return {
        "schema_version": SCHEMA_VERSION,
        "source": shape.source,
        "family": shape.family,
        "model_type": shape.model_type,
        "part": shape.part,
        "sizes": asdict(sizes),
        "present": _present(shape),
        "lengths": asked,
        "yardsticks": {
            "token_table_parameters": shape.vocabulary and shape.vocabulary * sizes.dim,
            "attention_operations": {str(n): _attention(sizes, n) for n in asked},
        },
        "encodings": [
            _priced(spec, sizes, asked) | {"present": text == present} for text, spec in specs.items()
        ],
    }


def _read_lengths(lengths: str | Sequence[int] | None) -> list[int]:
    try:
        parts = lengths.split(",") if isinstance(lengths, str) else lengths or ()
        return sorted({int(part) for part in parts})
    except ValueError:
        raise OptionError("lengths are whole numbers", got=str(lengths), fix="--lengths 512,2048") from None


def _present(shape: Shape) -> dict[str, Any]:
    return {
        "positions_by": shape.positions_by,
        "encoding": str(shape.encoding) if shape.encoding else None,
        "parameters": shape.parameters,
        "tables": [table.document() for table in shape.tables],
    }


def _alternatives(sizes: Sizes) -> list[Spec]:
    """All encodings of the catalogue that fit, and not those for causal models: not every family says that it is one."""
    specs = [Spec(name) for name, row in rows().items() if row.cost is not None and "causal" not in row.needs]
    return [spec for spec in specs if _fits(spec, sizes)]


def _fits(spec: Spec, sizes: Sizes) -> bool:
    try:
        price(spec, sizes)
    except OptionError:
        return False
    return True


def _attention(sizes: Sizes, length: int) -> int:
    """Queries with keys and weights with values, two operations a multiply-add, nothing masked away."""
    return 4 * sizes.layers * sizes.heads * sizes.head_dim * length * length


def _priced(spec: Spec, sizes: Sizes, lengths: Sequence[int]) -> dict[str, Any]:
    priced = price(spec, sizes)
    limit, parameters = priced.usable_length, priced.parameters
    work = {str(n): None if limit is not None and n > limit else priced.work(n) for n in lengths}
    total = {n: None if done is None else done.operations(sizes.layers) for n, done in work.items()}
    return {
        "encoding": str(spec),
        "place": priced.row.place,
        "usable_length": limit,
        "parameters": parameters,
        "weight_bytes": {name: parameters * size for name, size in _WEIGHT_BYTES.items()},
        "training_bytes": {name: parameters * size for name, size in _TRAINING_BYTES.items()},
        "operations": total,
        "operations_per_token": {n: None if done is None else done / int(n) for n, done in total.items()},
        "working_bytes": {
            n: None if done is None else done.held * _FLOAT32_BYTES for n, done in work.items()
        },
    }
