"""What all terminal renderings share: text that cannot steer the terminal, and an ASCII form of everything."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

NAME_WIDTH = 24
_ASCII = str.maketrans({"−": "-", "–": "-", "×": "x", "·": "|", "…": "...", "“": '"', "”": '"', "’": "'"})


def say(console: Console, text: str, style: str = "", indent: str = "") -> None:
    """Print a paragraph, wrapped between words; lines after the first start with ``indent``."""
    lines = textwrap.fill(text, console.width, subsequent_indent=indent, break_on_hyphens=False)
    console.print(styled(lines, console.options.ascii_only, style))


def styled(text: str, ascii_only: bool, style: str = "") -> Text:
    """Text that rich does not read mark-up in."""
    from rich.text import Text

    return Text(to_ascii(text) if ascii_only else text, style=style)


def to_ascii(text: str) -> str:
    """What an ASCII-only terminal can show; the marks we use ourselves have their own equivalents.

    >>> to_ascii("512 × 768 é")
    '512 x 768 \\\\xe9'
    """
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def make_table(ascii_only: bool, first: str, heads: Sequence[str]) -> Table:
    """An empty table: names on the left, then columns that keep to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.ASCII if ascii_only else box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(first, max_width=NAME_WIDTH, overflow="fold")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def plural(noun: str, n: int) -> str:
    """``seed`` or ``seeds``.

    >>> plural("row", 2)
    'rows'
    """
    return noun if n == 1 else f"{noun}s"
