"""What all renderings share: text made safe to show, and numbers as they are written."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any


def plain(text: str) -> str:
    """Make a name safe to show: control, bidi and other invisible characters become visible escapes.

    >>> plain("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(
        char.encode("unicode_escape", "backslashreplace").decode("ascii")
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else char
        for char in text
    )


def clean(document: Any) -> Any:
    """Copy a document with every string made `plain`, and every number that is not finite made ``None``."""
    # numbers first: there are thousands of them, and the abstract classes below are slow to ask
    if document is None or isinstance(document, int):
        return document
    if isinstance(document, float):
        return document if math.isfinite(document) else None
    if isinstance(document, str):
        return plain(document)
    if isinstance(document, Mapping):
        return {plain(str(key)): clean(value) for key, value in document.items()}
    if isinstance(document, Sequence):
        return [clean(value) for value in document]
    return document


def mean(values: Sequence[float]) -> float | None:
    """Average of ``values``; ``None`` of nothing."""
    return sum(values) / len(values) if values else None


# numbers as both renderings write them; a missing one is a dash, a minus is a minus sign


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed digits.

    >>> number(-0.12), number(-0.0001), number(None)
    ('−0.120', '0.000', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    if not float(text):
        text = text.lstrip("-")
    return text.replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """A difference: its sign is always written, but zero has none.

    >>> signed(0.25), signed(-0.25), signed(0.0)
    ('+0.250', '−0.250', '0.000')
    """
    text = number(value, digits)
    return text if value is None or text[0] in "−–" or not float(text) else f"+{text}"


def percent(value: float | None) -> str:
    """A share as a signed percentage.

    >>> percent(0.153)
    '+15.3 %'
    """
    return "–" if value is None else f"{signed(100 * value, 1)} %"


def count(value: float | None) -> str:
    """A whole number with groups of three.

    >>> count(393216.0)
    '393,216'
    """
    return "–" if value is None else f"{round(value):,}".replace("-", "−")


def signed_count(value: float | None) -> str:
    """A difference of counts: its sign is always written, but zero has none.

    >>> signed_count(2048), signed_count(0)
    ('+2,048', '0')
    """
    return f"+{count(value)}" if value is not None and value > 0 else count(value)


def capitalised(text: str) -> str:
    """Begin a title with a capital, and leave its other letters alone.

    >>> capitalised("macro-F1")
    'Macro-F1'
    """
    return text[:1].upper() + text[1:]


def p_value(value: float | None) -> str:
    """A probability to three digits, never rounded to zero.

    >>> p_value(0.00004)
    '< 0.001'
    """
    return "< 0.001" if value is not None and value < 0.001 else number(value)


def size(value: float | None) -> str:
    """Bytes in binary units.

    >>> size(1_572_864)
    '1.5 MiB'
    """
    if value is None:
        return "–"
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
