"""A test of a few milliseconds that swapped models are right under the installed transformers and torch.

Milepost acts inside models through names that transformers does not promise to keep. Versions on the
list were tested by the whole suite. Under any other version the first ``swap`` or ``load`` of a process
runs this test, refuses with the versions if it fails, and warns once if it passes.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    DynamicCache,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    PreTrainedModel,
)

from milepost.errors import UntestedVersion
from milepost.models.transformers_private import cache_argument, parameter_names, transformers_version

TESTED_TRANSFORMERS = ("5.23.0", "5.24.0")
TESTED_TORCH = ("2.13.0",)
_TOLERANCE = 1e-4  # of the largest number expected; a wrong position is off by far more
_IDS: dict[str, Any] = {"vocab_size": 16, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
_SIZES: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "max_position_embeddings": 16, "initializer_range": 0.5,
}  # fmt: skip

Swap = Callable[[PreTrainedModel, str], PreTrainedModel]


def check_versions(swap: Swap) -> None:
    """Test the installed versions, unless they are on the list or were tested in this process.

    Args:
        swap: what puts an encoding into a model, without calling this function again.

    Raises:
        UntestedVersion: MP126, if answers are wrong under these versions.
    """
    if not (transformers_version() in TESTED_TRANSFORMERS and torch_version() in TESTED_TORCH):
        _check_once(swap)


@functools.cache
def _check_once(swap: Swap) -> None:
    versions = f"transformers {transformers_version()} and torch {torch_version()}"
    if failures := run_self_test(swap):
        raise UntestedVersion(
            f"swapped models would give wrong answers under {versions}",
            got=f"a failed self-test: {'; '.join(failures)[:300]}",
            fix=f"pip install 'transformers=={TESTED_TRANSFORMERS[-1]}' 'torch=={TESTED_TORCH[-1]}'",
        )
    warnings.warn(
        f"Milepost is not tested with {versions}; its self-test passes. "
        f"Tested: transformers {', '.join(TESTED_TRANSFORMERS)}; torch {', '.join(TESTED_TORCH)}.",
        stacklevel=4,
    )


def torch_version() -> str:
    """The installed version, without the name of its build."""
    return torch.__version__.split("+")[0]


def run_self_test(swap: Swap) -> list[str]:
    """What is wrong with swapped models here; nothing, as far as four tiny models can tell.

    Cached steps equal the whole, left pads change nothing, positions that are passed count, and the
    encoding that a family has of its own leaves its outputs as they were.
    """
    failures = []
    with _plain_torch():
        for build, spec, checks in _CASES:
            name = f"{build.__name__.strip('_')} with {spec}"
            try:
                model = build()
                before = _outputs(model, input_ids=_tokens())
                model = swap(model, spec)
                apart = {check.__name__.strip("_"): check(model, before) for check in checks}
            except Exception as error:  # whatever it is, this version does something else
                failures.append(f"{name}: {type(error).__name__}: {error}")
                continue
            failures += [
                f"{name}, {check}: differs by {value:.2g}"
                for check, value in apart.items()
                if not value <= _TOLERANCE
            ]
    return failures


@contextlib.contextmanager
def _plain_torch() -> Iterator[None]:
    """Whatever the caller has set: float32 on the CPU, no gradients, and its random state untouched."""
    dtype = torch.get_default_dtype()
    elsewhere = torch.get_default_device().type != "cpu"
    with torch.no_grad(), torch.random.fork_rng(devices=[]), contextlib.ExitStack() as stack:
        if elsewhere:
            stack.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        torch.manual_seed(0)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


def _gpt2() -> PreTrainedModel:
    sizes: dict[str, Any] = {
        "n_positions": 16,
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "initializer_range": 0.5,
    }
    return GPT2Model(GPT2Config(**sizes, **_IDS)).eval()


def _llama() -> PreTrainedModel:
    return LlamaModel(LlamaConfig(**_SIZES, **_IDS)).eval()


def _bert() -> PreTrainedModel:
    return BertModel(BertConfig(**_SIZES, **_IDS), add_pooling_layer=False).eval()


def _tokens() -> Tensor:
    return torch.randint(1, 16, (1, 8), generator=torch.Generator().manual_seed(1))


def _outputs(model: PreTrainedModel, **inputs: Any) -> Tensor:
    found: Tensor = model(**inputs).last_hidden_state
    return found


def _difference(got: Tensor, expected: Tensor) -> float:
    apart: float = ((got - expected).abs().max() / expected.abs().max()).item()
    return apart


def _unchanged(model: PreTrainedModel, before: Tensor) -> float:
    """The outputs, compared with those before the swap."""
    return _difference(_outputs(model, input_ids=_tokens()), before)


def _cached(model: PreTrainedModel, before: Tensor) -> float:
    """A chunk, another one and a single token through a cache, compared with the whole."""
    tokens, cache = _tokens(), DynamicCache(config=model.config)
    name = cache_argument(parameter_names(model))
    if name is None:
        raise LookupError("the cache argument has an unknown name")
    parts = [
        _outputs(model, input_ids=tokens[:, start:stop], use_cache=True, **{name: cache})
        for start, stop in ((0, 4), (4, 7), (7, 8))
    ]
    return _difference(torch.cat(parts, 1), _outputs(model, input_ids=tokens, use_cache=False))


def _padded(model: PreTrainedModel, before: Tensor) -> float:
    """Left pads that a mask shows, compared with none."""
    tokens = _tokens()
    mask = nn.functional.pad(torch.ones_like(tokens), (3, 0))
    padded = _outputs(model, input_ids=nn.functional.pad(tokens, (3, 0)), attention_mask=mask)
    return _difference(padded[:, 3:], _outputs(model, input_ids=tokens))


def _explicit(model: PreTrainedModel, before: Tensor) -> float:
    """Positions 2, 3, 4, ... compared with a table whose rows were moved by two; they must not be ignored."""
    tokens = _tokens()
    moved = _outputs(model, input_ids=tokens, position_ids=torch.arange(2, 10)[None])
    if _difference(moved, before) < 0.01:
        raise ValueError("position_ids are ignored")
    table: Tensor = model.get_submodule("milepost").get_parameter("weight")
    table.copy_(table.roll(-2, 0))
    return _difference(moved, _outputs(model, input_ids=tokens))


_CASES: tuple[
    tuple[Callable[[], PreTrainedModel], str, tuple[Callable[[PreTrainedModel, Tensor], float], ...]], ...
]
_CASES = (
    (_gpt2, "learned", (_unchanged, _cached, _padded, _explicit)),
    (_llama, "rotary", (_unchanged, _cached)),
    (_bert, "learned", (_unchanged, _padded, _explicit)),
    (_gpt2, "alibi", (_cached, _padded)),
)
