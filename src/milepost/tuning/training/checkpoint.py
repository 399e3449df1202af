"""What a run of training needs to go on as if it had never stopped, in one file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from milepost.errors import FolderError
from milepost.storage.files import durable

STATE: Final = "state.safetensors"


@dataclass(frozen=True)
class TuningProgress:
    """How far training has come.

    Attributes:
        step: optimiser steps that are done.
        best_step: after how many of them the rows were best; 0 for the rows at the beginning.
        best_loss: on the documents that decide when to stop.
        worse: measurements since then.
        history: steps and losses of all measurements.
        finished: nothing is left to do.
    """

    step: int = 0
    best_step: int = 0
    best_loss: float = float("inf")
    worse: int = 0
    history: tuple[tuple[int, float], ...] = ()
    finished: bool = False

    @property
    def scale(self) -> float:
        """The factor of the learning rate: a quarter after each measurement that was no new best, twice as much after one that was.

        >>> TuningProgress(history=((0, 2.0), (3, 2.5), (6, 2.4), (9, 1.9))).scale
        0.125
        """
        best, scale = math.inf, 1.0
        for _, loss in self.history:
            scale = min(1.0, 2 * scale) if loss < best else scale / 4
            best = min(best, loss)
        return scale

    def measured(self, step: int, loss: float, *, steps: int, patience: int) -> TuningProgress:
        """Progress after one more measurement; ``patience`` counts twice while nothing was better than the beginning.

        >>> seen = TuningProgress().measured(0, 2.0, steps=9, patience=1).measured(3, 2.5, steps=9, patience=1)
        >>> seen.finished, seen.measured(6, 2.5, steps=9, patience=1).finished
        (False, True)
        """
        seen = replace(self, step=step, history=(*self.history, (step, loss)))
        if loss < self.best_loss:
            seen = replace(seen, best_step=step, best_loss=loss, worse=0)
        else:
            seen = replace(seen, worse=self.worse + 1)
        limit = patience if seen.best_step else 2 * patience
        return replace(seen, finished=step >= steps or seen.worse >= limit)


@dataclass(frozen=True, eq=False)
class TuningState:
    """Progress, and the tensors that belong to it: rows, moments of the optimiser, best rows, counts."""

    progress: TuningProgress
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it beside, flush it, rename it; a kill at any moment leaves this state or the one before."""
        tensors = {name: one.detach().cpu().contiguous() for name, one in self.tensors.items()}
        text = json.dumps(asdict(self.progress))
        with durable(folder / STATE) as beside:
            # one entry: safetensors writes several in any order
            save_file(
                tensors, beside, {"state": json.dumps({"progress": text, "sha256": digest(text, tensors)})}
            )

    @classmethod
    def read(cls, folder: Path) -> TuningState | None:
        """The state in a folder, or None.

        Raises:
            FolderError: MP107, for a file that is not what was written.
        """
        path = folder / STATE
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                written = json.loads((file.metadata() or {})["state"])
            text = written["progress"]
            if written["sha256"] != digest(text, tensors):
                raise ValueError("its hash is another")
            fields = json.loads(text)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise FolderError(
                "the state of the run is not what was written",
                got=f"{path}: {error}",
                fix="delete the file; training then starts again",
            ) from None
        fields["history"] = tuple((step, loss) for step, loss in fields["history"])
        return cls(TuningProgress(**fields), tensors)


def digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a text and of tensors with their names, types and shapes."""
    found = hashlib.sha256(text.encode())
    for name, one in sorted(tensors.items()):
        found.update(f"{name} {one.dtype} {tuple(one.shape)}".encode())
        found.update(one.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
