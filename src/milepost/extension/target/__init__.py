"""Which tables grow together and to what, or why a model cannot be given another length."""

from milepost.extension.target.base import Size, Target
from milepost.extension.target.choose import choose_target
from milepost.extension.target.text import rule_types

__all__ = ["Size", "Target", "choose_target", "rule_types"]
