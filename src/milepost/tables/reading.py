"""Read a model's position tables from a folder, a file or the Hub, without building the model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from milepost.errors import DataError, NoTable, OptionError, UnknownFamily, UnsafeFile
from milepost.storage.files import expand
from milepost.storage.folder import Folder, check_name
from milepost.tables.build import (
    COUNTS_FILE,
    build_table,
    check_size,
    check_table,
    counts_key,
    parse_npy,
    read_counts,
)
from milepost.tables.checkpoint import Checkpoint, PositionTable, TensorEntry
from milepost.tables.family import Family
from milepost.tables.header import LONGEST_HEADER_BYTES, MAX_HEADER_BYTES, read_header
from milepost.tables.hub import HubModel, is_hub_id
from milepost.tables.numbers import decode
from milepost.tables.pickled import SUFFIXES, read_pickled
from milepost.tables.recognition import Match, recognise, unknown

INDEX: Final = "model.safetensors.index.json"
_WEIGHTS: Final = ("model.safetensors", INDEX, "open_clip_model.safetensors")
_PICKLED: Final = ("pytorch_model.bin", "open_clip_pytorch_model.bin")
_CONFIGS: Final = ("config.json", "open_clip_config.json")

Source = Folder | HubModel


@dataclass(frozen=True)
class _Weights:
    """The tensors of a model, and how one of them is read."""

    tensors: Mapping[str, TensorEntry]
    numbers: Callable[[str], np.ndarray]
    metadata: Mapping[str, str] = field(default_factory=dict)
    weight_map: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True


def read(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    tensor: str | None = None,
    first_row: int | None = None,
    max_header_bytes: int = MAX_HEADER_BYTES,
    allow_pickle: bool = False,
) -> Checkpoint:
    """Read what a model's files say about positions, and the rows of its position tables.

    Guarantee: no model is built, no torch imported and nothing unpickled (but with ``allow_pickle``), nothing
    written, and no file opened outside the model's folder. Only headers and tables are read.

    Args:
        model: a folder, a ``.safetensors`` file, a ``.npy`` table, or a Hub id. What exists on disk comes first.
        revision: of a Hub id: branch, tag or commit.
        tensor: the key of the table, where the family is unknown or several tables could be meant.
        first_row: the row of position 0 of that table; wanted for a bare table.
        max_header_bytes: longer headers are refused; at most 100,000,000.
        allow_pickle: let torch's ``weights_only`` loader read ``.bin`` and ``.pt``.

    Returns:
        A checkpoint; its ``tables`` are empty for a model that has none, as one with rotary positions.
        Rows are float32 (float64 where stored so), exact.

    Raises:
        UnsafeFile: MP130, malformed or hostile files. DataError: MP110, files that are missing or change.
        UnknownFamily: MP120, no family fits. NoTable: MP122, no such tensor. HubError: MP131.
        OptionError: MP105, options that do not fit the model.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/table.npy", np.zeros((10, 4), np.float32))
    ...     read(f"{folder}/table.npy", first_row=2).table().usable_length
    8
    """
    text = os.fspath(model)
    path = expand(text)
    if revision is not None and (path.exists() or not is_hub_id(text)):
        raise OptionError(
            "only a model on the Hub has revisions", got=ascii(text), fix="leave out --revision"
        )
    if first_row is not None and first_row < 0:
        raise OptionError("the first row is a row of the table", got=str(first_row), fix="give 0 or more")
    if not 0 < max_header_bytes <= LONGEST_HEADER_BYTES:
        raise OptionError(
            "the limit of a header is out of range",
            got=f"--max-header-bytes {max_header_bytes}",
            fix=f"give 1 to {LONGEST_HEADER_BYTES}; the safetensors library reads no longer ones",
        )
    choice = _Choice(tensor, first_row)
    if text and path.is_dir():
        with Folder(path) as folder:
            return _read_model(folder, text, choice, max_header_bytes, allow_pickle)
    if text and path.exists():
        return _read_file(path, text, choice, max_header_bytes, allow_pickle)
    if is_hub_id(text):
        with HubModel(text, revision) as remote:
            return _read_model(remote, text, choice, max_header_bytes, allow_pickle)
    raise DataError("there is no such model", got=ascii(text[:200]), fix="give a folder, a file or a Hub id")


@dataclass(frozen=True)
class _Choice:
    """What the user says about the table."""

    tensor: str | None = None
    first_row: int | None = None


def _read_file(path: Path, text: str, choice: _Choice, limit: int, allow_pickle: bool) -> Checkpoint:
    real = path.resolve()
    with Folder(path.parent) as folder, Folder(real.parent) as target:
        # a link that the user named is theirs to follow; a Hub cache's has its configuration beside the link
        source, name = (folder, path.name) if folder.holds(path.name) else (target, real.name)
        if path.suffix == ".npy":
            return _read_npy(source, name, text, choice)
        if path.suffix == ".safetensors":
            weights = _open_shards(source, [name], limit)
        elif path.suffix in SUFFIXES:
            weights = _open_pickled(source, name, allow_pickle)
        else:
            raise DataError(
                "this is no file that holds a position table",
                got=ascii(path.name),
                fix="give a folder, .safetensors or .npy",
            )
        return _assemble(source, text, "file", weights, choice, (name,))


def _read_model(source: Source, text: str, choice: _Choice, limit: int, allow_pickle: bool) -> Checkpoint:
    name = next((name for name in _WEIGHTS if name in source.names), None)
    pickled = next((name for name in _PICKLED if name in source.names), None)
    if name == INDEX:
        weights = _open_sharded(source, choice, limit)
    elif name is not None:
        weights = _open_shards(source, [name], limit)
    elif pickled is not None and isinstance(source, Folder):
        weights = _open_pickled(source, pickled, allow_pickle)
    else:
        raise DataError(
            "there are no weights that can be read",
            got=", ".join(ascii(name) for name in source.names[:8]) or "an empty folder",
            fix=f"wanted: {_WEIGHTS[0]} or {INDEX}",
        )
    return _assemble(source, text, source.kind, weights, choice, source.names)


def _config_of(source: Source) -> dict[str, Any]:
    name = next((name for name in _CONFIGS if name in source.names), None)
    return {} if name is None else source.read_json(name)


def _open_shards(source: Source, names: list[str], limit: int) -> _Weights:
    tensors: dict[str, TensorEntry] = {}
    metadata: dict[str, str] = {}
    for name in names:

        def read_bytes(begin: int, end: int, name: str = name) -> bytes:
            return source.read(name, begin, end)

        header = read_header(read_bytes, source.size(name), name, limit)
        metadata |= header.metadata
        tensors |= header.entries

    def numbers(key: str) -> np.ndarray:
        entry = tensors[key]
        return decode(source.read(entry.file, entry.begin, entry.end), entry.dtype).reshape(entry.shape)

    return _Weights(tensors, numbers, metadata)


def _open_sharded(source: Source, choice: _Choice, limit: int) -> _Weights:
    """All shards of a folder; on the Hub those alone that hold tables. Index and shards must agree."""
    weight_map = source.read_json(INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UnsafeFile(
            f"{INDEX!r} has no weight_map", got=type(weight_map).__name__, fix="get the file again"
        )
    for shard in weight_map.values():
        if not isinstance(shard, str) or not shard.endswith(".safetensors"):
            raise UnsafeFile(
                f"{INDEX!r} names a file that is no shard", got=ascii(shard)[:80], fix="get it again"
            )
        check_name(shard)
    wanted = list(dict.fromkeys(weight_map.values()))
    if source.kind == "hub":
        tables = [choice.tensor] if choice.tensor else _keys_of_tables(_config_of(source), weight_map)
        wanted = list(dict.fromkeys(weight_map[key] for key in tables if key in weight_map))
    weights = _open_shards(source, wanted, limit)
    for key in weights.tensors.keys() | {key for key, shard in weight_map.items() if shard in wanted}:
        listed, entry = weight_map.get(key), weights.tensors.get(key)
        if entry is None or entry.file != listed:
            raise UnsafeFile(
                "the index and the shards disagree",
                got=f"{ascii(key)[:80]} in {listed!a}, found in {entry.file if entry else None!a}",
                fix="get the model again",
            )
    complete = set(wanted) == set(weight_map.values())
    return _Weights(weights.tensors, weights.numbers, weights.metadata, weight_map, complete)


def _keys_of_tables(config: dict[str, Any], keys: Mapping[str, str]) -> list[str]:
    return [match.key for match in recognise(config, keys)[2]]


def _open_pickled(source: Source, name: str, allow_pickle: bool) -> _Weights:
    assert isinstance(source, Folder)
    tensors, numbers = read_pickled(source.path_of(name), allow_pickle)
    return _Weights(tensors, numbers)


def _read_npy(source: Folder, name: str, text: str, choice: _Choice) -> Checkpoint:
    if choice.first_row is None:
        raise OptionError("a bare table does not say where position 0 is", got=name, fix="add --first-row 0")
    check_size(source.size(name), name)
    rows, dtype = parse_npy(source.read(name, 0, source.size(name)), name)
    table = build_table(name, rows, dtype, first_row=choice.first_row)
    return Checkpoint(
        source=text, kind="npy", family=None, model_type=None, config={}, tensors={}, tables=(table,),
        positions_by="unknown", total_parameters=None, files=(name,), weight_map={}, metadata={},
        folder=source.folder,
    )  # fmt: skip


def _assemble(
    source: Source, text: str, kind: str, weights: _Weights, choice: _Choice, files: tuple[str, ...]
) -> Checkpoint:
    config = _config_of(source)
    total = _count_parameters(weights.tensors) if weights.complete else None
    family, order, matches = _choose(config, weights.tensors, choice)
    tables = tuple(_read_table(key, match, weights, choice.first_row, total) for key, match in matches)
    if COUNTS_FILE in source.names:
        beside = source.read_json(COUNTS_FILE)
        tables = tuple(
            replace(table, trained_counts=read_counts(beside.get(table.key), len(table.rows)))
            if table.trained_counts is None
            else table
            for table in tables
        )
    model_type = config.get("model_type")
    return Checkpoint(
        source=text, kind=kind, family=family, model_type=model_type if isinstance(model_type, str) else None,
        config=config, tensors=weights.tensors, tables=tables, positions_by=order, total_parameters=total,
        files=files, weight_map=weights.weight_map, metadata=weights.metadata, folder=source.folder,
        commit=source.commit,
    )  # fmt: skip


def _choose(
    config: dict[str, Any], tensors: Mapping[str, TensorEntry], choice: _Choice
) -> tuple[Family | None, str, list[tuple[str, Match | None]]]:
    """The tables to read: all that the family names, or the one that the user names."""
    if choice.tensor is None:
        family, order, matches = recognise(config, tensors)
        if choice.first_row is not None and len(matches) != 1:
            raise OptionError(
                "--first-row is for one table", got=f"{len(matches)} tables", fix="choose one: --tensor KEY"
            )
        return family, order, [(match.key, match) for match in matches]
    if choice.tensor not in tensors:
        near = [key for key in tensors if "pos" in key or "wpe" in key][:4]
        raise NoTable(
            "there is no tensor of this name",
            got=ascii(choice.tensor)[:120],
            fix=f"names that may be meant: {', '.join(map(ascii, near)) or 'none'}",
        )
    try:
        family, order, matches = recognise(config, tensors)
    except UnknownFamily:
        if choice.first_row is None:
            raise
        return None, "unknown", [(choice.tensor, None)]
    match = next((match for match in matches if match.key == choice.tensor), None)
    if match is None and choice.first_row is None:
        raise unknown(f"tensor {ascii(choice.tensor)[:80]}", "this tensor among the family's tables", [])
    return family, order, [(choice.tensor, match)]


def _read_table(
    key: str, match: Match | None, weights: _Weights, first_row: int | None, total: int | None
) -> PositionTable:
    entry = weights.tensors[key]
    check_table(key, entry)
    counts = counts_key(key)
    stored = weights.tensors.get(counts)
    has_counts = stored is not None and stored.dtype == "I64" and stored.shape == entry.shape[-2:-1]
    return build_table(
        key,
        weights.numbers(key),
        entry.dtype,
        match=match,
        first_row=first_row,
        counts=weights.numbers(counts) if has_counts else None,
        total_parameters=total,
    )


def _count_parameters(tensors: Mapping[str, TensorEntry]) -> int:
    """Values in floating-point tensors; masks and position ids are no parameters."""
    return sum(entry.elements for entry in tensors.values() if entry.dtype.startswith(("F", "BF")))
