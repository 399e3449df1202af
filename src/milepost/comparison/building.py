"""The model of a trial before its first step."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from milepost.comparison.design import Trial
from milepost.encodings import Encoding
from milepost.models.scratch import Shape, build_scratch
from milepost.tasks import Task


def build_model(trial: Trial, task: Task) -> nn.Module:
    """Build the model of a trial; trials of one seed share all weights they have in common.

    Raises:
        OptionError: MP105, SwapRefused: MP121, for an encoding that cannot stand in this model.
    """
    size, head = trial.design.model, task.head
    shape = Shape(
        layers=size.layers,
        dim=size.dim,
        heads=size.heads,
        init_std=size.init_std,
        max_len=task.positions(trial.design.train_length),
        vocabulary_size=head.vocabulary_size,
        labels=head.labels,
        pad=head.pad,
        side=trial.design.train_length,
        channels=head.channels,
        patch=head.patch,
        horizon=head.horizon,
        scale=trial.scale,
    )
    model = build_scratch(head.kind, shape, encoding=trial.encoding, seed=trial.seed)
    if not size.parameters:
        return model
    # one unit of feed-forward width is a row, a column and a bias in each block
    units = round((size.parameters - count_trainable(model)) / (size.layers * (2 * size.dim + 1)))
    wider = replace(shape, inner=4 * size.dim + units)
    return build_scratch(head.kind, wider, encoding=trial.encoding, seed=trial.seed) if units else model


def count_trainable(model: nn.Module) -> int:
    """Parameters that training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def find_encoding(model: nn.Module) -> Encoding:
    """The encoding in a model; the encoder's, where encoder and decoder have one each."""
    return next(module for module in model.modules() if isinstance(module, Encoding))
