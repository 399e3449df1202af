"""Small models of transformers from scratch, so that models of different encodings begin with the same weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
import transformers
from torch import nn
from transformers import BertConfig, GPT2Config, PretrainedConfig, PreTrainedModel, ViTConfig

from milepost.encodings import build, canonical
from milepost.errors import UnknownName
from milepost.models.building.forecaster import Forecaster
from milepost.models.building.gpt2 import build_gpt2
from milepost.models.measuring import geometries
from milepost.models.swapping import install
from milepost.spec import Spec


@dataclass(frozen=True)
class Shape:
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


def build_scratch(kind: str, shape: Shape, *, encoding: str | Spec, seed: int) -> nn.Module:
    """Build a model for a kind of output with ``encoding`` in it, every weight drawn from ``seed``.

    For one seed all encodings share the initial value of every weight they have in common, bit for bit; an
    encoding's own parameters are drawn from the seed and its name. The global random state is left as it was.

    Args:
        kind: ``causal-lm`` (GPT-2), ``masked-lm``, ``classify``, ``tag`` (BERT), ``images`` (ViT) or ``forecast``
            (a ``Forecaster`` around GPT-2's backbone).
        shape: sizes.
        encoding: spec of the encoding.
        seed: of all weights.

    Returns:
        A float32 model on the CPU in training mode, without dropout.

    Raises:
        UnknownName: MP104. SpecError: MP103. OptionError: MP105. SwapRefused: MP121.

    >>> shape = Shape(layers=1, dim=8, heads=2, init_std=0.02, max_len=32, vocabulary_size=16, labels=3)
    >>> build_scratch("classify", shape, encoding="rotary", seed=0).bert.milepost.name
    'rotary'
    """
    if kind == "causal-lm":
        return build_gpt2(
            shape.vocabulary_size,
            layers=shape.layers,
            dim=shape.dim,
            heads=shape.heads,
            max_len=shape.max_len,
            init_std=shape.init_std,
            encoding=encoding,
            seed=seed,
            inner=shape.inner,
            scale=shape.scale,
        )
    if kind not in _KINDS:
        raise UnknownName.among("kind of model", kind, ("causal-lm", *_KINDS))
    kind_class, make_config = _KINDS[kind]
    rms = shape.init_std
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = getattr(transformers, kind_class)(make_config(shape))
        whole: nn.Module = model
        if kind == "forecast":
            whole = Forecaster(model, patch=shape.patch, horizon=shape.horizon, init_std=shape.init_std)
    if kind == "images":
        rms *= shape.patch * math.sqrt(shape.channels)  # of patches, sums over pixels of variance 1
    put_encoding(model, encoding, seed=seed, embedding_rms=rms * shape.scale)
    return whole.train()


def put_encoding(
    model: PreTrainedModel, encoding: str | Spec, *, seed: int, embedding_rms: float | None = None
) -> PreTrainedModel:
    """Put an encoding with fresh values, drawn from the seed and its name, into a model, in place."""
    spec = canonical(encoding)
    measured = geometries(model)
    if embedding_rms is not None:
        measured = [replace(shape, embedding_rms=embedding_rms) for shape in measured]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(hashlib.sha256(f"{seed} {spec.name}".encode()).hexdigest()[:15], 16))
        built = [build(spec, shape) for shape in measured]
    return install(model, built, spec=str(spec), geometries=measured, positions="mask").train()


def _bert(shape: Shape) -> PretrainedConfig:
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


def _vit(shape: Shape) -> PretrainedConfig:
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


def _backbone(shape: Shape) -> PretrainedConfig:
    return GPT2Config(
        vocab_size=1,
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
    )


_KINDS: Mapping[str, tuple[str, Callable[[Shape], PretrainedConfig]]] = {
    "masked-lm": ("BertForMaskedLM", _bert),
    "classify": ("BertForSequenceClassification", _bert),
    "tag": ("BertForTokenClassification", _bert),
    "images": ("ViTForImageClassification", _vit),
    "forecast": ("GPT2Model", _backbone),
}
