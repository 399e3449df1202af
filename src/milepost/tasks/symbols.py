"""The tasks on generated symbols: copy, reverse, addition, parity, sorting and needle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np

from milepost.tasks.generated import Example, Generated


@final
class Copy(Generated):
    """Repeat the prompt; in ``copy-repeated`` it is one symbol over and over, so the model only has to count.

    Source: Kazemnejad et al. 2023, section 3, primitive tasks.

    >>> Copy("copy").draw(np.random.default_rng(0), 3)
    Example(prompt=array([42, 31, 25]), answer=array([42, 31, 25]), place=None)
    """

    name: ClassVar[str] = "copy"
    source: ClassVar[str] = "builtin:copy"
    # of one repeated symbol there are as many prompts as symbols: 1,000 leave about 200 for the test
    variants: ClassVar[Mapping[str, int]] = {"copy": 50, "copy-repeated": 1_000}

    def draw(self, rng: np.random.Generator, length: int) -> Example:
        """Symbols, and the same again."""
        if self.variant == "copy-repeated":
            prompt = np.full(length, rng.integers(self.vocabulary))
        else:
            prompt = rng.integers(self.vocabulary, size=length)
        return Example(prompt, prompt)

    def sizes(self, length: int) -> tuple[int, int]:
        """As many symbols in the answer as in the prompt."""
        return length, length

    def count_prompts(self, length: int) -> int:
        """All sequences of symbols; one a symbol where it is repeated."""
        return self.vocabulary if self.variant == "copy-repeated" else self.vocabulary**length


@final
class Reverse(Generated):
    """Say the prompt backwards.

    Source: Kazemnejad et al. 2023, section 3, primitive tasks.

    >>> Reverse("reverse").draw(np.random.default_rng(0), 3)
    Example(prompt=array([42, 31, 25]), answer=array([25, 31, 42]), place=None)
    """

    name: ClassVar[str] = "reverse"
    source: ClassVar[str] = "builtin:reverse"
    variants: ClassVar[Mapping[str, int]] = {"reverse": 50}

    def draw(self, rng: np.random.Generator, length: int) -> Example:
        """Symbols, and the same from the last to the first."""
        prompt = rng.integers(self.vocabulary, size=length)
        return Example(prompt, prompt[::-1])

    def sizes(self, length: int) -> tuple[int, int]:
        """As many symbols in the answer as in the prompt."""
        return length, length

    def count_prompts(self, length: int) -> int:
        """All sequences of symbols."""
        return int(self.vocabulary**length)


@final
class Addition(Generated):
    """Add two numbers of so many digits, leading zeros included; the sum has one digit more.

    Digits stand as they are written, the highest first.

    Source: Kazemnejad et al. 2023, section 3, mathematical tasks. Differs: both numbers have the full number of digits.

    >>> prompt, answer, _ = Addition("addition").draw(np.random.default_rng(0), 2)
    >>> prompt.tolist(), answer.tolist()  # 86 + 52 = 138; the symbol 10 is the plus
    ([8, 6, 10, 5, 2], [1, 3, 8])
    """

    name: ClassVar[str] = "addition"
    source: ClassVar[str] = "builtin:addition"
    variants: ClassVar[Mapping[str, int]] = {"addition": 11}

    def draw(self, rng: np.random.Generator, length: int) -> Example:
        """Two numbers with a plus between, and their sum."""
        first, second = rng.integers(10, size=(2, length))
        total = sum(int("".join(map(str, digits))) for digits in (first, second))
        answer = np.array([int(digit) for digit in str(total).zfill(length + 1)])
        return Example(np.concatenate([first, [10], second]), answer)

    def sizes(self, length: int) -> tuple[int, int]:
        """Two numbers and a plus, and their sum."""
        return 2 * length + 1, length + 1

    def count_prompts(self, length: int) -> int:
        """All pairs of numbers."""
        return int(100**length)


@final
class Parity(Generated):
    """Say whether the number of ones among bits is odd (1) or even (0).

    Source: Anil et al. 2022 (Exploring length generalization), section 2.

    >>> Parity("parity").draw(np.random.default_rng(0), 4)
    Example(prompt=array([1, 1, 1, 0]), answer=array([1]), place=None)
    """

    name: ClassVar[str] = "parity"
    source: ClassVar[str] = "builtin:parity"
    variants: ClassVar[Mapping[str, int]] = {"parity": 2}
    lengths: ClassVar[tuple[int, ...]] = (10, 12, 16, 20)  # of 8 bits there are 256 prompts, 50 for the test

    def draw(self, rng: np.random.Generator, length: int) -> Example:
        """Bits, and their sum modulo two."""
        prompt = rng.integers(2, size=length)
        return Example(prompt, prompt.sum(keepdims=True) % 2)

    def sizes(self, length: int) -> tuple[int, int]:
        """One bit of answer."""
        return length, 1

    def count_prompts(self, length: int) -> int:
        """All sequences of bits."""
        return int(2**length)


@final
class Sorting(Generated):
    """Say the digits of the prompt from the smallest to the largest.

    Source: Kazemnejad et al. 2023, section 3, mathematical tasks.

    >>> Sorting("sorting").draw(np.random.default_rng(0), 4)
    Example(prompt=array([8, 6, 5, 2]), answer=array([2, 5, 6, 8]), place=None)
    """

    name: ClassVar[str] = "sorting"
    source: ClassVar[str] = "builtin:sorting"
    variants: ClassVar[Mapping[str, int]] = {"sorting": 10}

    def draw(self, rng: np.random.Generator, length: int) -> Example:
        """Digits, and the same in order."""
        prompt = rng.integers(self.vocabulary, size=length)
        return Example(prompt, np.sort(prompt))

    def sizes(self, length: int) -> tuple[int, int]:
        """As many symbols in the answer as in the prompt."""
        return length, length

    def count_prompts(self, length: int) -> int:
        """All sequences of digits."""
        return int(self.vocabulary**length)


@final
class Needle(Generated):
    """Say the one symbol of the prompt that follows a mark, wherever in the prompt that is.

    The length counts symbols without the mark. Results are told apart by the third in which the mark stands.

    Source: Mohtashami & Jaggi 2023 (Landmark Attention), section 4.2, the pass key. Differs: a symbol among
    random ones, where theirs is a number in a repeated sentence.

    >>> Needle("needle").draw(np.random.default_rng(0), 3)
    Example(prompt=array([50, 42, 31, 25]), answer=array([42]), place=0.0)
    """

    name: ClassVar[str] = "needle"
    source: ClassVar[str] = "builtin:needle"
    variants: ClassVar[Mapping[str, int]] = {"needle": 51}

    def draw(self, rng: np.random.Generator, length: int) -> Example:
        """Symbols with a mark before one of them, and that one."""
        symbols, place = rng.integers(self.vocabulary - 1, size=length), int(rng.integers(length))
        prompt = np.insert(symbols, place, self.vocabulary - 1)
        return Example(prompt, symbols[place : place + 1], place / length)

    def sizes(self, length: int) -> tuple[int, int]:
        """All symbols and the mark, and one symbol."""
        return length + 1, 1

    def count_prompts(self, length: int) -> int:
        """All sequences of symbols, with the mark at any place."""
        return int((self.vocabulary - 1) ** length * length)
