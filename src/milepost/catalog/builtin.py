"""The rows of the encodings that come with the package, in the order of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from milepost.catalog import costs, rotary
from milepost.catalog.checks import check_buckets, check_patches, check_quarters, check_rank
from milepost.catalog.geometry import Geometry
from milepost.catalog.row import EncodingRow, RowText, add_row, find_row, require_grid
from milepost.options import Option, SpecOptions, nested, number, whole, word

STRETCHED = ("linear", "bicubic")
"""Ways of ``past`` to resample rows for an image of another grid."""
_GRID = frozenset({"grid"})
_THETA = number(10000.0, above=1)
_UNLIMITED, _INSIDE, _ZERO = "∞", "as inside", "the table starts at 0"
_RMS = "`rms=auto`: rms of the {}embeddings; `raw`: 0.71, {}"


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
    return EncodingRow(name, options | more, ("vectors",), check=_check_table, inside=_rows, usable=_limited)


add_row(
    replace(
        table_row("learned", rank=whole(0, least=0, note="full")),
        check=_check_learned,
        cost=costs.LEARNED,
        text=RowText(
            "`max_len` of the model; ∞ with any other `past`",
            "`std=auto`: rms of the token embeddings",
            "Gehring et al. 2017; Devlin et al. 2019",
        ),
    )
)
add_row(
    EncodingRow(
        "sinusoidal",
        {"theta": _THETA, "rms": number("auto", "raw", least=0)},
        ("vectors",),
        cost=costs.SINUSOIDAL,
        text=RowText(_UNLIMITED, _RMS.format("token ", "the paper's"), "Vaswani et al. 2017"),
    )
)
add_row(
    EncodingRow(
        "rotary",
        rotary.OPTIONS,
        ("rotate",),
        check=_check_rotary,
        cost=costs.ROTARY,
        text=RowText(
            _UNLIMITED,
            "none: it turns, and keeps lengths",
            "Su et al. 2021; scalings: Chen et al. 2023, bloc97 2023, emozilla 2023, Peng et al. 2023, "
            "Llama team 2024, Ding et al. 2024",
        ),
    )
)
add_row(
    EncodingRow(
        "xpos",
        {"theta": _THETA, "scale_base": number(512.0, least=1), "gamma": number(0.4, above=0)},
        ("rotate",),
        frozenset({"causal"}),
        check=_check_xpos,
        cost=costs.XPOS,
        text=RowText("∞; exact up to about 32,000 positions, 4,500 in float16", "none", "Sun et al. 2022"),
    )
)
add_row(
    EncodingRow(
        "alibi",
        places=("bias",),
        cost=costs.ALIBI,
        text=RowText(_UNLIMITED, "none: slopes are fixed", "Press et al. 2022"),
    )
)
add_row(
    EncodingRow(
        "t5",
        {"buckets": whole(32, least=2, even=True), "max_distance": whole(128, least=2)},
        ("bias",),
        check=_check_t5,
        cost=costs.T5,
        text=RowText(_UNLIMITED, _ZERO, "Raffel et al. 2020"),
    )
)
add_row(
    EncodingRow(
        "shaw",
        {"max_distance": whole(16, least=1)},
        ("bias",),
        cost=costs.SHAW,
        text=RowText(_UNLIMITED, _ZERO, "Shaw et al. 2018"),
    )
)
add_row(
    EncodingRow(
        "kerple",
        {"variant": word("log", "power")},
        ("bias",),
        cost=costs.KERPLE,
        text=RowText(
            _UNLIMITED,
            "drawn uniformly: `log` r1 in (0, 2), r2 in (0, 1); `power` r1 in (0, 1), r2 in (0, 2)",
            "Chi et al. 2022",
        ),
    )
)
add_row(
    EncodingRow(
        "fire",
        {"width": whole(32, least=1), "threshold": number(512.0, least=1)},
        ("bias",),
        cost=costs.FIRE,
        text=RowText(_UNLIMITED, "c at 0.1, the network as torch's linear layers", "Li et al. 2023"),
    )
)
add_row(
    EncodingRow(
        "sandwich",
        {"width": whole(128, least=2, even=True)},
        ("bias",),
        cost=costs.SANDWICH,
        text=RowText(_UNLIMITED, "none", "Chi et al. 2023"),
    )
)
add_row(
    EncodingRow(
        "randomized",
        {"inner": nested("learned", _options_of), "max_len": whole(2048, least=1)},
        ("vectors", "rotate", "bias"),
        frozenset({"whole"}),
        inner="inner",
        inside=_drawn,
        text=RowText(_INSIDE, "as inside, for `max_len` positions", "Ruoss et al. 2023"),
    )
)
add_row(
    EncodingRow(
        "shape",
        {"inner": nested("sinusoidal", _options_of), "max_shift": whole(100, least=0)},
        ("vectors", "rotate", "bias"),
        inner="inner",
        inside=_shifted,
        text=RowText(_INSIDE, _INSIDE, "Kiyono et al. 2021"),
    )
)
add_row(
    EncodingRow(
        "learned2d",
        {"std": number("auto", least=0), "past": word("error", "bicubic")},
        ("vectors",),
        _GRID,
        inside=_patches_and_prefix,
        usable=_limited,
        cost=costs.LEARNED_2D,
        text=RowText(
            "the patches and the prefix of the model; ∞ with `past=bicubic`",
            "`std=auto`: rms of the embeddings",
            "Dosovitskiy et al. 2021, appendix D.4",
        ),
    )
)
add_row(
    EncodingRow(
        "sinusoidal2d",
        {"theta": _THETA, "rms": number("auto", "raw", least=0)},
        ("vectors",),
        _GRID,
        cost=costs.SINUSOIDAL_2D,
        text=RowText("∞ rows of the image", _RMS.format("", "MAE's"), "He et al. 2022"),
    )
)
add_row(
    EncodingRow(
        "rotary2d",
        {"theta": number(100.0, above=1)},
        ("rotate",),
        _GRID,
        check=lambda options, geometry: check_quarters(geometry.head_dim),
        cost=costs.ROTARY_2D,
        text=RowText("∞ rows of the image", "none", "Heo et al. 2024"),
    )
)
add_row(
    EncodingRow(
        "none",
        cost=costs.NONE,
        text=RowText(_UNLIMITED, "none", "Haviv et al. 2022; Kazemnejad et al. 2023"),
    )
)
