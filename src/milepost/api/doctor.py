"""Every place where a length lives in a model's folder, and where they disagree."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from milepost.api.outputs import OnWritten, plan_outputs, write_outputs
from milepost.errors import MissingExtra, OptionError


def doctor(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    fix: bool = False,
    dry_run: bool = False,
    text: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    allow_pickle: bool = False,
    max_header_bytes: int = 10_000_000,
    run: bool = False,
    html: str | Path | None = None,
    on_written: OnWritten | None = None,
) -> dict[str, Any]:
    """Read all limits of a model and compare them; nothing is built without ``run``, and nothing written without ``fix``.

    Guarantee: ``fix`` checks all changes before it writes the first file; each file is replaced whole, every byte but the
    changed fields stays, and nothing is written through a link or into a Hub cache. torch is imported for ``run`` alone.

    Args:
        model: a folder, a ``.safetensors`` file with its JSON files next to it, or a Hub id.
        revision: of a Hub id.
        fix: set JSON fields that can be fixed safely, then look again. No tensor is changed.
        dry_run: plan the changes of ``fix`` and return them as a diff; nothing is written.
        text: a file with one text a line: measures how much of it each limit cuts.
        tokenizer: the folder whose ``tokenizer.json`` counts; the model's own by default.
        allow_pickle: let torch's ``weights_only`` loader read ``.bin`` and ``.pt``.
        max_header_bytes: longer headers are refused.
        run: load the model and run ``check_positions`` on it too.
        html: where to write the result as a page.
        on_written: called with the path of the page.

    Returns:
        The document of ``schemas/doctor.json``: ``limits`` (each with value, where it stands and a note), ``tables``, ``findings``,
        ``changes`` (what ``fix`` would write) and ``text`` (None without that option). With ``fix`` also ``fixed``, the changes
        that were written; with ``dry_run`` also ``difference``, the lines of a unified diff.

    Raises:
        MilepostError: what ``milepost.tables.read`` raises. UnsafeFile: MP130, also for malformed JSON files.
        OptionError: MP105, for a bare table, ``tokenizer`` without ``text``, and anything but a folder with ``fix``, ``dry_run`` or ``run``.
        MissingExtra: MP106, ``text`` without tokenizers, ``run`` without torch. FolderError: MP107, files that cannot be written.
    """
    if dry_run and html:
        raise OptionError("--dry-run writes nothing", got=f"--html {html}", fix="leave out one of them")
    planned = plan_outputs(html=html)
    from milepost.diagnostics.doctor import apply_fixes, describe_fixes, diagnose, plan_fixes

    look = partial(
        diagnose,
        model,
        revision=revision,
        text=text,
        tokenizer=tokenizer,
        max_header_bytes=max_header_bytes,
        allow_pickle=allow_pickle,
    )
    result = look()
    changes = plan_fixes(result)
    if dry_run:
        result["difference"] = describe_fixes(model, changes)
    elif fix:
        if changes:
            apply_fixes(model, changes)
            result = look()
        result["fixed"] = [change.document() for change in changes]
    if run:
        result["findings"] += _run(model)
    if planned:
        from milepost.reporting import render_doctor_html

        write_outputs({planned["html"]: render_doctor_html(result).encode()}, on_written)
    return result


def _run(model: str | os.PathLike[str]) -> list[dict[str, str]]:
    """What the self-test of positions finds in the model of a folder."""
    from milepost.tables import locate_transformer

    folder = locate_transformer(model)
    if folder is None:
        raise OptionError(
            "--run loads a folder",
            got=f"MODEL {os.fspath(model)}",
            fix="leave out --run, or download the model",
        )
    try:
        from milepost.models.check.folder import check_folder
    except ModuleNotFoundError as error:
        raise MissingExtra.of("torch", str(error.name)) from error
    return [found.document() for found in check_folder(folder)]
