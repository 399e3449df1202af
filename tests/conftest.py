"""What several tests need: one small comparison, run once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.exists():
        pytest.skip("the shared data folder is not beside the project")
    return SHARED


TINY: dict[str, Any] = {
    "encodings": "learned,alibi,learned(past=clamp)",
    "train_length": 8,
    "lengths": (4, 8, 16),
    "seeds": 3,
    "workers": 2,
    "layers": 1,
    "dim": 16,
    "heads": 2,
    "steps": 6,
    "batch": 4,
}


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Options of a comparison of seconds; a fresh dict, to be changed at will."""
    return dict(TINY)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The folder and the result of the tiny comparison; the folder is not to be changed."""
    from milepost.api.compare import compare

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return folder, compare(**tiny, out=folder)
