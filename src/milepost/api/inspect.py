"""What the position tables of a checkpoint have learned."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from milepost.api.outputs import OnWritten, plan_outputs, write_outputs


def inspect(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    tensor: str | None = None,
    first_row: int | None = None,
    chance: bool = False,
    compare: str | os.PathLike[str] | None = None,
    allow_pickle: bool = False,
    max_header_bytes: int = 10_000_000,
    html: str | Path | None = None,
    png: str | Path | None = None,
    on_written: OnWritten | None = None,
) -> dict[str, Any]:
    """Measure the position tables of a model and check them; the model is not built, and torch is not imported.

    The same files and options give the same result, on one kind of machine.

    Args:
        model: a folder, a ``.safetensors`` file, a ``.npy`` table or a Hub id.
        revision: of a Hub id.
        tensor: the key of the table, where the family is unknown.
        first_row: the row of position 0, with ``tensor`` or a ``.npy`` table.
        chance: simulate chance levels for exactly this size (some seconds) instead of taking those that ship.
        compare: another model (before fine-tuning, before extension) to compare the tables with, read in the same way.
        allow_pickle: let torch's ``weights_only`` loader read ``.bin`` and ``.pt``.
        max_header_bytes: longer headers are refused.
        html: where to write a page with all figures.
        png: where to write the similarity map and the norms as a picture.
        on_written: called with the path of each file that was written.

    Returns:
        The document of ``schemas/inspect.json``: a table has ``metrics`` (value, chance level and how that was obtained), ``findings``
        and ``pictures``. ``other_tables`` names tensors that look like position tables and were not inspected; ask for them with
        ``tensor``. ``comparison`` is None without ``compare``.

    Raises:
        MilepostError: what ``milepost.tables.read`` raises. OptionError: MP105, nothing to compare.
        FolderError: MP107, a page or picture that cannot be written. MissingExtra: MP106, one without matplotlib.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/table.npy", np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32))
    ...     found = inspect(f"{folder}/table.npy", first_row=0)
    >>> [finding["code"] for finding in found["tables"][0]["findings"] if finding["status"] == "tip"]
    ['MP211']
    """
    planned = plan_outputs(html=html, png=png)
    from milepost.diagnostics.inspect.inspection import inspect_model

    result = inspect_model(
        model,
        revision=revision,
        tensor=tensor,
        first_row=first_row,
        chance=chance,
        compare=compare,
        max_header_bytes=max_header_bytes,
        allow_pickle=allow_pickle,
    )
    files = {}
    if "html" in planned:
        from milepost.reporting import render_inspect_html

        files[planned["html"]] = render_inspect_html(result).encode()
    if "png" in planned:
        from milepost.reporting import render_inspect_png

        files[planned["png"]] = render_inspect_png(result)
    write_outputs(files, on_written)  # all are rendered before the first is written
    return result
