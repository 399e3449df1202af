"""Initial weights: each parameter is drawn from a random stream of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from milepost.encodings import build, canonical
from milepost.models.building.forecaster import Forecaster
from milepost.models.measuring import geometries
from milepost.models.swapping import install
from milepost.spec import Spec


def draw_weights(model: PreTrainedModel | Forecaster, seed: int) -> None:
    """Give all weights their initial values, in place.

    Each parameter gets the distribution that its class in transformers says, drawn from a stream that ``seed`` and
    the parameter's name decide: parameters of one name and shape are equal in two models, whatever else differs
    between them. The global random state is left as it was.

    Args:
        model: built under ``no_init_weights``; changed.
        seed: of all weights.
    """
    with torch.random.fork_rng(devices=[]), _OwnStreams(model, seed):
        model.init_weights()


def put_encoding(
    model: PreTrainedModel, encoding: str | Spec, *, seed: int, embedding_rms: float | None = None
) -> PreTrainedModel:
    """Put an encoding with fresh values, drawn from the seed and its name, into a model, in place."""
    spec = canonical(encoding)
    measured = geometries(model)
    if embedding_rms is not None:
        measured = [replace(shape, embedding_rms=embedding_rms) for shape in measured]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_derive(seed, spec.name))
        built = [build(spec, shape) for shape in measured]
    return install(model, built, spec=str(spec), geometries=measured, positions="mask").train()


class _OwnStreams(TorchFunctionMode):
    """Sets torch's generator to the seed of a parameter before each operation on that parameter."""

    def __init__(self, model: nn.Module, seed: int) -> None:
        super().__init__()
        # by storage: an operation on some of its rows is one on the parameter
        self._seeds = {_storage(one): _derive(seed, name) for name, one in model.named_parameters()}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        first = next((one for one in (*args, *kwargs.values()) if isinstance(one, Tensor)), None)
        if first is not None and (seed := self._seeds.get(_storage(first))) is not None:
            torch.default_generator.manual_seed(seed)
        return func(*args, **kwargs)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _derive(seed: int, name: str) -> int:
    return int(hashlib.sha256(f"{seed} {name}".encode()).hexdigest()[:15], 16)
