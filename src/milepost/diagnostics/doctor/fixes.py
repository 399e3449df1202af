"""Changes of JSON fields: planned from a report, applied all or none."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from milepost.diagnostics.doctor.folder import dig, run_checks
from milepost.diagnostics.doctor.reading import OBJECTS, read_folder
from milepost.errors import DataError, FolderError, OptionError
from milepost.finding import FieldChange
from milepost.storage.files import durable
from milepost.storage.json_edits import replace_value
from milepost.tables import Folder, locate_transformer, parse_json

_FILES = frozenset(OBJECTS) | {"tokenizer.json"}


def plan_fixes(report_or_model: Mapping[str, Any] | str | os.PathLike[str]) -> list[FieldChange]:
    """The changes that fix what can be fixed safely: JSON fields of issues, no tensors.

    Args:
        report_or_model: what ``doctor`` returned, or a model to look at.

    Raises:
        OptionError: MP105, for a report without changes in it. MilepostError: as ``doctor``.

    >>> plan_fixes({"changes": [{"file": "config.json", "field": "n_ctx", "old": 8, "new": 16}]})[0].new
    16
    """
    if not isinstance(report_or_model, Mapping):
        return run_checks(read_folder(report_or_model))[1]
    try:
        return [FieldChange(**change) for change in report_or_model["changes"]]
    except (KeyError, TypeError):
        raise OptionError(
            "this is no report of doctor", got="no changes in it", fix="give what doctor returned"
        ) from None


def preview_fixes(
    model: str | os.PathLike[str], changes: Iterable[FieldChange]
) -> dict[str, tuple[str, str]]:
    """What ``apply_fixes`` would write: each file's text as it is, and as it would be. Nothing is written.

    Args:
        model: a local folder.
        changes: from ``plan_fixes``.

    Raises:
        MilepostError: as ``apply_fixes``, but for what only writing can find.
    """
    located = locate_transformer(model)
    if located is None:
        raise OptionError(
            "only a local folder can be mended", got=ascii(os.fspath(model)), fix="download the model first"
        )
    folder = located.resolve()
    texts: dict[str, tuple[str, str]] = {}
    for change in changes:
        old, now = texts.get(change.file) or (_read(folder, change),) * 2
        texts[change.file] = old, _edit(change, now)
    return texts


def describe_fixes(model: str | os.PathLike[str], changes: Iterable[FieldChange]) -> list[str]:
    """What ``apply_fixes`` would write, as the lines of a unified diff. Nothing is written.

    Raises:
        MilepostError: as ``preview_fixes``.
    """
    lines: list[str] = []
    for name, (old, new) in preview_fixes(model, changes).items():
        lines += difflib.unified_diff(
            old.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm=""
        )
    return lines


def apply_fixes(model: str | os.PathLike[str], changes: Iterable[FieldChange]) -> list[str]:
    """Write the changes into the model's JSON files.

    Guarantee: all changes are checked before the first file is written; each file is written under another name, flushed to disk and
    renamed into place with its mode kept, so it is always the old or the new one, whole. Every other byte of it stays.
    Nothing is written through a link, nor into a Hub cache.

    Args:
        model: a local folder.
        changes: from ``plan_fixes``.

    Returns:
        The names of the files that were written.

    Raises:
        OptionError: MP105, for anything but a folder. FolderError: MP107, for links, a Hub cache, and folders that cannot be
            written. DataError: MP110, when a file no longer holds what the plan says. UnsafeFile: MP130.
    """
    texts = preview_fixes(model, changes)
    located = locate_transformer(model)
    assert located is not None
    folder = located.resolve()
    with contextlib.ExitStack() as stack:
        for name, (_, text) in texts.items():
            stack.enter_context(durable(folder / name, keep_mode=True)).write_bytes(text.encode())
    return list(texts)


def _read(folder: Path, change: FieldChange) -> str:
    if change.file not in _FILES:
        raise OptionError(
            "this file is not mended", got=ascii(change.file), fix=f"known: {', '.join(sorted(_FILES))}"
        )
    path = folder / change.file
    if any(part.name == "snapshots" and part.parent.name.startswith("models--") for part in folder.parents):
        raise FolderError(
            "a Hub cache is not written into", got=ascii(str(folder)), fix="copy the model to a folder"
        )
    if path.is_symlink():
        raise FolderError(
            "a link is not written through", got=ascii(change.file), fix="copy the file into the folder"
        )
    with Folder(folder) as source:
        return source.read(change.file, 0, source.size(change.file)).decode("utf-8", errors="strict")


def _edit(change: FieldChange, text: str) -> str:
    fields = change.field.split(".")
    now = dig(parse_json(text.encode(), change.file), fields)
    if now != change.old or type(now) is not type(change.old):
        raise DataError(
            f"{change.file} no longer holds what the plan says",
            got=f"{change.field} = {ascii(now)[:80]}, not {ascii(change.old)[:80]}",
            fix="plan again",
        )
    text = replace_value(text, fields, change.new)
    assert dig(parse_json(text.encode(), change.file), fields) == change.new
    return text
