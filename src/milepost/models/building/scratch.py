"""Small models of transformers from scratch, so that models of different encodings begin with the same weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import transformers
from torch import nn
from transformers import BertConfig, GPT2Config, PretrainedConfig, PreTrainedModel, ViTConfig

from milepost.errors import UnknownName
from milepost.models.building.forecaster import Forecaster
from milepost.models.building.initialisation import draw_weights, put_encoding
from milepost.models.transformers_private import no_init_weights
from milepost.spec import Spec


@dataclass(frozen=True)
class ModelShape:
    """What a model from scratch is built to.

    Args:
        layers: Transformer blocks.
        dim: width.
        heads: attention heads.
        init_std: standard deviation of the initial weights.
        max_len: positions that a table gets.
        vocabulary_size: token ids.
        labels: classes of the output.
        pad: token id of padding.
        side: of an image, in pixels.
        channels: of an image.
        patch: side of a patch in pixels, or steps of a series in one position.
        horizon: steps of a series that are forecast.
        inner: width of the feed-forward layers; 0 is four times ``dim``.
        scale: factor on the initial scale of what an encoding adds to the embeddings.
    """

    layers: int
    dim: int
    heads: int
    init_std: float
    max_len: int
    vocabulary_size: int = 0
    labels: int = 0
    pad: int | None = None
    side: int = 0
    channels: int = 1
    patch: int = 1
    horizon: int = 0
    inner: int = 0
    scale: float = 1.0


def build_scratch(kind: str, shape: ModelShape, *, encoding: str | Spec, seed: int) -> nn.Module:
    """Build a model for a kind of output with ``encoding`` in it, every weight drawn from ``seed``.

    For one seed all encodings share the initial value of every weight of one name and shape, bit for bit, in models
    of other widths too; an encoding's own parameters are drawn from the seed and its name. The global random state
    is left as it was.

    Args:
        kind: ``causal-lm`` (GPT-2), ``masked-lm``, ``classify``, ``tag`` (BERT), ``images`` (ViT) or ``forecast``
            (a ``Forecaster`` around GPT-2's backbone).
        shape: sizes.
        encoding: spec of the encoding.
        seed: of all weights.

    Returns:
        A float32 model on the CPU in training mode, without dropout. A GPT-2 has tied embeddings, no special
        tokens, the fused form of its activation, and no cache unless you ask for one.

    Raises:
        UnknownName: MP104. SpecError: MP103. OptionError: MP105. SwapRefused: MP121.

    Source: the initial distribution is that of each class in transformers; for GPT-2 it is that of Radford et al.
    2019, section 2.3.

    >>> shape = ModelShape(layers=1, dim=8, heads=2, init_std=0.02, max_len=32, vocabulary_size=16, labels=3)
    >>> build_scratch("classify", shape, encoding="rotary", seed=0).bert.milepost.name
    'rotary'
    """
    if kind not in _KINDS:
        raise UnknownName.among("kind of model", kind, _KINDS)
    name, make_config = _KINDS[kind]
    with torch.random.fork_rng(devices=[]), no_init_weights():
        model: PreTrainedModel = getattr(transformers, name)(make_config(shape))
    if kind == "causal-lm":
        model.loss_type = "ForCausalLM"  # transformers finds none for GPT-2's class and warns in each process
    return finish(model, kind, shape, encoding=encoding, seed=seed)


def finish(
    model: PreTrainedModel, kind: str, shape: ModelShape, *, encoding: str | Spec, seed: int
) -> nn.Module:
    """Give a model that was built under ``no_init_weights`` its projections, its weights and an encoding."""
    with torch.random.fork_rng(devices=[]):
        whole = add_projections(model, kind, shape)
    draw_weights(whole, seed)
    # the embedding of a patch sums over pixels of variance 1
    rms = shape.init_std * (shape.patch * math.sqrt(shape.channels) if kind == "images" else 1.0)
    put_encoding(model, encoding, seed=seed, embedding_rms=rms * shape.scale)
    return whole.train()


def add_projections(model: PreTrainedModel, kind: str, shape: ModelShape) -> PreTrainedModel | Forecaster:
    """Put a model that is to forecast between two projections; other kinds need none."""
    if kind != "forecast":
        return model
    return Forecaster(model, patch=shape.patch, horizon=shape.horizon, init_std=shape.init_std)


def _bert(shape: ModelShape) -> PretrainedConfig:
    return BertConfig(
        vocab_size=shape.vocabulary_size,
        hidden_size=shape.dim,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner or 4 * shape.dim,
        max_position_embeddings=shape.max_len,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=shape.init_std,
        num_labels=max(shape.labels, 1),  # type: ignore[call-arg]
        pad_token_id=shape.pad,
    )


def _vit(shape: ModelShape) -> PretrainedConfig:
    return ViTConfig(
        image_size=shape.side,
        patch_size=shape.patch,
        num_channels=shape.channels,
        hidden_size=shape.dim,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner or 4 * shape.dim,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=shape.init_std,
        num_labels=max(shape.labels, 1),  # type: ignore[call-arg]
    )


def _gpt2(shape: ModelShape) -> PretrainedConfig:
    return GPT2Config(
        vocab_size=max(shape.vocabulary_size, 1),
        n_positions=shape.max_len,
        n_embd=shape.dim,
        n_layer=shape.layers,
        n_head=shape.heads,
        n_inner=shape.inner or None,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=shape.init_std,
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
    )


_KINDS: Mapping[str, tuple[str, Callable[[ModelShape], PretrainedConfig]]] = {
    "causal-lm": ("GPT2LMHeadModel", _gpt2),
    "masked-lm": ("BertForMaskedLM", _bert),
    "classify": ("BertForSequenceClassification", _bert),
    "tag": ("BertForTokenClassification", _bert),
    "images": ("ViTForImageClassification", _vit),
    "forecast": ("GPT2Model", _gpt2),
}
