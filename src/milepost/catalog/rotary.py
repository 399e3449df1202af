"""Options of rotary encodings: published scalings, a model's own settings, and what can be built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from milepost.catalog.geometry import Geometry
from milepost.errors import OptionError, UnknownName
from milepost.options import Option, SpecOptions, complete_options, nested, number, text, word
from milepost.spec import Spec, Value

_ORIGINAL = number("auto", least=1, most=2**31 - 1)
_FACTOR = number(2.0, least=1)
SCALINGS: Mapping[str, Mapping[str, Option]] = {
    "auto": {},
    "none": {},
    "linear": {"factor": _FACTOR},
    "ntk": {"factor": _FACTOR},
    "dynamic": {"factor": _FACTOR, "original": _ORIGINAL},
    "yarn": {
        "factor": _FACTOR,
        "original": _ORIGINAL,
        "beta_fast": number(32.0, above=0),
        "beta_slow": number(1.0, above=0),
        "attention": number("auto"),
        "truncate": word("on", "off"),
    },
    "llama3": {
        "factor": number(8.0, least=1),
        "low": number(1.0, above=0),
        "high": number(4.0, above=0),
        "original": _ORIGINAL,
    },
    "longrope": {
        "short": text("auto"),
        "long": text("auto"),
        "original": _ORIGINAL,
        "factor": number("auto"),
        "attention": number("auto"),
    },
}
"""Options of each scaling; ``milepost.encodings.scaling`` says what they do."""


def scaling_options(name: str) -> Mapping[str, Option]:
    """The options of a scaling.

    Raises:
        UnknownName: MP104.
    """
    if name not in SCALINGS:
        raise UnknownName.among("scaling", name, SCALINGS)
    return SCALINGS[name]


OPTIONS: Mapping[str, Option] = {
    "theta": number("auto", above=1),
    "partial": number("auto", above=0, most=1),
    "scaling": nested("auto", scaling_options, note=", ".join(f"`{name}`" for name in list(SCALINGS)[1:])),
}


@dataclass(frozen=True)
class Turning:
    """What a rotary encoding is built with: no ``auto`` is left, except in longrope's factor and attention."""

    theta: float = 10000.0
    partial: float = 1.0
    scaling: Spec = Spec("none")  # noqa: RUF009  frozen

    @classmethod
    def of(cls, options: SpecOptions, geometry: Geometry) -> Turning:
        """What complete options mean in a model.

        Raises:
            OptionError: MP105, a model whose layers differ. UnknownName: MP104, a scaling that is not known.
        """
        settled = settle_rotary(options, geometry)
        scaling = settled.spec("scaling")
        scaling = Spec("none") if scaling.name == "auto" else scaling
        if scaling.options.get("original") == "auto":
            scaling = Spec(scaling.name, {**scaling.options, "original": geometry.max_len})
        return cls(settled.number("theta"), settled.number("partial", auto=1.0), scaling)

    def check(self, head_dim: int) -> int:
        """Refuse what gives no frequencies; the number of dimensions that turn.

        Raises:
            OptionError: MP105.
        """
        width = check_width(head_dim, self.partial)
        check_scaling(self.scaling, width)
        return width


def check_width(head_dim: int, partial: float) -> int:
    """The dimensions of a head that turn.

    Raises:
        OptionError: MP105, an odd number of them, or none.
    """
    width = int(head_dim * partial)
    if width < 2 or width % 2:
        raise OptionError(
            "rotary needs an even width: it turns pairs of dimensions",
            got=f"head_dim={head_dim}, partial={partial:g}, so {width} dimensions",
            fix="change the width, the number of heads, or partial",
        )
    return width


def settle_rotary(options: SpecOptions, geometry: Geometry) -> SpecOptions:
    """Options as the model's own rotary settings have them; in other models, theta is 10,000.

    Raises:
        OptionError: MP105, a model whose layers differ. UnknownName: MP104, a scaling that is not known.
    """
    if not geometry.rotary:
        return SpecOptions({**options, "theta": options.number("theta", auto=10000.0)})
    return SpecOptions({key: _own(key, value, geometry) for key, value in options.items()})


def _own(key: str, value: Value, geometry: Geometry) -> Value:
    """An option's value, or for ``auto`` that of the model's own settings."""
    if value not in ("auto", Spec("auto")):
        return value
    found = [settings.options[key] for settings in geometry.rotary]
    if any(one != found[0] for one in found):
        raise OptionError(
            f"layers of this model turn by settings of their own, so {key}=auto names no single one",
            got=" and ".join(f"{key}={one}" for one in found),
            fix=f"choose one: rotary({key}={found[0]})",
        )
    if isinstance(found[0], Spec) and found[0].name not in SCALINGS:
        raise UnknownName.among(
            "rotary scaling", found[0].name, [name for name in SCALINGS if name != "auto"]
        )
    return found[0]


def check_scaling(scaling: Spec, width: int) -> None:
    """Refuse a scaling that gives no frequencies for ``width`` dimensions.

    Args:
        scaling: its ``original``, where it has one, is a number.
        width: dimensions that turn.

    Raises:
        OptionError: MP105, a value out of range, turns in the wrong order, or lists of the wrong length.
        SpecError: MP103. UnknownName: MP104.
    """
    name, options = scaling.name, complete_options(scaling, scaling_options(scaling.name))
    if name in ("ntk", "dynamic") and width < 4:
        raise OptionError(f"{name} needs two pairs or more", got=f"{width} dimensions", fix="scaling=linear")
    for above, below in (("beta_fast", "beta_slow"), ("high", "low")):
        if above in options and options.number(above) <= options.number(below):
            raise OptionError(
                f"{name} needs {above} above {below}",
                got=f"{above}={options.number(above):g}, {below}={options.number(below):g}",
                fix=f"{above}={SCALINGS[name][above].default:g}, {below}={SCALINGS[name][below].default:g}",
            )
    if name == "longrope":
        for kind in ("short", "long"):
            if len(read_divisors(options.word(kind))) != width // 2:
                raise OptionError(
                    "longrope needs a positive number for each pair, of short and of long inputs",
                    got=f"{kind}={options.word(kind)!s:.40}, {width // 2} pairs",
                    fix="short='1.0 1.1 ...', long='1.0 2.4 ...', or scaling=auto for those of the model",
                )
        stretched = options["attention"] == "auto" and options.number("factor", auto=1.0) > 1
        if stretched and options.number("original") <= 1:
            raise OptionError(
                "longrope with a factor needs an original length above 1",
                got=f"original={options['original']}",
                fix="original=4096, or attention=1",
            )


def read_divisors(text: str) -> list[float]:
    """The numbers that longrope divides by; empty where one is no positive number.

    >>> read_divisors("1.0 2.5"), read_divisors("1.0 -2")
    ([1.0, 2.5], [])
    """
    try:
        found = [float(part) for part in text.split()]
    except ValueError:
        return []
    return found if all(math.isfinite(one) and one > 0 for one in found) else []
