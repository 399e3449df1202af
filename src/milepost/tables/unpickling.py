"""Run as a program: read one pickled file in a process with limits, and answer for its tensors.

A line of JSON on standard input names the file; a line of JSON answers with its tensors, or with an error. Then each line with
a tensor's name is answered by its numbers: 8 bytes of length, a byte ``4`` or ``8`` for the kind of float, the numbers.
"""

from __future__ import annotations

import contextlib
import json
import stat
import struct
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from milepost.errors import DataError, MilepostError, UnsafeFile

MEMORY_BYTES: Final = 1 << 30
"""What reading may take beside the libraries and twice the size of the file."""
PROCESSOR_SECONDS: Final = 60
_INSIDE: Final = ("state_dict", "model", "model_state_dict")


def serve(path: Path) -> None:
    """Answer for the tensors of one file until standard input ends."""
    try:
        _check_archive(path)
        _set_limits(path)
        tensors = _load(path)
        listed = {key: [str(value.dtype), list(value.shape)] for key, value in tensors.items()}
        _say({"tensors": listed})
    except MilepostError as error:
        _say({"error": [error.code, error.problem, error.got, error.fix]})
        return
    for line in sys.stdin:
        content, wide = _numbers(tensors[json.loads(line)])
        sys.stdout.buffer.write(struct.pack("<Qc", len(content), b"8" if wide else b"4") + content)
        sys.stdout.buffer.flush()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


def _load(path: Path) -> dict[str, Any]:
    """The tensors by name, those that lie in the file; torch's ``weights_only`` unpickler alone sees it."""
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a hostile pickle makes torch raise
        raise UnsafeFile(
            f"{path.name!r} asks for more than tensors",
            got=", ".join(map(ascii, _globals_of(path))) or type(error).__name__,
            fix="do not load this file; ask for a safetensors one",
        ) from None
    found = {key: value for key, value in _state(loaded).items() if isinstance(value, torch.Tensor)}
    return {key: value for key, value in found.items() if value.layout == torch.strided and not value.is_meta}


def _numbers(tensor: Any) -> tuple[bytes, bool]:
    import torch

    wide = tensor.dtype == torch.float64
    values = tensor.detach().to(torch.float64 if wide else torch.float32).contiguous()
    return values.numpy().tobytes(), wide


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


def _set_limits(path: Path) -> None:
    """Bound processor time, memory, and writing to files, where the system can."""
    import torch  # noqa: F401  (what it takes itself is not the file's)

    try:
        import resource
    except ImportError:  # Windows: the parent's deadline alone
        return
    wanted = {
        resource.RLIMIT_CPU: int(resource.getrusage(resource.RUSAGE_SELF).ru_utime) + PROCESSOR_SECONDS,
        resource.RLIMIT_DATA: _data_bytes() + MEMORY_BYTES + 2 * path.stat().st_size,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in wanted.items():
        most = resource.getrlimit(limit)[1]
        kept = value if most == resource.RLIM_INFINITY else min(value, most)
        with contextlib.suppress(ValueError, OSError):  # macOS takes some limits and enforces others
            resource.setrlimit(limit, (kept, kept))


def _data_bytes() -> int:
    """Memory of this process that counts as data: Linux says it, elsewhere it is a guess."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) * 1024
    except (OSError, StopIteration, ValueError):
        return 1 << 31


if __name__ == "__main__":
    serve(Path(json.loads(sys.stdin.readline())))
