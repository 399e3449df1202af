"""Split sequences: each rank's own positions, and the gradient of a table that ranks share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from milepost.encodings import build_shard_positions
from milepost.errors import OptionError

WORKER = Path(__file__).with_name("shard_worker.py")


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("order", ["plain", "zigzag"])
def test_shares_are_equal_and_together_the_whole(order, world):
    parts = [build_shard_positions(24, rank=rank, world=world, order=order)[0] for rank in range(world)]
    assert {len(part) for part in parts} == {24 // world}
    assert torch.cat(parts).sort().values.tolist() == list(range(24))
    assert all((part.diff() > 0).all() for part in parts)


def test_a_zigzag_gives_all_ranks_the_same_causal_work():
    work = {
        int((build_shard_positions(24, rank=rank, world=3, order="zigzag") + 1).sum()) for rank in range(3)
    }
    assert len(work) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"order": "striped"},
        {"rank": 2},
        {"rank": -1},
        {"world": 3},
        {"world": 0},
        {"length": 6, "order": "zigzag"},
    ],
)
def test_what_cannot_be_split_is_refused(wrong):
    options = {"length": 8, "rank": 0, "world": 2} | wrong
    with pytest.raises(OptionError, match="MP105"):
        build_shard_positions(options.pop("length"), **options)


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")
def test_the_gradient_after_the_all_reduce_is_that_of_one_process():
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(WORKER),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    apart = json.loads(done.stdout.strip().splitlines()[-1])
    for order in ("plain", "zigzag"):
        for case in ("unpadded", "left-padded", "derived"):
            assert apart[f"{order}, {case}"] <= 1e-5
        # ranks that each count from 0 are the mistake that this guards against
        assert apart[f"{order}, counted from 0"] > 0.1
