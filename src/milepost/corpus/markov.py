"""A language whose best possible losses are known: a Markov chain of order one over letters."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float64, Int

_LETTERS = 400_000  # of the built-in text


@dataclass(frozen=True)
class MarkovChain:
    """Each symbol is drawn by the one before it alone.

    Args:
        transition: probability of each next symbol after each symbol, shape ``(symbols, symbols)``; rows sum to 1.

    >>> fair = MarkovChain(np.full((2, 2), 0.5))
    >>> round(fair.next_loss(), 4), round(fair.unigram_loss(), 4)
    (0.6931, 0.6931)
    """

    transition: Float64[np.ndarray, "symbols symbols"]

    @classmethod
    def draw(cls, symbols: int = 16, concentration: float = 0.08, seed: int = 0) -> Self:
        """Draw a chain whose rows are Dirichlet distributed; the smaller ``concentration``, the surer the next."""
        rng = np.random.default_rng(seed)
        return cls(rng.dirichlet(np.full(symbols, concentration), size=symbols))

    def stationary(self) -> Float64[np.ndarray, " symbols"]:
        """Share of each symbol in a long text."""
        lines = np.vstack([self.transition.T - np.eye(len(self.transition)), np.ones(len(self.transition))])
        solved = np.linalg.lstsq(lines, np.append(np.zeros(len(self.transition)), 1.0), rcond=None)[0]
        return np.clip(solved, 0.0, None) / np.clip(solved, 0.0, None).sum()

    def sample(self, length: int, seed: int) -> list[int]:
        """Symbols of a text that begins anywhere."""
        rng = np.random.default_rng(seed)
        rows = [row.tolist() for row in self.transition.cumsum(1)]
        last = len(rows) - 1
        symbol = int(rng.choice(len(rows), p=self.stationary()))
        made = []
        for uniform in rng.random(length).tolist():
            made.append(symbol)
            symbol = min(bisect(rows[symbol], uniform), last)  # rounding may leave a sum below 1
        return made

    def next_loss(self) -> float:
        """Loss in nats of the best prediction of the next symbol, which needs to know the last one."""
        return float(-(self.stationary() * _sum_p_log_p(self.transition)).sum())

    def unigram_loss(self) -> float:
        """Loss in nats of the best prediction that looks at no other symbol."""
        return float(-_sum_p_log_p(self.stationary()))

    def hidden_losses(
        self, symbols: Int[np.ndarray, "batch seq"], hidden: Bool[np.ndarray, "batch seq"]
    ) -> Float64[np.ndarray, " hidden"]:
        """Losses in nats of the best prediction of each hidden symbol from those that are not, in their order.

        Exact: the forward and the backward pass of a hidden Markov model.

        Args:
            symbols: texts.
            hidden: which symbols are to be predicted.

        Returns:
            float64, shape ``(hidden.sum(),)``, in the order of ``hidden``.
        """
        length = symbols.shape[1]
        seen = np.where(hidden[..., None], 1.0, np.eye(len(self.transition))[symbols])
        forward = np.empty_like(seen)
        backward = np.ones_like(seen)
        forward[:, 0] = self.stationary() * seen[:, 0]
        for place in range(1, length):
            before = forward[:, place - 1] / forward[:, place - 1].sum(1, keepdims=True)
            forward[:, place] = before @ self.transition * seen[:, place]
        for place in range(length - 2, -1, -1):
            after = (backward[:, place + 1] * seen[:, place + 1]) @ self.transition.T
            backward[:, place] = after / after.sum(1, keepdims=True)
        odds = forward * backward
        posterior = odds / odds.sum(2, keepdims=True)
        right = np.take_along_axis(posterior, symbols[..., None], axis=2)[..., 0]
        return -np.log(right[hidden])


def build_text() -> list[str]:
    """The built-in text ``markov``: one document of 400,000 letters a to p from ``MarkovChain.draw()``."""
    return ["".join(chr(ord("a") + symbol) for symbol in MarkovChain.draw().sample(_LETTERS, seed=0))]


def _sum_p_log_p(shares: Float64[np.ndarray, "*rows symbols"]) -> Float64[np.ndarray, "*rows"]:
    safe = np.where(shares > 0, shares, 1.0)
    return np.asarray((shares * np.log(safe)).sum(-1))
