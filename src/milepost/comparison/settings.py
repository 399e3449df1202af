"""Learning rate and initial scale of each encoding: a small grid, the best by the validation part, and what hangs on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from milepost.comparison.verdicts.scores import MIN_SEEDS, Pair
from milepost.errors import OptionError
from milepost.statistics import measure_difference, name_side

_FACTORS = (0.5, 1.0, 2.0)
Values = Mapping[int, float]
"""A metric by seed."""


@dataclass(frozen=True)
class Setting:
    """What is tuned for each encoding on its own.

    Args:
        lr: highest learning rate.
        scale: factor on the initial scale of what the encoding adds to the embeddings.
    """

    lr: float
    scale: float = 1.0

    def __str__(self) -> str:
        return f"lr {self.lr:g}" + (f", scale × {self.scale:g}" if self.scale != 1 else "")


@dataclass(frozen=True)
class SettingGrid:
    """The settings that are tried.

    Args:
        lrs: learning rates; one alone is not tuned.
        scales: factors on the initial scale, for encodings that have one.
    """

    lrs: tuple[float, ...]
    scales: tuple[float, ...] = (1.0,)

    @property
    def tuned(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.lrs) > 1 or len(self.scales) > 1

    def settings(self, *, scalable: bool) -> tuple[Setting, ...]:
        """All settings of one encoding."""
        return tuple(Setting(lr, scale) for lr in self.lrs for scale in (self.scales if scalable else (1.0,)))


def read_grid(name: str, asked: str | Sequence[float] | None, centre: float) -> tuple[float, ...]:
    """Read the values to try: ``auto`` is half, once and twice the centre; none is the centre alone.

    Raises:
        OptionError: MP105, for what is no list of numbers above zero.

    >>> read_grid("tune-lr", "auto", 0.002)
    (0.001, 0.002, 0.004)
    >>> read_grid("tune-lr", "3e-3,1e-3", 0.002)
    (0.001, 0.003)
    """
    if asked is None:
        return (centre,)
    if asked == "auto":
        return tuple(factor * centre for factor in _FACTORS)
    try:
        values = [float(part) for part in (asked.split(",") if isinstance(asked, str) else asked)]
    except ValueError:
        values = []
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        raise OptionError(
            f"--{name} takes numbers above zero",
            got=str(asked)[:80],
            fix=f"for example --{name} {','.join(f'{factor * centre:g}' for factor in _FACTORS)}",
        )
    return tuple(sorted(set(values)))


def choose_setting(values: Mapping[Setting, Values], *, higher_is_better: bool) -> Setting:
    """The setting with the best mean over seeds; one that lost a seed is taken only if all did.

    Args:
        values: the deciding metric on the validation part, by setting and by seed.
        higher_is_better: direction of the metric.

    >>> choose_setting({Setting(1.0): {0: 2.0, 1: 2.2}, Setting(2.0): {0: 1.0}}, higher_is_better=False).lr
    1.0
    """
    most = max(map(len, values.values()))
    whole = {
        setting: math.fsum(found.values()) / most
        for setting, found in values.items()
        if len(found) == most and most
    }
    if not whole:
        return next(iter(values))
    sign = -1.0 if higher_is_better else 1.0
    return min(whole, key=lambda setting: sign * whole[setting])


def find_plausible(
    values: Mapping[Setting, Values], chosen: Setting, *, higher_is_better: bool
) -> frozenset[Setting]:
    """The settings that the validation part cannot tell from the chosen one.

    Left out are settings whose plain 95 % interval lies wholly on the worse side of the chosen one, those that are
    worse by the same amount at every seed, and those that lost a seed which the chosen one has.

    Args:
        values: the deciding metric on the validation part, by setting and by seed.
        chosen: the setting that was chosen.
        higher_is_better: direction of the metric.

    >>> values = {Setting(1.0): {0: 2.29, 1: 2.30, 2: 2.28}, Setting(2.0): {0: 2.29, 1: 2.31, 2: 2.28},
    ...           Setting(9.0): {0: 2.65, 1: 2.66, 2: 2.63}}
    >>> sorted(s.lr for s in find_plausible(values, Setting(1.0), higher_is_better=False))
    [1.0, 2.0]
    """
    own, sign = values[chosen], -1.0 if higher_is_better else 1.0
    plausible = {chosen}
    for setting, found in values.items():
        if found.keys() >= own.keys():
            gap = measure_difference([sign * (found[seed] - own[seed]) for seed in sorted(own)])
            if not (gap.low > 0 or (gap.constant and gap.n >= MIN_SEEDS and gap.mean > 0)):
                plausible.add(setting)
    return frozenset(plausible)


def find_flips(
    pair: Pair, values: Mapping[tuple[str, Setting], Values], chosen: Mapping[str, Setting]
) -> list[str]:
    """Settings within the grid at which a verdict would be another one.

    Two ways to set the two encodings are looked at: both at the same learning rate, for each of those tried;
    and one of them at another initial scale while the other keeps its own. A *better* or *worse* flips where
    the whole plain 95 % interval lies on the other side of zero; an *equivalent* where it lies outside of the
    margin.

    Args:
        pair: two encodings at the chosen settings.
        values: the metric at the pair's length, by encoding and setting, by seed; only of settings that count,
            see ``find_plausible``.
        chosen: the setting of each encoding that the comparison was made at.

    Returns:
        A sentence for each setting that flips it.
    """
    first, second, verdict = pair.encoding, pair.baseline, pair.plain_verdict.removeprefix("constant_")
    if verdict not in ("better", "worse", "equivalent"):
        return []
    flips = []
    for where, mine, theirs in _cells(first, second, values, chosen):
        seeds = sorted(values[first, mine].keys() & values[second, theirs].keys())
        if len(seeds) < MIN_SEEDS:
            continue
        gap = measure_difference([values[first, mine][seed] - values[second, theirs][seed] for seed in seeds])
        low, high = (gap.mean, gap.mean) if gap.constant else (gap.low, gap.high)
        bar = pair.margin if verdict == "equivalent" else 0.0
        side = 1 if low > bar else -1 if high < -bar else 0
        there = name_side(side, higher_is_better=pair.higher_is_better)
        if side and there != verdict:
            flips.append(f"{where}, {first} is {there} than {second} (difference {low:.3g} to {high:.3g})")
    return flips


def _cells(
    first: str,
    second: str,
    values: Mapping[tuple[str, Setting], Values],
    chosen: Mapping[str, Setting],
) -> list[tuple[str, Setting, Setting]]:
    """Pairs of settings to look at, with words for where they are."""
    mine, theirs = chosen[first], chosen[second]
    found = []
    for lr in sorted({setting.lr for name, setting in values if name == first}):
        pair = Setting(lr, mine.scale), Setting(lr, theirs.scale)
        if pair != (mine, theirs):
            found.append((f"at lr {lr:g}", *pair))
    for name, own in ((first, mine), (second, theirs)):
        for other, setting in values:
            if other == name and setting.lr == own.lr and setting.scale != own.scale:
                pair = (setting, theirs) if name == first else (mine, setting)
                found.append((f"with {name} at scale × {setting.scale:g}", *pair))
    return [cell for cell in found if (first, cell[1]) in values and (second, cell[2]) in values]
