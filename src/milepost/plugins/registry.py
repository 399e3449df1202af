"""Classes of one kind by name: Milepost's own, those of code that ran, and those of installed packages."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from milepost.errors import OptionError, PluginError, UnknownName
from milepost.plugins.modules import import_safely, installed_entry_points

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
C = TypeVar("C", bound=type)


class Registry(Generic[T]):
    """One kind of class that users can add to.

    A name that is not known yet is looked for in the entry points of installed packages, and the package is imported
    only then. A name of Milepost's own is never replaced, and no other class's is either: a class gives way only to
    a later version of itself (its file was edited, or its notebook cell run again).

    Args:
        kind: in error messages: ``encoding``.
        group: of entry points: ``milepost.encodings``.
        lazy: Milepost's own classes that are imported when they are asked for: ``module:Class`` by name.
    """

    def __init__(self, kind: str, group: str, lazy: Mapping[str, str] | None = None) -> None:
        self._kind, self._group = kind, group
        self._lazy = dict(lazy or {})
        self._known: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Class decorator that adds a class under ``name``, and sets its attribute ``name``.

        Raises:
            OptionError: MP105, a name that is taken, or that cannot be written in a spec.
        """
        if name != name.lower() or not (name.isascii() and name.replace("-", "_").isidentifier()):
            raise OptionError(
                f"this cannot be the name of a {self._kind}",
                got=ascii(name),
                fix="use lower-case letters, digits, - and _, as in my-name",
            )

        def put(cls: C) -> C:
            held = self._known.get(name)
            if name in self._lazy or (held is not None and not _is_new_version(held, cls)):
                raise OptionError(
                    f"this {self._kind}'s name is taken",
                    got=f"{name}, by {'Milepost' if held is None or _is_own(held) else _origin(held)[0]}",
                    fix="choose another name",
                )
            cls.name = name  # type: ignore[attr-defined]
            self._known[name] = cls
            return cls

        return put

    def find(self, name: str, *, known: Iterable[str] = (), in_file: bool = False) -> type[T]:
        """The class of this name; of an installed package too, which is then imported.

        Args:
            name: as it was registered.
            known: names that an error offers, in addition to those of the classes.
            in_file: whether a file says the name, not a user: then nothing is imported.

        Raises:
            UnknownName: MP104, the nearest name is offered.
            PluginError: MP109, an installed package that cannot be imported, or names what it does not have; a file
                that names a class of a package that was not imported.
        """
        if name in self._lazy:
            module, _, kind = self._lazy[name].partition(":")
            found: type[T] = getattr(importlib.import_module(module), kind)
            return found
        if name not in self._known:
            offers = self._offers()
            if name not in offers:
                raise self._unknown(name, {*known, *offers})
            if in_file:
                raise self._not_imported(name, offers[name][0])
            self._load(name, offers[name])
        return self._known[name]

    def loaded(self) -> dict[str, type[T]]:
        """All classes but those of packages that were not asked for: Milepost's in order of registration, then others sorted."""
        own = [*self._lazy, *(name for name, cls in self._known.items() if _is_own(cls))]
        return {name: self.find(name) for name in [*own, *sorted(self._known.keys() - own)]}

    def everything(self) -> dict[str, type[T]]:
        """As :meth:`loaded`; before, every installed package with an entry point of this group is imported.

        Raises:
            PluginError: MP109, as in :meth:`find`, or a package that offers one of Milepost's own names.
        """
        for name, points in self._offers().items():
            held = self._known.get(name)
            if name in self._lazy or (held is not None and _is_own(held)):
                raise self._clash(name, [*map(describe, points), "Milepost"])
            if held is None:
                self._load(name, points)
        return self.loaded()

    def _offers(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for point in installed_entry_points(self._group):
            found.setdefault(point.name, []).append(point)
        return found

    def _load(self, name: str, points: list[EntryPoint]) -> None:
        owners = sorted({*map(describe, points)})
        if len(owners) > 1:
            raise self._clash(name, owners)
        before = dict(self._known)
        try:
            import_safely(points[0].module, said_by=owners[0])
        except PluginError:
            # what it registered before it failed is not to be had, or the next call would not fail
            self._known = {key: cls for key, cls in self._known.items() if _is_own(cls)} | before
            raise
        if name not in self._known:
            raise PluginError(
                f"an installed package does not have the {self._kind} that it offers",
                got=f"{owners[0]}: {name}, in module {points[0].module}",
                fix=f"report it to the authors of the package: the module must register {name}",
            )

    def _not_imported(self, name: str, point: EntryPoint) -> PluginError:
        return PluginError(
            f"a file names the {self._kind} of an installed package, and what a file names is never imported",
            got=f"{name}, of {describe(point)}",
            fix=f"say that you want it: --import {point.module}, in Python imports={point.module!r}",
        )

    def _clash(self, name: str, owners: Iterable[str]) -> PluginError:
        return PluginError(
            f"several packages offer a {self._kind} of one name",
            got=f"{name}: {', '.join(owners)}",
            fix="uninstall all but one of them",
        )

    def _unknown(self, name: str, offers: Iterable[str]) -> UnknownName:
        error = UnknownName.among(self._kind, name, {*self._lazy, *self._known, *offers})
        hint = "one of your own: --import FILE.py, in Python imports="
        return UnknownName(error.problem, got=error.got, fix=f"{error.fix}; {hint}")


def describe(point: EntryPoint) -> str:
    """The distribution of an entry point, with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"


def _is_own(cls: type) -> bool:
    return cls.__module__.startswith("milepost.")


def _is_new_version(held: type, new: type) -> bool:
    return not _is_own(held) and _origin(held) == _origin(new)


def _origin(cls: type) -> tuple[str, str]:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return file or cls.__module__, cls.__qualname__
