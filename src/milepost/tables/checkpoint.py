"""What reading a model gives: a checkpoint, its tensors, and the position tables among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from milepost.errors import NoTable
from milepost.tables.family import Family, TableForm

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies.

    ``begin`` and ``end`` are bytes from the start of ``file``, its header included.
    """

    dtype: str
    shape: tuple[int, ...]
    file: str
    begin: int
    end: int

    @property
    def elements(self) -> int:
        """The number of values; 1 for a scalar, 0 where an axis is empty."""
        count = 1
        for axis in self.shape:
            count *= axis
        return count


@dataclass(frozen=True, eq=False)
class PositionTable:
    """One position table: its rows, and what its family says about them.

    Attributes:
        key: the tensor's name in the file, as stored (data, not text: escape it before showing it).
        rows: ``(rows, dim)``, float32, exact for every narrower dtype; a float64 table stays float64.
            Prefix rows are the first of them, trailing rows the last; a batch axis of 1 is gone.
        dtype: as stored, in the words of safetensors (``F32 BF16 F8_E4M3 ...``).
        first_row: the row of position 0 (RoBERTa: pad + 1, OPT: 2, else 0; images: 0).
        reserved_rows: rows that no position reads: those before ``first_row``.
        padding_row: the row that training holds at zero, or None (RoBERTa: pad; LXMERT: 0, which position 0
            reads all the same).
        prefix_rows: images: leading rows of class and distillation tokens, 0 in text.
        trailing_rows: rows of tokens after the patches (YOLOS: detection tokens), 0 elsewhere.
        grid: images: patches as ``(height, width)``, with frames first for video; None in text, and where the
            configuration does not say it or does not agree with the rows.
        kind: ``learned``, ``patches`` (learned, images) or ``fixed_sinusoid`` (stored, but never trained).
        role: ``text``, ``encoder``, ``decoder``, ``vision``, ``audio``, ``query``, ``entity``, ``layout``, ``time``.
        usable_length: positions reachable: rows - first_row.
        expected_rows: the rows that the configuration asks for; None where it does not say.
        length_field: the configuration's field for the length (``text_config.max_position_embeddings``),
            or None.
        trained_counts: how often each row got a gradient, as Milepost's own layers store it; else None.
        parameters: values stored in the table.
        share_of_model: parameters / total_parameters of the checkpoint; None where the total is not known.
        form: the family's row of data for this table; None when the table was named with ``tensor``.
    """

    key: str
    rows: Float[np.ndarray, "rows dim"]
    dtype: str
    first_row: int = 0
    reserved_rows: tuple[int, ...] = ()
    padding_row: int | None = None
    prefix_rows: int = 0
    trailing_rows: int = 0
    grid: tuple[int, ...] | None = None
    kind: str = "learned"
    role: str = "text"
    usable_length: int = 0
    expected_rows: int | None = None
    length_field: str | None = None
    trained_counts: Int[np.ndarray, " rows"] | None = None
    parameters: int = 0
    share_of_model: float | None = None
    form: TableForm | None = None

    @property
    def usable_rows(self) -> Float[np.ndarray, "usable dim"]:
        """The rows that positions read, reserved rows cut off: ``(usable_length, dim)``, a view."""
        return self.rows[self.first_row :]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model as its files describe it; nothing was built, imported or unpickled to know this.

    Attributes:
        source: what was asked for: a path or a Hub id.
        kind: ``folder``, ``file``, ``npy`` or ``hub``.
        family: the row of data that the configuration or the keys name; None for a bare table or ``tensor=``.
        model_type: as the configuration writes it, or None.
        config: ``config.json`` as read, empty where there is none.
        tensors: every tensor of the headers that were read. On the Hub only the shards with tables are read.
        tables: the position tables, text before vision, in the family's order; empty for a rotary model.
        positions_by: how the model knows the order of its sequence: ``learned``, ``fixed_sinusoid``,
            ``rotary``, ``alibi``, ``relative_bias``, ``convolution``, ``none``, or ``unknown`` for a bare table.
        total_parameters: values in floating-point tensors; None where not every header was read.
        files: names in the folder or the Hub's repository, sorted; the one file's name otherwise.
        weight_map: tensor name to shard, of a sharded model; empty otherwise.
        metadata: the ``__metadata__`` of the weights' header (of the tables' shard), strings only.
        folder: the folder that the files are in, resolved; None on the Hub.
        commit: the Hub's commit that was read; None elsewhere.
    """

    source: str
    kind: str
    family: Family | None
    model_type: str | None
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorEntry]
    tables: tuple[PositionTable, ...]
    positions_by: str
    total_parameters: int | None
    files: tuple[str, ...]
    weight_map: Mapping[str, str]
    metadata: Mapping[str, str]
    folder: str | None = None
    commit: str | None = None

    def table(self, key: str | None = None) -> PositionTable:
        """The one table, or the one named ``key``; a lone resizable one goes before layout boxes and the like.

        Raises:
            NoTable: MP122, when there is none (a rotary model, say), several and no ``key``, or no such name.
        """
        wanted = [table for table in self.tables if key in (None, table.key)]
        resizable = [table for table in wanted if table.form is None or table.form.resizable]
        for candidates in (wanted, resizable):
            if len(candidates) == 1:
                return candidates[0]
        names = ", ".join(repr(table.key) for table in self.tables)
        if not self.tables:
            raise NoTable(
                "this model has no position table",
                got=f"{self.model_type or 'a model'} knows positions by: {self.positions_by}",
                fix="name the tensor if there is one: --tensor KEY --first-row N",
            )
        raise NoTable(
            "which table is meant is not clear" if key is None else "there is no such position table",
            got=names if key is None else f"{key!r}; there are: {names}",
            fix="choose one: --tensor KEY",
        )
