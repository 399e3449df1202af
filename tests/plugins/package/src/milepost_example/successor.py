"""The task ``successor``: after each symbol comes the next one."""

from typing import ClassVar

import numpy as np

from milepost.tasks import register_task
from milepost.tasks.generated import Example, Generated


@register_task("successor")
class Successor(Generated):
    """Repeat the prompt with each symbol raised by one, the last symbol becoming the first."""

    source = "builtin:successor"
    variants: ClassVar = {"successor": 50}

    def draw(self, rng: np.random.Generator, length: int) -> Example:
        """Symbols, and their successors."""
        prompt = rng.integers(self.vocabulary, size=length)
        return Example(prompt, (prompt + 1) % self.vocabulary)

    def sizes(self, length: int) -> tuple[int, int]:
        """As many symbols in the answer as in the prompt."""
        return length, length

    def count_prompts(self, length: int) -> int:
        """All sequences of symbols."""
        return self.vocabulary**length
