"""The doctor: a folder's limits, checks MP3xx of them, and changes that mend JSON fields."""

from milepost.diagnostics.doctor.case import CHECKS, Case, Change, Limit, Twin
from milepost.diagnostics.doctor.diagnosis import doctor
from milepost.diagnostics.doctor.fixes import apply_fixes, plan_fixes, preview_fixes
from milepost.diagnostics.doctor.text import measure_text

__all__ = [
    "CHECKS",
    "Case",
    "Change",
    "Limit",
    "Twin",
    "apply_fixes",
    "doctor",
    "measure_text",
    "plan_fixes",
    "preview_fixes",
]
