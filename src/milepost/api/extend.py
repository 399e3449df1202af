"""Another number of positions for a model, with proof of what stayed."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from milepost.errors import OptionError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from milepost.extension.methods import Method
    from milepost.extension.plan import ExtensionPlan
    from milepost.plugins import Imports

_ON_DISK = {
    "out": ("it is changed in place", "leave it out; model.save_pretrained writes the folder"),
    "verify": ("nothing is written that could be read again", "leave it out, or extend the model's folder"),
    "revision": ("only a Hub id has revisions", "leave it out"),
    "first_row": ("its configuration says which row is position 0", "leave it out, or extend the model's folder"),
    "choose": ("documents are read with the tokenizer of a folder", "extend the model's folder"),
}  # fmt: skip
"""Options that do not apply to a model in memory: why, and what helps."""


def extend(
    model: str | os.PathLike[str] | PreTrainedModel,
    *,
    to: int | str | tuple[int, int],
    method: str | Method | None = None,
    out: str | os.PathLike[str] | None = None,
    verify: str = "files",
    dry_run: bool = False,
    revision: str | None = None,
    tensor: str | None = None,
    first_row: int | None = None,
    choose: str | None = None,
    candidates: Sequence[str] | str | None = None,
    documents: int = 50,
    objective: str | None = None,
    text_column: str | None = None,
    header: bool = True,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    imports: Imports | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Make a new checkpoint with another number of positions, in a folder that stock loaders read (but for position rules: ``milepost.load`` does).

    Everything in which a length lives changes together: the table and those that share its length, stored buffers, the
    configuration in the family's own words, the limits of tokenizer, generation and preprocessing, and the sizes in the
    shard index. All else is copied byte for byte; copies of the weights in other formats are left out and named. With
    ``choose`` the methods are measured first, and a model that none of them makes better is not written.

    Guarantee: the source is only read. The output appears whole and proved, by one rename, or not at all. Nothing is
    unpickled, and torch is imported for ``choose`` and models in memory alone; ``verify="model"`` runs it in a process of its own.

    Args:
        model: a folder, a ``.safetensors`` file with its JSON files next to it, or a Hub id. A model of transformers in
            memory is changed in place, and nothing is written: it takes ``method``, ``tensor`` and ``dry_run``.
        to: usable positions wanted; for images pixels: a number, or ``"384x512"`` (height, width).
        method: a spec string; ``hierarchical`` for text and ``bicubic`` for images by default.
        out: the folder to be made; ``NAME-TO`` in the current one by default. It must not exist.
        verify: ``none``: what was written is read again. ``files``: all that was kept is compared by hash, and doctor must
            find nothing new. ``model``: also transformers loads both models, and their outputs are compared.
        dry_run: plan only; nothing is written. With ``choose``: measure only.
        revision: of a Hub id.
        tensor: the key of the table, where several could be meant or the family is unknown.
        first_row: the row of position 0, where the family does not say it.
        choose: documents, as ``milepost.choose`` reads them: extend by the method that it recommends for them, if any.
        imports: your own code that defines methods: paths of files (``my_method.py``) and names of installed modules.
        candidates, documents, objective, text_column, header, seed, cache, device, on_progress: of ``milepost.choose``.

    Returns:
        The document of ``schemas/extend.json``: ``from_length``, ``to_length``, ``changes``, ``checks`` and more. With ``choose``
        that of ``schemas/choose.json``; its ``extension`` is the former, or None where nothing was written.

    Raises:
        ExtendRefused: MP123. NoTable: MP122. OptionError: MP105. DataError: MP110. FolderError: MP107. ProofFailed: MP151.
        PluginError: MP109, code of ``imports`` that cannot be imported.
        MilepostError: what ``milepost.tables.read`` and ``milepost.choose`` raise.

    >>> import json, tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from safetensors.numpy import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     old = Path(folder) / "old"
    ...     old.mkdir()
    ...     _ = (old / "config.json").write_text('{"model_type": "gpt2", "n_positions": 4}')
    ...     save_file({"wpe.weight": np.eye(4, dtype=np.float32)}, old / "model.safetensors")
    ...     result = extend(old, to=12, out=Path(folder) / "new")
    ...     json.loads((Path(folder) / "new" / "config.json").read_text())["n_positions"]
    12
    >>> result["from_length"], result["to_length"], result["checks"][1]["status"]
    (4, 12, 'passed')
    """
    from milepost.plugins import load_imports

    load_imports(imports)
    measuring: dict[str, Any] = {
        "candidates": candidates, "documents": documents, "text_column": text_column, "header": header,
        "objective": objective, "seed": seed, "device": device, "cache": cache,
    }  # fmt: skip
    if choose is None and (unused := _changed(measuring)):
        names = ", ".join("--no-header" if n == "header" else f"--{n.replace('_', '-')}" for n in unused)
        raise OptionError("nothing is measured without documents", got=names, fix="add --choose DATA")
    if not isinstance(model, str | os.PathLike):
        _refuse_of_disk(
            {"out": out, "verify": verify, "revision": revision, "first_row": first_row, "choose": choose}
        )
        return _extend_in_memory(model, to=to, method=method, tensor=tensor, dry_run=dry_run)
    if choose is not None and method is not None:
        raise OptionError(
            "the method is either given or chosen",
            got=f"--method {method} and --choose",
            fix="name methods to choose from: --candidates SPECS",
        )
    from milepost.extension.apply import describe_plan, require_verify
    from milepost.extension.plan import change_method, plan_extension

    require_verify(verify)
    # also where a method is chosen: what stands in the way is said before the minutes of measuring
    plan = plan_extension(
        model, to=to, method=method, out=out, revision=revision, tensor=tensor, first_row=first_row
    )
    if choose is None:
        return describe_plan(plan) if dry_run else _apply(plan, verify)
    from milepost.tuning.selection.measure import Selection, measure_methods

    wanted = Selection(to=to, revision=revision, tensor=tensor, imports=imports, **measuring)
    result = measure_methods(model, plan.source, plan.checkpoint, choose, wanted, on_progress)
    best = result["recommendation"]["method"]
    if best is not None and not dry_run:
        result["extension"] = _apply(change_method(plan, best), verify)
    return result


def _changed(options: Mapping[str, Any]) -> list[str]:
    """The options that do not have their default."""
    parameters = inspect.signature(extend).parameters
    return [name for name, value in options.items() if value != parameters[name].default]


def _refuse_of_disk(options: Mapping[str, Any]) -> None:
    """Refuse the first option that says nothing to a model in memory."""
    for name in _changed(options):
        why, fix = _ON_DISK[name]
        raise OptionError(
            f"{name} does not apply to a model in memory: {why}",
            got=f"{name}={ascii(options[name])[:80]}",
            fix=fix,
        )


def _extend_in_memory(model: PreTrainedModel, **options: Any) -> dict[str, Any]:
    if not hasattr(model, "named_parameters"):
        raise OptionError(
            "this is no model", got=type(model).__name__, fix="give a folder, a Hub id or a model"
        )
    from milepost.extension.in_memory import extend_in_memory

    return extend_in_memory(model, **options)


def _apply(plan: ExtensionPlan, verify: str) -> dict[str, Any]:
    """Write the folder, with the proofs that were asked for."""
    from milepost.extension.apply import Proof, apply_plan
    from milepost.extension.model_proofs import prove_by_doctor, prove_model

    proofs: dict[str, tuple[Proof, ...]] = {
        "none": (),
        "files": (prove_by_doctor,),
        "model": (prove_by_doctor, prove_model),
    }
    return apply_plan(plan, verify=verify, proofs=proofs[verify])
