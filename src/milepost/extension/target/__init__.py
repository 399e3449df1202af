"""Which tables grow together and to what, or why a model cannot be given another length."""

from milepost.extension.target.choose import Target, choose_target, rule_types
from milepost.extension.target.image import Size

__all__ = ["Size", "Target", "choose_target", "rule_types"]
