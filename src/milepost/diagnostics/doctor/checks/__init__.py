"""Checks of a model's folder; each enters itself under its code.

A new check is one function in one of these files and one page in ``docs/doctor``.
"""

from milepost.diagnostics.doctor.checks import (  # noqa: F401  (each enters its checks when it is imported)
    config,
    copies,
    generation,
    images,
    padding,
    rotary,
    sentences,
    tokenizer,
    windows,
)
