"""Each method against a second writing of it, made from its source."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from milepost.extension.methods import build_method
from milepost.extension.methods.sinusoid_fit import _power


def table(n: int, dim: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.1, 1.0, (n, dim))


@pytest.mark.parametrize("alpha", [0.3, 0.4, 0.7])
@pytest.mark.parametrize(("n", "to"), [(2, 4), (5, 23), (7, 49)])
def test_hierarchical_is_the_formula(n: int, to: int, alpha: float) -> None:
    p = table(n)
    u = [(p[i] - alpha * p[0]) / (1 - alpha) for i in range(n)]
    wanted = [alpha * u[i] + (1 - alpha) * u[j] for i in range(n) for j in range(n)]
    made = build_method(f"hierarchical(alpha={alpha})").apply(p, to)
    np.testing.assert_allclose(made, np.array(wanted[:to]), rtol=0, atol=1e-13)


def test_hierarchical_gives_all_positions_rows_of_their_own() -> None:
    made = build_method("hierarchical").apply(table(9), 81)
    assert len(np.unique(made.round(9), axis=0)) == 81


def test_hierarchical_shifts_new_rows_away_from_row_0() -> None:
    p = table(6)
    p[0] *= 50
    made = build_method("hierarchical(alpha=0.2)").apply(p, 36).reshape(6, 6, -1)
    np.testing.assert_allclose(made - p, np.broadcast_to((p - p[0])[:, None] / 4, made.shape), atol=1e-12)


@pytest.mark.parametrize(("n", "to"), [(2, 7), (5, 6), (8, 32), (11, 40)])
@pytest.mark.parametrize("ends", ["aligned", "open"])
def test_linear_is_torch_interpolation(n: int, to: int, ends: str) -> None:
    p = table(n)
    wanted = F.interpolate(
        torch.from_numpy(p).T[None], size=to, mode="linear", align_corners=ends == "aligned"
    )[0].T
    np.testing.assert_allclose(build_method(f"linear(ends={ends})").apply(p, to), wanted.numpy(), atol=1e-12)


def not_a_knot(p: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The spline by its second derivatives: continuity of the first at each knot, of the third next to the ends."""
    n = len(p)
    system, right = np.zeros((n, n)), np.zeros_like(p)
    system[0, :3] = system[-1, -3:] = [1, -2, 1]
    for i in range(1, n - 1):
        system[i, i - 1 : i + 2] = [1 / 6, 4 / 6, 1 / 6]
        right[i] = p[i - 1] - 2 * p[i] + p[i + 1]
    m = np.linalg.solve(system, right)
    made = []
    for place in places:
        i = min(int(place), n - 2)
        b = place - i
        a = 1 - b
        made.append(a * p[i] + b * p[i + 1] + ((a**3 - a) * m[i] + (b**3 - b) * m[i + 1]) / 6)
    return np.array(made)


@pytest.mark.parametrize(("n", "to"), [(4, 9), (6, 7), (12, 50)])
def test_cubic_is_the_spline(n: int, to: int) -> None:
    p = table(n)
    places = np.array([i * (n - 1) / (to - 1) for i in range(to)])
    np.testing.assert_allclose(build_method("cubic").apply(p, to), not_a_knot(p, places), atol=1e-11)


def long_clip(old: np.ndarray, keep: int, ratio: int) -> np.ndarray:
    """Knots at whole multiples; past the last one the last slope goes on."""
    new = list(old[:keep])
    body = old[keep:]
    for i in range(len(body)):
        here = body[i]
        step = (body[i + 1] - here) if i + 1 < len(body) else (here - body[i - 1])
        new += [here + k * step / ratio for k in range(ratio)]
    return np.array(new)


@pytest.mark.parametrize(("n", "keep", "ratio"), [(77, 20, 4), (9, 3, 2), (6, 0, 3)])
def test_keep_is_long_clip_and_leaves_old_rows_at_whole_multiples(n: int, keep: int, ratio: int) -> None:
    p = table(n)
    wanted = long_clip(p, keep, ratio)
    made = build_method(f"keep(first={keep})").apply(p, keep + ratio * (n - keep))
    np.testing.assert_allclose(made, wanted, atol=1e-12)
    assert np.array_equal(made[:keep], p[:keep])
    assert np.array_equal(made[keep::ratio], p[keep:])
    assert n != 77 or len(made) == 248


def test_keep_takes_other_ratios_too() -> None:
    made = build_method("keep(first=1)").apply(np.array([[7.0], [0.0], [1.0]]), 4)
    np.testing.assert_allclose(made[:, 0], [7, 0, 2 / 3, 4 / 3])


@pytest.mark.parametrize(("n", "to"), [(2, 9), (3, 4), (5, 31)])
def test_copying_methods(n: int, to: int) -> None:
    p = table(n)
    again = np.concatenate([p] * (to // n + 1))[:to]
    assert np.array_equal(build_method("tile").apply(p, to), again)
    assert np.array_equal(build_method("recur").apply(p, to), again)
    assert np.array_equal(
        build_method("reflect").apply(p, to), np.pad(p, ((0, to - n), (0, 0)), mode="reflect")
    )
    size = next(s for s in range(1, to + 1) if s * n >= to)
    assert np.array_equal(build_method("group").apply(p, to), np.repeat(p, size, axis=0)[:to])


def test_starts_for_training() -> None:
    p = table(6)
    np.testing.assert_allclose(build_method("mean").apply(p, 9)[6:], [p.sum(axis=0) / 6] * 3)
    assert not build_method("zeros").apply(p, 9)[6:].any()
    assert np.array_equal(build_method("right").apply(p, 9)[3:], p)
    assert np.array_equal(build_method("crop").apply(p, 4), p[:4])


@pytest.mark.parametrize("name", ["normal", "right"])
def test_random_rows_are_as_large_as_the_table_and_follow_the_seed(name: str) -> None:
    p = 0.02 * table(64, 32)
    method = build_method(name)
    new = slice(64, None) if name == "normal" else slice(0, -64)
    made = method.apply(p, 512, rng_seed=3)[new]
    assert made.std() == pytest.approx(p.std(), rel=0.05)
    assert abs(made.mean()) < 0.05 * p.std()
    assert np.array_equal(made, method.apply(p, 512, rng_seed=3)[new])
    assert not np.array_equal(made, method.apply(p, 512, rng_seed=4)[new])


def least_squares_wave(p: np.ndarray, cycles: float, to: int) -> tuple[float, np.ndarray]:
    """One wave and a constant by the normal equations: what is left, and the wave run on."""
    n = len(p)
    basis = np.array(
        [[1, np.cos(2 * np.pi * cycles * i / n), np.sin(2 * np.pi * cycles * i / n)] for i in range(to)]
    )
    fitted = basis[:n]
    weights = np.linalg.solve(fitted.T @ fitted, fitted.T @ p)
    return float(((p - fitted @ weights) ** 2).sum()), basis @ weights


def test_sinusoid_fit_weighs_candidates_by_the_power_of_their_transform() -> None:
    p = table(10, 3)
    direct = [np.square(np.abs(np.exp(-2j * np.pi * k / 640 * np.arange(10)) @ p)).sum() for k in range(321)]
    np.testing.assert_allclose(_power(p), direct, atol=1e-10)


def test_sinusoid_fit_takes_the_strongest_wave_and_fits_it_by_least_squares() -> None:
    p = table(24, 3, seed=5) + 2 * np.cos(np.arange(24) * 0.9)[:, None]
    centred = p - p.mean(axis=0)
    coarse = [k / 64 for k in range(32, 6 * 64 + 1)]
    power = [np.square(np.abs(np.exp(-2j * np.pi * c * np.arange(24) / 24) @ centred)).sum() for c in coarse]
    first = coarse[int(np.argmax(power))]
    fine = np.linspace(first - 0.25, first + 0.25, 5001)
    best = min(fine, key=lambda c: least_squares_wave(p, c, 24)[0])
    wanted = least_squares_wave(p, best, 40)[1]
    made = build_method("sinusoid-fit(harmonics=1)").apply(p, 40)
    np.testing.assert_allclose(made[24:], wanted[24:], atol=5e-3)


@pytest.mark.parametrize("periods", [(40.0,), (40.0, 11.3), (190.0, 55.5, 17.0)])
def test_sinusoid_fit_continues_a_table_of_waves(periods: tuple[float, ...]) -> None:
    rng, places = np.random.default_rng(1), np.arange(512)[:, None]
    waves = sum(rng.normal(size=8) * np.cos(2 * np.pi * places / t + rng.uniform(0, 6, 8)) for t in periods)
    made = build_method(f"sinusoid-fit(harmonics={len(periods)})").apply(waves[:128] + 1, 512)
    np.testing.assert_allclose(made, waves + 1, atol=0.01)
    assert np.abs(build_method("tile").apply(waves[:128] + 1, 512) - waves - 1).max() > 0.5


def test_sinusoid_fit_of_a_constant_table_is_constant() -> None:
    assert np.allclose(build_method("sinusoid-fit").apply(np.full((12, 2), 3.0), 30), 3.0)


def test_position_rules_leave_inputs_within_the_old_length_alone() -> None:
    for name in ("group", "recur"):
        rule = build_method(name)
        for length in range(1, 9):
            assert rule.positions(length, 8).tolist() == list(range(length))
    assert build_method("group").positions(9, 4).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
