"""A model's folder with other rows in its table: every other tensor is the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from milepost.errors import DataError, ProofFailed
from milepost.extension.apply import write_member, write_new
from milepost.extension.documents import RECORD
from milepost.extension.plan import refuse_place, require_unchanged
from milepost.extension.proofs import ProofResult, prove_kept
from milepost.extension.source import CARD, Source, drop_stale, read_documents
from milepost.extension.weights import Fresh, Rewrite, plan_rewrite
from milepost.storage.disk import refuse_small_disk
from milepost.storage.json_edits import replace_value
from milepost.storage.staging import staged
from milepost.tables import Checkpoint, Folder, encode, read, read_header

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

_CONFIG = "config.json"


def save_model(
    source: Source,
    key: str,
    rows: Float[np.ndarray, "rows dim"],
    *,
    begin: int,
    record: Mapping[str, Any],
    section: str,
    out: Path,
) -> list[ProofResult]:
    """Write a copy of a model in which rows of one table are others, and its record of lengths.

    Guarantee: all other tensors and the rows before ``begin`` are the same bytes, proved by hash; all other files too, but for
    ``config.json`` (one field) and the card. The output appears whole, flushed to disk, by one rename, or not at all.

    Args:
        source: the model's files. Only read.
        key: of the table.
        rows: the whole table; only rows from ``begin`` on are written. Its shape is that of the stored one.
        begin: the first row that may differ.
        record: what Milepost keeps in the configuration; other fields of it stay.
        section: text for the end of the model's card.
        out: the folder to be made.

    Returns:
        What was proved.

    Raises:
        FolderError: MP107, an output that cannot be made. ProofFailed: MP151. DataError: MP110, the source changed.
    """
    refuse_place(out, source)
    checkpoint = read(source.weights or source.folder)
    members, _ = drop_stale(source, checkpoint)
    name = source.inner + checkpoint.tensors[key].file
    contents: dict[str, bytes | Rewrite] = {name: _rewrite(source, checkpoint, key, rows, begin)}
    texts, documents = read_documents(source, (_CONFIG,))
    if _CONFIG not in texts:
        raise DataError(
            "the folder has no config.json",
            got=f"{source.folder!s}"[:200],
            fix="save the model with transformers",
        )
    old = documents[_CONFIG].get(RECORD)
    merged = {**(old if isinstance(old, Mapping) else {}), **record}
    contents[source.inner + _CONFIG] = replace_value(texts[_CONFIG], (RECORD,), merged).encode()
    refuse_small_disk(out, sum(member.seen.size_bytes for member in members) + (1 << 20))
    with staged(out) as folder:
        for member in members:
            if member.name != CARD:
                write_member(member, contents.get(member.name), folder)
        checks = prove_kept(members, contents, folder)
        checks.append(_prove_rows(checkpoint, key, begin, folder / source.inner))
        card = next((member.real.read_bytes() for member in members if member.name == CARD), b"")
        write_new(folder / CARD, card.rstrip() + b"\n\n" * bool(card) + section.encode() + b"\n")
        require_unchanged(members)
    return checks


def _rewrite(
    source: Source, checkpoint: Checkpoint, key: str, rows: Float[np.ndarray, "rows dim"], begin: int
) -> Rewrite:
    entry, table = checkpoint.tensors[key], checkpoint.table(key)
    if rows.shape != table.rows.shape:
        raise DataError(
            "the rows do not fit the table",
            got=f"{list(rows.shape)} for {list(table.rows.shape)}",
            fix="give the model that they were made for",
        )
    with Folder(source.folder) as folder:
        stored = folder.read(entry.file, entry.begin, entry.end)
        header = read_header(partial(folder.read, entry.file), folder.size(entry.file), entry.file)
    kept = begin * (len(stored) // len(rows))  # rows that stay are never decoded and encoded again
    fresh = Fresh.of(entry.shape, stored[:kept] + encode(rows[begin:], entry.dtype))
    return plan_rewrite(header, {key: fresh})


def _prove_rows(checkpoint: Checkpoint, key: str, begin: int, folder: Path) -> ProofResult:
    """The rows before ``begin`` as they are read from both folders."""
    old, new = checkpoint.table(key).rows, read(folder).table(key).rows
    if old[:begin].tobytes() != new[:begin].tobytes():
        raise ProofFailed(
            "the written model is not what was promised: frozen rows",
            got=ascii(key)[:80],
            fix="check the disk, and report this",
        )
    return ProofResult("frozen_rows", "passed", f"{begin:,} rows are the same as before")
