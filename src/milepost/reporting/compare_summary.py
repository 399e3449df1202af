"""What all renderings of a ``compare`` document need: its metric, means over seeds, verdicts by cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from milepost.reporting.words import clean, mean

# verdict -> mark, mark where only ASCII can be shown, word, meaning
VERDICTS: Mapping[str, tuple[str, str, str, str]] = {
    "better": ("✓", "+", "better", "significantly better than the baseline (adjusted p below 0.05), and not equivalent"),
    "worse": ("✗", "x", "worse", "significantly worse than the baseline (adjusted p below 0.05), and not equivalent"),
    "constant_better": ("▲", "^", "better, constant", "better than the baseline by the same amount at every seed, so there is no spread to test; it rests on the resolution of the metric"),
    "constant_worse": ("▼", "v", "worse, constant", "worse than the baseline by the same amount at every seed, so there is no spread to test; it rests on the resolution of the metric"),
    "equivalent": ("≈", "=", "equivalent", "the difference lies inside the margin, so it is too small to matter"),
    "undecided": ("?", "?", "undecided", "no significant difference; one smaller than detectable may exist"),
    "undefined": ("–", "-", "no answer", "the encoding has no answer at this length"),
    "too_few_seeds": ("…", ".", "too few seeds", "fewer than three seeds name no winner"),
    "not_converged": ("!", "!", "not converged", "a trial diverged, was still improving at its end, or does no better than an answer that ignores the input, so there is no verdict"),
    "not_robust": ("~", "~", "not robust", "another setting that was tried gives another verdict"),
}  # fmt: skip
_LOSS = {"name": "loss", "title": "loss", "unit": "nats per token", "higher_is_better": False}


@dataclass(frozen=True)
class Cost:
    """What one encoding cost: counts are exact, the rest is averaged over its finished trials."""

    parameters: int | None
    position_parameters: int | None
    tokens_per_second: float | None
    peak_memory_bytes: float | None
    seconds: float | None
    done: int
    trials: int


@dataclass(frozen=True)
class CompareSummary:
    """A cleaned ``compare`` document with the look-ups that a page or a terminal needs."""

    document: dict[str, Any]

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> CompareSummary:
        """Clean ``result``, which stays as it is."""
        return cls(clean(result))

    @property
    def spec(self) -> dict[str, Any]:
        """The design that was run."""
        return self.document["spec"]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """What the task reports, the deciding metric first."""
        return [self.metric, *(metric for metric in self._reported if metric != self.metric)]

    @property
    def _reported(self) -> list[dict[str, Any]]:
        return self.spec.get("metrics") or [_LOSS]

    @property
    def metric(self) -> dict[str, Any]:
        """The deciding metric: ``name title unit higher_is_better``; the first where the document names none."""
        named = (metric for metric in self._reported if metric["name"] == self.spec.get("metric"))
        return next(named, self._reported[0])

    @property
    def curve_metric(self) -> dict[str, Any]:
        """What the curves of the trials show: the loss where the task reports one."""
        return next((metric for metric in self.metrics if metric["name"] == "loss"), self.metric)

    @property
    def unit(self) -> str:
        """What lengths count."""
        return self.spec.get("unit") or "tokens"

    @property
    def axis(self) -> str:
        """What the curves of the trials run along; empty for none."""
        return self.spec.get("axis", "position")

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Every trial, failed ones too, in the document's order."""
        return self.document["trials"]

    @property
    def encodings(self) -> list[str]:
        """Spec strings in the order asked for, then any that only the trials know."""
        return list(dict.fromkeys([*self.spec["encodings"], *(trial["encoding"] for trial in self.trials)]))

    @property
    def lengths(self) -> list[int]:
        """Evaluation lengths, ascending."""
        return sorted(self.spec["lengths"])

    @property
    def done(self) -> int:
        """How many trials finished."""
        return sum(trial["status"] == "done" for trial in self.trials)

    @property
    def excluded(self) -> dict[str, str]:
        """Encodings that do not fit what is needed, each with its reason."""
        rows = self.document["recommendation"].get("excluded") or []
        return {row["encoding"]: row["reason"] for row in rows}

    def trials_of(self, encoding: str) -> list[dict[str, Any]]:
        """The finished trials of one encoding."""
        return [t for t in self.trials if t["encoding"] == encoding and t["status"] == "done"]

    def value_of(self, trial: Mapping[str, Any], length: int, metric: str | None = None) -> float | None:
        """A metric of one trial at one length, the deciding one by default; ``None`` where it has none."""
        scored = (trial.get("metrics") or {}).get(str(length)) or {}
        return scored.get(metric or self.metric["name"])

    def values(self, encoding: str, length: int, metric: str | None = None) -> list[tuple[int, float]]:
        """Pairs ``(seed, value)`` of the finished trials that answer at ``length``."""
        pairs = ((t["seed"], self.value_of(t, length, metric)) for t in self.trials_of(encoding))
        return [(seed, value) for seed, value in pairs if value is not None]

    def value(self, encoding: str, length: int, metric: str | None = None) -> float | None:
        """Mean over seeds; ``None`` where there is no answer."""
        return mean([value for _, value in self.values(encoding, length, metric)])

    def undefined(self, encoding: str, length: int) -> bool:
        """Whether the encoding was trained but has no answer at ``length``."""
        return bool(self.trials_of(encoding)) and not self.values(encoding, length)

    def curves(self, encoding: str) -> list[tuple[int, list[float | None]]]:
        """Pairs ``(seed, curve)`` of the finished trials that have one."""
        return [
            (t["seed"], t["loss_by_position"]) for t in self.trials_of(encoding) if t.get("loss_by_position")
        ]

    def curve(self, encoding: str) -> list[float]:
        """Mean over seeds at each place of the axis, as far as all finished trials reach."""
        columns = (
            [v for v in column if v is not None]
            for column in zip(*(curve for _, curve in self.curves(encoding)), strict=False)
        )  # the shortest curve ends it
        return [math.nan if (value := mean(column)) is None else value for column in columns]

    def comparison(self, encoding: str, length: int) -> dict[str, Any] | None:
        """The comparison that decides the cell of ``encoding`` at ``length``."""
        return next(
            (c for c in self.document["comparisons"] if c["encoding"] == encoding and c["length"] == length),
            None,
        )

    def verdict(self, encoding: str, length: int) -> str | None:
        """The verdict that the cell of ``encoding`` shows; ``None`` for the baseline and for encodings against one
        that did not converge: that mark stands in the cell of the encoding that it is about.
        """
        if self.undefined(encoding, length):
            return "undefined"
        found = self.comparison(encoding, length)
        if found is None:
            here = (c for c in self.document["comparisons"] if c["length"] == length)
            failing = any(encoding in c.get("unconverged", ()) for c in here)
            return "not_converged" if failing else None
        if found["verdict"] == "not_converged" and encoding not in found.get("unconverged", [encoding]):
            return None
        return str(found["verdict"])

    def floor(self, length: int) -> float | None:
        """What the best answer that ignores the input scores at ``length``; ``None`` where it is not known."""
        floor: float | None = (self.spec.get("floors") or {}).get(str(length))
        return floor

    @property
    def margin(self) -> str:
        """The margin of equivalence in words."""
        margin, metric = self.spec["margin"], self.metric
        share = f"{margin:g}" if metric.get("bounded") else f"{100 * margin:g} %"
        return f"{share} of the {metric['title']}"

    def settings(self) -> list[str]:
        """What was tuned, and the value chosen for each encoding."""
        tuning = self.document.get("tuning")
        if not tuning:
            return []
        chosen = []
        for name, setting in tuning["chosen"].items():
            tried = {t["scale"] for t in tuning["trials"] if t["encoding"] == name}
            parts = [f"learning rate {setting['lr']:g}"] if len(tuning["lrs"]) > 1 else []
            parts += [f"initial scale × {setting['scale']:g}"] if len(tried) > 1 else []
            if parts:
                chosen.append(f"{name}: {', '.join(parts)}")
        return chosen

    def degradation(self, encoding: str, length: int) -> dict[str, Any] | None:
        """How ``encoding`` does at ``length`` against itself at the trained length."""
        rows = self.document["degradations"]
        return next((r for r in rows if r["encoding"] == encoding and r["length"] == length), None)

    def baseline_at(self, length: int) -> str:
        """What the others are compared with at ``length``: not the baseline where that has no answer."""
        return next(
            (c["baseline"] for c in self.document["comparisons"] if c["length"] == length),
            self.spec["baseline"],
        )

    def flips(self) -> list[str]:
        """Sentences on each verdict that depends on the settings that were tried."""
        return [
            f"At length {c['length']}: {flip}."
            for c in self.document["comparisons"]
            for flip in c.get("flips") or ()
        ]

    def cost(self, encoding: str) -> Cost:
        """What ``encoding`` cost."""
        done = self.trials_of(encoding)
        measured = [t.get("measured") or {} for t in done]

        def average(name: str) -> float | None:
            return mean([m[name] for m in measured if m.get(name) is not None])

        return Cost(
            parameters=done[0].get("parameters") if done else None,
            position_parameters=done[0].get("position_parameters") if done else None,
            tokens_per_second=average("tokens_per_second"),
            peak_memory_bytes=average("peak_memory_bytes"),
            seconds=average("seconds"),
            done=len(done),
            trials=sum(t["encoding"] == encoding for t in self.trials),
        )

    def more_parameters(self, encoding: str) -> int | None:
        """Parameters of an encoding's model beyond those of the baseline's; ``None`` where one is not known."""
        ours, theirs = self.cost(encoding).parameters, self.cost(self.spec["baseline"]).parameters
        return None if ours is None or theirs is None else ours - theirs


def name_metric(metric: Mapping[str, Any]) -> str:
    """A metric with its unit: ``loss (nats per token)``.

    >>> name_metric({"title": "accuracy", "unit": ""})
    'accuracy'
    """
    return f"{metric['title']} ({metric['unit']})" if metric["unit"] else metric["title"]


def name_mean(metric: Mapping[str, Any]) -> str:
    """The mean of a metric over seeds, whose title may say that it is one already.

    >>> name_mean({"title": "mean squared error"}), name_mean({"title": "loss"})
    ('mean squared error', 'mean loss')
    """
    title: str = metric["title"]
    return title if title.startswith("mean ") else f"mean {title}"
