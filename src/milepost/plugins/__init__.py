"""Encodings, tasks and methods that are not Milepost's own: found by name, loaded when they are asked for."""

from milepost.plugins.imports import Code, Imports, complete, load_code, load_imports, read_code, read_file
from milepost.plugins.modules import place_of
from milepost.plugins.registry import Registry

__all__ = [
    "Code",
    "Imports",
    "Registry",
    "complete",
    "load_code",
    "load_imports",
    "place_of",
    "read_code",
    "read_file",
]
