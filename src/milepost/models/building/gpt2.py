"""GPT-2 from scratch, so that models of different encodings begin with the same weights."""

from __future__ import annotations

import hashlib
import math

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from milepost.encodings import Geometry, build, canonical
from milepost.models.swapping import install
from milepost.models.transformers_private import no_init_weights
from milepost.spec import Spec


def build_gpt2(
    vocabulary_size: int,
    *,
    layers: int,
    dim: int,
    heads: int,
    max_len: int,
    init_std: float,
    encoding: str | Spec,
    seed: int,
    inner: int = 0,
    scale: float = 1.0,
) -> GPT2LMHeadModel:
    """Build a GPT-2 with ``encoding`` in it, every weight drawn from ``seed``.

    For one seed all encodings share the initial value of every weight they have in common, bit for
    bit; an encoding's own parameters are drawn from the seed and its name. The global random state is
    left as it was.

    Args:
        vocabulary_size: tokens.
        layers: Transformer blocks.
        dim: width of the token embeddings.
        heads: attention heads.
        max_len: positions that a table gets.
        init_std: standard deviation of embeddings and linear layers; those that write into the
            residual stream get ``init_std / sqrt(2 * layers)``. Encodings scale themselves to it.
        encoding: spec of the encoding.
        seed: of all weights.
        inner: width of the feed-forward layers; 0 is four times ``dim``.
        scale: factor on the initial scale of what the encoding adds to the embeddings.

    Returns:
        A float32 model on the CPU in training mode: tied embeddings, no dropout, no special tokens, the
        fused form of GPT-2's activation, no cache unless asked for.

    Raises:
        UnknownName: MP104. SpecError: MP103. OptionError: MP105.

    Source: Radford et al. 2019, section 2.3, for the initial values.

    >>> build_gpt2(16, layers=1, dim=8, heads=2, max_len=32, init_std=0.02, encoding="none",
    ...            seed=0).num_parameters()
    1016
    """
    spec = canonical(encoding)
    measured = Geometry(
        dim=dim, heads=heads, head_dim=max(1, dim // heads), max_len=max_len, embedding_rms=init_std * scale
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(hashlib.sha256(f"{seed} {spec.name}".encode()).hexdigest()[:15], 16))
        built = build(spec, measured)
    config = GPT2Config(
        vocab_size=vocabulary_size,
        n_positions=max_len,
        n_embd=dim,
        n_layer=layers,
        n_head=heads,
        n_inner=inner or None,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=init_std,
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
    )
    with no_init_weights():
        model = GPT2LMHeadModel(config)
    model.tie_weights()
    model.loss_type = "ForCausalLM"  # transformers finds none for this class and warns in each process
    _draw(model, init_std, seed)
    return install(model, [built], spec=str(spec), geometries=[measured], positions="mask").train()


@torch.no_grad()
def _draw(model: GPT2LMHeadModel, std: float, seed: int) -> None:
    """Give all weights but the position table their initial values."""
    generator = torch.Generator()
    residual = std / math.sqrt(2 * model.config.n_layer)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            weight.zero_()
        elif ".ln_" in name:
            weight.fill_(1.0)
        elif name != "transformer.wpe.weight":
            # a stream of its own each, so that a layer of another width changes no other weight
            generator.manual_seed(int(hashlib.sha256(f"{seed} {name}".encode()).hexdigest()[:15], 16))
            weight.normal_(0.0, residual if "c_proj" in name else std, generator=generator)
