"""Parameters, operations and working memory of each encoding, as formulas of a model's sizes.

Operations are those of floating-point arithmetic in one forward pass over one sequence: one for each
number that an addition, multiplication, comparison or function such as a cosine gives, two for each
multiply-add of a matrix product. What moves, picks or casts numbers, and arithmetic on whole numbers,
is not counted. The formulas follow the encodings of this package; ``docs/cost.md`` states them.
"""

from __future__ import annotations

from milepost.catalog.geometry import Sizes
from milepost.catalog.row import CostFormula, Work
from milepost.options import SpecOptions


def _none(s: Sizes, o: SpecOptions) -> int:
    return 0


def _learned_parameters(s: Sizes, o: SpecOptions) -> int:
    rank = o.whole("rank")
    return rank * (s.max_len + s.dim) if rank else s.max_len * s.dim


def _learned(s: Sizes, o: SpecOptions, n: int) -> Work:
    rank = o.whole("rank")
    product = 2 * n * rank * s.dim  # the two factors; a full table is read in place
    return Work(once=product + n * s.dim, held=n * s.dim if rank else 0)


def _patches(s: Sizes) -> tuple[int, int]:
    assert s.grid is not None  # the row needs one
    return s.grid


def _learned2d_parameters(s: Sizes, o: SpecOptions) -> int:
    return (sum(_patches(s)) + s.prefix) * s.dim


def _learned2d(s: Sizes, o: SpecOptions, n: int) -> Work:
    height, width = _patches(s)
    # the whole table is made of rows and columns, then read
    return Work(once=height * width * s.dim + n * s.dim, held=(s.prefix + height * width) * s.dim)


def _waves(s: Sizes, pairs: int, n: int) -> Work:
    return Work(once=2 * pairs + 3 * n * pairs + 2 * n * s.dim, held=n * s.dim)


def _sinusoidal(s: Sizes, o: SpecOptions, n: int) -> Work:
    return _waves(s, -(-s.dim // 2), n)


def _sinusoidal2d(s: Sizes, o: SpecOptions, n: int) -> Work:
    return _waves(s, sum(-(-width // 2) for width in ((s.dim + 1) // 2, s.dim // 2)), n)


def _turned(s: Sizes, width: int, frequencies: int, n: int) -> Work:
    return Work(
        shared=frequencies + 6 * n * (width // 2),
        kept=2 * n * width,
        layer=3 * n * width * (s.heads + s.kv_heads),
        held=2 * n * width,
    )


def _rotary(s: Sizes, o: SpecOptions, n: int) -> Work:
    width = int(s.head_dim * o.number("partial", auto=s.partial))
    pairs = width // 2
    made = {"auto": 2 * pairs, "none": 2 * pairs, "dynamic": 4 * pairs + 6}.get(o.spec("scaling").name, 0)
    return _turned(s, width, made, n)


def _rotary2d(s: Sizes, o: SpecOptions, n: int) -> Work:
    return _turned(s, s.head_dim, s.head_dim // 2, n)  # two operations for each of a quarter of the width


def _xpos(s: Sizes, o: SpecOptions, n: int) -> Work:
    width = s.head_dim
    turned = _turned(s, width, 2 * (width // 2), n)
    fading = 2 * (4 * (width // 2) + 4 * n * width) + n * width
    return Work(
        shared=turned.shared + fading,
        kept=2 * n * width,
        layer=turned.layer + n * width * (s.heads + s.kv_heads),
        held=4 * n * width,
    )


def _scores(s: Sizes, n: int, *, each: int = 0, **more: int) -> Work:
    """A bias: ``each`` operations a layer to make it, and one a pair and head to add it."""
    pairs = s.heads * n * n
    return Work(layer=each + pairs, held=pairs, **more)


def _alibi(s: Sizes, o: SpecOptions, n: int) -> Work:
    pairs = s.heads * n * n
    return _scores(s, n, once=s.heads, shared=pairs, kept=pairs)


def _t5(s: Sizes, o: SpecOptions, n: int) -> Work:
    return _scores(s, n, shared=4 * n * n, kept=n * n)


def _shaw(s: Sizes, o: SpecOptions, n: int) -> Work:
    rows = 2 * o.whole("max_distance") + 1
    return _scores(s, n, each=s.heads * n * s.head_dim * (1 + 2 * rows))


def _kerple(s: Sizes, o: SpecOptions, n: int) -> Work:
    if o.word("variant") == "log":
        return _scores(s, n, each=3 * s.heads * n * n + 3 * s.heads)
    return _scores(s, n, each=2 * s.heads * n * n + n * n + 4 * s.heads)


def _fire_parameters(s: Sizes, o: SpecOptions) -> int:
    return 2 + 2 * o.whole("width") + (o.whole("width") + 1) * s.heads


def _fire(s: Sizes, o: SpecOptions, n: int) -> Work:
    width = o.whole("width")
    pair = 7 + (2 * width + width) + width + (2 * width * s.heads + s.heads)
    return _scores(s, n, each=pair * n * n + 3)


def _sandwich(s: Sizes, o: SpecOptions, n: int) -> Work:
    pairs = o.whole("width") // 2
    every = s.heads * n * n
    return _scores(s, n, shared=2 * pairs + 3 * pairs * n * n + every + s.heads, kept=every)


LEARNED = CostFormula(_learned_parameters, _learned)
SINUSOIDAL = CostFormula(_none, _sinusoidal)
ROTARY = CostFormula(_none, _rotary)
XPOS = CostFormula(_none, _xpos)
ALIBI = CostFormula(_none, _alibi)
T5 = CostFormula(lambda s, o: o.whole("buckets") * s.heads, _t5)
SHAW = CostFormula(lambda s, o: (2 * o.whole("max_distance") + 1) * s.head_dim, _shaw)
KERPLE = CostFormula(lambda s, o: 2 * s.heads, _kerple)
FIRE = CostFormula(_fire_parameters, _fire)
SANDWICH = CostFormula(_none, _sandwich)
LEARNED_2D = CostFormula(_learned2d_parameters, _learned2d)
SINUSOIDAL_2D = CostFormula(_none, _sinusoidal2d)
ROTARY_2D = CostFormula(_none, _rotary2d)
NONE = CostFormula(_none, lambda s, o, n: Work())
