"""What one call of ``compare`` asks for, read and checked before anything is trained or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from milepost.comparison.design import Design, Trial
from milepost.comparison.settings import Setting, SettingGrid
from milepost.comparison.verdicts.scores import Criterion
from milepost.errors import OptionError
from milepost.statistics import SequentialTest
from milepost.tasks import Metric


@dataclass(frozen=True)
class Purpose:
    """What the encoding has to do for the user.

    Args:
        need_length: the length that decides; the trained one without it.
        max_parameters: most parameters that the encoding may add; no limit without it.
    """

    need_length: int | None = None
    max_parameters: int | None = None

    def __post_init__(self) -> None:
        for name, value, least in (
            ("need-length", self.need_length, 1),
            ("max-parameters", self.max_parameters, 0),
        ):
            if value is not None and value < least:
                raise OptionError(f"--{name} must be at least {least}", got=str(value), fix="leave it out")


@dataclass(frozen=True)
class Request:
    """A design, and which encodings, settings, seeds and lengths of it.

    Args:
        encodings: canonical spec strings.
        seeds: of all trials, in the order in which they are added.
        tuning_seeds: the seeds of which every setting of the grid is trained.
        lengths: evaluation lengths, rising.
        baseline: the encoding that the others are compared with.
        margin: difference that does not matter: absolute for a metric between 0 and 1, else a share of the baseline's
            value.
        metric: what decides.
        purpose: what the user needs.
        grid: learning rates and scales that are tried.
        scalable: encodings on which the scale has an effect.
        chosen: the setting of each encoding, once it is chosen.
        sequential: the looks, where seeds are added until every verdict is decided.
    """

    design: Design
    encodings: tuple[str, ...]
    seeds: tuple[int, ...]
    tuning_seeds: tuple[int, ...]
    lengths: tuple[int, ...]
    baseline: str
    margin: float
    metric: Metric
    purpose: Purpose
    grid: SettingGrid
    scalable: frozenset[str] = frozenset()
    chosen: Mapping[str, Setting] = field(default_factory=dict)
    sequential: SequentialTest | None = None

    @property
    def criterion(self) -> Criterion:
        """What decides, as comparisons need it."""
        metric = self.metric
        return Criterion(
            metric.name, metric.title, metric.higher_is_better, metric.bounded, self.margin, self.sequential
        )

    @property
    def deciding_length(self) -> int:
        """The length that decides, named before looking."""
        return self.purpose.need_length or self.design.train_length

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials that verdicts are about, seed by seed, so that an early end leaves whole seeds."""
        return tuple(
            self.trial(name, self.setting(name), seed) for seed in self.seeds for name in self.encodings
        )

    @property
    def tuning_trials(self) -> tuple[Trial, ...]:
        """The trials that settings are chosen from; none where nothing is tuned."""
        if not self.grid.tuned:
            return ()
        return tuple(
            self.trial(name, setting, seed)
            for seed in self.tuning_seeds
            for name in self.encodings
            for setting in self.settings(name)
        )

    def settings(self, encoding: str) -> tuple[Setting, ...]:
        """All settings of an encoding that are tried."""
        return self.grid.settings(scalable=encoding in self.scalable)

    def setting(self, encoding: str) -> Setting:
        """The setting of an encoding: the chosen one, or else the first that is tried."""
        return self.chosen.get(encoding) or self.settings(encoding)[0]

    def trial(self, encoding: str, setting: Setting, seed: int) -> Trial:
        """One trial of the design."""
        return Trial(self.design, encoding, seed, setting.lr, setting.scale)

    def with_seeds(self, count: int) -> Request:
        """The same request with more seeds: the ones after the highest."""
        more = range(max(self.seeds) + 1, max(self.seeds) + 1 + count - len(self.seeds))
        return replace(self, seeds=(*self.seeds, *more))
