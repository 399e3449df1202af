"""Options of a spec: what each may be, and the one reader of them all.

Encodings, the specs inside them, and methods of extension describe their options with ``Option``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from milepost.errors import OptionError, SpecError
from milepost.spec import Spec, Value, is_name

_MOST_WHOLE = 2**31 - 1


@dataclass(frozen=True)
class Option:
    """One option of a spec: its default, and the values that it takes.

    Attributes:
        default: the value where a spec leaves the option out.
        kind: ``whole number``, ``number``, ``word``, ``text`` (any string) or ``spec``.
        words: words that it takes; for numbers, instead of a number.
        least: the smallest number.
        above: the number that all must exceed.
        most: the largest number; whole numbers stay below 2 to the 31st.
        even: whether whole numbers must be even.
        inside: the options of a spec that stands as the value; raises for a name that may not stand there.
        note: what documentation says next to the default.
    """

    default: Value
    kind: str
    words: tuple[str, ...] = ()
    least: float | None = None
    above: float | None = None
    most: float | None = None
    even: bool = False
    inside: Callable[[str], Mapping[str, Option]] | None = None
    note: str = ""

    @property
    def allowed(self) -> str:
        """The values that it takes, in words.

        >>> number("auto", least=0).allowed, whole(2, least=2, even=True).allowed
        ('auto or a number, 0 or more', 'an even number, 2 or more')
        """
        if self.kind in ("word", "text", "spec"):
            return f"one of {', '.join(self.words)}" if self.words else f"a {self.kind}"
        text = "an even number" if self.even else f"a {self.kind}"
        text = " or ".join([*self.words, text])
        text += f" above {self.above:g}" if self.above is not None else ""
        text += f", {self.least:g} or more" if self.least is not None else ""
        return text + (f" and at most {self.most:g}" if self.most is not None else "")

    def read(self, owner: str, key: str, value: Value) -> Value:
        """The value as this option has it: bare words are strings, whole numbers of a ``number`` are floats.

        Raises:
            SpecError: MP103, a value of another kind. OptionError: MP105, a number or a word that it does not take.
        """
        if isinstance(value, Spec) and not value.options and self.kind != "spec":
            value = value.name
        if isinstance(value, str) and self.words:
            fits, good = True, value in self.words
        elif self.kind in ("text", "word", "spec"):
            fits = good = isinstance(value, Spec if self.kind == "spec" else str) and not self.words
        elif isinstance(value, int | float) and not isinstance(value, bool):
            fits = self.kind == "number" or isinstance(value, int)
            good = fits and self._in_range(value)
        else:
            fits = good = False
        if good:
            return float(value) if self.kind == "number" and isinstance(value, int) else value
        error = OptionError if fits else SpecError
        fix = f"{key}={self.default}" if fits else f"its default is {self.default}"
        raise error(f"{owner}'s option {key} must be {self.allowed}", got=f"{key}={value}", fix=fix)

    def _in_range(self, value: float) -> bool:
        most = _MOST_WHOLE if self.most is None and self.kind == "whole number" else self.most
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (most is None or value <= most)
            and not (self.even and value % 2)
        )


def number(
    default: float | str,
    *more: str,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Option:
    """An option that is a number; a word as its default, and ``more`` words, may stand instead of one."""
    words = (default, *more) if isinstance(default, str) else more
    start = default if isinstance(default, str) else float(default)
    return Option(start, "number", words, least=least, above=above, most=most)


def whole(default: int, *, least: int, even: bool = False, note: str = "") -> Option:
    """An option that is a whole number."""
    return Option(default, "whole number", least=least, even=even, note=note)


def word(default: str, *others: str, note: str = "") -> Option:
    """An option that is one of a few words."""
    return Option(default, "word", (default, *others), note=note)


def text(default: str) -> Option:
    """An option that is any string."""
    return Option(default, "text")


def nested(default: str, inside: Callable[[str], Mapping[str, Option]], *, note: str = "") -> Option:
    """An option that is itself a spec; ``inside`` gives the options of each name that may stand there."""
    return Option(Spec(default), "spec", inside=inside, note=note)


def like(default: Value) -> Option:
    """An option that takes anything of its default's kind.

    >>> like(4).allowed, like(0.5).allowed, like("open").allowed
    ('a whole number', 'a number', 'a text')
    """
    if isinstance(default, str):
        return text(default)
    assert not isinstance(default, Spec), default
    return Option(default, "whole number" if isinstance(default, int) else "number")


class SpecOptions(dict[str, Value]):
    """Complete options, each of its kind, and readers with the types that code asks for."""

    def whole(self, key: str) -> int:
        """A whole number."""
        value = self[key]
        assert isinstance(value, int), key
        return value

    def number(self, key: str, **words: float) -> float:
        """A number; ``words`` says what the option's words stand for, as in ``auto=0.02``."""
        value = self[key]
        value = words[value] if isinstance(value, str) else value
        assert isinstance(value, int | float), key
        return float(value)

    def word(self, key: str) -> str:
        """A word or a text."""
        value = self[key]
        assert isinstance(value, str), key
        return value

    def spec(self, key: str) -> Spec:
        """A spec inside this one, its options complete."""
        value = self[key]
        assert isinstance(value, Spec), key
        return value


def complete_options(spec: Spec, known: Mapping[str, Option]) -> SpecOptions:
    """Read the options of ``spec``: each checked, defaults filled in, specs inside completed by their own.

    Args:
        spec: as it was parsed. Not modified.
        known: the options that it may have.

    Raises:
        SpecError: MP103, an option that it does not have, or of another kind.
        OptionError: MP105, a value that the option does not take. UnknownName: MP104, of a spec inside.

    >>> complete_options(Spec("t5", {"buckets": 8}), {"buckets": whole(32, least=2), "past": word("error")})
    {'buckets': 8, 'past': 'error'}
    """
    for key in sorted(spec.options.keys() - known.keys()):
        has = ", ".join(sorted(known)) or "no options"
        raise SpecError(f"{spec.name} has no option {key}", got=str(spec), fix=f"{spec.name} has {has}")
    options = SpecOptions()
    for key, option in known.items():
        value = option.read(spec.name, key, spec.options.get(key, option.default))
        if isinstance(value, Spec) and option.inside is not None:
            value = Spec(value.name, complete_options(value, option.inside(value.name)))
        options[key] = value
    return options


def shorten(spec: Spec, known: Mapping[str, Option]) -> Spec:
    """The one spelling of a spec whose options are complete: defaults dropped, words bare.

    >>> theta = {"theta": number("auto", above=1)}
    >>> str(shorten(Spec("rotary", {"theta": "auto"}), theta)), str(shorten(Spec("rotary", {"theta": 50.0}), theta))
    ('rotary', 'rotary(theta=50)')
    """
    kept: dict[str, Value] = {}
    for key, value in spec.options.items():
        inside = known[key].inside
        if isinstance(value, Spec) and inside is not None:
            value = shorten(value, inside(value.name))
        if value != known[key].default:
            kept[key] = Spec(value) if isinstance(value, str) and is_name(value) else value
    return Spec(spec.name, kept)
