"""What one call of ``compare`` asks for, read and checked before anything is trained or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from milepost.comparison.design import Design, Trial, read_encodings
from milepost.comparison.settings import Grid, Setting
from milepost.comparison.verdicts.scores import Criterion
from milepost.errors import OptionError, UnknownName
from milepost.statistics import SequentialTest
from milepost.tasks import Metric, Task

FIRST_LOOK = 3


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
class Sweep:
    """A design, and which encodings, settings, seeds and lengths of it.

    Args:
        encodings: canonical spec strings.
        seeds: of all trials, in the order in which they are added.
        tuning_seeds: the seeds of which every setting of the grid is trained.
        lengths: evaluation lengths, rising.
        baseline: the encoding that the others are held against.
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
    grid: Grid
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

    def with_seeds(self, count: int) -> Sweep:
        """The same sweep with more seeds: the ones after the highest."""
        more = range(max(self.seeds) + 1, max(self.seeds) + 1 + count - len(self.seeds))
        return replace(self, seeds=(*self.seeds, *more))


def read_baseline(baseline: str | None, names: tuple[str, ...]) -> str:
    """The encoding that the others are held against: ``learned`` where it is listed, else the first.

    Raises:
        OptionError: MP105, when it is not listed. SpecError: MP103. UnknownName: MP104.

    >>> read_baseline(None, ("rotary", "learned"))
    'learned'
    """
    if baseline is None:
        return "learned" if "learned" in names else names[0]
    (base,) = read_encodings([baseline])
    if base not in names:
        raise OptionError(
            "the baseline is not among the encodings", got=base, fix=f"one of {', '.join(names)}"
        )
    return base


def read_metric(name: str | None, task: type[Task]) -> Metric:
    """The metric that decides: the task's first, unless another one of the task is named.

    Raises:
        UnknownName: MP104.
    """
    known = {metric.name: metric for metric in task.metrics}
    if name is not None and name not in known:
        raise UnknownName.among(f"metric of {task.name}", name, known)
    return task.metrics[0] if name is None else known[name]


def read_until(until: str | None, seeds: Sequence[int], max_seeds: int) -> SequentialTest | None:
    """The looks of a sweep that adds seeds until every verdict is decided; none for a fixed number of seeds.

    Raises:
        OptionError: MP105.

    >>> read_until("decided", (0, 1, 2), 5).looks
    (3, 4, 5)
    """
    if until is None:
        return None
    if until != "decided":
        raise OptionError("a sweep can go on until it is decided", got=until[:40], fix="--until decided")
    first = max(FIRST_LOOK, len(seeds))
    if max_seeds < first:
        raise OptionError(
            "the most seeds are fewer than those of the first look",
            got=f"{max_seeds}, the first look is at {first}",
            fix=f"--max-seeds {max(20, first)}",
        )
    return SequentialTest.up_to(max_seeds, first)
