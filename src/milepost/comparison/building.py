"""The model of a trial before its first step."""

from __future__ import annotations

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
    )
    return build_scratch(head.kind, shape, encoding=trial.encoding, seed=trial.seed)


def find_encoding(model: nn.Module) -> Encoding:
    """The encoding in a model; the encoder's, where encoder and decoder have one each."""
    return next(module for module in model.modules() if isinstance(module, Encoding))
