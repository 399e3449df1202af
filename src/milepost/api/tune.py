"""The rows of a position table trained, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from milepost.plugins import Imports


def tune(
    model: str | os.PathLike[str],
    data: str,
    *,
    rows: str = "new",
    trained_length: int | None = None,
    window: int | None = None,
    objective: str | None = None,
    tensor: str | None = None,
    device: str = "cpu",
    text_column: str | None = None,
    header: bool = True,
    steps: int = 500,
    batch: int = 4,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    every: int = 50,
    patience: int = 3,
    seed: int = 0,
    precision: str = "float32",
    save: str = "model",
    out: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    imports: Imports | None = None,
    on_progress: Callable[[str, int, int, float | None], None] | None = None,
) -> dict[str, Any]:
    """Train the rows of a model's position table, with all else frozen, and say what that gained on held-out documents.

    Windows of the length that the model knows are placed at random offsets, so a long table trains in the memory of a short one.
    That trains what a window can show: how each row goes with the rows up to a window away, not relations over more.
    Language models learn from their own head; embedding models are taught by themselves: the hidden states of a window anywhere
    are trained to be those of the same window at the front.

    Guarantee: rows that are not trained, reserved ones among them, and all other tensors are the same bytes afterwards. A run
    that is killed at any moment is continued by the same call, to the same bytes on the same machine and versions. Documents that
    decide when to stop, and those that are reported on, are whole ones, chosen by their hash, and never trained on.

    Args:
        model: a folder or a Hub id. Only read.
        data: what ``milepost.tasks.read_text`` takes.
        rows: ``new``: those past the trained length. ``all``: every row that a position reads.
        trained_length: positions that were trained before; what the configuration records by default.
        window: positions of a window, special tokens included; the shorter of trained and tuned length by default.
        objective: ``masked-lm``, ``causal-lm`` or ``embedding``; what the model is for by default.
        tensor: the key of the table, where several could be meant.
        device: a torch device.
        text_column: name of the texts' column, or its index from 0, where the data is a table.
        header: whether the first row of a table names its columns.
        steps: of the optimiser, at most.
        batch: windows a step.
        lr: highest learning rate; lowered after each measurement without a gain.
        weight_decay: of AdamW, on the trained rows.
        every: steps between two measurements on held-out documents, at each of which the state is written.
        patience: measurements without a gain after which training stops; twice as many before the first gain.
        seed: of windows, offsets and masks.
        precision: ``float32``, or ``bfloat16`` for the model's products; rows and moments are always float32.
        save: ``model`` or ``patch``.
        out: the run folder; ``milepost-runs/tune-HASH`` by default. It gets the state, ``result.json``, ``patch.safetensors``
            and, with ``save="model"``, the folder ``model``.
        dry_run: report what would be trained on what; nothing is written.
        imports: your own code that defines the method by which the model was extended: paths of files and names of
            installed modules.
        on_progress: called with what is done (``train`` or ``measure``), how far, of how much, and the last loss.

    Returns:
        The document of ``schemas/tune.json``; ``helped`` says whether a gain was shown.

    Raises:
        OptionError: MP105. ModelError: MP124, a model that cannot be trained so. DataError: MP110, too few or too short documents.
        FolderError: MP107, a run folder of another design. TrialFailed: MP140, a loss that is no number.
        MilepostError: what reading model and data raises.

    >>> tune("no-such-model", "builtin:python-docs", rows="some")
    Traceback (most recent call last):
    milepost.errors.OptionError: [MP105] invalid value for rows
      got: 'some'
      fix: one of: new, all
    """
    from milepost.plugins import load_imports
    from milepost.tuning.training.plan import Aim
    from milepost.tuning.training.training import Recipe
    from milepost.tuning.tune import tune_rows

    load_imports(imports)
    aim = Aim(rows, trained_length, window, objective, tensor, device, text_column, header)
    recipe = Recipe(steps, batch, lr, weight_decay, every, patience, seed, precision)
    return tune_rows(
        model, data, aim=aim, recipe=recipe, out=out, save=save, dry_run=dry_run, on_progress=on_progress
    )
