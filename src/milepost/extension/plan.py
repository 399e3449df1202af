"""What an extension will do, worked out before anything is written."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from milepost.errors import DataError, FolderError, OptionError, UnknownFamily
from milepost.extension.buffers import Growth, plan_buffers, refuse_quantised
from milepost.extension.documents import DOCUMENTS, apply_edits, plan_edits
from milepost.extension.methods.base import Method
from milepost.extension.methods.extend_rows import extend_rows
from milepost.extension.source import CARD, Member, Seen, Source, drop_stale, find_source, read_documents
from milepost.extension.target import Size, Target, choose_target
from milepost.extension.weights import Fresh, Rewrite, plan_rewrite
from milepost.storage.disk import refuse_small_disk
from milepost.storage.files import expand
from milepost.tables import Checkpoint, Folder, encode, read, read_header

_SPARE_BYTES = 1 << 20  # folders, the card, and what a file system keeps for itself


@dataclass(frozen=True)
class Change:
    """One thing that differs between the old model and the new one.

    Attributes:
        kind: ``table``, ``buffer``, ``field``, ``card`` or ``not_copied``.
        file: where, from the model's folder on.
        name: the tensor's key or the field; empty for whole files.
        old: the shape or value today; None where there is none.
        new: the shape or value then; for what is not copied, the reason.
    """

    kind: str
    file: str
    name: str
    old: Any
    new: Any


@dataclass(frozen=True, eq=False)
class ExtensionPlan:
    """An extension, ready to be applied.

    Attributes:
        model: what was asked for.
        source: its files.
        checkpoint: what was read of it.
        target: the tables that grow, by which method, to what.
        output: the folder to be made.
        members: the files to be copied or rewritten, in order.
        contents: what the files that change become, by name: bytes, or a rewrite of weights.
        changes: all of it in words.
        needed_bytes: on the disk of ``output``.
    """

    model: str
    source: Source
    checkpoint: Checkpoint
    target: Target
    output: Path
    members: tuple[Member, ...]
    contents: Mapping[str, bytes | Rewrite]
    changes: tuple[Change, ...]
    needed_bytes: int


def plan_extension(
    model: str | os.PathLike[str],
    *,
    to: int | str | tuple[int, int],
    method: str | Method | None = None,
    out: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    tensor: str | None = None,
    first_row: int | None = None,
) -> ExtensionPlan:
    """Work out everything in which a model's length lives, and what each of it becomes; nothing is written.

    Args:
        model: a folder, a ``.safetensors`` file with its JSON files beside it, or a Hub id.
        to: usable positions wanted; for images pixels, a number or ``"384x512"`` (height, width).
        method: a spec string; ``hierarchical`` for text and ``bicubic`` for images without it.
        out: the folder to be made; ``NAME-TO`` in the current one without it.
        revision: of a Hub id.
        tensor: the key of the table, where several could be meant.
        first_row: the row of position 0, where the family does not say it.

    Raises:
        ExtendRefused: MP123, models without a table that can grow. NoTable: MP122, several tables could be meant.
        DataError: MP110, tables with values that are not finite, or other than the configuration says.
        OptionError: MP105, a target that the method cannot make. FolderError: MP107, a place that cannot be written to.
        MilepostError: what ``milepost.tables.read`` raises.
    """
    source = find_source(model, revision)
    size = read_size(to)
    checkpoint = _read(source, tensor, first_row)
    target = choose_target(checkpoint, size, method, tensor)
    output = expand(out) if out is not None else Path(f"{source.title.rpartition('/')[2]}-{to}")
    refuse_place(output, source)
    return _lay_out(os.fspath(model), source, checkpoint, target, output)


def change_method(plan: ExtensionPlan, method: str) -> ExtensionPlan:
    """The same plan for a text model by another method, without looking for the model's files or reading its tables again.

    Raises:
        OptionError: MP105, a target that the method cannot make. UnknownName: MP104. SpecError: MP103.
    """
    if method == str(plan.target.method.spec):
        return plan
    target = choose_target(plan.checkpoint, plan.target.new, method, plan.target.tables[0][0].key)
    return _lay_out(plan.model, plan.source, plan.checkpoint, target, plan.output)


def _lay_out(
    model: str, source: Source, checkpoint: Checkpoint, target: Target, output: Path
) -> ExtensionPlan:
    """What every file of the new model becomes."""
    fresh, changes = _plan_tensors(checkpoint, target, source)
    members, stale = drop_stale(source, checkpoint)
    contents: dict[str, bytes | Rewrite] = dict(_plan_weights(checkpoint, fresh, source))
    more_bytes, more_values = _growth(checkpoint, fresh)
    texts, documents = read_documents(source, DOCUMENTS)
    edits = plan_edits(documents, checkpoint, target, more_bytes, more_values)
    for file in dict.fromkeys(edit.file for edit in edits):
        contents[source.inner + file] = apply_edits(
            texts[file], [e for e in edits if e.file == file]
        ).encode()
    changes += [Change("field", source.inner + e.file, ".".join(e.path), e.old, e.new) for e in edits]
    changes.append(Change("card", CARD, "", None, None))
    changes += [Change("not_copied", name, "", None, why) for name, why in (*source.left, *stale)]
    needed = _SPARE_BYTES + sum(_size_of(member, contents.get(member.name)) for member in members)
    refuse_small_disk(output, needed)
    return ExtensionPlan(model, source, checkpoint, target, output, members, contents, tuple(changes), needed)


def read_size(to: int | str | tuple[int, int]) -> Size:
    """A length, or height and width.

    Raises:
        OptionError: MP105, for anything else.

    >>> read_size("2048"), read_size("384x512")
    (2048, (384, 512))
    """
    if isinstance(to, str) and (found := re.fullmatch(r"([1-9]\d{0,8})(?:x([1-9]\d{0,8}))?", to.strip())):
        return (int(found[1]), int(found[2])) if found[2] else int(found[1])
    pair = to if isinstance(to, tuple) else (to,)
    if (
        not isinstance(to, str)
        and len(pair) in (1, 2)
        and all(type(side) is int and 0 < side < 10**9 for side in pair)
    ):
        return to
    raise OptionError("this is no length", got=ascii(to)[:80], fix="--to 2048, or for images --to 384x512")


def _read(source: Source, tensor: str | None, first_row: int | None) -> Checkpoint:
    path = source.weights or source.folder
    try:
        checkpoint = read(path)
    except UnknownFamily:
        if tensor is None:
            raise
        return read(path, tensor=tensor, first_row=first_row)
    if first_row is None:
        return checkpoint
    key = checkpoint.table(tensor).key
    stated = read(path, tensor=key, first_row=first_row).tables[0]
    return replace(checkpoint, tables=tuple(stated if one.key == key else one for one in checkpoint.tables))


def _plan_tensors(
    checkpoint: Checkpoint, target: Target, source: Source
) -> tuple[dict[str, Fresh], list[Change]]:
    """What every table and buffer becomes."""
    fresh: dict[str, Fresh] = {}
    changes = []
    with Folder(source.folder) as folder:
        for (table, match), to in zip(target.tables, target.grids, strict=True):
            refuse_quantised(checkpoint, table)
            if target.method.position_rule:
                continue
            growth = Growth(table, match.family if match else None, extend_rows(table, to, target.method), to)
            shape = (*checkpoint.tensors[table.key].shape[:-2], *growth.rows.shape)
            made = {table.key: Fresh.of(shape, encode(growth.rows, table.dtype))}
            made |= plan_buffers(checkpoint, growth, target.method, folder.read)
            for key, one in made.items():
                entry = checkpoint.tensors[key]
                kind = "table" if key == table.key else "buffer"
                changes.append(
                    Change(kind, source.inner + entry.file, key, list(entry.shape), list(one.shape))
                )
            fresh |= made
    return fresh, changes


def _plan_weights(checkpoint: Checkpoint, fresh: Mapping[str, Fresh], source: Source) -> dict[str, Rewrite]:
    """The weights files that hold something new; other shards are copied."""
    found = {}
    with Folder(source.folder) as folder:
        for name in dict.fromkeys(checkpoint.tensors[key].file for key in fresh):
            header = read_header(partial(folder.read, name), folder.size(name), name)
            mine = {key: one for key, one in fresh.items() if checkpoint.tensors[key].file == name}
            found[source.inner + name] = plan_rewrite(header, mine)
    return found


def _growth(checkpoint: Checkpoint, fresh: Mapping[str, Fresh]) -> tuple[int, int]:
    """Bytes and values that all tensors together gain."""
    more_bytes = more_values = 0
    for key, one in fresh.items():
        entry = checkpoint.tensors[key]
        more_bytes += one.size_bytes - (entry.end - entry.begin)
        if entry.dtype.startswith(("F", "BF")):
            more_values += math.prod(one.shape) - entry.elements
    return more_bytes, more_values


def _size_of(member: Member, content: bytes | Rewrite | None) -> int:
    if content is None:
        return member.seen.size_bytes
    return content.size_bytes if isinstance(content, Rewrite) else len(content)


def refuse_place(output: Path, source: Source) -> None:
    """Refuse an output that exists, is the source or lies in it, or lies in a Hub cache.

    Raises:
        FolderError: MP107.
    """
    place = output.parent.resolve() / output.name
    what = None
    if os.path.lexists(output):
        same = place == source.root or any(_is_link(output, member) for member in source.members)
        what = "it is the source, or a link of it" if same else "it exists"
    elif place.is_relative_to(source.root) and source.weights is None:
        what = "it lies in the source"
    elif any(part.startswith("models--") for part in place.parts):
        what = "it lies in a Hub cache, whose files are named by their content"
    elif output.name in ("", ".", ".."):
        what = "it has no name"
    if what:
        raise FolderError(
            "the output cannot be made there",
            got=f"{str(output)!a}: {what}",
            fix="give a new folder: --out DIR",
        )


def _is_link(output: Path, member: Member) -> bool:
    return output.exists() and output.samefile(member.real)


def require_unchanged(members: Sequence[Member]) -> None:
    """Refuse to go on with a source that is no longer what the plan was made from.

    Raises:
        DataError: MP110, naming the file.
    """
    for member in members:
        try:
            now = Seen.of(member.real.stat())
        except OSError:
            now = None
        if now != member.seen:
            raise DataError(
                f"{member.name!a} changed during the run",
                got=f"{now}",
                fix="wait until the model is complete, then run again",
            )
