"""Trained rows in a small file of their own, to be put on the model that they were trained for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from milepost import __version__
from milepost.errors import DataError, NoTable, PatchRefused
from milepost.extension.proofs import ProofResult
from milepost.extension.source import Source
from milepost.extension.weights import digest
from milepost.storage.files import durable
from milepost.tables import Checkpoint, Folder, PositionTable, encode, parse_json, read
from milepost.tuning.write_model import save_model

if TYPE_CHECKING:
    from jaxtyping import Float

SCHEMA_VERSION: Final = 1
_FORMAT: Final = "milepost table patch 1"
_ROWS: Final = "rows"
_FACTS: Final[Mapping[str, type]] = {
    "key": str, "begin": int, "length": int, "method": str, "record": dict, "base_rows": str, "base_tensors": dict,
}  # fmt: skip
_LENGTHS: Final = ("trained_length", "tuned_length")
TUNING: Final = frozenset({"objective", "first_position", "window", "steps", "batch", "version"})
"""What a record says of tuning."""


@dataclass(frozen=True, eq=False)
class Patch:
    """Trained rows, and what they belong to.

    Attributes:
        key: of the table, as in the model's file.
        rows: ``(length - begin, dim)``, float32 or float64; values that the stored format has.
        dtype: of the table, in the words of safetensors.
        begin: the position of the first of them; the base model has the rows before it.
        length: usable positions of the table with them.
        method: how a shorter base model is extended before the rows are put on it.
        record: what goes into the configuration.
        base_rows: SHA-256 of the stored rows before the patch, reserved ones included.
        base_tensors: shape and SHA-256 of every other floating-point tensor of the base model.
    """

    key: str
    rows: Float[np.ndarray, "tuned dim"]
    dtype: str
    begin: int
    length: int
    method: str
    record: Mapping[str, Any]
    base_rows: str
    base_tensors: Mapping[str, tuple[list[int], str]]

    def write(self, path: Path) -> None:
        """Write it as safetensors; it appears whole or not at all."""
        data = encode(self.rows, self.dtype)
        facts = {name: getattr(self, name) for name in _FACTS} | {"milepost_version": __version__}
        metadata = {"format": _FORMAT, "patch": json.dumps(facts)}
        entry = {"dtype": self.dtype, "shape": list(self.rows.shape), "data_offsets": [0, len(data)]}
        text = json.dumps({"__metadata__": metadata, _ROWS: entry}).encode()
        text += b" " * (-len(text) % 8)
        with durable(path) as beside:
            beside.write_bytes(len(text).to_bytes(8, "little") + text + data)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Patch:
        """Read a patch.

        Raises:
            DataError: MP110, no patch. UnsafeFile: MP130, a malformed file.
        """
        found = None
        if Path(path).suffix == ".safetensors":
            with contextlib.suppress(NoTable):
                found = read(path, tensor=_ROWS, first_row=0)
        if found is None or found.metadata.get("format") != _FORMAT:
            raise DataError(
                "this is not a table patch",
                got=ascii(os.fspath(path))[:200],
                fix="milepost tune --save patch makes one",
            )
        facts = parse_json(found.metadata.get("patch", "").encode(), "the patch's metadata")
        if wrong := [name for name, kind in _FACTS.items() if type(facts.get(name)) is not kind]:
            raise _malformed(f"{wrong[0]}: {facts.get(wrong[0])!r}")
        table = found.table()
        made = cls(**{name: facts[name] for name in _FACTS}, rows=table.rows, dtype=table.dtype)
        if made.begin < 0 or made.length - made.begin != len(made.rows):
            raise _malformed(f"{len(made.rows)} rows for positions {made.begin} to {made.length}")
        if not all(isinstance(one, list) and len(one) == 2 for one in made.base_tensors.values()):
            raise _malformed("base_tensors are not shapes and hashes")
        tuning, lengths = made.record.get("tuning"), [made.record.get(name) for name in _LENGTHS]
        sound = isinstance(tuning, dict) and tuning.keys() >= TUNING and {*map(type, lengths)} == {int}
        if not sound or made.record.keys() != {"tuning", *_LENGTHS}:  # nothing else gets into a configuration
            raise _malformed(f"record: {made.record!r}")
        return made


def _malformed(got: str) -> DataError:
    return DataError("the patch's metadata cannot be used", got=ascii(got)[:120], fix="get the file again")


def make_patch(
    source: Source,
    checkpoint: Checkpoint,
    table: PositionTable,
    rows: Float[np.ndarray, "rows dim"],
    *,
    begin: int,
    method: str,
    record: Mapping[str, Any],
) -> Patch:
    """The patch that turns a model, or the one that it was extended from, into one with these rows.

    Args:
        source: the files of the model that was trained.
        checkpoint: what was read of it.
        table: as it was before.
        rows: the whole table as trained.
        begin: the first position whose row goes into the patch: all before it are the base model's.
        method: by which the model was extended.
        record: for the configuration.
    """
    first = table.first_row + begin
    return Patch(
        table.key, rows[first:], table.dtype, begin, table.usable_length, method, dict(record), _hash_rows(table, first),
        hash_tensors(checkpoint, source.folder, table.key),
    )  # fmt: skip


def _hash_rows(table: PositionTable, rows: int) -> str:
    return hashlib.sha256(encode(table.rows[:rows], table.dtype)).hexdigest()


def hash_tensors(checkpoint: Checkpoint, path: Path, key: str) -> dict[str, tuple[list[int], str]]:
    """Shape and hash of every floating-point tensor but the table; memory does not grow with the model."""
    found = {}
    with Folder(path) as folder:
        for name in dict.fromkeys(entry.file for entry in checkpoint.tensors.values()):
            descriptor = os.open(folder.path_of(name), os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                for other, entry in checkpoint.tensors.items():
                    if entry.file == name and other != key and entry.dtype.startswith(("F", "BF")):
                        found[other] = list(entry.shape), digest(descriptor, entry.begin, entry.end).hex()
            finally:
                os.close(descriptor)
    return found


def put_rows(source: Source, patch: Patch, out: Path) -> list[ProofResult]:
    """Write a model whose table is as long as the patch says, with the patch's rows."""
    table = read(source.folder).table(patch.key)
    begin = table.first_row + patch.begin
    rows = np.concatenate([table.rows[:begin], patch.rows])
    section = describe_tuning(patch.record)
    return save_model(source, patch.key, rows, begin=begin, record=patch.record, section=section, out=out)


def require_base(patch: Patch, checkpoint: Checkpoint, folder: Path) -> PositionTable:
    """The table of the model, if it is the one that the patch is for.

    Raises:
        PatchRefused: MP125.
    """
    table = next((one for one in checkpoint.tables if one.key == patch.key), None)
    if table is None:
        raise refused(f"no table {patch.key!a} in the model")
    require_rows(patch, table)
    had = hash_tensors(checkpoint, folder, patch.key)
    for name, (shape, found) in patch.base_tensors.items():
        mine = had.get(name)
        if mine is None or (mine[0] == list(shape) and mine[1] != found):
            raise refused(f"{name!a} is {'missing' if mine is None else 'another'}")
        grew = table.usable_length < patch.length and len(table.rows) in mine[0]
        if mine[0] != list(shape) and not grew:  # a buffer of the table's length is another in a longer model
            raise refused(f"{name!a} has shape {mine[0]}, not {list(shape)}")
    return table


def require_rows(patch: Patch, table: PositionTable) -> None:
    """Refuse a table that is not the one that the patch continues.

    Raises:
        PatchRefused: MP125.
    """
    if table.dtype != patch.dtype or table.rows.shape[1] != patch.rows.shape[1]:
        raise refused(
            f"a table of {table.dtype} x {table.rows.shape[1]}, not {patch.dtype} x {patch.rows.shape[1]}"
        )
    if not patch.begin <= table.usable_length <= patch.length:
        raise refused(
            f"{table.usable_length} positions, where the patch goes from {patch.begin} to {patch.length}"
        )
    if _hash_rows(table, table.first_row + patch.begin) != patch.base_rows:
        raise refused(f"rows of positions 0 to {patch.begin - 1} in {table.key!a} are others")


def refused(got: str) -> PatchRefused:
    """The error for a patch of another model."""
    return PatchRefused(
        "the patch is for another model",
        got=got,
        fix="give the model that was tuned, or the one that it was extended from",
    )


def describe_tuning(record: Mapping[str, Any]) -> str:
    """The section of a tuned model's card."""
    tuning = record["tuning"]
    return "\n".join(
        [
            f"## Position table tuned from position {_plain(tuning['first_position'])} on",
            "",
            "Where it says above that rows have not been trained, this is newer.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name.replace('_', ' ')} | {_plain(tuning[name])} |" for name in sorted(TUNING)),
            "",
            f"Relations over more than {_plain(tuning['window'])} positions were not trained.",
            "",
            "Rows before, and all other tensors, are the same bytes as they were.",
        ]
    )


def _plain(value: object) -> str:
    """A value out of a file that cannot become mark-up."""
    return "".join(char for char in str(value)[:40] if char.isalnum() or char in ".-")
