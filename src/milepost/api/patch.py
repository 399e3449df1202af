"""Trained rows put on the model that they were trained for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from milepost import __version__
from milepost.errors import OptionError
from milepost.storage.files import expand

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from milepost.plugins import Imports


def patch(
    model: str | os.PathLike[str] | PreTrainedModel,
    patch: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    imports: Imports | None = None,
) -> dict[str, Any]:
    """Put trained rows on the model that they were trained for, or on the shorter one that it was extended from.

    Guarantee: the base model is only read, and it is the right one: its rows before the patch and all its other
    floating-point tensors have the hashes that the patch states. The output is that of ``milepost tune --save model``,
    tensor for tensor, and appears whole or not at all.

    Args:
        model: a folder, or a text model of transformers in memory, which is changed in place. In memory, where classes add and
            drop heads, the rows of the table are checked, and those tensors that it has.
        patch: the file.
        out: the folder to be made; ``NAME-LENGTH`` in the current one without it. Not for models in memory.
        imports: your own code that defines the method by which a shorter model is extended: paths of files and names
            of installed modules. What the patch itself names is never imported.

    Returns:
        The document of ``schemas/patch.json``.

    Raises:
        PatchRefused: MP125, a patch for another model; nothing is written, and the model is as it was.
        DataError: MP110, no patch. PluginError: MP109. FolderError: MP107, an output that cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     patch(folder, f"{folder}/config.json")
    Traceback (most recent call last):
    milepost.errors.DataError: [MP110] this is not a table patch
      got: '...config.json'
      fix: milepost tune --save patch makes one
    """
    from milepost.extension.apply import apply_plan
    from milepost.extension.methods import build_method
    from milepost.extension.plan import plan_extension, refuse_place
    from milepost.extension.source import find_source
    from milepost.plugins import load_imports
    from milepost.storage.staging import scratch
    from milepost.tables import read
    from milepost.tuning.patch import SCHEMA_VERSION, Patch, put_rows, require_base

    load_imports(imports)
    held = Patch.read(patch)
    if not isinstance(model, str | os.PathLike):
        from milepost.tuning.memory_patch import patch_in_memory

        if out is not None:
            raise OptionError("a model in memory is changed in place", got="out", fix="leave it out")
        return patch_in_memory(model, held)
    source = find_source(model, None)
    output = expand(out) if out is not None else Path(f"{source.title.rpartition('/')[2]}-{held.length}")
    refuse_place(output, source)
    table = require_base(held, read(source.folder), source.folder)
    if table.usable_length < held.length:
        with scratch(output) as beside:
            longer = beside / source.root.name
            method = build_method(held.method, in_file=True)
            plan = plan_extension(source.root, to=held.length, method=method, out=longer, tensor=held.key)
            apply_plan(plan, verify="none", proofs=())
            checks = put_rows(find_source(longer, None), held, output)
    else:
        checks = put_rows(source, held, output)
    return {
        "schema_version": SCHEMA_VERSION, "source": os.fspath(model), "patch": os.fspath(patch), "output": os.fspath(output),
        "key": held.key, "from_length": table.usable_length, "to_length": held.length, "first_position": held.begin,
        "milepost_version": __version__, "checks": [check.document() for check in checks],
    }  # fmt: skip
