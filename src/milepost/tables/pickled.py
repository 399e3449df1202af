"""Weights in torch's pickled format, read by a process of their own."""

from __future__ import annotations

import contextlib
import json
import struct
import weakref
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np

from milepost.errors import DataError, MissingExtra, OptionError, UnsafeFile
from milepost.storage.deadline import Deadline
from milepost.storage.processes import DEVNULL, PIPE, Popen, start_python
from milepost.tables.checkpoint import TensorEntry

SUFFIXES: Final = (".bin", ".pt", ".pth", ".ckpt")
SECONDS: Final = 60.0
"""What an answer may take, beside the time for the bytes of the file."""
_BYTES_PER_SECOND: Final = 20_000_000
_MAX_LIST_BYTES: Final = 50_000_000
_DTYPES: Final = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2", "complex64": "C64",
}  # fmt: skip

Rows = Callable[[str], np.ndarray]


def read_pickled(path: Path, allow_pickle: bool) -> tuple[dict[str, TensorEntry], Rows]:
    """The tensors of a pickled file, and a function that gives one of them as numbers.

    A process of its own opens the file, with bounded time, and on Linux bounded memory (1 GiB and twice the file's size). In
    it nothing but torch's ``weights_only`` unpickler sees the pickle, and only after the archive was found to be uncompressed,
    without names that stand twice or leave it, and no larger inside than outside. Sparse tensors and those without values
    are left out.

    Raises:
        OptionError: MP105, unless ``allow_pickle``.
        MissingExtra: MP106, without torch.
        UnsafeFile: MP130, for an archive that is none of that, a pickle that asks for more than tensors, and one that takes
            more time or memory than it may.
    """
    if not allow_pickle:
        raise OptionError(
            "the weights are pickled",
            got=ascii(path.name),
            fix="convert them to safetensors, or: --allow-pickle",
        )
    if find_spec("torch") is None:
        raise MissingExtra.of("torch", "torch")
    reader = _Reader(path)
    return reader.list_tensors(), reader.numbers


class _Reader:
    """The process that holds a file open; it ends with this object."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds = SECONDS + path.stat().st_size / _BYTES_PER_SECOND
        # standard error is thrown away: libraries warn there, and a hostile file chooses with what
        self._process = start_python(
            ["-m", "milepost.tables.unpickling"],
            variables={"OMP_NUM_THREADS": "1"},
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
        )
        weakref.finalize(self, _end, self._process)
        self._shapes: dict[str, tuple[int, ...]] = {}

    def list_tensors(self) -> dict[str, TensorEntry]:
        """Names, dtypes and shapes."""
        line = self._ask(str(self._path.resolve()), lambda out: out.readline(_MAX_LIST_BYTES))
        if not line.endswith(b"\n"):
            raise self._refusal(f"{len(line)} bytes of an answer")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            code, problem, got, fix = answer["error"]
            raise (DataError if code == DataError.code else UnsafeFile)(problem, got=got, fix=fix)
        found = {key: _entry(stated, self._path.name) for key, stated in answer["tensors"].items()}
        self._shapes = {key: entry.shape for key, entry in found.items()}
        return found

    def numbers(self, key: str) -> np.ndarray:
        """One tensor, in float32 or, stored so, in float64."""

        def receive(out: BinaryIO) -> tuple[bytes, bytes]:
            head = out.read(9)
            length = struct.unpack("<Qc", head)[0] if len(head) == 9 else 0
            return head[8:], out.read(length)

        kind, content = self._ask(key, receive)
        values = np.frombuffer(content, "<f8" if kind == b"8" else "<f4")
        shape = self._shapes[key]
        if not kind or values.size != int(np.prod(shape)):
            raise self._refusal(f"{len(content)} bytes of {key!a}"[:200])
        return values.reshape(shape)

    def _ask(self, question: str, receive: Callable[[BinaryIO], Any]) -> Any:
        """What the process answers; one that dies, or takes too long, is the file's fault."""

        def work() -> Any:
            stdin, stdout = (cast(BinaryIO, pipe) for pipe in (self._process.stdin, self._process.stdout))
            stdin.write(json.dumps(question).encode() + b"\n")
            stdin.flush()
            return receive(stdout)

        try:
            return Deadline().run(work, self._seconds)
        except TimeoutError as error:
            self._process.kill()
            raise self._refusal(str(error)) from None
        except (OSError, ValueError, struct.error) as error:
            raise self._refusal(type(error).__name__) from None

    def _refusal(self, got: str) -> UnsafeFile:
        code = self._process.poll()
        ended = "" if code is None else f"; the process that read it ended with {code}"
        return UnsafeFile(
            f"{self._path.name!r} cannot be read within the limits of time and memory",
            got=got + ended,
            fix="do not load this file; ask for a safetensors one",
        )


def _end(process: Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was still to be written has no reader any more
                pipe.close()
    process.wait()


def _entry(stated: list[Any], name: str) -> TensorEntry:
    dtype = str(stated[0]).removeprefix("torch.")
    return TensorEntry(_DTYPES.get(dtype, dtype), tuple(stated[1]), name, 0, 0)
