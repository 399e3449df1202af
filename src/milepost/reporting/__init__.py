"""Result documents as pages and terminal tables; everything shown comes from the document alone.

Names are loaded when they are used: a terminal summary does not wait for what draws pages.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_PUBLIC = {
    "annotate": "milepost.reporting.findings",
    "check_log": "milepost.reporting.logs",
    "plain": "milepost.reporting.words",
    "print_choose": "milepost.reporting.text.choose",
    "print_compare": "milepost.reporting.text.compare",
    "print_cost": "milepost.reporting.text.cost",
    "print_doctor": "milepost.reporting.text.doctor",
    "print_extend": "milepost.reporting.text.extend",
    "print_inspect": "milepost.reporting.text.inspect",
    "print_plan": "milepost.reporting.text.plan",
    "print_patch": "milepost.reporting.text.tune",
    "print_report": "milepost.reporting.text.report",
    "print_tune": "milepost.reporting.text.tune",
    "read_schema": "milepost.reporting.schemas",
    "render_compare_html": "milepost.reporting.html.compare",
    "render_doctor_html": "milepost.reporting.html.doctor",
    "render_inspect_html": "milepost.reporting.html.inspect",
    "render_report_html": "milepost.reporting.html.report",
    "write_csv": "milepost.reporting.curves",
    "write_logs": "milepost.reporting.logs",
    "render_inspect_png": "milepost.reporting.figures.inspect",
}

__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from milepost.reporting.curves import write_csv as write_csv
    from milepost.reporting.figures.inspect import render_inspect_png as render_inspect_png
    from milepost.reporting.findings import annotate as annotate
    from milepost.reporting.html.compare import render_compare_html as render_compare_html
    from milepost.reporting.html.doctor import render_doctor_html as render_doctor_html
    from milepost.reporting.html.inspect import render_inspect_html as render_inspect_html
    from milepost.reporting.html.report import render_report_html as render_report_html
    from milepost.reporting.logs import check_log as check_log
    from milepost.reporting.logs import write_logs as write_logs
    from milepost.reporting.schemas import read_schema as read_schema
    from milepost.reporting.text.choose import print_choose as print_choose
    from milepost.reporting.text.compare import print_compare as print_compare
    from milepost.reporting.text.cost import print_cost as print_cost
    from milepost.reporting.text.doctor import print_doctor as print_doctor
    from milepost.reporting.text.extend import print_extend as print_extend
    from milepost.reporting.text.inspect import print_inspect as print_inspect
    from milepost.reporting.text.plan import print_plan as print_plan
    from milepost.reporting.text.report import print_report as print_report
    from milepost.reporting.text.tune import print_patch as print_patch
    from milepost.reporting.text.tune import print_tune as print_tune
    from milepost.reporting.words import plain as plain


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'milepost.reporting' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
