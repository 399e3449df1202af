"""MP314 to MP316: the shard index, buffers, and other copies of the weights."""

from __future__ import annotations

from collections.abc import Iterator

from milepost.diagnostics.doctor.folder import CHECKS, ModelFolder, count, place, shown
from milepost.finding import FieldChange, Verdict
from milepost.tables import INDEX, Match, PositionTable, TensorEntry


@CHECKS.enter("MP314", "the total size in the shard index")
def total_size(folder: ModelFolder) -> Iterator[Verdict]:
    """The sum of all tensors' bytes; loaders plan memory by it, and it goes wrong when one shard is rewritten."""
    stated = folder.value(INDEX, "metadata", "total_size")
    if stated is None:
        yield Verdict("not_applicable", "no shard index states a size")
        return
    tensors = folder.checkpoint.tensors
    if len(tensors) < len(folder.checkpoint.weight_map):
        yield Verdict(
            "cannot_tell", "only the shards with position tables were read", place(INDEX, "metadata")
        )
        return
    actual = sum(entry.end - entry.begin for entry in tensors.values())
    if count(stated) != actual:
        yield Verdict(
            "issue",
            f"total_size = {shown(stated)}; the shards hold {actual} bytes of tensors",
            place(INDEX, "metadata", "total_size"),
            f"total_size = {actual}",
            "set it (--fix)",
            [FieldChange(INDEX, "metadata.total_size", stated, actual)],
        )


@CHECKS.enter("MP315", "buffers of another length")
def buffers(folder: ModelFolder) -> Iterator[Verdict]:
    """Position ids and causal masks of old checkpoints have the table's length; strict loaders want all to agree."""
    found = 0
    for table, match in folder.placed:
        for key, entry, lengths in _buffers_of(folder, table, match):
            found += 1
            allowed = {len(table.rows), len(table.rows) - _extra(match)}
            wrong = [length for length in lengths if length not in allowed]
            if wrong:
                yield Verdict(
                    "issue",
                    f"{key} has shape {list(entry.shape)}; {table.key} has {len(table.rows)} rows",
                    f"{entry.file}: {key}",
                    f"{len(table.rows) - _extra(match)} in place of {wrong[0]}",
                    "leave it out of the file (transformers 5 makes its own), or write it anew",
                )
    if not found:
        yield Verdict("not_applicable", "no buffer of the table's length is stored")


@CHECKS.enter("MP316", "other copies of the weights")
def twins(folder: ModelFolder) -> Iterator[Verdict]:
    """An exported or older copy keeps the length that it was made with."""
    if not folder.twins or not folder.placed:
        yield Verdict(
            "not_applicable", "there is no other copy that Milepost knows of, or no table to look for in it"
        )
        return
    for twin in folder.twins:
        if twin.verdict == "other":
            yield Verdict(
                "issue",
                "it holds the table's first row, but other rows after it: it was made before or after a change of length",
                twin.file,
                "the position table that the safetensors hold",
                "export it again, or delete it",
            )
        elif twin.verdict == "unread":
            yield Verdict(
                "cannot_tell",
                "the table's bytes were not found in it: another precision, compressed, too large, remote, or stale",
                twin.file,
                "the position table that the safetensors hold",
                "if the length ever changed, export it again",
            )


def _buffers_of(
    folder: ModelFolder, table: PositionTable, match: Match
) -> Iterator[tuple[str, TensorEntry, tuple[int, ...]]]:
    """Key, entry and the axes that should have the table's length."""
    module = table.key.removesuffix(".weight").rpartition(".")[0]
    for key, entry in folder.checkpoint.tensors.items():
        suffix = next(
            (name for name in match.family.buffers if key == name or key.endswith(f".{name}")), None
        )
        shape = entry.shape
        if suffix == "position_ids" and key.rpartition(".")[0] in (module, module.rpartition(".")[0]):
            yield key, entry, shape[-1:]
        elif (suffix is not None and suffix.endswith("attn.bias")) or suffix == "attn.attention.bias":
            yield key, entry, shape[-2:] if len(shape) > 2 else ()
        elif suffix is not None and suffix.endswith("weight_integer"):
            yield key, entry, shape[:1]
        elif suffix is not None and suffix.endswith("mid_position_embeddings"):
            yield key, entry, shape[-2:-1]


def _extra(match: Match) -> int:
    """Rows that the family adds to the configured length."""
    length, expected = count(match.config.get(match.form.field or "")), match.expected_rows()
    return (
        expected - length
        if match.form.kind != "patches" and length is not None and expected is not None
        else 0
    )
