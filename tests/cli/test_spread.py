from __future__ import annotations

import pytest

from milepost.cli.spread import leading, under_torchrun


def test_under_torchrun_its_processes_share_one_trial_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert under_torchrun() == {}
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert under_torchrun() == {"processes_per_trial": 3, "workers": 1}


@pytest.mark.parametrize(("rank", "leads", "done"), [("0", True, "dismiss"), ("1", False, "serve")])
def test_the_first_process_of_torchrun_leads_and_the_others_train_along(
    rank: str, leads: bool, done: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("RANK", rank)
    for name in ("dismiss", "serve"):
        monkeypatch.setattr(
            f"milepost.comparison.workers.processes.{name}", lambda name=name: called.append(name)
        )
    with leading() as first:
        assert first is leads
    assert called == [done]


def test_the_others_are_sent_home_when_the_first_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr("milepost.comparison.workers.processes.dismiss", lambda: called.append("dismiss"))
    with pytest.raises(KeyboardInterrupt), leading():
        raise KeyboardInterrupt
    assert called == ["dismiss"]


def test_without_torchrun_there_is_one_process() -> None:
    with leading() as first:
        assert first
