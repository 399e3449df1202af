"""A model that forecasts series: a backbone of transformers between two projections."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from milepost.errors import SwapRefused


@dataclass(frozen=True)
class Forecasts:
    """What a ``Forecaster`` answers.

    Args:
        forecast: entry *i* holds the steps after patch *i*.
    """

    forecast: Float[Tensor, "batch seq horizon"]


class Forecaster(nn.Module):
    """Each patch of a series becomes a position of a backbone, and each position a forecast.

    A causal backbone forecasts from a patch and those before it alone. A swap into ``backbone`` puts
    another encoding in; the projections never change.

    Args:
        backbone: a model of transformers that takes ``inputs_embeds``; its token table, which nothing uses,
            is frozen.
        patch: steps of a series in one position.
        horizon: steps that are forecast.
        init_std: standard deviation of the initial projections. For values of variance 1 the backbone is
            given embeddings of this scale.

    Raises:
        SwapRefused: MP121, a backbone that takes no embeddings.

    Source: Nie et al. 2023 (PatchTST), section 3.1: patches, one channel a sample. Differs: patches do not
    overlap, a decoder forecasts after each of them, and windows are not normalised by themselves.

    >>> import torch
    >>> from transformers import GPT2Config, GPT2Model
    >>> config = GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=2, bos_token_id=0, eos_token_id=0)
    >>> backbone = GPT2Model(config)
    >>> Forecaster(backbone, patch=4, horizon=6)(torch.zeros(2, 12)).forecast.shape
    torch.Size([2, 3, 6])
    """

    def __init__(
        self, backbone: PreTrainedModel, *, patch: int, horizon: int, init_std: float = 0.02
    ) -> None:
        super().__init__()
        arguments = inspect.signature(backbone.forward).parameters
        if "inputs_embeds" not in arguments:
            raise SwapRefused(
                "this model takes no embeddings, so it cannot be given patches of a series",
                got=type(backbone).__name__,
                fix="choose a decoder of text, for example gpt2",
            )
        self.patch = patch
        self._caches = "use_cache" in arguments
        self.backbone = backbone
        self.read = nn.Linear(patch, backbone.config.hidden_size)
        self.write = nn.Linear(backbone.config.hidden_size, horizon)
        self._init_std = init_std
        self.reset_parameters()
        backbone.get_input_embeddings().requires_grad_(False)

    def reset_parameters(self) -> None:
        """Give the projections their initial values again, in place."""
        nn.init.normal_(self.read.weight, std=self._init_std / self.patch**0.5)
        nn.init.normal_(self.write.weight, std=self._init_std)
        for layer in (self.read, self.write):
            nn.init.zeros_(layer.bias)

    def init_weights(self) -> None:
        """Give all weights their initial values again, in place: transformers' own name for it."""
        self.backbone.init_weights()
        self.reset_parameters()

    def forward(self, values: Float[Tensor, "batch steps"]) -> Forecasts:
        """Forecast after each patch; ``steps`` is a multiple of the patch."""
        patches = values.unflatten(1, (-1, self.patch))
        options = {"use_cache": False} if self._caches else {}
        hidden = self.backbone(inputs_embeds=self.read(patches), **options).last_hidden_state
        return Forecasts(self.write(hidden))
