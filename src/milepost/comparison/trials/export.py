"""The model of a trial as a folder that ``milepost.load`` and ``milepost inspect`` read."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel

from milepost.comparison.design import Trial
from milepost.encodings import RowTable
from milepost.storage.files import sync
from milepost.storage.staging import staged
from milepost.tables import COUNTS_FILE
from milepost.tasks import Task

_SYSTEM_ERROR = re.compile(r"os error (\d+)")


def write_model(model: nn.Module, path: Path, trial: Trial, task: Task) -> None:
    """Write a model folder, which appears whole or not at all, with ``trial.json`` on what the model has seen.

    How often training used each row of a table is in the weights where the encoding's spec asks for it, and else in
    ``trained_counts.json``, so that other libraries find the tensors that they expect. Of a model around a transformers model (a forecaster) the transformers model is written.

    Raises:
        FolderError: MP107, the place cannot be written. DiskFull: MP108.
    """
    inner = model if isinstance(model, PreTrainedModel) else model.get_submodule("backbone")
    assert isinstance(inner, PreTrainedModel)
    facts = {
        "encoding": trial.encoding,
        "seed": trial.seed,
        "design": trial.design.identity(),
        "data": task.facts(),
        "head": dataclasses.asdict(task.head),
    }
    with staged(path) as beside:
        try:
            inner.save_pretrained(beside)
        except SafetensorError as error:  # a full disk is no OSError there
            found = _SYSTEM_ERROR.search(str(error))
            raise OSError(int(found[1]) if found else 0, str(error)) from error
        if counts := _counts_beside(inner):
            (beside / COUNTS_FILE).write_text(json.dumps(counts) + "\n", "utf-8")
        (beside / "trial.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
        for file in beside.iterdir():
            sync(file)


def _counts_beside(model: nn.Module) -> dict[str, list[int]]:
    """Counts of tables that are not in the state dict, by the key of the table."""
    kept = {id(value): key for key, value in model.state_dict(keep_vars=True).items()}
    return {
        kept[id(table.weight)]: table.trained_counts.tolist()
        for table in model.modules()
        if isinstance(table, RowTable)
        and table.trained_counts is not None
        and id(table.trained_counts) not in kept
    }
