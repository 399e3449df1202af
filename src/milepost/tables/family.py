"""What a row of data about a family of models says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Offset: TypeAlias = 'int | Literal["pad+1"]'


@dataclass(frozen=True)
class TableForm:
    """One position table of a family.

    Attributes:
        suffix: the end of its key; what may stand before is a head's prefix that ends in a dot.
        role: what its positions count (``text encoder decoder vision audio query entity layout time``).
        kind: ``learned``, ``patches`` (learned, images) or ``fixed_sinusoid`` (stored, never trained).
        field: the configuration's field that gives the length; for images: the field of the size.
        extra_rows: rows - field: 0, 2, or ``pad+1``; what to take off before writing a new number of rows.
        first_row: the row of position 0: a number, or ``pad+1`` with the configuration's ``pad_token_id``.
        padding_row: the row that is held at zero: a number, ``pad`` for ``pad_token_id``, or None.
        prefix_rows: images: rows before the patches.
        trailing: the configuration's field that gives the number of rows after the patches.
        layout: how the grid follows from the configuration: ``image video spectrogram count``.
        alone: the suffix means this layout in every family: a file without a configuration can be read.
        fixed_if: a field of the configuration that, when true, makes this table a fixed sinusoid.
        waves: how a fixed sinusoid lies in the table, ``halves`` or ``interleaved``, where it is the common one of float64
            arithmetic.
        optional: the family also has models without this table.
        resizable: whether positions are text or image positions that an extension may move.
    """

    suffix: str
    role: str = "text"
    kind: str = "learned"
    field: str | None = "max_position_embeddings"
    extra_rows: Offset = 0
    first_row: Offset = 0
    padding_row: int | Literal["pad"] | None = None
    prefix_rows: int = 0
    trailing: str | None = None
    layout: str = "image"
    alone: bool = False
    fixed_if: str | None = None
    waves: Literal["halves", "interleaved"] | None = None
    optional: bool = False
    resizable: bool = True


@dataclass(frozen=True)
class Part:
    """A model inside a model: where its configuration and its tensors are.

    ``prefixes`` are the names that its tensors may stand under; ``model_type`` is what the outer model always
    builds there, or None where the inner configuration says it.
    """

    config: str
    prefixes: tuple[str, ...]
    model_type: str | None = None


@dataclass(frozen=True)
class Family:
    """A family of models whose position tables lie alike.

    Attributes:
        name: the family's name here.
        model_types: values of ``model_type`` in ``config.json`` that belong to it.
        tables: its tables, text before vision.
        parts: models of other families inside it.
        positions_by: how it knows the order of its sequence without a table (see ``Checkpoint.positions_by``).
        alibi_if: a field of the configuration that, when true, makes it ALiBi.
        pad_token_id: what the family's class takes when the configuration has no such field.
        buffers: ends of the keys of stored tensors that have the table's length and must be resized with it.
        clamps: positions past the end read the last row, silently.
        computed: the configuration's field for the length of a sinusoid that is computed and never stored.
        config_fields: further fields that repeat the length.
    """

    name: str
    model_types: tuple[str, ...]
    tables: tuple[TableForm, ...] = ()
    parts: tuple[Part, ...] = ()
    positions_by: str = "learned"
    alibi_if: str | None = None
    pad_token_id: int | None = None
    buffers: tuple[str, ...] = ()
    clamps: bool = False
    config_fields: tuple[str, ...] = ()
    computed: str | None = None
