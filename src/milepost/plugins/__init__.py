"""Encodings, tasks and methods that are not Milepost's own: found by name, loaded when they are asked for."""

from milepost.plugins.imports import Code, complete, load_code, read_code, read_file
from milepost.plugins.registry import Registry

__all__ = ["Code", "Registry", "complete", "load_code", "read_code", "read_file"]
