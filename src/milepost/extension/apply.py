"""A plan carried out: the new model's folder, proved before it gets its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from milepost import __version__
from milepost.errors import DataError, OptionError
from milepost.extension.card import write_card
from milepost.extension.copying import copy_range, write_at
from milepost.extension.documents import shown_size
from milepost.extension.plan import ExtensionPlan, require_unchanged
from milepost.extension.proofs import ProofResult, prove_kept, prove_old_rows
from milepost.extension.source import CARD, Member, Seen
from milepost.extension.weights import Rewrite, check_rewrite, write_rewrite
from milepost.storage.staging import staged

SCHEMA_VERSION: Final = 1
VERIFY: Final = ("none", "files", "model")
Proof = Callable[[ExtensionPlan, Path], list[ProofResult]]


def apply_plan(plan: ExtensionPlan, *, verify: str = "files", proofs: Sequence[Proof] = ()) -> dict[str, Any]:
    """Make the folder of the extended model.

    Guarantee: the source is only read. The output appears whole, flushed to disk and proved, by one rename, or not at all;
    a kill at any moment leaves nothing but a hidden folder that the next run removes. Kept bytes go from file to file
    through the kernel, so memory does not grow with the model.

    Args:
        plan: from ``plan_extension``.
        verify: ``none``: header and new rows are read again and compared. ``files``: all kept tensors and files as well,
            by hash.
        proofs: further ones, run on the finished folder before it gets its name.

    Returns:
        The document of ``schemas/extend.json``.

    Raises:
        ProofFailed: MP151, the result is not what the method promises; it was removed. DataError: MP110, the source changed.
        FolderError: MP107, the output cannot be written; nothing of it is left.
    """
    require_verify(verify)
    with staged(plan.output) as folder:
        for member in plan.members:
            if member.name != CARD:
                write_member(member, plan.contents.get(member.name), folder)
        checks = [
            ProofResult(
                "new_tables", "passed", "headers, new tables and buffers were read again and are as planned"
            )
        ]
        checks.append(prove_old_rows(plan, folder))
        if verify != "none":
            checks += prove_kept(plan.members, plan.contents, folder)
        for proof in proofs:
            checks += proof(plan, folder)
        write_new(folder / CARD, write_card(plan, checks, _existing_card(plan)).encode())
        require_unchanged(plan.members)
    return describe_plan(plan, checks, written=True)


def require_verify(verify: str) -> None:
    """Refuse what is none of the words of ``verify``.

    Raises:
        OptionError: MP105.
    """
    if verify not in VERIFY:
        raise OptionError(
            "invalid value for verify", got=ascii(verify)[:80], fix=f"one of: {', '.join(VERIFY)}"
        )


def describe_plan(
    plan: ExtensionPlan, checks: Sequence[ProofResult] = (), *, written: bool = False
) -> dict[str, Any]:
    """The plan, and what was proved of its result, as the document of ``schemas/extend.json``."""
    target = plan.target
    return {
        "schema_version": SCHEMA_VERSION,
        "source": plan.model,
        "output": os.fspath(plan.output),
        "written": written,
        "family": plan.checkpoint.family.name if plan.checkpoint.family else None,
        "model_type": plan.checkpoint.model_type,
        "method": str(target.method.spec),
        "guarantee": target.method.guarantee,
        "keeps_old_rows": target.method.keeps_old_rows,
        "unit": "pixels" if target.is_image else "positions",
        "from_length": shown_size(target.old),
        "to_length": shown_size(target.new),
        "milepost_version": __version__,
        "changes": [asdict(change) for change in plan.changes],
        "checks": [check.document() for check in checks],
    }


def write_member(member: Member, content: bytes | Rewrite | None, folder: Path) -> None:
    """Make one file of the new model in ``folder``, flushed to disk; without content it is copied.

    Raises:
        DataError: MP110, when the source changed. OSError: as the system says.
    """
    path = folder / member.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        write_new(path, content)
        return
    source = os.open(member.real, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    try:
        if Seen.of(os.fstat(source)) != member.seen:
            raise DataError(f"{member.name!a} changed during the run", got="another file", fix="run again")
        target = _create(path)
        try:
            if isinstance(content, Rewrite):
                write_rewrite(content, source, target)
                check_rewrite(content, target, path.name)
            else:
                copy_range(source, 0, member.seen.size_bytes, target, 0)
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def write_new(path: Path, content: bytes) -> None:
    """Make a file that does not exist, flushed to disk."""
    target = _create(path)
    try:
        write_at(target, content, 0)
        os.fsync(target)
    finally:
        os.close(target)


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _existing_card(plan: ExtensionPlan) -> str | None:
    member = next((member for member in plan.members if member.name == CARD), None)
    return None if member is None else member.real.read_bytes().decode("utf-8", errors="replace")
