from __future__ import annotations

from pathlib import Path

import pytest

from milepost.comparison.design import Design, Model, Training, Trial
from milepost.comparison.plan import Job
from milepost.comparison.workers.messages import Order, Reply, Stop
from milepost.comparison.workers.running import Running
from milepost.comparison.workers.scale import Scale
from milepost.errors import DiskFull, FolderError
from milepost.storage.processes import run_python
from milepost.tasks import Options


def test_an_order_survives_the_way_to_a_worker() -> None:
    size, recipe = Model(layers=1, dim=16, heads=2), Training(steps=3, betas=(0.8, 0.9), dtype="bf16")
    design = Design("copy", "a.csv", "ab" * 32, 8, Options(tokenizer="byte"), size, recipe)
    trials = [Trial(design, "rotary(theta=500)", seed, lr=1e-4, scale=0.5) for seed in range(3)]
    job = Job(trials[0], (4, 8), (8,), True, True, 2, (trials[1], trials[2]))
    running = Running("cuda:0", 2, 0.5, Scale(batch_seeds=3, ray="", gpus_per_trial=0.5))
    order = Order(job, Path("a folder/run"), running, wait=True)
    arrived = Order.from_json(order.to_json())
    assert arrived == order
    assert arrived.job.companions[1].key() == trials[2].key()
    assert "\n" not in order.to_json()
    assert Order.from_json(Order(job, Path("run"), running).to_json()) != order


@pytest.mark.parametrize(
    "reply",
    [
        Reply("ready"),
        Reply("step", steps=7),
        Reply("note", note="two\nlines"),
        Reply("failed", reason="a (b)"),
        Reply("stopped", stop=Stop("MP107", "a", "b", "c")),
    ],
)
def test_a_reply_survives_the_way_back(reply: Reply) -> None:
    assert Reply.from_json(reply.to_json()) == reply
    assert "\n" not in reply.to_json()


@pytest.mark.parametrize("kind", [FolderError, DiskFull])
def test_an_error_that_ends_a_sweep_arrives_as_what_it_is(kind: type[FolderError]) -> None:
    error = Stop.of(kind("a", got="b", fix="c")).error()
    assert type(error) is kind
    assert (error.problem, error.got, error.fix) == ("a", "b", "c")


def test_a_worker_cares_for_signals_and_output_before_it_imports_anything_heavy() -> None:
    program = (
        "import milepost.comparison.workers.__main__, sys; print(*{'torch', 'numpy'} & sys.modules.keys())"
    )
    assert run_python(["-c", program]).stdout.strip() == ""
