"""Installed modules: found and imported without the current directory, and hashed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import sys
import traceback
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from milepost.errors import MilepostError, PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_CODE = {".py", ".so", ".pyd"}


@contextlib.contextmanager
def without_current_directory() -> Iterator[None]:
    """Within, nothing is imported from the current directory, or from that of the script that runs.

    Worker processes never have these on their import path, so what is found here is found there too. The path of
    the user's own process is as it was afterwards.
    """
    before = list(sys.path)
    first = [] if sys.flags.safe_path or not before or Path(before[0]) not in _places() else before[:1]
    sys.path[:] = [entry for entry in before[len(first) :] if Path(entry).is_absolute()]
    try:
        yield
    finally:
        sys.path[:] = before


def _places() -> set[Path]:
    """The current directory, and that of the main program."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    found = {Path(script).absolute().parent, Path(script).resolve().parent} if script else set()
    with contextlib.suppress(OSError):  # it was deleted
        found.add(Path.cwd())
    return found


def installed_entry_points(group: str) -> list[EntryPoint]:
    """Entry points of a group, of all installed distributions but those that lie in the current directory."""
    from importlib.metadata import entry_points

    with without_current_directory():
        return list(entry_points(group=group))


def find_installed(module: str) -> ModuleSpec | None:
    """Find the package or module that holds ``module``, wherever it is installed; nothing is run.

    That is the top of the name, below namespaces that are no package themselves.
    """
    parts = module.split(".")
    with without_current_directory():
        path = None
        for count in range(1, len(parts) + 1):
            spec = _search(".".join(parts[:count]), path)
            if spec is None or spec.origin is not None:
                return spec
            path = list(spec.submodule_search_locations or ())
    return spec


def _search(name: str, path: list[str] | None) -> ModuleSpec | None:
    # not importlib.util.find_spec: that would answer with a module that is loaded already, from wherever
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None


def hash_installed(spec: ModuleSpec) -> str:
    """SHA-256 of all code of a package or module: names and content of its files.

    Raises:
        PluginError: MP109, when it has no files.
    """
    roots = [Path(place) for place in spec.submodule_search_locations or ()]
    files = {
        path.relative_to(root).as_posix(): path
        for root in roots
        for path in root.rglob("*")
        if path.suffix in _CODE and path.is_file()
    }
    if not roots and spec.origin is not None and Path(spec.origin).is_file():
        files = {Path(spec.origin).name: Path(spec.origin)}
    if not files:
        raise PluginError(
            "this module has no files that can be hashed",
            got=spec.name,
            fix="give the file that defines your class: --import FILE.py",
        )
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(name.encode() + b"\0" + hashlib.sha256(files[name].read_bytes()).digest())
    return total.hexdigest()


def import_safely(module: str, *, said_by: str) -> ModuleType:
    """Import an installed module, never one of the current directory.

    Args:
        module: its name.
        said_by: who asks for it, in messages.

    Raises:
        PluginError: MP109.
    """
    spec = find_installed(module)
    if spec is None:
        raise PluginError(
            "there is no such installed module",
            got=f"{said_by}: {module}",
            fix="install it, or give the path of a file: --import ./FILE.py; modules of the current directory are not imported",
        )
    held = sys.modules.get(spec.name)
    if held is not None and spec.origin is not None and getattr(held, "__file__", None) != spec.origin:
        raise PluginError(
            "another module of this name is loaded in this process",
            got=f"{said_by}: {spec.name} is installed as {spec.origin}, loaded from {getattr(held, '__file__', None)}",
            fix="start Python elsewhere, or rename the other module",
        )
    with without_current_directory(), explained(said_by):
        return importlib.import_module(module)


@contextlib.contextmanager
def explained(said_by: str, file: str | None = None) -> Iterator[None]:
    """Turn whatever somebody else's code raises while it is imported into one error that names it.

    Args:
        said_by: the distribution, module or file.
        file: whose line the message names.

    Raises:
        PluginError: MP109.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        line = f", line {frames[-1].lineno}" if frames else ""
        raise PluginError(
            "code that is not Milepost's cannot be imported",
            got=f"{said_by}{line}: {type(error).__name__}: {_summary(error)}",
            fix="correct it, then run the same command again"
            + ("; a file imports installed packages only" if isinstance(error, ImportError) else ""),
        ) from error


def place_of(error: BaseException) -> str:
    """The innermost line of the user's own code that an error passed through: file and line, or nothing.

    Own is what belongs neither to Milepost nor to Python, and is not installed.
    """
    others = (Path(__file__).parents[1], Path(traceback.__file__).parent)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        installed = "site-packages" in file.parts or any(file.is_relative_to(other) for other in others)
        if file.is_absolute() and not installed:
            return f"{file.name}, line {frame.lineno}"
    return ""


def _summary(error: BaseException) -> str:
    if isinstance(error, MilepostError):
        return f"{error.problem} ({error.got}); {error.fix}"
    if isinstance(error, SyntaxError):  # which tells its file once more
        return f"{error.msg}, line {error.lineno}: {(error.text or '').strip()}"
    return str(error)
