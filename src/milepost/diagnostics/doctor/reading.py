"""From a model's folder or Hub id to what the checks look at."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from milepost.diagnostics.doctor.folder import ModelFolder, Twin
from milepost.diagnostics.doctor.limits import measure_limits
from milepost.diagnostics.doctor.twins import find_twins
from milepost.errors import OptionError
from milepost.storage.files import expand
from milepost.storage.json_edits import members
from milepost.tables import (
    INDEX,
    MAX_HEADER_BYTES,
    Checkpoint,
    Folder,
    HubModel,
    locate_transformer,
    parse_json,
    read,
    read_modules,
    recognise,
)

OBJECTS = (
    "config.json",
    "open_clip_config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "preprocessor_config.json",
    INDEX,
)
_HEAD_BYTES = 128 * 1024
_LARGE_BYTES = 4_000_000


def read_folder(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    max_header_bytes: int = MAX_HEADER_BYTES,
    allow_pickle: bool = False,
) -> ModelFolder:
    """Read everything that the checks look at; what is malformed is refused, what is missing is left out.

    Raises:
        MilepostError: what ``milepost.tables.read`` raises. OptionError: MP105, for a bare table.
    """
    located = locate_transformer(model)
    checkpoint = read(
        model if located is None else located,
        revision=revision,
        max_header_bytes=max_header_bytes,
        allow_pickle=allow_pickle,
    )
    keys = checkpoint.weight_map or checkpoint.tensors
    matches = {match.key: match for match in recognise(checkpoint.config, keys)[2]}
    with _opened(checkpoint) as source:
        documents = _read_documents(source)
        twins: tuple[Twin, ...] = find_twins(source, checkpoint)
    if located is not None and located != expand(model):
        with Folder(expand(model)) as outer:
            documents["modules.json"] = {"modules": read_modules(outer)}
    folder = ModelFolder(
        checkpoint=replace(checkpoint, source=os.fspath(model)),
        placed=tuple((table, matches[table.key]) for table in checkpoint.tables),
        documents=documents,
        twins=twins,
    )
    return replace(folder, limits=measure_limits(folder))


@contextmanager
def _opened(checkpoint: Checkpoint) -> Iterator[Folder | HubModel]:
    if checkpoint.kind == "npy":
        raise OptionError(
            "a bare table has no folder to check", got=ascii(checkpoint.source), fix="use milepost inspect"
        )
    if checkpoint.folder is None:
        with HubModel(checkpoint.source, checkpoint.commit) as remote:
            yield remote
    else:
        with Folder(Path(checkpoint.folder)) as folder:
            yield folder


def _read_documents(source: Folder | HubModel) -> dict[str, Mapping[str, Any]]:
    documents: dict[str, Mapping[str, Any]] = {
        name: source.read_json(name) for name in OBJECTS if name in source.names
    }
    if "tokenizer.json" in source.names:
        documents["tokenizer.json"] = _read_tokenizer(source)
    if "modules.json" in source.names:
        documents["modules.json"] = {"modules": read_modules(source)}
    return documents


def _read_tokenizer(source: Folder | HubModel) -> dict[str, Any]:
    """Truncation, padding and added tokens, of large files from their head: there the tokenizers library writes them."""
    name, wanted = "tokenizer.json", ("truncation", "padding", "added_tokens")
    found: dict[str, Any] = {}
    if (size := source.size(name)) > (_HEAD_BYTES if source.kind == "hub" else _LARGE_BYTES):
        text = source.read(name, 0, min(size, _HEAD_BYTES)).decode("utf-8", errors="replace")
        try:
            for member, _, begin, end in members(text):
                if member in wanted:
                    found |= parse_json(f'{{"{member}": {text[begin:end]}}}'.encode(), name)
                if len(found) == len(wanted):
                    return found
        except (ValueError, RecursionError):
            if {"truncation", "padding"} <= found.keys():
                return found  # the list of added tokens is longer than the head; who needs it goes without
            # the head ends in the middle of something: read it all
    whole = source.read_json(name)
    return {member: whole[member] for member in wanted if member in whole}
