"""Code of the user's own: a file or an installed module that adds encodings, tasks or methods.

It is imported only because whoever runs Milepost says so: by ``imports=``, ``--import``, or by using a name that an
installed package offers. Names and hashes that a folder holds are compared, never imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from milepost.errors import PluginError
from milepost.plugins.modules import (
    explained,
    find_installed,
    hash_installed,
    import_safely,
    without_current_directory,
)

Imports: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"
_LARGEST_BYTES = 16 << 20
_PREFIX = "milepost_import_"


@dataclass(frozen=True)
class Code:
    """A file or an installed package whose code decides what names mean.

    Args:
        name: of the file, or of the package that holds the module.
        sha256: of the file, or of all code of that package.
        path: where the file is; empty for a module. Not a part of its identity.
        module: what is imported; empty for a file. Not a part of its identity.
    """

    name: str
    sha256: str
    path: str = field(default="", compare=False)
    module: str = field(default="", compare=False)


def load_imports(imports: Imports | None) -> tuple[Code, ...]:
    """Import what a user wants imported.

    Args:
        imports: paths of files, which end with ``.py``, and names of installed modules; one or several.

    Returns:
        What was imported, so that another process can import the same: :func:`load_code`.

    Raises:
        PluginError: MP109.
    """
    code = read_code(imports)
    load_code(code)
    return code


def read_code(imports: Imports | None) -> tuple[Code, ...]:
    """Find and hash what a user wants imported; nothing is run.

    Args:
        imports: paths of files (they end with ``.py``) and names of installed modules; one or several.

    Raises:
        PluginError: MP109, a file that cannot be read, a module that is not installed, or two of one name.
    """
    if imports is None:
        return ()
    given = [imports] if isinstance(imports, str | os.PathLike) else imports
    found = [_read_one(os.fspath(one)) for one in given]
    by_name = {one.name: one for one in found}
    for one in found:
        if by_name[one.name] != one:
            raise PluginError(
                "two imports have one name", got=one.name, fix="rename one of the files, or leave one out"
            )
    return _ordered(found)


def _ordered(code: Iterable[Code]) -> tuple[Code, ...]:
    different = {(one.name, one.module): one for one in code}
    return tuple(different[key] for key in sorted(different))


def _read_one(text: str) -> Code:
    if text.endswith(".py") or os.sep in text:
        # an unknown ~user stays as it is; links stay too, so that messages show the path that was given
        path = Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111
        return Code(path.name, hashlib.sha256(read_file(path)).hexdigest(), str(path))
    if not all(part.isidentifier() for part in text.split(".")):
        raise PluginError(
            "this is neither a file nor the name of a module",
            got=ascii(text),
            fix="write --import FILE.py, or --import MODULE",
        )
    return _describe_module(text)


def _describe_module(module: str) -> Code:
    spec = find_installed(module)
    if spec is None:
        raise PluginError(
            "there is no such installed module",
            got=module,
            fix="install it, or give the path of a file: --import ./FILE.py; modules of the current directory are not imported",
        )
    return Code(spec.name, hash_installed(spec), module=module)


def read_file(path: Path) -> bytes:
    """The content of a file of code.

    Raises:
        PluginError: MP109, no regular file, or one of more than 16 MiB.
    """
    try:
        about = path.stat()
        problem = "no regular file" if not stat.S_ISREG(about.st_mode) else ""
        problem = problem or (f"{about.st_size:,} bytes" if about.st_size > _LARGEST_BYTES else "")
        if not problem:
            return path.read_bytes()
    except OSError as error:
        problem = error.strerror or str(error)
    raise PluginError(
        "a file to import cannot be read",
        got=f"{str(path)[:300]!a}: {problem}",
        fix="give the path of a Python file: --import FILE.py",
    )


def load_code(code: Iterable[Code]) -> None:
    """Import code, if it is still what was hashed; what is loaded already stays.

    Raises:
        PluginError: MP109, code that changed, is not there, or raises.
    """
    for one in code:
        if one.path:
            _load_file(one)
        else:
            _refuse_change(one, _describe_module(one.module).sha256)
            import_safely(one.module, said_by=one.module)


def _load_file(one: Code) -> None:
    name = _module_name(one.path)
    held = sys.modules.get(name)
    if held is not None and vars(held).get("__sha256__") == one.sha256:
        return
    content = read_file(Path(one.path))
    _refuse_change(one, hashlib.sha256(content).hexdigest())
    spec = importlib.util.spec_from_file_location(name, one.path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it runs
    try:
        with without_current_directory(), explained(one.name, one.path):
            # what was hashed is what runs, and nothing is written next to it
            exec(compile(content, one.path, "exec", dont_inherit=True), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    vars(module)["__sha256__"] = one.sha256


def _module_name(path: str) -> str:
    return _PREFIX + hashlib.sha256(path.encode()).hexdigest()[:12]


def _refuse_change(one: Code, now: str) -> None:
    if now != one.sha256:
        raise PluginError(
            "code that was imported is not what it was when the command began",
            got=f"{one.name}: sha256 {one.sha256[:12]} then, {now[:12]} here",
            fix="run the same command again; every machine needs the same version",
        )


def complete(code: Sequence[Code], classes: Iterable[type]) -> tuple[Code, ...]:
    """``code``, and the installed packages that the other classes come from, so that another process can load them all.

    Args:
        code: what was imported already.
        classes: what is used.

    Raises:
        PluginError: MP109, a class that another process cannot load: of a notebook, a script, the current directory.
    """
    known = {_module_name(one.path) for one in code if one.path} | {one.name for one in code if one.module}
    found = list(code)
    for cls in classes:
        module = cls.__module__
        if module.split(".")[0] == "milepost" or module in known:
            continue
        spec = None if module.startswith(_PREFIX) else find_installed(module)
        if spec is None or not _is_loaded_from(spec.origin, spec.name):
            file = getattr(sys.modules.get(module), "__file__", None) if module != "__main__" else None
            own = "" if file else "put it into a file of its own, and "
            raise PluginError(
                "this class is neither in a file that was named nor in an installed package",
                got=f"{getattr(cls, 'name', cls.__name__)}: {cls.__qualname__} of {module}",
                fix=f"{own}name the file: imports={file or 'FILE.py'!r}, --import {file or 'FILE.py'}",
            )
        if spec.name not in known:
            found.append(Code(spec.name, hash_installed(spec), module=module))
    return _ordered(found)


def _is_loaded_from(origin: str | None, name: str) -> bool:
    held = sys.modules.get(name)
    return held is not None and getattr(held, "__file__", None) in (origin, None)
