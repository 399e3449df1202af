"""How much of a text each limit cuts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from milepost.corpus import MAX_TOKENIZER_BYTES, TokenizerProcess
from milepost.diagnostics.doctor.folder import Limit
from milepost.errors import DataError, OptionError, UnsafeFile
from milepost.storage.files import expand, open_regular
from milepost.tables import Folder, locate_transformer

CUTTING: Final = ("usable", "trained", "tuned", "tokenizer", "truncation", "sentence_transformers")
_BATCH: Final = 512
_MAX_LINE_BYTES: Final = 64 * 1024 * 1024


def measure_text(
    file: str | os.PathLike[str], tokenizer: str | os.PathLike[str], limits: Mapping[str, Limit]
) -> dict[str, Any]:
    """Count the tokens of each line that is not blank, special tokens included, and what each limit leaves out.

    The tokenizer's own truncation and padding are turned off first: they would cap the counts. It runs in a process of its
    own, with limits of computing time and memory.

    Returns:
        ``file``, ``tokenizer``, ``texts``, ``tokens``, ``longest``, ``median``, and by limit ``texts_cut``, ``tokens_cut`` and
        their shares of all.

    Raises:
        MissingExtra: MP106, without the tokenizers package. DataError: MP110, for files that cannot be read, or hold no text,
            and a tokenizer that fails or exceeds its limits. UnsafeFile: MP130, for one that is too large. OptionError: MP105, for one that is not local.
    """
    counter = _load(tokenizer)
    lengths: list[int] = []
    lines = _lines(expand(file))
    while batch := list(islice(lines, _BATCH)):
        lengths += counter.count_all(batch, special=True)
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
        with open_regular(path) as stream:
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


def _load(tokenizer: str | os.PathLike[str]) -> TokenizerProcess:
    located = locate_transformer(tokenizer)
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
        if folder.size(name) > MAX_TOKENIZER_BYTES:
            raise UnsafeFile(
                "tokenizer.json is too large", got=f"{folder.size(name)} bytes", fix="get it again"
            )
        raw = folder.read(name, 0, folder.size(name))
    return TokenizerProcess(os.fspath(located), "json", raw)
