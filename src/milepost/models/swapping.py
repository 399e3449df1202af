"""Put another position encoding into a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from milepost.encodings import Encoding, Geometry, build, canonical, resolve
from milepost.encodings.table import StoredPositions
from milepost.errors import OptionError, SwapRefused
from milepost.models.check.self_test import check_versions
from milepost.models.families import find_bases
from milepost.models.installation import put_in
from milepost.models.measuring import geometries, table_rows
from milepost.models.swapped_config import KEY
from milepost.spec import Spec

Model = TypeVar("Model", bound=PreTrainedModel)
POSITIONS = ("mask", "stock")


def swap(
    model: Model,
    encoding: str | Spec | Encoding,
    *,
    positions: str = "mask",
    max_len: int | None = None,
) -> Model:
    """Put ``encoding`` into ``model`` in the place of what it has, in place.

    An absolute encoding replaces the table, or is added to the token embeddings of a rotary family; a
    rotary or bias encoding acts in each self-attention, and the table is removed. A family's own rotation
    is switched off. An encoder and a decoder each get an encoding of their own. ``learned`` and other
    tables that say so (``StoredPositions.keeps_rows``) keep the rows of the table that is there, unless their options
    ask for other initial values. ``rotary`` takes base, share
    and scaling from the model's own rotary settings unless its options say otherwise. In both cases outputs
    and gradients are bit-identical to the model's before, except where the attention mask shows left pads.
    The model is untouched when this fails; its config is replaced by a copy, so that other models built from
    it stay as they are.

    Args:
        model: a model of transformers, of a known family; changed.
        encoding: a spec, or an encoding built for this model. A model with the latter cannot be saved
            by ``save_pretrained``.
        positions: where the positions of absolute encodings come from when none are passed: ``mask``
            counts real tokens in sequences that begin with pads, ``stock`` is what the family does.
        max_len: positions that a table gets; the present number by default.

    Returns:
        ``model``. Its encoding is the submodule ``milepost`` of the base model, or of encoder and decoder.

    Raises:
        UnknownFamily: MP120, no family that is known.
        SwapRefused: MP121, a family or an encoding that makes no sense here, or rows that are not there.
        UnknownName: MP104. SpecError: MP103. OptionError: MP105.
        UntestedVersion: MP126, transformers or torch under which swapped models answer wrongly.

    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> config = GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=16, n_positions=32)
    >>> model = swap(GPT2LMHeadModel(config), "rotary")
    >>> model.transformer.milepost.name
    'rotary'
    """
    check_versions(_swap)
    return _swap(model, encoding, positions=positions, max_len=max_len)


def _swap(
    model: Model, encoding: str | Spec | Encoding, *, positions: str = "mask", max_len: int | None = None
) -> Model:
    parts = find_bases(model)
    if positions not in POSITIONS:
        raise OptionError(
            "positions come from the mask or from the family",
            got=f"positions={positions!r}",
            fix="positions='mask' or positions='stock'",
        )
    if "rule" in (getattr(model.config, KEY, None) or {}):
        raise SwapRefused(
            "this model's positions find their rows by a rule, which a swap would leave in its record",
            got=str(getattr(model.config, KEY)["rule"]),
            fix="swap the model that it was made from",
        )
    measured = geometries(model)
    if isinstance(encoding, Encoding):
        if len(parts) > 1:
            raise SwapRefused(
                "one encoding cannot stand in an encoder and in a decoder",
                got=f"an encoding passed as a module, and {len(parts)} places for it",
                fix="swap with a spec string",
            )
        return put_in(model, [encoding], spec=None, geometries=measured, positions=positions)
    spec = canonical(encoding)
    if max_len is not None:
        measured = [_lengthened(shape, max_len) for shape in measured]
    built = [
        _build(spec, shape, table_rows(base, stack))
        for (base, stack), shape in zip(parts, measured, strict=True)
    ]
    return put_in(model, built, spec=str(spec), geometries=measured, positions=positions)


def _lengthened(shape: Geometry, max_len: int) -> Geometry:
    if shape.grid is not None and max_len != shape.max_len:
        raise SwapRefused(
            "the number of patches says how many positions an image model has",
            got=f"max_len={max_len}, {shape.max_len} positions",
            fix="leave max_len out; for another image size: milepost extend MODEL --to PIXELS",
        )
    return replace(shape, max_len=max_len)


def _build(spec: Spec, shape: Geometry, table: Tensor | None) -> Encoding:
    """Build an encoding; one that keeps rows gets those of the table that is there."""
    cls, _ = resolve(spec)
    keeps = issubclass(cls, StoredPositions) and cls.keeps_rows(spec.options)
    kept = table if keeps else None
    if kept is not None and shape.max_len > len(kept):
        raise SwapRefused(
            "the table has too few rows, and new ones would be untrained",
            got=f"{len(kept)} rows, max_len={shape.max_len}",
            fix="grow it first: milepost extend MODEL --to N",
        )
    with torch.random.fork_rng(devices=[], enabled=kept is not None):
        built = build(spec, shape)
    if kept is not None:
        cast(StoredPositions, built).take_rows(kept)
    return built


def install(
    model: Model,
    encodings: Sequence[Encoding],
    *,
    spec: str | None,
    geometries: Sequence[Geometry],
    positions: str,
) -> Model:
    """Put built encodings into a model, see ``put_in``, after the check of versions.

    Raises:
        SwapRefused: MP121. UntestedVersion: MP126.
    """
    check_versions(_swap)
    return put_in(model, encodings, spec=spec, geometries=geometries, positions=positions)
