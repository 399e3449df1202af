"""Result documents as pages and terminal tables; everything shown comes from the document alone.

Names are loaded when they are used: a terminal summary does not wait for what draws pages.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_PUBLIC = {
    "annotate": "milepost.reporting.findings",
    "check_log": "milepost.reporting.logs",
    "plain": "milepost.reporting.summary",
    "print_choose": "milepost.reporting.choose_terminal",
    "print_compare": "milepost.reporting.terminal",
    "print_cost": "milepost.reporting.cost_terminal",
    "print_doctor": "milepost.reporting.doctor_terminal",
    "print_extend": "milepost.reporting.extend_terminal",
    "print_inspect": "milepost.reporting.inspect_terminal",
    "print_plan": "milepost.reporting.plan_terminal",
    "print_patch": "milepost.reporting.tune_terminal",
    "print_report": "milepost.reporting.report_terminal",
    "print_tune": "milepost.reporting.tune_terminal",
    "read_schema": "milepost.reporting.schemas",
    "render_compare_html": "milepost.reporting.compare_page",
    "render_doctor_html": "milepost.reporting.page",
    "render_inspect_html": "milepost.reporting.page",
    "render_report_html": "milepost.reporting.report_page",
    "report": "milepost.reporting.runs",
    "write_csv": "milepost.reporting.curves",
    "write_logs": "milepost.reporting.logs",
    "render_inspect_png": "milepost.reporting.inspect_figures",
}

__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from milepost.reporting.choose_terminal import print_choose as print_choose
    from milepost.reporting.compare_page import render_compare_html as render_compare_html
    from milepost.reporting.cost_terminal import print_cost as print_cost
    from milepost.reporting.curves import write_csv as write_csv
    from milepost.reporting.doctor_terminal import print_doctor as print_doctor
    from milepost.reporting.extend_terminal import print_extend as print_extend
    from milepost.reporting.findings import annotate as annotate
    from milepost.reporting.inspect_figures import render_inspect_png as render_inspect_png
    from milepost.reporting.inspect_terminal import print_inspect as print_inspect
    from milepost.reporting.logs import check_log as check_log
    from milepost.reporting.logs import write_logs as write_logs
    from milepost.reporting.page import render_doctor_html as render_doctor_html
    from milepost.reporting.page import render_inspect_html as render_inspect_html
    from milepost.reporting.plan_terminal import print_plan as print_plan
    from milepost.reporting.report_page import render_report_html as render_report_html
    from milepost.reporting.report_terminal import print_report as print_report
    from milepost.reporting.runs import report as report
    from milepost.reporting.schemas import read_schema as read_schema
    from milepost.reporting.summary import plain as plain
    from milepost.reporting.terminal import print_compare as print_compare
    from milepost.reporting.tune_terminal import print_patch as print_patch
    from milepost.reporting.tune_terminal import print_tune as print_tune


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'milepost.reporting' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
