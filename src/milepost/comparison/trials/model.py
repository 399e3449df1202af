"""The model of a trial before its first step."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from milepost.comparison.design import Model, Trial
from milepost.encodings import Encoding
from milepost.encodings.table import StoredPositions
from milepost.models.building.scratch import ModelShape, build_scratch
from milepost.models.building.user_model import build_user_model, describe_user_model, inner_width
from milepost.tasks import Task


def build_model(trial: Trial, task: Task) -> nn.Module:
    """Build the model of a trial; trials of one seed share all weights they have in common.

    Tables of positions count which rows training uses, outside of the state dict where their spec does not ask for
    it: what is saved then reads as any other model of its family.

    Raises:
        OptionError: MP105, SwapRefused: MP121, for an encoding that cannot stand in this model.
    """
    size, head = trial.design.model, task.head
    shape = ModelShape(
        layers=size.layers,
        dim=size.dim,
        heads=size.heads,
        init_std=size.init_std,
        max_len=task.positions(trial.design.train_length),
        vocabulary_size=head.vocabulary_size,
        labels=head.labels,
        pad=head.pad,
        side=trial.design.train_length if head.kind == "images" else 0,
        channels=head.channels,
        patch=head.patch,
        horizon=head.horizon,
        scale=trial.scale,
    )
    model = _counting(_build(trial, head.kind, shape))
    if not size.parameters:
        return model
    base = inner_width(size.folder) if size.folder else 4 * size.dim
    each = count_trainable(_build(trial, head.kind, replace(shape, inner=base + 1))) - count_trainable(model)
    units = round((size.parameters - count_trainable(model)) / each)
    return _counting(_build(trial, head.kind, replace(shape, inner=base + units))) if units else model


def _counting(model: nn.Module) -> nn.Module:
    for table in model.modules():
        if isinstance(table, StoredPositions) and table.trained_counts is None:
            counts = torch.zeros(table.max_len, dtype=torch.int64, device=next(table.parameters()).device)
            table.register_buffer("trained_counts", counts, persistent=False)
    return model


def read_model(model: Model) -> Model:
    """Fill in the sizes and the identity of a model of the user's own; others are as they are.

    Raises:
        UnsafeFile: MP130. UnknownFamily: MP120. SwapRefused: MP121.
    """
    if not model.folder:
        return model
    return replace(model, **describe_user_model(model.folder, weights=model.weights))


def _build(trial: Trial, kind: str, shape: ModelShape) -> nn.Module:
    size = trial.design.model
    if not size.folder:
        return build_scratch(kind, shape, encoding=trial.encoding, seed=trial.seed)
    return build_user_model(
        size.folder, kind, shape, encoding=trial.encoding, seed=trial.seed, weights=size.weights
    )


def count_trainable(model: nn.Module) -> int:
    """Parameters that training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def find_encoding(model: nn.Module) -> Encoding:
    """The encoding in a model; the encoder's, where encoder and decoder have one each."""
    return next(module for module in model.modules() if isinstance(module, Encoding))
