"""Result documents as pages and terminal tables; everything shown comes from the document alone."""

from __future__ import annotations

from milepost.reporting.page import render_compare_html
from milepost.reporting.schemas import read_schema
from milepost.reporting.summary import plain
from milepost.reporting.terminal import print_compare

__all__ = ["plain", "print_compare", "read_schema", "render_compare_html"]
