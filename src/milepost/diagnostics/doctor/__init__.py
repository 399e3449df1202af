"""The doctor: a folder's limits, checks MP3xx of them, and changes that fix JSON fields."""

from milepost.diagnostics.doctor.diagnosis import diagnose
from milepost.diagnostics.doctor.fixes import apply_fixes, describe_fixes, plan_fixes, preview_fixes
from milepost.diagnostics.doctor.folder import CHECKS, Limit, ModelFolder, Twin
from milepost.diagnostics.doctor.text import measure_text
from milepost.finding import FieldChange

__all__ = [
    "CHECKS",
    "FieldChange",
    "Limit",
    "ModelFolder",
    "Twin",
    "apply_fixes",
    "describe_fixes",
    "diagnose",
    "measure_text",
    "plan_fixes",
    "preview_fixes",
]
