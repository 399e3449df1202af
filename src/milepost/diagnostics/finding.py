"""The shape of a finding, where the diagnostics look for it."""

from milepost.finding import STATUSES, Finding, Status

__all__ = ["STATUSES", "Finding", "Status"]
