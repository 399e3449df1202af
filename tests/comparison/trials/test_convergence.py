from __future__ import annotations

import numpy as np
import pytest

from milepost.comparison.trials.convergence import has_converged

FLOOR = 3.3


def noisy(course: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A course of losses, each step ``share`` of itself off by chance."""
    return course * (1 + share * np.random.default_rng(seed).normal(size=len(course)))


@pytest.mark.parametrize(("falls", "converged"), [(0.2, False), (0.06, False), (0.04, True), (-0.2, True)])
def test_a_loss_that_still_falls_steeply_has_not_converged(falls: float, converged: bool) -> None:
    losses = [2.0] * 90 + [2.0 * (1 - falls)] * 10
    assert has_converged(losses, FLOOR) is converged


@pytest.mark.parametrize("steps", [60, 600])
def test_a_steep_fall_is_found_in_noise(steps: int) -> None:
    course = 3.0 * np.exp(-2 * np.arange(steps) / steps)  # 18 % a tenth
    assert not any(has_converged(noisy(course, 0.05, seed), FLOOR) for seed in range(100))


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_noise_alone_is_no_fall(share: float) -> None:
    flagged = [not has_converged(noisy(np.full(600, 0.4), share, seed), 1.0) for seed in range(400)]
    assert np.mean(flagged) < 0.01


def test_the_plain_rule_of_five_per_cent_would_call_such_noise_a_fall() -> None:
    falls = [1 - losses[-60:].mean() / losses[-120:-60].mean() for losses in
             (noisy(np.full(600, 0.4), 0.3, seed) for seed in range(400))]  # fmt: skip
    assert np.mean(np.array(falls) > 0.05) > 0.1


def test_a_loss_on_the_plateau_of_frequencies_has_not_converged() -> None:
    """Its mean may lie a little below the floor by chance, and half the time it does."""
    runs = [noisy(np.full(600, FLOOR), 0.05, seed) for seed in range(100)]
    assert 20 < sum(losses[-60:].mean() < FLOOR for losses in runs) < 80
    assert sum(has_converged(losses, FLOOR) for losses in runs) <= 2
    assert has_converged(runs[0] - 0.2, FLOOR)


def test_a_masked_model_that_counts_its_neighbours_and_ignores_their_order_is_on_the_plateau() -> None:
    """Losses as a learned table and no encoding have them on Shakespeare; rotary is at 1.95 after as many steps."""
    floor = 3.068
    for level, converged in ((2.98, False), (1.95, True)):
        assert has_converged(noisy(np.full(600, level), 0.03, 0), floor) is converged


def test_a_task_that_is_solved_may_go_on_towards_zero() -> None:
    losses = 0.01 * np.exp(-5 * np.arange(600) / 600)
    assert has_converged(losses, FLOOR)
    assert not has_converged(1000 * losses, FLOOR)


@pytest.mark.parametrize("steps", [1, 2, 3, 9])
def test_the_shortest_trials_are_judged_without_a_warning(steps: int) -> None:
    assert has_converged([2.0] * steps, FLOOR)
    assert not has_converged([4.0] * steps, FLOOR)
    assert has_converged(np.linspace(2.0, 1.0, steps), FLOOR) is (steps == 1)
