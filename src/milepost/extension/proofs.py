"""What is proved of the files of an extended model, by reading both sides again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from milepost.errors import ProofFailed
from milepost.extension.plan import ExtensionPlan
from milepost.extension.source import CARD, Member
from milepost.extension.weights import Rewrite, digest, read_chunks

_LARGE_BYTES = 4 << 20


@dataclass(frozen=True)
class ProofResult:
    """One proof: what was looked at, how it ended, and what was seen."""

    name: str
    status: Literal["passed", "failed", "not_applicable"]
    detail: str

    def document(self) -> dict[str, Any]:
        """The result as it stands in JSON."""
        return asdict(self)


def prove_old_rows(plan: ExtensionPlan, folder: Path) -> ProofResult:
    """Rows that the method promises to keep are the same bytes in both files; read from both.

    Raises:
        ProofFailed: MP151.
    """
    method, counted = plan.target.method, 0
    for table, _ in plan.target.tables:
        entry = plan.checkpoint.tensors[table.key]
        name = plan.source.inner + entry.file
        rewrite = plan.contents.get(name)  # nothing, where the file is copied
        new = rewrite.entries[table.key] if isinstance(rewrite, Rewrite) else entry
        rows = (
            min(len(table.rows), new.shape[-2])
            if method.keeps_old_rows
            else table.first_row + table.prefix_rows
        )
        end = rows * ((entry.end - entry.begin) // len(table.rows))
        with _both(plan.members, folder, name) as (old_file, new_file):
            if not _same(old_file, entry.begin, new_file, new.begin, end):
                raise _failed("old rows", table.key)
        counted += rows
    if not plan.target.tables:
        return ProofResult("old_rows", "not_applicable", "no table is stored: the model computes it")
    if method.keeps_old_rows:
        return ProofResult("old_rows", "passed", f"{counted:,} rows are the same bytes as before")
    if counted:
        return ProofResult(
            "old_rows", "passed", f"{counted:,} reserved rows are the same bytes; {method.guarantee}"
        )
    return ProofResult("old_rows", "not_applicable", method.guarantee)


def prove_kept(
    members: Sequence[Member], contents: Mapping[str, bytes | Rewrite], folder: Path
) -> list[ProofResult]:
    """Every tensor that stays and every file that is copied has the same hash on both sides.

    Raises:
        ProofFailed: MP151, naming the tensor or the file.
    """
    tensors = files = total = 0
    for member in members:
        if member.name == CARD:
            continue
        content = contents.get(member.name)
        with _both(members, folder, member.name) as (old, new):
            if isinstance(content, Rewrite):
                for key in content.kept():
                    before, after = content.header.entries[key], content.entries[key]
                    if not _same(old, before.begin, new, after.begin, before.end - before.begin):
                        raise _failed("kept tensors", key)
                    tensors, total = tensors + 1, total + before.end - before.begin
            elif content is not None:
                if b"".join(read_chunks(new, 0, os.fstat(new).st_size)) != content:
                    raise _failed("edited files", member.name)
            else:
                size = member.seen.size_bytes
                if os.fstat(new).st_size != size or not _same(old, 0, new, 0, size):
                    raise _failed("copied files", member.name)
                files += 1
    return [
        ProofResult(
            "kept_tensors",
            "passed",
            f"{tensors:,} tensors of the rewritten files, {total:,} bytes: equal SHA-256 hashes",
        ),
        ProofResult("copied_files", "passed", f"{files:,} files have equal SHA-256 hashes"),
    ]


def _same(old: int, begin: int, new: int, at: int, count: int) -> bool:
    """Whether two files hold the same ``count`` bytes, by hash; large ranges are read side by side."""
    ranges = (old, begin, begin + count), (new, at, at + count)
    if count < _LARGE_BYTES:
        return digest(*ranges[0]) == digest(*ranges[1])
    with ThreadPoolExecutor(2) as pool:
        return len(set(pool.map(lambda one: digest(*one), ranges))) == 1


@contextlib.contextmanager
def _both(members: Sequence[Member], folder: Path, name: str) -> Iterator[tuple[int, int]]:
    member = next(member for member in members if member.name == name)
    with contextlib.ExitStack() as stack:
        handles = []
        for path in (member.real, folder / name):
            handles.append(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)))
            stack.callback(os.close, handles[-1])
        yield handles[0], handles[1]


def _failed(proof: str, what: str) -> ProofFailed:
    return ProofFailed(
        f"the written model is not what was promised: {proof}",
        got=ascii(what)[:120],
        fix="check the disk, and report this",
    )
