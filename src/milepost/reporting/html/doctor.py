"""A ``doctor`` document as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from milepost.reporting import findings, words
from milepost.reporting.html.page import render_page


def render_doctor_html(result: Mapping[str, Any]) -> str:
    """Render a ``doctor`` document as one HTML page, under the promises of `render_page`.

    Args:
        result: the document that ``doctor`` returns, as in ``schemas/doctor.json``. Left untouched.

    Returns:
        The page, to be written as UTF-8.
    """
    document = words.clean(result)
    return render_page(
        "doctor.html.j2",
        document=document,
        headline=findings.doctor_headline(document),
        model=findings.describe_model(document),
    )
