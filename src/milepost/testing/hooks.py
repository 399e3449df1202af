"""What a model sees of an encoding: its hooks, their shapes and dtypes, its spec."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from milepost.encodings import Encoding, build, canonical, resolve
from milepost.encodings.base import PLACES
from milepost.testing.case import Case, draw_heads, read_answers, read_simple_answers, require, require_same


def check_places(case: Case) -> str | None:
    """``places`` names the hooks that act, and no others."""
    encoding = case.fresh()
    own = {hook for hook in PLACES if getattr(type(encoding), hook) is not getattr(Encoding, hook)}
    require(
        encoding.places <= own, f"places say {sorted(encoding.places)}, the hooks written are {sorted(own)}"
    )
    read_simple_answers(case, encoding)
    query, positions = draw_heads(case, 2, 4), torch.arange(4)
    silent = {
        "vectors": encoding.vectors(positions) is None,
        "rotate": encoding.rotate(query, query, positions, positions)[0] is query,
        "bias": encoding.bias(query, positions, positions, scaling=0.5) is None,
    }
    loud = [hook for hook in PLACES if hook not in encoding.places and not silent[hook]]
    require(not loud, f"{loud} act, though places leave them out")
    return None


def check_remap(case: Case) -> str | None:
    """Replaced positions keep their order and have answers; in evaluation they are always the same."""
    encoding, given = case.fresh(), torch.arange(6)[None].expand(2, 6)
    state = torch.get_rng_state()
    for span in (range(6), given):
        first, second = (torch.as_tensor(encoding.remap(span, batch=2)) for _ in range(2))
        require(torch.equal(first, second), "positions differ from call to call in evaluation mode")
        _check_remapped(case, encoding, span)
    require(torch.equal(torch.get_rng_state(), state), "evaluation draws from torch's random state")
    encoding.train()
    for span in (range(6), given):
        _check_remapped(case, encoding, span)
    return None


def _check_remapped(case: Case, encoding: Encoding, span: range | Tensor) -> None:
    positions = encoding.remap(span, batch=2)
    if isinstance(positions, range):
        require(positions == span, "a range is changed to another range")
        return
    require(positions.dtype == torch.int64, f"positions become {positions.dtype}")
    require(positions.shape in ((6,), (1, 6), (2, 6)), f"shape {tuple(positions.shape)} of positions")
    require(bool((positions.diff() > 0).all()), "positions lose their order")
    read_answers(encoding, draw_heads(case, 2, 6), draw_heads(case, 2, 6), positions, positions)


def check_spec(case: Case) -> str | None:
    """The canonical spec reads back as itself and builds the same encoding."""
    if case.spec is None:
        return "a class has no spec until it is registered"
    short = canonical(case.spec)
    require(canonical(str(short)) == short, f"{short} does not read back as itself")
    require(resolve(short) == resolve(case.spec), f"{short} means something else than {case.spec}")
    torch.manual_seed(0)
    again = build(str(short), case.geometry).eval()
    require_same(
        read_simple_answers(case, again),
        read_simple_answers(case, case.fresh()),
        "built from the canonical spec",
    )
    return None


def check_shapes(case: Case) -> str | None:
    """Shapes and dtypes are promised ones, for shared and own positions, with fewer key heads."""
    encoding, geometry = case.stirred(), case.geometry
    for shape in ((5,), (1, 5), (2, 5)):
        positions = torch.arange(5).expand(shape)
        if "vectors" in encoding.places:
            vectors = encoding.vectors(positions)
            require(
                vectors is not None and vectors.shape == (*shape, geometry.dim),
                f"vectors at positions {shape} have shape {getattr(vectors, 'shape', None)}",
            )
            for dtype in (torch.float32, torch.bfloat16):
                embeddings = torch.zeros(2, 5, geometry.dim, dtype=dtype)
                added = encoding.embed(embeddings, positions)
                require(added.dtype == dtype, f"embed turns {dtype} into {added.dtype}")
        keys = torch.arange(7).expand(*shape[:-1], 7)
        for dtype in (torch.float32, torch.bfloat16):
            query = draw_heads(case, 2, 5).to(dtype)
            key = draw_heads(case, 2, 7, heads=1).to(dtype)  # fewer key heads than query heads
            turned = encoding.rotate(query, key, positions, keys)
            for before, after in zip((query, key), turned, strict=True):
                require(
                    after.shape == before.shape and after.dtype == dtype, "rotate changes a shape or dtype"
                )
            bias = encoding.bias(query, positions, keys, scaling=0.5)
            if bias is not None:
                require(bias.dtype == torch.float32, f"bias is {bias.dtype}, not float32")
                require(bool(bias.isfinite().all()), "bias is not finite")
                bias.expand(2, geometry.heads, 5, 7)
    return None


def check_range(case: Case) -> str | None:
    """A range answers as the same positions in a tensor do."""
    encoding = case.stirred()
    if "vectors" not in encoding.places:
        return "only vectors take a range"
    for span in (range(0, 9), range(3, 11), range(0, 0)):
        by_range, by_tensor = encoding.vectors(span), encoding.vectors(torch.arange(span.start, span.stop))
        assert by_range is not None
        assert by_tensor is not None
        require(torch.equal(by_range, by_tensor), f"{span} and the same positions as a tensor differ")
    return None


def check_inputs(case: Case) -> str | None:
    """No input is changed in place."""
    encoding = case.stirred()
    query, key, positions = draw_heads(case, 2, 6), draw_heads(case, 2, 6, seed=8), torch.arange(6)
    embeddings = torch.ones(2, 6, case.geometry.dim)
    before = query.clone(), key.clone(), positions.clone(), embeddings.clone()
    read_answers(encoding, query, key, positions, positions)
    encoding.embed(embeddings, positions)
    for old, new in zip(before, (query, key, positions, embeddings), strict=True):
        require(torch.equal(old, new), "an input was changed in place")
    return None


def check_scales(case: Case) -> str | None:
    """Named scales are numbers, 0 or more."""
    for name, scale in case.fresh().scales.items():
        require(math.isfinite(scale) and scale >= 0, f"scale {name} is {scale}")
    return None
