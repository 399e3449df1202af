"""What torch does to a module: states, copies, gradients, compilation, devices."""

from __future__ import annotations

import copy
import pickle

import torch
from torch import Tensor

from milepost.testing.case import (
    Case,
    draw_heads,
    read_answers,
    read_simple_answers,
    require,
    require_near,
    require_same,
)


def check_buffers(case: Case) -> str | None:
    """Buffers are in the state dict, and none is of floating point."""
    encoding = case.fresh()
    kept = encoding.state_dict()
    for name, buffer in encoding.named_buffers():
        require(name in kept, f"{name} is a buffer outside the state dict: loading fills it with garbage")
        require(not buffer.is_floating_point(), f"{name} is a floating-point buffer: .bfloat16() rounds it")
    return None


def check_state(case: Case) -> str | None:
    """The state dict holds all that answers depend on, through the meta device too."""
    encoding = case.stirred()
    wanted, state = read_simple_answers(case, encoding), encoding.state_dict()
    other = case.stirred(seed=1)
    other.load_state_dict(state)
    require_same(read_simple_answers(case, other), wanted, "loaded from a state dict")
    with torch.device("meta"):
        hollow = case.fresh()
    hollow.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in hollow.parameters():
            parameter.fill_(float("nan"))
    hollow.load_state_dict(state)
    require_same(read_simple_answers(case, hollow), wanted, "built on the meta device, then loaded")
    return None


def check_copies(case: Case) -> str | None:
    """Deep copies and pickles answer the same."""
    encoding = case.stirred()
    wanted = read_simple_answers(case, encoding)  # first, so that anything remembered is copied too
    require_same(read_simple_answers(case, copy.deepcopy(encoding)), wanted, "a deep copy")
    back = pickle.loads(pickle.dumps(encoding))  # noqa: S301 - our own bytes
    require_same(read_simple_answers(case, back), wanted, "pickled and back")
    return None


def check_gradient(case: Case) -> str | None:
    """A finite gradient that is not zero reaches every parameter."""
    encoding = case.stirred()
    if not list(encoding.parameters()):
        return "no parameters"
    total = torch.stack([part.square().sum() for part in read_simple_answers(case, encoding).values()]).sum()
    total.backward()
    for name, parameter in encoding.named_parameters():
        gradient = parameter.grad
        require(gradient is not None, f"no gradient reaches {name}")
        assert gradient is not None
        require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite")
        require(bool(gradient.any()), f"the gradient of {name} is zero everywhere")
    return None


def check_compile(case: Case) -> str | None:
    """It compiles to one graph that answers the same."""
    encoding = case.stirred()
    if not encoding.places:
        return "acts nowhere"
    query, key = draw_heads(case, 2, 6), draw_heads(case, 2, 6, seed=8)
    positions = torch.arange(6)[None].expand(2, 6).contiguous()
    embeddings = torch.zeros(2, 6, case.geometry.dim)

    def run() -> tuple[Tensor, ...]:
        both = encoding.embed(embeddings), encoding.embed(embeddings, positions)
        return *both, *read_answers(encoding, query, key, positions, positions).values()

    torch.compiler.reset()
    compiled = torch.compile(run, fullgraph=True, backend="eager")()
    for after, before in zip(compiled, run(), strict=True):
        require_near(after, before, "compiled and plain differ")
    return None


def check_deterministic(case: Case) -> str | None:
    """Answers are the same from call to call and from build to build."""
    encoding = case.stirred()
    first, second = read_simple_answers(case, encoding), read_simple_answers(case, encoding)
    third = read_simple_answers(case, case.stirred())
    for name in first:
        require(torch.equal(first[name], second[name]), f"{name} differs from call to call")
        require(torch.equal(first[name], third[name]), f"{name} differs between two builds of one seed")
    return None


def check_device(case: Case) -> str | None:
    """On the meta device there is no value to read, so reading one raises."""
    encoding = case.stirred()
    if not encoding.places:
        return "acts nowhere"
    encoding = encoding.to("meta")
    positions = torch.zeros(2, 6, dtype=torch.int64, device="meta")
    query = draw_heads(case, 2, 6).to("meta")
    for name, answer in read_answers(encoding, query, query, positions, positions).items():
        require(answer.device.type == "meta", f"{name} is not on the device of its positions")
    embeddings = torch.empty(2, 6, case.geometry.dim, device="meta")
    require(encoding.embed(embeddings).device.type == "meta", "embed leaves the device")
    return None
