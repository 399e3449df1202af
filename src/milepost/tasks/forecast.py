"""Forecasting: continue a series from its past, each channel by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from milepost.errors import DataError, OptionError
from milepost.tasks.parts import Parts, check_apart
from milepost.tasks.series import Series, read_series
from milepost.tasks.task import PARTS, Batch, Floor, Head, Measured, Metric, Options, Task

PATCH, HORIZON = 8, 24
SHARES = (0.7, 0.8)  # of the steps, up to which training and validation go
ETT = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
_ETT_STEPS = (12 * 30 * 24, 16 * 30 * 24, 20 * 30 * 24)  # ends of the parts, hourly
_WINDOWS = 4_096  # of an evaluation, over all channels; the same moments at every length
_POSITIONS_A_BATCH = 8_192
_SAME_STEPS = 32  # that two parts must not share in a row
_MOST_PAST = 1_024  # patches of a part of the user's own that are looked back at alone


@dataclass(frozen=True)
class SeriesPart:
    """One part of the data, standardised.

    Args:
        values: steps up to the part's end; those before ``first`` may be looked back at.
        first: first step that is forecast.
    """

    values: Float32[np.ndarray, "steps channels"]
    first: int = 0


@dataclass(frozen=True)
class Forecast(Task):
    """Forecast ``horizon`` steps of a series from a number of patches of its past.

    Channels are forecast by themselves, by one model; they are standardised by mean and standard deviation
    of the training part. A length counts patches of ``patch`` steps. In training every patch forecasts what
    follows it; what is measured is the forecast after the last one.

    Args:
        series: what was read.
        parts: the three parts by name, in the order of time.
        split: how the parts were cut, in words.
        sha256: of all numbers and of where the parts begin.
        patch: steps in one position.
        horizon: steps that are forecast.
    """

    series: Series
    parts: Mapping[str, SeriesPart]
    split: str
    sha256: str
    patch: int = PATCH
    horizon: int = HORIZON

    name: ClassVar[str] = "forecast"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "mean squared error", "training variances"),
        Metric("mae", "mean absolute error", "training standard deviations"),
    )
    axis: ClassVar[str] = "horizon"
    unit: ClassVar[str] = "patches"
    source: ClassVar[str] = "builtin:seasons"

    @classmethod
    def open(cls, source: str, options: Options) -> Self:
        """Read series, cut them in the order of time, and standardise them.

        The first 70 % of the steps are for training, the last 20 % are the test; tables with the columns
        of ETT are cut after 12, 16 and 20 months of 30 days, as the field does.

        Raises:
            DataError: MP110. UnknownName: MP104. OptionError: MP105. MissingExtra: MP106.

        >>> task = Forecast.open("builtin:seasons", Options(horizon=12))
        >>> {part: task.parts[part].first for part in ("validation", "test")}
        {'validation': 5600, 'test': 6400}
        """
        options.refuse(cls.name, "tokenizer", "label_column", "evaluate")
        for name in ("patch", "horizon"):
            if getattr(options, name) < 0:
                raise OptionError(
                    f"{name} counts steps", got=f"{name}={getattr(options, name)}", fix="1 or more"
                )
        main = _read(source, options)
        given = {
            part: _read(path, options)
            for part, path in (("validation", options.validation), ("test", options.test))
            if path is not None
        }
        sizes = options.patch or PATCH, options.horizon or HORIZON
        parts, split = _cut(main, given, most_past=_MOST_PAST * sizes[0])
        digest = hashlib.sha256(main.sha256.encode())
        for part in PARTS:
            digest.update(f" {part} {parts[part].first} {len(parts[part].values)}".encode())
        for part, one in given.items():
            digest.update(f" {part} {one.sha256}".encode())
        notes = tuple(dict.fromkeys(note for one in (main, *given.values()) for note in one.notes))
        made = cls(replace(main, notes=notes), parts, split, digest.hexdigest(), *sizes)
        made.check_lengths(1, (1,))
        return made

    @property
    def head(self) -> Head:  # type: ignore[override]
        """One output a step of the horizon."""
        return Head("forecast", channels=1, patch=self.patch, horizon=self.horizon)

    def facts(self) -> dict[str, str | int | float]:
        """What a result says of the data; errors of forecasts that need no model among it."""
        part = self.parts["test"]
        around = _gather(part, self._moments(part), -1, self.horizon).astype(np.float64)
        last, wanted = around[:, :1], around[:, 1:]
        return {
            "source": self.series.name,
            "sha256": self.sha256,
            "channels": ", ".join(self.series.columns),
            "layout": f"one series per {self.series.layout.removesuffix('s')}",
            "steps": len(self.series.values),
            "split": self.split,
            "patch": self.patch,
            "horizon": self.horizon,
            **{f"{name}_steps": len(self.parts[name].values) - self.parts[name].first for name in PARTS},
            "training_mean_mse": float(np.square(wanted).mean()),
            "last_value_mse": float(np.square(wanted - last).mean()),
        }

    def notes(self, train_length: int, lengths: tuple[int, ...]) -> list[str]:
        """How the table was read."""
        return list(self.series.notes)

    def check_lengths(self, train_length: int, lengths: tuple[int, ...]) -> None:
        """Refuse lengths for which a part has not a single window.

        Raises:
            DataError: MP110.
        """
        longest = {"train": train_length, "validation": train_length, "test": max(*lengths, train_length)}
        for name, length in longest.items():
            part, past = self.parts[name], length * self.patch
            # forecasts begin at the same moments at every length, so the longest past must lie before the first
            begin = past if name == "train" else part.first
            if past > begin or begin + self.horizon > len(part.values):
                raise DataError(
                    f"the series is too short: its {name} part has no window of this length",
                    got=f"length {length} takes {past} steps of the past and {self.horizon} of the horizon; "
                    f"{len(part.values)} steps, of which forecasts may begin after {begin}",
                    fix="give a longer series, shorter lengths, or a smaller --patch or --horizon",
                )

    def batch(self, seed: int, step: int, size: int, length: int) -> Batch:
        """``series``: float32 windows of ``length`` patches and a horizon, each of one channel."""
        values = self.parts["train"].values
        window = length * self.patch + self.horizon
        rng = np.random.default_rng([seed, step])
        starts = rng.integers(0, len(values) - window + 1, size=size)
        channels = rng.integers(0, values.shape[1], size=size)
        return {"series": values[starts[:, None] + np.arange(window), channels[:, None]]}

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Mean squared error of the forecasts after each patch; ``model`` is a ``Forecaster``."""
        series = batch["series"]
        wanted = series[:, self.patch :].unfold(1, self.horizon, self.patch)
        return functional.mse_loss(model(values=series[:, : -self.horizon]).forecast, wanted)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, length: int, device: torch.device, part: str = "test") -> Measured:
        """Errors of forecasts from moments spread evenly over a part, all channels; the same at every length.

        The past that a forecast sees may lie before the part's first forecast; what is forecast never does.

        Returns:
            The curve has ``horizon`` mean squared errors; the metrics are means over it, in float64.
        """
        squared = torch.zeros(self.horizon, dtype=torch.float64)
        absolute, windows = squared.clone(), 0
        for past, wanted in self._windows(length, part):
            made = model(values=past.to(device)).forecast[:, -1].cpu().double()
            squared += (made - wanted).square().sum(0)
            absolute += (made - wanted).abs().sum(0)
            windows += len(wanted)
        curve = squared / windows
        return Measured(
            {"mse": curve.mean().item(), "mae": (absolute / windows).mean().item()}, curve.tolist()
        )

    def floor(self) -> float:
        """Mean squared error of the training mean on the training part."""
        return float(np.square(self.parts["train"].values, dtype=np.float64).mean())

    def floor_score(self, length: int) -> Floor:
        """Mean squared error of the training mean, which is 0, on the forecasts of the test part."""
        part = self.parts["test"]
        wanted = _gather(part, self._moments(part), 0, self.horizon)
        return Floor(float(np.square(wanted, dtype=np.float64).mean()))

    def _windows(self, length: int, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Past and future of each forecast of an evaluation."""
        part, size = self.parts[name], max(1, _POSITIONS_A_BATCH // (length * self.series.values.shape[1]))
        moments = self._moments(part)
        for first in range(0, len(moments), size):
            around = _gather(part, moments[first : first + size], -length * self.patch, self.horizon)
            yield torch.from_numpy(around[:, : -self.horizon]), torch.from_numpy(around[:, -self.horizon :])

    def _moments(self, part: SeriesPart) -> Int64[np.ndarray, " moments"]:
        """First steps of the forecasts of an evaluation, spread evenly over a part."""
        first, last = part.first, len(part.values) - self.horizon
        count = min(max(1, _WINDOWS // part.values.shape[1]), last - first + 1)
        return np.linspace(first, last, count).astype(np.int64)


def _gather(
    part: SeriesPart, moments: Int64[np.ndarray, " moments"], begin: int, end: int
) -> Float32[np.ndarray, "windows steps"]:
    """Steps around moments, one window a moment and channel."""
    around = part.values[moments[:, None] + np.arange(begin, end)]
    return np.ascontiguousarray(around.transpose(0, 2, 1)).reshape(-1, end - begin)


def _read(source: str, options: Options) -> Series:
    return read_series(
        source,
        options.text_column,
        header=options.header,
        encoding=options.encoding,
        layout=options.layout,
        fill=options.fill,
    )


def _cut(main: Series, given: Mapping[str, Series], *, most_past: int) -> tuple[dict[str, SeriesPart], str]:
    """The three parts, standardised by the first, and how they were cut.

    The first half of a part that the user gave, at most ``most_past`` steps, is looked back at alone: lengths
    could not be scored at the same moments otherwise.
    """
    for part, one in given.items():
        if one.columns != main.columns:
            raise DataError(
                f"the {part} data has other channels than the training data",
                got=f"{', '.join(one.columns)}; {', '.join(main.columns)}",
                fix="give tables with the same columns, or name them with --text-column",
            )
    ends, split = _ends(main, given)
    bounds = (0, *ends)
    cut = {
        name: (main.values[:end], start)
        for name, start, end in zip(PARTS, bounds, ends, strict=False)
        if name not in given
    }
    if given:
        _check_apart(cut | {name: (one.values, 0) for name, one in given.items()})
    cut |= {name: (one.values, min(len(one.values) // 2, most_past)) for name, one in given.items()}
    train = cut["train"][0]
    if not len(train):
        raise DataError(
            "the training part is empty", got=f"{len(main.values)} steps", fix="give a longer series"
        )
    spread = train.std(0)
    spread[spread == 0] = 1.0  # a channel that never moves stays at 0
    return {
        name: SeriesPart(((values - train.mean(0)) / spread).astype(np.float32), first)
        for name, (values, first) in cut.items()
    }, split


def _ends(main: Series, given: Mapping[str, Series]) -> tuple[tuple[int, ...], str]:
    """Ends of the parts in the main series; those that the user gave take none of it."""
    steps = len(main.values)
    if given.keys() == {"validation", "test"}:
        return (steps,), "parts as given"
    train, validation = (round(share * steps) for share in SHARES)
    if "test" in given:
        return (train, steps), "the first 70 % train, the rest validation"
    if "validation" in given:
        return (validation, validation, steps), "the first 80 % train, the rest test"
    if set(ETT) <= set(main.table) and steps >= _ETT_STEPS[-1]:
        quarters = 4 if steps >= 4 * _ETT_STEPS[-1] else 1  # a step is an hour, or a quarter of one
        return tuple(quarters * end for end in _ETT_STEPS), "ETT: 12, 4 and 4 months of 30 days"
    return (train, validation, steps), "70 %, 10 % and 20 % in the order of time"


def _check_apart(cut: Mapping[str, tuple[np.ndarray, int]]) -> None:
    """Refuse parts from several files that share a stretch of steps; stretches without change do not count."""

    def stretches(values: np.ndarray) -> tuple[bytes, ...]:
        windows = np.lib.stride_tricks.sliding_window_view(values, min(_SAME_STEPS, len(values)), axis=0)
        return tuple(window.tobytes() for window in windows if np.ptp(window, axis=1).any())

    train, validation, test = (stretches(cut[part][0][cut[part][1] :]) for part in PARTS)
    check_apart(Parts(train, validation, test), lambda stretch: hashlib.sha256(stretch).digest())
