"""What a row of data about a family of models says: to readers of tables, to ``extend``, ``cost`` and ``swap``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

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
        present_if: where the configuration says whether the model has it: the field, the value that means yes, and
            what a missing field means.
        resizable: whether positions are text or image positions that an extension may move.
        stored_field: where the file keeps ``field``, if the configuration is translated for reading.
        size_argument: where the file also keeps the size for the constructor of the model, as one number or two.
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
    present_if: tuple[str, Any, Any] | None = None
    resizable: bool = True
    stored_field: tuple[str, ...] = ()
    size_argument: tuple[str, ...] = ()

    def is_in(self, config: Mapping[str, Any]) -> bool:
        """Whether a model of this configuration has the table, as far as the configuration says."""
        if self.present_if is None:
            return True
        field, wanted, missing = self.present_if
        return bool(config.get(field, missing) == wanted)


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
class Variant:
    """A model type that differs from the rest of its family.

    Attributes:
        model_type: which one.
        dim_field: the configuration's field for the width of its table, if that is not the width of the model.
        cuts: what it cuts its input into: ``blocks`` of attention, ``segments`` between landmarks, or ``tiles`` of the
            vision tower's size.
        shares_bias: whether all layers of a stack share one relative bias.
    """

    model_type: str
    dim_field: str | None = None
    cuts: Literal["blocks", "segments", "tiles"] | None = None
    shares_bias: bool = False


@dataclass(frozen=True)
class Stack:
    """Layers of a model type in transformers, and what a swap replaces in them; of an encoder-decoder one half.

    Attributes:
        model_type: its name in transformers.
        base: class that owns the positions and the layers, or that its subclasses inherit from.
        attention: classes of self-attention.
        causal: ``always``, ``never``, or ``decoder`` where ``config.is_decoder`` says.
        form: its position table, an embedding or a parameter ``[1, rows, dim]``; the family fills it in. Without one,
            absolute encodings are added to the token embeddings.
        role: of that table, where the family has several.
        rotary: path of the rotary module, which is silenced.
        partial: whether the models read ``partial_rotary_factor``.
        counts_mask: whether the model itself counts the attention mask.
        cross_attention: classes of cross-attention, or names of such modules; never touched.
        limits: buffers of the table's length, by path from ``base``.
        zeros: arguments that the model would read from such a buffer; past its end they are zeros.
        firm: whether the first of ``limits`` is an end that no argument lifts.
        interface: whether attention goes through transformers' interface; absolute encodings only, if not.
        keeps: what knows of order beside the table and stays.
        embeds: whether positions are added to ``inputs_embeds`` that are passed.
        reads_table: whether the model reads the table's rows itself instead of calling it.
        heads: the configuration's field for the number of heads.
        folder: under ``transformers.models``; that of the model type by default.
    """

    model_type: str
    base: str
    attention: tuple[str, ...]
    causal: str
    form: TableForm | None = None
    role: str = "text"
    rotary: str | None = None
    partial: bool = False
    counts_mask: bool = False
    cross_attention: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    zeros: tuple[str, ...] = ()
    firm: bool = False
    interface: bool = True
    keeps: str = ""
    embeds: bool = True
    reads_table: bool = False
    heads: str = "num_attention_heads"
    folder: str = ""

    @property
    def module(self) -> str:
        """The module of transformers that holds the models."""
        folder = self.folder or self.model_type.replace("-", "_")
        return f"transformers.models.{folder}.modeling_{folder}"

    @property
    def table(self) -> str | None:
        """Path of the position table from ``base``."""
        if self.form is None:
            return None
        return self.form.suffix.removesuffix(".weight").removeprefix("encoder.").removeprefix("decoder.")

    @property
    def prefix(self) -> int | None:
        """Of image models, rows before the first patch; None for text."""
        return self.form.prefix_rows if self.form is not None and self.form.kind == "patches" else None

    @property
    def length(self) -> str | None:
        """The configuration's field for the number of positions; None for images, whose grid says it."""
        if self.form is None:
            return "max_position_embeddings"
        return self.form.field if self.prefix is None else None

    @property
    def pad(self) -> int | str | None:
        """Token id that gets no position, ``pad`` for ``pad_token_id``; the models then count the other tokens from their
        first row, and ``position_ids`` are rows.
        """
        return self.form.padding_row if self.form is not None else None

    @property
    def takes_rules(self) -> bool:
        """Whether the positions of a text can find the table's rows by a rule (``extension.methods.PositionRule``)."""
        return self.form is not None and self.prefix is None and not self.firm

    # what follows reads a configuration of transformers, an object with the fields as attributes

    def is_causal(self, config: Any) -> bool:
        """Whether a query of this model sees only keys at or before it."""
        return self.causal == "always" or (
            self.causal == "decoder" and bool(getattr(config, "is_decoder", False))
        )

    def pad_of(self, config: Any) -> int | None:
        """Token id that gets no position, if there is one."""
        return config.pad_token_id if self.pad == "pad" else self.pad  # type: ignore[return-value]

    def first_row_of(self, config: Any) -> int:
        """Row of position 0 in this model's table."""
        if self.form is None:
            return 0
        return config.pad_token_id + 1 if self.form.first_row == "pad+1" else self.form.first_row

    def patch_of(self, config: Any) -> tuple[int, int] | None:
        """Height and width of a patch of an image model, in pixels."""
        return None if self.prefix is None else _pair(config.patch_size)

    def grid_of(self, config: Any) -> tuple[int, int] | None:
        """Rows and columns of patches in images of an image model's own size."""
        patch = self.patch_of(config)
        if patch is None:
            return None
        height, width = _pair(config.image_size)
        return height // patch[0], width // patch[1]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


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
        variants: model types that differ from the others.
        stacks: what ``milepost.swap`` replaces, for the model types that it knows; two for an encoder-decoder.
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
    variants: tuple[Variant, ...] = ()
    stacks: tuple[Stack, ...] = ()

    def __post_init__(self) -> None:
        """Give each stack the form of its table."""
        forms = {form.role: form for form in self.tables}
        filled = tuple(replace(stack, form=forms[stack.role]) if forms else stack for stack in self.stacks)
        object.__setattr__(self, "stacks", filled)

    def variant(self, model_type: object) -> Variant:
        """In what a model type differs from its family."""
        return next((one for one in self.variants if one.model_type == model_type), Variant(""))
