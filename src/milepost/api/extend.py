"""The verb ``extend``: another length for a checkpoint, with proof."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from milepost.errors import OptionError
from milepost.extension.apply import VERIFY, Proof, apply_plan, describe_plan
from milepost.extension.methods.base import Method
from milepost.extension.model_proofs import prove_by_doctor, prove_model
from milepost.extension.plan import plan_extension

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
) -> dict[str, Any]:
    """Make a new checkpoint with another number of positions, in a folder that stock loaders read (but for position rules: ``milepost.load`` does).

    Everything in which a length lives changes together: the table and those that share its length, stored buffers, the
    configuration in the family's own words, the limits of tokenizer, generation and preprocessing, and the sizes in the
    shard index. All else is copied byte for byte; copies of the weights in other formats are left out and named.

    Guarantee: the source is only read. The output appears whole and proved, by one rename, or not at all. Nothing is
    unpickled, and torch is not imported; ``verify="model"`` runs it in a process of its own.

    Args:
        model: a folder, a ``.safetensors`` file with its JSON files beside it, or a Hub id. A model of transformers in
            memory is changed in place, and nothing is written: of the other arguments it takes ``method`` and ``tensor``.
        to: usable positions wanted; for images pixels: a number, or ``"384x512"`` (height, width).
        method: a spec string; ``hierarchical`` for text and ``bicubic`` for images without it.
        out: the folder to be made; ``NAME-TO`` in the current one without it. It must not exist.
        verify: ``none``: what was written is read again. ``files``: all that was kept is compared by hash, and doctor must
            find nothing new. ``model``: also transformers loads both models, and their outputs are compared.
        dry_run: plan only; nothing is written.
        revision: of a Hub id.
        tensor: the key of the table, where several could be meant or the family is unknown.
        first_row: the row of position 0, where the family does not say it.

    Returns:
        The document of ``schemas/extend.json``: ``from_length``, ``to_length``, ``changes``, ``checks`` and more.

    Raises:
        ExtendRefused: MP123. NoTable: MP122. OptionError: MP105. DataError: MP110. FolderError: MP107. ProofFailed: MP151.
        MilepostError: what ``milepost.tables.read`` raises.

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
    if not isinstance(model, str | os.PathLike):
        if out is not None or dry_run or revision is not None or first_row is not None or verify != "files":
            raise OptionError(
                "a model in memory is changed in place",
                got="an option of models on disk",
                fix="keep model, to, method and tensor",
            )
        if not hasattr(model, "named_parameters"):
            raise OptionError(
                "this is no model", got=type(model).__name__, fix="give a folder, a Hub id or a model"
            )
        from milepost.extension.in_memory import extend_in_memory

        return extend_in_memory(model, to=to, method=method, tensor=tensor)
    if verify not in VERIFY:
        raise OptionError(
            "verify takes one of its words", got=ascii(verify)[:80], fix=f"one of: {', '.join(VERIFY)}"
        )
    plan = plan_extension(
        model, to=to, method=method, out=out, revision=revision, tensor=tensor, first_row=first_row
    )
    if dry_run:
        return describe_plan(plan)
    proofs: dict[str, tuple[Proof, ...]] = {
        "none": (),
        "files": (prove_by_doctor,),
        "model": (prove_by_doctor, prove_model),
    }
    return apply_plan(plan, verify=verify, proofs=proofs[verify])
