"""The checks of a model that a folder holds."""

from __future__ import annotations

import os
from typing import Any

import transformers
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from milepost.errors import MilepostError
from milepost.finding import Finding, Verdict
from milepost.models.check.common import listed, shown
from milepost.models.check.positions import check_positions
from milepost.models.check.runnable_model import CHECKS
from milepost.models.loading import load
from milepost.models.output import quietly


def check_folder(folder: str | os.PathLike[str]) -> list[Finding]:
    """Load a model's folder and run ``check_positions`` on it.

    Only safetensors are read and no code of the folder is run. A folder that cannot be loaded gives one
    finding, an ``issue`` with the reason, and no error.
    """
    try:
        options = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
        with quietly():
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            model, seen = _class_of(config).from_pretrained(folder, output_loading_info=True, **options)
    except Exception as error:  # transformers raises whatever a damaged configuration makes its code raise
        try:
            model = load(os.fspath(folder))  # a swapped one, which stock classes refuse
        except MilepostError:
            return [CHECKS["MP340"].report(_not_loaded(error), "the folder")]
        seen = {}
    absent = sorted(name for name in seen.get("missing_keys", ()) if "pooler" not in name.split("."))
    if absent:
        return [CHECKS["MP340"].report(_incomplete(absent), "the folder")]
    return check_positions(model)


def _class_of(config: PretrainedConfig) -> Any:
    """The class that a folder names, head and all, among those of transformers; its body where it names none."""
    names = config.architectures or [""]
    found = getattr(transformers, str(names[0]), None)
    return found if isinstance(found, type) and issubclass(found, PreTrainedModel) else AutoModel


def _not_loaded(error: Exception) -> Verdict:
    fix = "fix what the error names, then run again; without --run, only the files are checked"
    return Verdict(
        "issue", f"the model does not load: {shown(error)}", expected="a model that loads", fix=fix
    )


def _incomplete(absent: list[str]) -> Verdict:
    """transformers draws what a file lacks at random, and only logs it. Checkpoints of masked models have no pooler."""
    got = f"{len(absent)} weights are in no file, so transformers draws them at random: {listed(absent)}"
    return Verdict(
        "issue", got, expected="a file with all weights", fix="get the weights that belong to config.json"
    )
