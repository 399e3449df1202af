"""What a method of extension is, and the registry of all of them.

A method is a frozen dataclass whose fields are its options, and a pure function of a table and a target.
Text methods grow (or crop) a sequence of rows; image methods resample a grid of patches; position rules
leave the table alone and say which row each position reads.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar, cast

import numpy as np

from milepost.errors import DataError, OptionError, TableTooShort
from milepost.options import Option, complete_options, like, shorten
from milepost.plugins.registry import Registry
from milepost.spec import Spec, Value, parse_spec

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

Kind: TypeAlias = Literal["text", "image"]
Grid: TypeAlias = tuple[int, ...]


def option_field(option: Option) -> Any:
    """A field of a method that takes what ``option`` takes."""
    return field(default=option.default, metadata={"option": option})


@dataclass(frozen=True)
class Method(abc.ABC):
    """A way to give a table another number of positions.

    Attributes:
        name: as in the spec string; the registry sets it.
        guarantee: what stays the same, in one sentence that reports print.
        source: paper or code, and how this differs.
        kind: the tables it is for: ``text`` (any sequence) or ``image`` (a grid of patches).
        keeps_old_rows: whether the usable rows that stay, 0..n-1, are bit-identical to the old ones, so that
            inputs within the old length see no change.
        shrinks: whether the target is smaller than the table, and never larger.
        position_rule: whether the table stays as it is and positions are mapped to its rows (``PositionRule``).
        candidates: the spec strings that ``choose`` measures when none are named: the method with its defaults, if the
            class names no others.
        not_a_candidate: why ``choose`` measures none; empty if it does.
    """

    name: ClassVar[str]
    guarantee: ClassVar[str]
    source: ClassVar[str]
    kind: ClassVar[Kind] = "text"
    keeps_old_rows: ClassVar[bool]
    shrinks: ClassVar[bool] = False
    position_rule: ClassVar[bool] = False
    candidates: ClassVar[tuple[str, ...]] = ()
    not_a_candidate: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Check the options, as they are checked in a spec."""
        for key, option in self.known_options().items():
            option.read(self.name, key, getattr(self, key))

    @classmethod
    def known_options(cls) -> dict[str, Option]:
        """What its spec can be given: its fields, each as ``option_field`` says, or anything of its default's kind."""
        return {one.name: one.metadata.get("option") or like(cast(Value, one.default)) for one in fields(cls)}

    @property
    def options(self) -> dict[str, Value]:
        """All options, defaults included."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def spec(self) -> Spec:
        """The one spelling: defaults dropped, words bare.

        >>> str(build_method("hierarchical(alpha=0.4)").spec), str(build_method("hierarchical(alpha=0.3)").spec)
        ('hierarchical', 'hierarchical(alpha=0.3)')
        """
        return shorten(Spec(self.name, self.options), self.known_options())

    @property
    def full_spec(self) -> Spec:
        """The spec with all options, defaults included.

        >>> str(build_method("hierarchical").full_spec)
        'hierarchical(alpha=0.4)'
        """
        return Spec(self.name, {k: Spec(v) if isinstance(v, str) else v for k, v in self.options.items()})

    def fewest_rows(self) -> int:
        """The usable rows that it needs at least."""
        return 1

    def longest(self, rows: int) -> int | None:
        """The most positions that it can make of ``rows`` usable rows; None where there is no limit."""
        return None

    @abc.abstractmethod
    def apply(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, *, rng_seed: int = 0
    ) -> Float[np.ndarray, "to_length dim"]:
        """Make a table of ``to_length`` rows.

        Args:
            rows: usable rows: no reserved, prefix or trailing ones. Left untouched.
            to_length: positions wanted in total.
            rng_seed: for the methods that draw; the others ignore it.

        Returns:
            A new table of the dtype of ``rows``. Arithmetic is float64.

        Raises:
            OptionError: MP105, a target that this method cannot make, or a method for images.
            TableTooShort: MP102, fewer rows than it needs.
            DataError: MP110, values that are not finite.
        """

    @abc.abstractmethod
    def apply_grid(
        self, rows: Float[np.ndarray, "rows dim"], from_grid: Grid, to_grid: Grid, *, prefix_rows: int = 0
    ) -> Float[np.ndarray, "to_rows dim"]:
        """Make the table of another grid of patches; rows before and after the patches are copied.

        Args:
            rows: all rows: ``prefix_rows``, the patches row by row, and whatever follows. Left untouched.
            from_grid: patches as ``(height, width)``, with frames first for video.
            to_grid: the same for the target.
            prefix_rows: rows before the patches.

        Returns:
            A new table of the dtype of ``rows``.

        Raises:
            OptionError: MP105, a grid that does not fit, or a method for text.
            DataError: MP110, values that are not finite.
        """


class TextMethod(Method):
    """A method for sequences: a subclass makes all rows; old rows that it promises to keep are copied."""

    @abc.abstractmethod
    def _rows(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, rng_seed: int
    ) -> Float[np.ndarray, "to_length dim"]:
        """All rows of the target, from float64 rows that were checked."""

    def apply(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, *, rng_seed: int = 0
    ) -> Float[np.ndarray, "to_length dim"]:
        """See ``Method.apply``."""
        check_target(self, len(rows), to_length)
        check_finite(rows)
        made = self._rows(rows.astype(np.float64), to_length, rng_seed).astype(rows.dtype)
        if self.keeps_old_rows:
            kept = min(len(rows), to_length)
            made[:kept] = rows[:kept]
        return made

    def apply_grid(
        self, rows: Float[np.ndarray, "rows dim"], from_grid: Grid, to_grid: Grid, *, prefix_rows: int = 0
    ) -> Float[np.ndarray, "to_rows dim"]:
        """Refuse: a sequence has no grid."""
        raise wrong_kind(self, "image")


class PositionRule(Method):
    """A method that stores nothing new: it says which old row each position of an input reads.

    Stock loaders do not know of it; ``apply`` gives the rows that one input of ``to_length`` reads.
    """

    keeps_old_rows = True
    position_rule = True

    @abc.abstractmethod
    def positions(self, length: int, rows: int) -> Int64[np.ndarray, " length"]:
        """The row (0 is the first usable one) for each position of an input of ``length`` positions."""

    def apply(
        self, rows: Float[np.ndarray, "rows dim"], to_length: int, *, rng_seed: int = 0
    ) -> Float[np.ndarray, "to_length dim"]:
        """The rows that an input of ``to_length`` reads; see ``Method.apply``."""
        check_target(self, len(rows), to_length)
        check_finite(rows)
        return rows[self.positions(to_length, len(rows))]

    def apply_grid(
        self, rows: Float[np.ndarray, "rows dim"], from_grid: Grid, to_grid: Grid, *, prefix_rows: int = 0
    ) -> Float[np.ndarray, "to_rows dim"]:
        """Refuse: a sequence has no grid."""
        raise wrong_kind(self, "image")


def check_target(method: Method, rows: int, to_length: int) -> None:
    """Refuse a number of positions that ``method`` cannot make of ``rows`` usable rows.

    Raises:
        OptionError: MP105, not larger (for ``crop``: not smaller), or past ``longest``.
        TableTooShort: MP102, fewer rows than the method needs.
    """
    if method.shrinks and not 1 <= to_length < rows:
        raise OptionError(
            f"{method.name} makes a table shorter",
            got=f"{rows} positions, {to_length} wanted",
            fix=f"ask for 1 to {rows - 1}, or take another method",
        )
    if not method.shrinks and to_length <= rows:
        raise OptionError(
            "the target is not larger than the table",
            got=f"{rows} positions, {to_length} wanted",
            fix=f"ask for more than {rows}, or shorten it: crop",
        )
    if rows < method.fewest_rows():
        raise TableTooShort(
            f"{method.spec} needs more rows",
            got=f"{rows} usable rows",
            fix=f"it needs {method.fewest_rows()}; tile takes any table",
        )
    most = method.longest(rows)
    if most is not None and to_length > most:
        raise OptionError(
            f"{method.name} cannot make so many positions",
            got=f"{rows} positions, {to_length} wanted",
            fix=f"ask for at most {most}, or take another method",
        )


def check_finite(rows: Float[np.ndarray, "rows dim"]) -> None:
    """Refuse values that are not finite: a blend would spread them.

    Raises:
        DataError: MP110.
    """
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise DataError(
            "the table holds values that are not finite",
            got=f"{np.count_nonzero(~finite)} rows, the first is usable row {int(np.argmin(finite))}",
            fix="mend the checkpoint first: milepost inspect shows the rows",
        )


def wrong_kind(method: Method, kind: Kind) -> OptionError:
    """The error for a method that is not for tables of this kind."""
    return OptionError(
        f"{method.name} is not for {kind} tables",
        got=str(method.spec),
        fix=f"take one of: {', '.join(name for name, one in _REGISTRY.loaded().items() if one.kind == kind)}",
    )


_REGISTRY: Registry[Method] = Registry("method", "milepost.methods")
_M = TypeVar("_M", bound=type[Method])


def register_method(name: str) -> Callable[[_M], _M]:
    """Class decorator that puts a method into the registry under ``name``.

    Raises:
        OptionError: MP105, when the name is taken, or the class does not say whether ``choose`` can measure it.
    """
    register = _REGISTRY.register(name)

    def put(cls: _M) -> _M:
        measurable = cls.kind == "text" and not cls.shrinks
        if (cls.not_a_candidate and cls.candidates) or not (cls.not_a_candidate or measurable):
            raise OptionError(
                "a method is a candidate of `choose`, or says why not",
                got=f"{name}: candidates={cls.candidates}, not_a_candidate={cls.not_a_candidate!r}",
                fix="set one of the two; only methods that lengthen tables of text can be candidates",
            )
        cls.candidates = () if cls.not_a_candidate else cls.candidates or (name,)
        return register(cls)

    return put


def registered_methods() -> dict[str, type[Method]]:
    """All methods by name, in the order of help texts; those of installed packages last, which are then imported.

    Raises:
        PluginError: MP109, a package that cannot be imported.
    """
    return _REGISTRY.everything()


def default_candidates() -> tuple[str, ...]:
    """The spec strings that ``choose`` measures when none are named; of installed packages only what was asked for before.

    >>> default_candidates()[:3]
    ('tile', 'hierarchical(alpha=0.05)', 'hierarchical(alpha=0.1)')
    """
    return tuple(spec for cls in _REGISTRY.loaded().values() for spec in cls.candidates)


def build_method(spec: Spec | str, *, in_file: bool = False) -> Method:
    """Build the method that a spec string names.

    Args:
        spec: its name, and options.
        in_file: whether a file says the name, not a user: then no package is imported for it.

    Raises:
        SpecError: MP103, text that is no spec, an option that the method lacks, or of the wrong kind.
        UnknownName: MP104, no method of this name; the nearest is offered.
        PluginError: MP109, an installed package offers the name and cannot be imported, or is not to be.
        OptionError: MP105, an option out of its range.

    >>> build_method("hierarchical(alpha=0.3)").options
    {'alpha': 0.3}
    """
    spec = parse_spec(spec) if isinstance(spec, str) else spec
    cls = _REGISTRY.find(spec.name, in_file=in_file)
    return cls(**complete_options(spec, cls.known_options()))


def default_method(kind: str) -> Method:
    """What ``extend`` takes when none is named: ``hierarchical`` for text, ``bicubic`` for images."""
    return build_method("bicubic" if kind == "image" else "hierarchical")
