"""Matched models that differ in their position encoding alone, and what the differences mean."""

from milepost.comparison.design import Design, Model, Training, Trial
from milepost.comparison.runner import Job, Plan, Progress
from milepost.comparison.sweep import compare

__all__ = ["Design", "Job", "Model", "Plan", "Progress", "Training", "Trial", "compare"]
