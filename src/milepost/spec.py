"""Spec strings: the one name of an encoding, the same in Python, on the command line and in JSON.

``parse_spec`` reads the text; ``milepost.options`` reads what the options mean.

Grammar::

    list  = spec ("," spec)*
    spec  = name [ "(" [ option ("," option)* ] ")" ]
    option = name "=" value
    value = number | 'string' | "string" | spec

Names are lower case; nothing is evaluated. A bare name as a value (``past=clamp``) is a spec without options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from milepost.errors import SpecError

Value: TypeAlias = "int | float | str | Spec"

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)"
    r"|(?P<string>'[^'\\\x00-\x1f]*'|\"[^\"\\\x00-\x1f]*\")"
    r"|(?P<mark>[(),=]))"
)
_NAME = re.compile(r"[a-z_][a-z0-9_-]*")
_MAX_CHARACTERS = 8_000  # the divisors of a longrope scaling, written out, are the longest
_MAX_DEPTH = 8


@dataclass(frozen=True)
class Spec:
    """A name and its options, as written; what the options mean is the registry's business.

    >>> str(parse_spec("rotary( theta = 5e5 )"))
    'rotary(theta=500000)'
    """

    name: str
    options: Mapping[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.options:
            return self.name
        inside = ",".join(f"{key}={render_value(self.options[key])}" for key in sorted(self.options))
        return f"{self.name}({inside})"

    def __hash__(self) -> int:
        return hash(str(self))

    def __reduce__(self) -> tuple[object, ...]:
        return parse_spec, (str(self),)


def render_value(value: Value) -> str:
    """Write one option's value so that it reads back as itself."""
    if isinstance(value, Spec):
        return str(value)
    if isinstance(value, str):
        quote = '"' if "'" in value else "'"
        return f"{quote}{value}{quote}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def is_name(text: str) -> bool:
    """Whether a text can be written as a bare name.

    >>> is_name("clamp"), is_name("1.0 2.5")
    (True, False)
    """
    return _NAME.fullmatch(text) is not None


def parse_spec(text: str) -> Spec:
    """Read one spec string.

    Raises:
        SpecError: MP103, when the text is no spec, with the place where reading stopped.

    >>> parse_spec("t5(buckets=32,max_distance=128)").options["buckets"]
    32
    """
    specs = parse_specs(text)
    if len(specs) != 1:
        raise _error(text, len(text), "one spec is wanted here")
    return specs[0]


def parse_specs(text: str) -> list[Spec]:
    """Read a comma separated list of spec strings; commas in parentheses belong to a spec.

    >>> [str(spec) for spec in parse_specs("learned, rotary(theta=500), none")]
    ['learned', 'rotary(theta=500)', 'none']
    """
    if len(text) > _MAX_CHARACTERS:
        raise SpecError(
            "the spec is too long", got=f"{len(text)} characters", fix=f"at most {_MAX_CHARACTERS}"
        )
    reader = _Reader(text)
    specs = [reader.spec(0)]
    while reader.take(","):
        specs.append(reader.spec(0))
    if reader.kind != "end":
        raise _error(text, reader.at, "nothing may follow here")
    return specs


def _error(text: str, at: int, what: str) -> SpecError:
    shown = text if len(text) <= 60 else text[:57] + "..."
    return SpecError(
        f"this is no spec: {what}",
        got=f"{shown!r}, at character {at + 1}",
        fix="write name(key=value, ...), as in rotary(theta=10000)",
    )


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = self._scan()
        self._next()

    def _scan(self) -> Iterator[tuple[str, str, int]]:
        at = 0
        while self.text[at:].strip():
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise _error(self.text, at, "a name, a number or a string is wanted")
            kind = match.lastgroup
            assert kind is not None
            yield kind, match.group(kind), match.start(kind)
            at = match.end()
        yield "end", "", len(self.text)

    def _next(self) -> None:
        self.kind, self.token, self.at = next(self._tokens)

    def take(self, mark: str) -> bool:
        if self.kind == "mark" and self.token == mark:
            self._next()
            return True
        return False

    def want(self, kind: str, what: str) -> str:
        if self.kind != kind:
            raise _error(self.text, self.at, what)
        token = self.token
        self._next()
        return token

    def spec(self, depth: int) -> Spec:
        if depth > _MAX_DEPTH:
            raise _error(self.text, self.at, f"nested more than {_MAX_DEPTH} deep")
        name = self.want("name", "a name is wanted").lower()
        options: dict[str, Value] = {}
        if self.take("(") and not self.take(")"):
            while True:
                at = self.at
                key = self.want("name", "an option's name is wanted").lower()
                if key in options:
                    raise _error(self.text, at, f"{key} is given twice")
                if not self.take("="):
                    raise _error(self.text, self.at, f"{key}=value is wanted")
                options[key] = self.value(depth)
                if self.take(")"):
                    break
                if not self.take(","):
                    raise _error(self.text, self.at, "a comma or a closing parenthesis is wanted")
        return Spec(name, options)

    def value(self, depth: int) -> Value:
        if self.kind == "number":
            token = self.want("number", "")
            number = float(token)
            if number in (float("inf"), float("-inf")):
                raise _error(self.text, self.at, "the number is too large")
            return int(number) if number.is_integer() and abs(number) < 1e15 else number
        if self.kind == "string":
            return self.want("string", "")[1:-1]
        return self.spec(depth + 1)
