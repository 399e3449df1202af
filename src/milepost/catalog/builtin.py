"""The rows of the encodings that come with the package, in the order of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from milepost.catalog import costs, rotary
from milepost.catalog.checks import check_buckets, check_patches, check_quarters, check_rank
from milepost.catalog.geometry import Geometry
from milepost.catalog.row import BUILT_IN, EncodingRow, find_row, require_grid
from milepost.options import Option, SpecOptions, nested, number, whole, word

STRETCHED = ("linear", "bicubic")
"""Ways of ``past`` to resample rows for an image of another grid."""
_GRID = frozenset({"grid"})
_THETA = number(10000.0, above=1)
_WAVES = {"theta": _THETA, "rms": number("auto", "raw", least=0)}
_RMS = "`rms=auto`: rms of the {}embeddings; `raw`: 0.71, {}"
_INSIDE, _ZERO, _IMAGE_ROWS = "as inside", "the table starts at 0", "∞ rows of the image"
_VECTORS, _ROTATE, _BIAS = ("vectors",), ("rotate",), ("bias",)


def _rows(options: SpecOptions, geometry: Geometry) -> Geometry:
    return replace(geometry, max_len=options.whole("rows") or geometry.max_len)


def _check_table(options: SpecOptions, geometry: Geometry) -> None:
    past = options.word("past")
    if past in STRETCHED:
        check_patches(require_grid(f"past={past}", geometry), _rows(options, geometry).max_len)


def _check_learned(options: SpecOptions, geometry: Geometry) -> None:
    if rank := options.whole("rank"):
        check_rank(rank, options.word("init"), _rows(options, geometry).max_len, geometry.dim)
    _check_table(options, geometry)


def _limited(options: SpecOptions, geometry: Geometry) -> int | None:
    return geometry.max_len if options.word("past") == "error" else None


def _patches_and_prefix(options: SpecOptions, geometry: Geometry) -> Geometry:
    height, width = require_grid("learned2d", geometry)
    return replace(geometry, max_len=geometry.prefix + height * width)


def _check_t5(options: SpecOptions, geometry: Geometry) -> None:
    check_buckets(options.whole("buckets"), options.whole("max_distance"), geometry.causal)


def _check_rotary(options: SpecOptions, geometry: Geometry) -> None:
    rotary.Turning.of(options, geometry).check(geometry.head_dim)


def _check_xpos(options: SpecOptions, geometry: Geometry) -> None:
    rotary.check_width(geometry.head_dim, 1.0)


def _check_rotary2d(options: SpecOptions, geometry: Geometry) -> None:
    check_quarters(geometry.head_dim)


def _drawn(options: SpecOptions, geometry: Geometry) -> Geometry:
    # positions moved at random are no places in an image
    return replace(geometry, max_len=options.whole("max_len"), grid=None)


def _shifted(options: SpecOptions, geometry: Geometry) -> Geometry:
    return replace(geometry, max_len=geometry.max_len + options.whole("max_shift"), grid=None)


def _options_of(name: str) -> Mapping[str, Option]:
    return find_row(name).options


def table_row(name: str, **more: Option) -> EncodingRow:
    """The row of a table of trained rows: the options that ``RowTable`` reads, and ``more`` of its own.

    >>> table_row("noisy", noise=number(0.1, least=0)).place
    'input'
    """
    options = {
        "init": word("normal", "zeros", "sinusoidal"),
        "std": number("auto", least=0),
        "past": word("error", "clamp", "tile", "group", *STRETCHED, note="the last two for images"),
        "rows": whole(0, least=0, note="those of the model"),
        "count": word("off", "on"),
    }
    return EncodingRow(
        name, options | more, _VECTORS, check=_check_table, inside=_rows, usable=_limited, table=True
    )


ROWS = (
    replace(
        table_row("learned", rank=whole(0, least=0, note="full")),
        check=_check_learned,
        cost=costs.LEARNED,
        paper="Gehring et al. 2017; Devlin et al. 2019",
        usable_text="`max_len` of the model; ∞ with any other `past`",
        scale_text="`std=auto`: rms of the token embeddings",
    ),
    EncodingRow(
        "sinusoidal", _WAVES, _VECTORS, cost=costs.SINUSOIDAL,
        paper="Vaswani et al. 2017", scale_text=_RMS.format("token ", "the paper's"),
    ),
    EncodingRow(
        "rotary", rotary.OPTIONS, _ROTATE, check=_check_rotary, cost=costs.ROTARY,
        paper="Su et al. 2021; scalings: Chen et al. 2023, bloc97 2023, emozilla 2023, Peng et al. 2023, "
        "Llama team 2024, Ding et al. 2024",
        scale_text="none: it turns, and keeps lengths",
    ),
    EncodingRow(
        "xpos", {"theta": _THETA, "scale_base": number(512.0, least=1), "gamma": number(0.4, above=0)}, _ROTATE,
        frozenset({"causal"}), check=_check_xpos, cost=costs.XPOS,
        paper="Sun et al. 2022", usable_text="∞; exact up to about 32,000 positions, 4,500 in float16",
    ),
    EncodingRow(
        "alibi", {}, _BIAS, cost=costs.ALIBI, paper="Press et al. 2022", scale_text="none: slopes are fixed"
    ),
    EncodingRow(
        "t5", {"buckets": whole(32, least=2, even=True), "max_distance": whole(128, least=2)}, _BIAS,
        check=_check_t5, cost=costs.T5, paper="Raffel et al. 2020", scale_text=_ZERO,
    ),
    EncodingRow(
        "shaw", {"max_distance": whole(16, least=1)}, _BIAS,
        cost=costs.SHAW, paper="Shaw et al. 2018", scale_text=_ZERO,
    ),
    EncodingRow(
        "kerple", {"variant": word("log", "power")}, _BIAS, cost=costs.KERPLE, paper="Chi et al. 2022",
        scale_text="drawn uniformly: `log` r1 in (0, 2), r2 in (0, 1); `power` r1 in (0, 1), r2 in (0, 2)",
    ),
    EncodingRow(
        "fire", {"width": whole(32, least=1), "threshold": number(512.0, least=1)}, _BIAS, cost=costs.FIRE,
        paper="Li et al. 2023", scale_text="c at 0.1, the network as torch's linear layers",
    ),
    EncodingRow(
        "sandwich", {"width": whole(128, least=2, even=True)}, _BIAS, cost=costs.SANDWICH, paper="Chi et al. 2023"
    ),
    EncodingRow(
        "randomized", {"inner": nested("learned", _options_of), "max_len": whole(2048, least=1)},
        (*_VECTORS, *_ROTATE, *_BIAS), frozenset({"whole"}), inner="inner", inside=_drawn,
        paper="Ruoss et al. 2023", usable_text=_INSIDE, scale_text="as inside, for `max_len` positions",
    ),
    EncodingRow(
        "shape", {"inner": nested("sinusoidal", _options_of), "max_shift": whole(100, least=0)},
        (*_VECTORS, *_ROTATE, *_BIAS), inner="inner", inside=_shifted,
        paper="Kiyono et al. 2021", usable_text=_INSIDE, scale_text=_INSIDE,
    ),
    EncodingRow(
        "learned2d", {"std": number("auto", least=0), "past": word("error", "bicubic")}, _VECTORS, _GRID,
        inside=_patches_and_prefix, usable=_limited, cost=costs.LEARNED_2D,
        paper="Dosovitskiy et al. 2021, appendix D.4",
        usable_text="the patches and the prefix of the model; ∞ with `past=bicubic`",
        scale_text="`std=auto`: rms of the embeddings",
    ),
    EncodingRow(
        "sinusoidal2d", _WAVES, _VECTORS, _GRID, cost=costs.SINUSOIDAL_2D,
        paper="He et al. 2022", usable_text=_IMAGE_ROWS, scale_text=_RMS.format("", "MAE's"),
    ),
    EncodingRow(
        "rotary2d", {"theta": number(100.0, above=1)}, _ROTATE, _GRID, check=_check_rotary2d,
        cost=costs.ROTARY_2D, paper="Heo et al. 2024", usable_text=_IMAGE_ROWS,
    ),
    EncodingRow("none", cost=costs.NONE, paper="Haviv et al. 2022; Kazemnejad et al. 2023"),
)  # fmt: skip
BUILT_IN.update({_row.name: _row for _row in ROWS})
