"""Weights in torch's pickled format, through ``weights_only`` alone; the one place here that imports torch."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from milepost.errors import DataError, MissingExtra, OptionError, UnsafeFile
from milepost.tables.checkpoint import TensorEntry

SUFFIXES: Final = (".bin", ".pt", ".pth", ".ckpt")
_INSIDE: Final = ("state_dict", "model", "model_state_dict")
_DTYPES: Final = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2", "complex64": "C64",
}  # fmt: skip
_WIDE: Final = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})

Rows = Callable[[str], np.ndarray]


def read_pickled(path: Path, allow_pickle: bool) -> tuple[dict[str, TensorEntry], Rows]:
    """The tensors of a pickled file, and a function that gives one of them as numbers.

    Nothing but torch's ``weights_only`` unpickler sees the file, and it only after the archive was found
    to be uncompressed, without names that stand twice or leave it, and no larger inside than outside.

    Raises:
        OptionError: MP105, unless ``allow_pickle``.
        MissingExtra: MP106, without torch.
        UnsafeFile: MP130, for an archive that is none of that, or a pickle that asks for more than tensors.
    """
    if not allow_pickle:
        raise OptionError(
            "the weights are pickled",
            got=ascii(path.name),
            fix="convert them to safetensors, or: --allow-pickle",
        )
    _check_archive(path)
    try:
        import torch
    except ImportError:
        raise MissingExtra.of("torch", "torch") from None
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a hostile pickle makes torch raise
        raise UnsafeFile(
            f"{path.name!r} asks for more than tensors",
            got=", ".join(map(ascii, _globals_of(path))) or type(error).__name__,
            fix="do not load this file; ask for a safetensors one",
        ) from None
    tensors = {key: value for key, value in _state(loaded).items() if isinstance(value, torch.Tensor)}

    def rows(key: str) -> np.ndarray:
        values = tensors[key].detach()
        return (
            values.to(torch.float64 if values.dtype == torch.float64 else torch.float32).contiguous().numpy()
        )

    return {key: _entry(value, path.name) for key, value in tensors.items()}, rows


def _entry(tensor: Any, name: str) -> TensorEntry:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return TensorEntry(_DTYPES.get(dtype, dtype), tuple(tensor.shape), name, 0, 0)


def _state(loaded: Any) -> Mapping[str, Any]:
    """The table of tensors: the document itself, or what stands under one of the usual names."""
    for name in _INSIDE:
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
            break
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise DataError(
            "the file holds no table of tensors", got=type(loaded).__name__, fix="save a state_dict"
        )
    return loaded


def _check_archive(path: Path) -> None:
    def refuse(problem: str, got: str) -> UnsafeFile:
        return UnsafeFile(f"{path.name!r}: {problem}", got=got, fix="ask for a safetensors file")

    if not stat.S_ISREG(path.stat().st_mode):
        raise refuse("it is no plain file", "a device, pipe or folder")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, struct.error, ValueError, OSError, NotImplementedError, EOFError) as error:
        raise refuse("it is no archive that torch writes today", type(error).__name__) from None
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise refuse("a name stands twice in the archive", f"{len(names) - len(set(names))} times")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise refuse("a part of the archive is compressed", ascii(member.filename[:80]))
        parts = PurePosixPath(member.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts:
            raise refuse("a name leaves the archive", ascii(member.filename[:80]))
    inside, outside = sum(member.file_size for member in members), path.stat().st_size
    if inside > outside:
        raise refuse("the archive says that it holds more than it has", f"{inside} bytes in {outside}")


def _globals_of(path: Path) -> list[str]:
    """What the pickle would import, for the error's text."""
    import torch

    try:
        return list(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))[:5]
    except Exception:  # a pickle too broken to be listed has been refused already
        return []
