"""Every place where a length lives in a model's folder, and where they disagree."""

from __future__ import annotations

import os
from typing import Any

from milepost.diagnostics.doctor import checks  # noqa: F401  (enters the checks)
from milepost.diagnostics.doctor.folder import ModelFolder, run_checks
from milepost.diagnostics.doctor.reading import read_folder
from milepost.diagnostics.doctor.text import measure_text
from milepost.errors import OptionError
from milepost.tables import MAX_HEADER_BYTES

SCHEMA_VERSION = 1


def diagnose(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    text: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    max_header_bytes: int = MAX_HEADER_BYTES,
    allow_pickle: bool = False,
) -> dict[str, Any]:
    """Read all limits of a model and compare them, as `milepost.doctor` says; nothing is built or written.

    Returns:
        The document of ``schemas/doctor.json``; its ``changes`` are what ``apply_fixes`` would write.

    Raises:
        MilepostError: what ``milepost.tables.read`` raises. UnsafeFile: MP130, also for malformed JSON files.
        OptionError: MP105, for a bare table, or ``tokenizer`` without ``text``. MissingExtra: MP106, ``text`` without tokenizers.
    """
    if tokenizer is not None and text is None:
        raise OptionError("a tokenizer counts a text", got="no text", fix="add --text FILE")
    folder = read_folder(
        model, revision=revision, max_header_bytes=max_header_bytes, allow_pickle=allow_pickle
    )
    findings, changes = run_checks(folder)
    checkpoint = folder.checkpoint
    return {
        "schema_version": SCHEMA_VERSION,
        "source": checkpoint.source,
        "family": checkpoint.family.name if checkpoint.family else None,
        "model_type": checkpoint.model_type,
        "positions_by": checkpoint.positions_by,
        "limits": {name: limit.document() for name, limit in folder.limits.items()},
        "tables": _tables(folder),
        "findings": [finding.document() for finding in findings],
        "changes": [change.document() for change in changes],
        "text": None if text is None else measure_text(text, tokenizer or model, folder.limits),
    }


def _tables(folder: ModelFolder) -> list[dict[str, Any]]:
    return [
        {
            "key": table.key,
            "role": table.role,
            "kind": table.kind,
            "allocated": len(table.rows),
            "usable": table.usable_length,
            "first_row": table.first_row,
            "expected_rows": table.expected_rows,
            "length_field": table.length_field,
        }
        for table, _ in folder.placed
    ]
