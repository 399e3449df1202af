"""The folder that an extension starts from: which files are read, copied, or left behind because they would be stale."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from milepost.errors import DataError, MilepostError, MissingExtra, UnsafeFile
from milepost.storage.files import expand
from milepost.tables import (
    COPY_FOLDERS,
    INDEX,
    Checkpoint,
    Folder,
    find_transformer,
    is_copy,
    is_hub_id,
    read_header,
)

CARD: Final = "README.md"
_WEIGHTS: Final = ("model.safetensors", "open_clip_model.safetensors")
_BESIDE_A_FILE: Final = (".json", ".txt", ".model", ".jinja", ".spm", ".md")
_STATES: Final = re.compile(
    r".+\.(pt|pth|ckpt)|(pytorch|tf|flax)_model.*\.index\.json|openvino_model.*\.xml|checkpoint-\d+"
)
"""States of training, and what goes with copies of the weights: they hold the old table, or rows of its length."""
_MAX_DEPTH: Final = 64
"""Folders in each other; resolving the path of each costs as much as it is deep."""
_WHY_STALE: Final = "weights in another format, or a state of training"


class Seen(NamedTuple):
    """What tells whether a file has changed."""

    size_bytes: int
    changed_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Seen:
        """From what the system says."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True)
class Member:
    """A file of the model: its place in the folder, where it really is, and how it was when it was seen."""

    name: str
    real: Path
    seen: Seen


@dataclass(frozen=True)
class Source:
    """A model's files.

    Attributes:
        root: the folder that is copied.
        inner: the folder of the Transformer within it, as a prefix of names: empty, or ``0_Transformer/``.
        weights: the one weights file to read; None for all of the folder.
        members: the files that belong to the new model, by name.
        left: files and folders that are not copied, each with the reason.
        title: what the model is called in its successor's card.
    """

    root: Path
    inner: str
    weights: Path | None
    members: tuple[Member, ...]
    left: tuple[tuple[str, str], ...]
    title: str

    @property
    def folder(self) -> Path:
        """The folder of the Transformer."""
        return self.root / self.inner


def find_source(model: str | os.PathLike[str], revision: str | None) -> Source:
    """Find a model's files. A Hub id is downloaded into the Hub's own cache first.

    Raises:
        DataError: MP110, when there is no such model, or only pickled weights. UnsafeFile: MP130. HubError: MP131.
    """
    text = os.fspath(model)
    path = expand(text)
    if not path.exists() and is_hub_id(text):
        path = _download(text, revision)
    if not path.exists():
        raise DataError(
            "there is no such model",
            got=ascii(text[:200]),
            fix="give a folder, a .safetensors file or a Hub id",
        )
    if path.is_dir():
        root = path.resolve()
        below, weights = find_transformer(root), None
        inner = f"{below}/" if below else ""
        title = text if is_hub_id(text) and path != expand(text) else root.name
    else:
        if path.suffix != ".safetensors":
            raise DataError(
                "only safetensors are extended",
                got=ascii(path.name),
                fix="convert the weights to safetensors first",
            )
        root, inner, weights, title = path.parent.resolve(), "", path, path.stem
    left: list[tuple[str, str]] = []
    members = tuple(_walk(root, "", inner, weights, left))
    names = {member.name for member in members}
    if weights is None and not names & {f"{inner}{name}" for name in (*_WEIGHTS, INDEX)}:
        pickled = [name for name, _ in left if name.endswith((".bin", ".pt", ".pth"))]
        raise DataError(
            "there are no safetensors in the folder",
            got=", ".join(map(ascii, pickled[:4])) or "no weights",
            fix="load the model with transformers and save it again: pickled weights are never written",
        )
    return Source(root, inner, weights, members, tuple(left), title)


def read_documents(
    source: Source, names: tuple[str, ...]
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The JSON files of the Transformer that exist, as text and as objects."""
    texts, documents = {}, {}
    with Folder(source.folder) as folder:
        for name in names:
            if any(member.name == source.inner + name for member in source.members):
                documents[name] = folder.read_json(name)
                texts[name] = folder.read(name, 0, folder.size(name)).decode("utf-8")
    return texts, documents


def drop_stale(source: Source, checkpoint: Checkpoint) -> tuple[tuple[Member, ...], list[tuple[str, str]]]:
    """The members without further weights that hold the table, and those with the reason."""
    used = {source.inner + entry.file for entry in checkpoint.tensors.values()}
    keys = {table.key for table in checkpoint.tables}
    stale = []
    for member in source.members:
        inside = PurePosixPath(member.name).parent == PurePosixPath(source.inner)
        if (
            inside
            and member.name.endswith(".safetensors")
            and member.name not in used
            and _holds(member, keys)
        ):
            stale.append((member.name, "another copy of the weights"))
    names = {name for name, _ in stale}
    return tuple(member for member in source.members if member.name not in names), stale


def _holds(member: Member, keys: set[str]) -> bool:
    """Whether a weights file has one of the tables; one that cannot be read may have it."""
    try:
        with Folder(member.real.parent) as folder:
            name = member.real.name
            header = read_header(partial(folder.read, name), folder.size(name), name)
    except MilepostError:
        return True
    return any(key.endswith(known) or known.endswith(key) for key in header.entries for known in keys)


def _is_stale(name: str) -> bool:
    return is_copy(name) or _STATES.fullmatch(name) is not None


def _is_stale_folder(name: str) -> bool:
    return name in COPY_FOLDERS or _STATES.fullmatch(name) is not None


def _walk(
    folder: Path, below: str, inner: str, weights: Path | None, left: list[tuple[str, str]]
) -> Iterator[Member]:
    """All files under a folder, in the order of their names; what is left behind goes into ``left``."""
    if below.count("/") > _MAX_DEPTH:
        raise UnsafeFile(
            "the model's folder is nested too deep",
            got=f"more than {_MAX_DEPTH} folders in each other",
            fix="remove the folders, or give a folder that holds the model alone",
        )
    with Folder(folder) as opened:
        for path in sorted(folder.iterdir()):
            name = below + path.name
            if path.is_dir():
                if weights is not None or path.name.startswith("."):
                    continue
                if path.is_symlink() or (_is_stale_folder(path.name) and below in ("", inner)):
                    left.append((name, "a link to a folder" if path.is_symlink() else _WHY_STALE))
                else:
                    yield from _walk(path, f"{name}/", inner, weights, left)
            elif path.name.endswith(".milepost-tmp"):
                continue
            elif weights is not None and path.name != weights.name and path.suffix not in _BESIDE_A_FILE:
                left.append((name, "not a part of this file's model"))
            elif below in ("", inner) and _is_stale(path.name):
                left.append((name, _WHY_STALE))
            elif not opened.holds(path.name):
                raise UnsafeFile(
                    f"{name!a} is a link out of the model's folder",
                    got="a link",
                    fix="copy the file into the folder",
                )
            else:
                real = path.resolve()
                found = real.stat() if real.exists() else None
                if found is None or not stat.S_ISREG(found.st_mode):
                    raise UnsafeFile(
                        f"{name!a} is no plain file", got="a device, a pipe or a dead link", fix="remove it"
                    )
                yield Member(name, real, Seen.of(found))


def _download(model: str, revision: str | None) -> Path:
    from milepost.tables import HubModel

    with HubModel(model, revision) as remote:  # speaks of what is wrong in our words, and settles the commit
        commit = remote.commit
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtra.of("all", str(error.name)) from None
    return Path(
        snapshot_download(
            model,
            revision=commit,
            ignore_patterns=["*.bin", "*.h5", "*.msgpack", "*.ot", "onnx/*", "openvino/*"],
        )
    )
