"""What both renderings of a ``compare`` document need: names made safe, means over seeds, verdicts by cell."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# verdict -> mark, mark where only ASCII can be shown, word, meaning
VERDICTS: Mapping[str, tuple[str, str, str, str]] = {
    "better": ("✓", "+", "better", "lower loss than the baseline (Holm-adjusted p below 0.05) and not equivalent"),
    "worse": ("✗", "x", "worse", "higher loss than the baseline (Holm-adjusted p below 0.05) and not equivalent"),
    "equivalent": ("≈", "=", "equivalent", "shown to lie inside the margin, so too small to matter"),
    "undecided": ("?", "?", "undecided", "no difference shown; a smaller one than detectable may exist"),
    "undefined": ("–", "-", "no answer", "the encoding has no answer at this length"),
    "too_few_seeds": ("…", ".", "too few seeds", "fewer than three seeds name no winner"),
    "not_converged": ("!", "!", "not converged", "a trial was still improving at its end, so no verdict"),
    "not_robust": ("~", "~", "not robust", "the verdict flips within the settings tried"),
}  # fmt: skip


def plain(text: str) -> str:
    """Make a name safe to show: control, bidi and other invisible characters become visible escapes.

    >>> plain("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(
        char.encode("unicode_escape", "backslashreplace").decode("ascii")
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else char
        for char in text
    )


def clean(document: Any) -> Any:
    """Copy a document with every string made `plain`, and every number that is not finite made ``None``."""
    # numbers first: there are thousands of them, and the abstract classes below are slow to ask
    if document is None or isinstance(document, int):
        return document
    if isinstance(document, float):
        return document if math.isfinite(document) else None
    if isinstance(document, str):
        return plain(document)
    if isinstance(document, Mapping):
        return {plain(str(key)): clean(value) for key, value in document.items()}
    if isinstance(document, Sequence):
        return [clean(value) for value in document]
    return document


def mean(values: Sequence[float]) -> float | None:
    """Average of ``values``; ``None`` of nothing."""
    return sum(values) / len(values) if values else None


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

    def trials_of(self, encoding: str) -> list[dict[str, Any]]:
        """The finished trials of one encoding."""
        return [t for t in self.trials if t["encoding"] == encoding and t["status"] == "done"]

    def losses(self, encoding: str, length: int) -> list[tuple[int, float]]:
        """Pairs ``(seed, loss in nats per token)`` of the finished trials that answer at ``length``."""
        pairs = ((t["seed"], loss_of(t, length)) for t in self.trials_of(encoding))
        return [(seed, loss) for seed, loss in pairs if loss is not None]

    def loss(self, encoding: str, length: int) -> float | None:
        """Mean loss over seeds; ``None`` where there is no answer."""
        return mean([loss for _, loss in self.losses(encoding, length)])

    def undefined(self, encoding: str, length: int) -> bool:
        """Whether the encoding was trained but has no answer at ``length``."""
        return bool(self.trials_of(encoding)) and not self.losses(encoding, length)

    def by_position(self, encoding: str) -> list[float]:
        """Mean over seeds of the loss at each position, as far as all finished trials reach."""
        curves = [t["loss_by_position"] for t in self.trials_of(encoding) if t.get("loss_by_position")]
        columns = (
            [v for v in column if v is not None] for column in zip(*curves, strict=False)
        )  # the shortest curve ends it
        return [math.nan if (value := mean(column)) is None else value for column in columns]

    def comparison(self, encoding: str, length: int) -> dict[str, Any] | None:
        """The comparison that decides the cell of ``encoding`` at ``length``."""
        return next(
            (c for c in self.document["comparisons"] if c["encoding"] == encoding and c["length"] == length),
            None,
        )

    def degradation(self, encoding: str, length: int) -> dict[str, Any] | None:
        """How ``encoding`` does at ``length`` against its own loss at the trained length."""
        rows = self.document["degradations"]
        return next((r for r in rows if r["encoding"] == encoding and r["length"] == length), None)

    def baseline_at(self, length: int) -> str:
        """What the others are held against at ``length``: not the baseline where that has no answer."""
        return next(
            (c["baseline"] for c in self.document["comparisons"] if c["length"] == length),
            self.spec["baseline"],
        )

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


def loss_of(trial: Mapping[str, Any], length: int) -> float | None:
    """The loss of one trial at one length, ``None`` where it has none."""
    return ((trial.get("metrics") or {}).get(str(length)) or {}).get("loss")


# numbers as both renderings write them; a missing one is a dash, a minus is a minus sign


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed digits.

    >>> number(-0.12), number(-0.0001), number(None)
    ('−0.120', '0.000', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    if not float(text):
        text = text.lstrip("-")
    return text.replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """A difference: its sign is always written, but zero has none.

    >>> signed(0.25), signed(-0.25), signed(0.0)
    ('+0.250', '−0.250', '0.000')
    """
    text = number(value, digits)
    return text if value is None or text[0] in "−–" or not float(text) else f"+{text}"


def percent(value: float | None) -> str:
    """A share as a signed percentage.

    >>> percent(0.153)
    '+15.3 %'
    """
    return "–" if value is None else f"{signed(100 * value, 1)} %"


def count(value: float | None) -> str:
    """A whole number with groups of three.

    >>> count(393216.0)
    '393,216'
    """
    return "–" if value is None else f"{round(value):,}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A probability to three digits, never rounded to zero.

    >>> p_value(0.00004)
    '< 0.001'
    """
    return "< 0.001" if value is not None and value < 0.001 else number(value)


def size(value: float | None) -> str:
    """Bytes in binary units.

    >>> size(1_572_864)
    '1.5 MiB'
    """
    if value is None:
        return "–"
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
