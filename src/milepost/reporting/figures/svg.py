"""Matplotlib figures as inline SVG that takes its colours and fonts from the page.

Figures are drawn in stand-in colours and stand-in words; both are exchanged in the finished SVG. So one drawing
serves light and dark, and no text of a user ever passes through matplotlib's own mark-up or font look-up.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from milepost.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SERIES = 8  # distinguishable at once by colour, marker and dashes
INK, MUTED, RULE, PAPER, ACCENT = "#010001", "#010002", "#010003", "#010004", "#010005"
_PAGE_COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
    ACCENT: "var(--accent)",
    **{f"#02000{k}": f"var(--s{k})" for k in range(SERIES)},
}
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.image_inline": True,
    "font.size": 12,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 1,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "lines.linewidth": 2,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_INHERITED = ("fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-linejoin")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def series_colour(index: int) -> str:
    """The stand-in for the page's colour of the series ``index``."""
    return f"#02000{index}"


def stand_in(index: int) -> str:
    """The stand-in for the word ``index`` handed to `to_svg`."""
    return f"@{index}@"


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with the report's settings, whatever a user's matplotlibrc says; theirs are back afterwards.

    Raises:
        MissingExtra: MP106, when matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtra.of("report", "matplotlib") from error
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def new_figure(width: float, height: float) -> Figure:
    """A blank figure of so many CSS pixels, outside pyplot's books."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72))


def to_svg(figure: Figure, *, key: str, title: str, description: str, words: Sequence[str] = ()) -> str:
    """Write a figure as one ``<svg>`` element, the same bytes each time.

    Args:
        figure: drawn within `own_settings`.
        key: prefix of all ids, so that several drawings fit on one page.
        title: short name, read out first.
        description: what a reader who cannot see the figure should know.
        words: what each `stand_in` stands for, in order; any text is safe.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    matplotlib.rcParams["svg.hashsalt"] = key
    buffer = io.BytesIO()
    nothing: Any = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(buffer, metadata=nothing)
    root = ElementTree.fromstring(buffer.getvalue())
    exchange = {stand_in(index): word for index, word in enumerate(words)}
    for element in root.iter():
        _adapt(element, exchange)
    _tidy(root)
    _rename_ids(root, key)
    view = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": view, "role": "img", "aria-labelledby": f"{key}-title {key}-text"})
    for tag, text in (("desc", description), ("title", title)):
        child = ElementTree.Element(tag, id=f"{key}-{'title' if tag == 'title' else 'text'}")
        child.text = text
        root.insert(0, child)
    return ElementTree.tostring(root, encoding="unicode")


def _adapt(element: ElementTree.Element, exchange: dict[str, str]) -> None:
    """Styles become attributes (the page's security policy allows no inline style), and stand-ins the real thing."""
    element.tag = element.tag.removeprefix(_SVG)
    element.tail = None
    for pair in filter(None, element.attrib.pop("style", "").split(";")):
        name, value = pair.split(":", 1)
        element.set(name.strip(), value.strip())
    element.attrib.pop("font-family", None)
    if element.tag == "g":
        element.attrib.pop("id", None)
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    if _LINK in element.attrib:
        element.set("href", re.sub(r"\s+", "", element.attrib.pop(_LINK)))
    for name, value in element.attrib.items():
        if name != "href":
            short = _LONG_NUMBER.sub(lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), value)
            element.set(name, _PAGE_COLOURS.get(short, " ".join(short.split())))
    if element.tag == "text":
        element.text = exchange.get(element.text or "", element.text)
    elif element.text and not element.text.strip():
        element.text = None


def _tidy(parent: ElementTree.Element) -> None:
    """Leave out what shows nothing, and say once on a group what all its marks share; most of the bytes go."""
    for child in list(parent):
        _tidy(child)
        empty = child.tag in ("g", "defs") and not len(child)
        invisible = child.tag == "path" and child.get("fill") == "none" and "stroke" not in child.attrib
        if empty or invisible or child.tag in ("style", "metadata"):
            parent.remove(child)
        elif child.tag == "g" and not child.attrib:
            at = list(parent).index(child)
            parent[at : at + 1] = list(child)
    if len(parent) > 1 and all(child.tag == "use" for child in parent):
        for name, value in list(parent[0].attrib.items()):
            if name in _INHERITED and all(child.get(name) == value for child in parent):
                parent.set(name, value)
                for child in parent:
                    del child.attrib[name]


def _rename_ids(root: ElementTree.Element, key: str) -> None:
    """Keep only the ids that something refers to, numbered in order of appearance."""
    used: dict[str, str] = {}
    for element in root.iter():
        for name, value in element.attrib.items():
            target = value[1:] if name == "href" and value.startswith("#") else None
            if match := _REFERENCE.fullmatch(value):
                target = match[1]
            if target is not None:
                used.setdefault(target, f"{key}-{len(used)}")
                element.set(name, f"#{used[target]}" if name == "href" else f"url(#{used[target]})")
    for element in root.iter():
        if new := used.get(element.attrib.pop("id", "")):
            element.set("id", new)
