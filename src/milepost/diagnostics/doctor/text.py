"""How much of a text each limit cuts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from milepost.diagnostics.doctor.case import Limit
from milepost.diagnostics.doctor.reading import locate
from milepost.errors import DataError, MissingExtra, OptionError, UnsafeFile
from milepost.tables import Folder

CUTTING: Final = ("usable", "trained", "tuned", "tokenizer", "truncation", "sentence_transformers")
_BATCH: Final = 512
_MAX_LINE_BYTES: Final = 64 * 1024 * 1024
_MAX_TOKENIZER_BYTES: Final = 200_000_000


def measure_text(
    file: str | os.PathLike[str], tokenizer: str | os.PathLike[str], limits: Mapping[str, Limit]
) -> dict[str, Any]:
    """Count the tokens of each line that is not blank, special tokens included, and what each limit leaves out.

    The tokenizer's own truncation and padding are turned off on a copy first: they would cap the counts.

    Returns:
        ``file``, ``tokenizer``, ``texts``, ``tokens``, ``longest``, ``median``, and by limit ``texts_cut``, ``tokens_cut`` and
        their shares of all.

    Raises:
        MissingExtra: MP106, without the tokenizers package. DataError: MP110, for files that cannot be read, or hold no text.
        UnsafeFile: MP130, for a tokenizer that cannot be loaded. OptionError: MP105, for one that is not local.
    """
    counter = _load(tokenizer)
    lengths: list[int] = []
    lines = _lines(Path(file))
    while batch := list(islice(lines, _BATCH)):
        lengths += [len(encoding.ids) for encoding in counter.encode_batch(batch)]
    if not lengths:
        raise DataError("the file holds no text", got=ascii(os.fspath(file)), fix="one text a line")
    counts = np.sort(np.asarray(lengths, dtype=np.int64))
    total = int(counts.sum())
    return {
        "file": os.fspath(file),
        "tokenizer": os.fspath(tokenizer),
        "texts": len(counts),
        "tokens": total,
        "longest": int(counts[-1]),
        "median": float(np.median(counts)),
        "limits": {
            name: _cut(counts, total, limits[name].value)
            for name in CUTTING
            if name in limits and limits[name].value is not None
        },
    }


def _cut(counts: np.ndarray, total: int, limit: int | None) -> dict[str, Any]:
    over = counts - (limit or 0)
    texts, tokens = int((over > 0).sum()), int(over[over > 0].sum())
    return {
        "limit": limit,
        "texts_cut": texts,
        "tokens_cut": tokens,
        "share_of_texts_cut": texts / len(counts),
        "share_of_tokens_cut": tokens / total if total else 0.0,
    }


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as stream:
            number = 0
            while line := stream.readline(_MAX_LINE_BYTES):
                number += 1
                if len(line) == _MAX_LINE_BYTES:
                    raise DataError(
                        "a line is too long",
                        got=f"line {number} of {path.name!a}",
                        fix="one text a line",
                    )
                if text := line.decode("utf-8-sig" if number == 1 else "utf-8").strip():
                    yield text
    except OSError as error:
        raise DataError("the text cannot be read", got=error.strerror or "", fix="check the path") from None
    except UnicodeDecodeError as error:
        raise DataError(
            "the text is not UTF-8", got=f"line {number + 1}: {error.reason}", fix="convert it"
        ) from None


def _load(tokenizer: str | os.PathLike[str]) -> Any:
    located = locate(tokenizer)
    if located is None:
        raise OptionError(
            "counting tokens needs a local tokenizer",
            got=ascii(os.fspath(tokenizer)),
            fix="add --tokenizer FOLDER",
        )
    with Folder(located) as folder:
        name = "tokenizer.json"
        if name not in folder.names:
            raise DataError(
                "there is no tokenizer.json", got=ascii(str(located)), fix="add --tokenizer FOLDER"
            )
        if folder.size(name) > _MAX_TOKENIZER_BYTES:
            raise UnsafeFile(
                "tokenizer.json is too large", got=f"{folder.size(name)} bytes", fix="get it again"
            )
        raw = folder.read(name, 0, folder.size(name))
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtra.of("torch", "tokenizers") from None
    try:
        loaded = Tokenizer.from_str(raw.decode("utf-8-sig"))
    except BaseException as error:  # a panic of its Rust code is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise UnsafeFile(
            "tokenizer.json cannot be loaded", got=ascii(str(error))[:160], fix="get it again"
        ) from None
    loaded.no_truncation()
    loaded.no_padding()
    return loaded
