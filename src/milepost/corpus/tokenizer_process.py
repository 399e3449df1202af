"""A tokenizer in a process of its own, from the side of those who use it."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Int32

from milepost.corpus.frames import MAX_VOCABULARY, read_frame, write_frame
from milepost.errors import DataError, MissingExtra
from milepost.storage.processes import DEVNULL, PIPE, Popen, start_python

MAX_TOKENIZER_BYTES: Final = 200_000_000
"""Of a tokenizer's file."""
LOAD_SECONDS: Final = 2
"""Of computing, to load a file; one more for each ``LOAD_BYTES_A_SECOND``."""
LOAD_BYTES_A_SECOND: Final = 1_000_000
ENCODE_SECONDS: Final = 1
"""Of computing, to encode texts; one more for each ``CHARACTERS_A_SECOND``."""
CHARACTERS_A_SECOND: Final = 50_000
MEMORY_BYTES: Final = 400_000_000
"""Of the process, and ``MEMORY_A_BYTE`` more for each byte of file and text."""
MEMORY_A_BYTE: Final = 40
_MEMORY_OF_A_TEXT_BYTE: Final = 200
_FOLDER_BYTES: Final = 1 << 31  # transformers itself takes more than any tokenizer
_FOLDER_SECONDS: Final = 60
_WAIT: Final = 20  # seconds of waiting for each of computing: other processes compute too
_LIBRARIES: Final = {"json": ("tokenizers", "torch"), "folder": ("transformers", "torch"),
                     "sentencepiece": ("sentencepiece", "sentencepiece")}  # fmt: skip

Ids = Int32[np.ndarray, " tokens"]


@dataclass(frozen=True)
class TokenizerFacts:
    """What is known of a tokenizer once it is loaded.

    Args:
        vocabulary_size: one more than its largest id.
        ids: of the usual names of special tokens that it has.
        sha256: of its content.
        special: of a folder: ids of all special tokens but that of unknown words.
        mask: of a folder: id of the mask; ``None`` where there is none.
        pad: of a folder: id of the pad; ``None`` where there is none.
        files: of a folder: names that the files of such a tokenizer have.
    """

    vocabulary_size: int
    ids: Mapping[str, int]
    sha256: str
    special: Sequence[int] = ()
    mask: int | None = None
    pad: int | None = None
    files: Sequence[str] = ()


def require_library(kind: str) -> None:
    """Refuse a kind of tokenizer whose library is not installed.

    Raises:
        MissingExtra: MP106.
    """
    module, extra = _LIBRARIES[kind]
    absent = module in sys.modules and sys.modules[module] is None
    if absent or importlib.util.find_spec(module) is None:
        raise MissingExtra.of(extra, module)


class TokenizerProcess:
    """A tokenizer that is loaded and run in a child process.

    Its file may hold a regular expression that takes forever, rules that multiply a text, or what makes its
    library panic: the process is ended by limits of computing time and memory, and an error tells of it. On
    systems without such limits (Windows) waiting is limited alone.

    Args:
        name: as the user writes it, for errors.
        kind: ``json`` (content of a ``tokenizer.json``), ``sentencepiece`` (of a ``.model``) or ``folder``
            (its path, of local files that transformers reads).
        content: of that kind.

    Raises:
        DataError: MP110, for what is no tokenizer, is too large, or exceeds a limit. MissingExtra: MP106.
    """

    def __init__(self, name: str, kind: str, content: bytes) -> None:
        require_library(kind)
        self._process = start_python(
            ["-m", "milepost.corpus.tokenizer_child"],
            variables={"PYTHONWARNINGS": "ignore", "OPENBLAS_NUM_THREADS": "1"},
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            new_session=True,  # Ctrl-C reaches the owner alone
        )
        self._finalizer = weakref.finalize(self, _end, self._process)
        try:
            self.load(name, kind, content)
        except BaseException:
            self.close()
            raise

    def load(self, name: str, kind: str, content: bytes) -> None:
        """Put another tokenizer into the same process; arguments and errors are those of the class."""
        if len(content) > MAX_TOKENIZER_BYTES:
            raise DataError(
                "the tokenizer's file is too large",
                got=f"{name}: {len(content):,} bytes",
                fix=f"at most {MAX_TOKENIZER_BYTES:,} bytes are read",
            )
        folder = kind == "folder"
        self._name = name
        self._memory = MEMORY_BYTES + MEMORY_A_BYTE * len(content) + folder * _FOLDER_BYTES
        seconds = LOAD_SECONDS + (_FOLDER_SECONDS if folder else len(content) // LOAD_BYTES_A_SECOND)
        said, _ = self._ask({"kind": kind}, content, seconds, self._memory, _PROBLEMS[kind])
        self.facts = TokenizerFacts(**said)
        if self.facts.vocabulary_size > MAX_VOCABULARY:
            raise DataError(
                "the tokenizer's vocabulary is too large",
                got=f"{name}: largest id {self.facts.vocabulary_size - 1:,}",
                fix=f"at most {MAX_VOCABULARY:,} ids are used; number the tokens from 0",
            )

    @property
    def runs(self) -> bool:
        """Whether the process is there: what exceeds a limit ends it."""
        return self._process.poll() is None

    def encode_all(self, texts: Sequence[str], *, special: bool = False) -> list[Ids]:
        """The ids of texts, shape ``(tokens,)`` each; nothing is cut or padded.

        Args:
            texts: any number.
            special: add the special tokens that the file asks for.

        Raises:
            DataError: MP110, when the tokenizer fails, or takes more than its limits.
        """
        said, content = self._encode(texts, special=special, count=False)
        ids = np.frombuffer(content, np.uint32)
        if len(ids) and int(ids.max()) >= self.facts.vocabulary_size:
            raise DataError("the tokenizer gives ids that are not in its vocabulary",
                            got=f"{self._name}: {int(ids.max()):,} of {self.facts.vocabulary_size:,}",
                            fix="get the file again")  # fmt: skip
        return np.split(ids.astype(np.int32), np.cumsum(said["counts"])[:-1]) if texts else []

    def count_all(self, texts: Sequence[str], *, special: bool = False) -> list[int]:
        """The number of tokens of each text; else as ``encode_all``."""
        counts: list[int] = self._encode(texts, special=special, count=True)[0]["counts"]
        return counts

    def close(self) -> None:
        """End the process; otherwise it ends with the last reference to this object."""
        self._finalizer()

    def _encode(self, texts: Sequence[str], *, special: bool, count: bool) -> tuple[dict[str, Any], bytes]:
        pieces = [text.encode("utf-8", "replace") for text in texts]
        content = b"".join(pieces)
        return self._ask(
            {"sizes": list(map(len, pieces)), "special": special, "count": count},
            content,
            ENCODE_SECONDS + len(content) // CHARACTERS_A_SECOND,
            self._memory + _MEMORY_OF_A_TEXT_BYTE * len(content),
            "the tokenizer cannot encode this text",
        )

    def _ask(
        self, asked: dict[str, Any], content: bytes, seconds: int, memory: int, problem: str
    ) -> tuple[dict[str, Any], bytes]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        timer = threading.Timer(_WAIT * seconds, self._process.kill)
        timer.start()
        try:
            write_frame(stdin, asked | {"seconds": seconds, "bytes": memory}, content)
            said, answer = read_frame(stdout)
        except (OSError, EOFError, ValueError):  # it was ended, before or while it answered
            self.close()
            raise DataError(
                problem,
                got=f"{self._name}: it took more than {seconds} seconds of computing or {memory:,} bytes, or broke",
                fix="get the tokenizer from its source, or use another",
            ) from None
        finally:
            timer.cancel()
        if "error" in said:
            raise DataError(
                problem,
                got=f"{self._name}: {said['error']}",
                fix="get the tokenizer from its source, or use another",
            )
        return said, answer


_PROBLEMS: Final = {
    "json": "this is no tokenizer.json that can be read",
    "sentencepiece": "this is no SentencePiece model that can be read",
    "folder": "the folder holds no tokenizer that can be read",
}


def _end(process: Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe.close()  # type: ignore[union-attr]
