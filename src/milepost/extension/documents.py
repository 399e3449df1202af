"""Every JSON field that states a length, set to the new one; every other byte of the files stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from milepost import __version__
from milepost.extension.fields import PATCH_COUNTS, Path, dig
from milepost.extension.target import Size, Target
from milepost.storage.json_edits import replace_value
from milepost.tables import INDEX, RECORD, Checkpoint, Rule

CONFIGS: Final = ("config.json", "open_clip_config.json")
_GENERATION: Final = "generation_config.json"
_TOKENIZER: Final = "tokenizer_config.json"
_TOKENIZER_DATA: Final = "tokenizer.json"
_SENTENCE: Final = "sentence_bert_config.json"
_PREPROCESSORS: Final = (
    ("preprocessor_config.json", ()),
    ("processor_config.json", ()),
    ("processor_config.json", ("image_processor",)),
    ("processor_config.json", ("feature_extractor",)),
)
DOCUMENTS: Final = (
    *CONFIGS, _GENERATION, _TOKENIZER, _TOKENIZER_DATA, _SENTENCE, "preprocessor_config.json", "processor_config.json", INDEX,
)  # fmt: skip
"""The files whose fields are changed; all that others say is copied."""


@dataclass(frozen=True)
class Edit:
    """One field of a JSON file: where, what stands there (None where nothing does), and what shall."""

    file: str
    path: Path
    old: Any
    new: Any


def plan_edits(
    documents: Mapping[str, Mapping[str, Any]],
    checkpoint: Checkpoint,
    target: Target,
    more_bytes: int,
    more_values: int,
) -> list[Edit]:
    """All fields that the new length changes.

    Args:
        documents: the JSON files that exist, by name.
        checkpoint: the model as read.
        target: what becomes of its tables.
        more_bytes: bytes that all tensors together gain.
        more_values: the same in floating-point values.
    """
    config = next((name for name in CONFIGS if name in documents), None)
    edits = [Edit(config, path, old, new) for path, old, new in target.fields] if config else []
    if target.is_image:
        edits += _of_images(documents, target)
    elif _reads_tokens(checkpoint, target):
        edits += _of_text(documents, target, config)
    if config:
        edits.append(_record(documents, config, target))
    index = documents.get(INDEX, {}).get("metadata")
    if isinstance(index, Mapping):
        for name, more in (("total_size", more_bytes), ("total_parameters", more_values)):
            if isinstance(old := index.get(name), int | float):
                edits.append(Edit(INDEX, ("metadata", name), old, int(old) + more))
    return [edit for edit in edits if edit.old != edit.new]


def apply_edits(text: str, edits: list[Edit]) -> str:
    """The text of one file with its fields changed.

    Raises:
        UnsafeFile: MP130, when a field has no place in the file.
    """
    for edit in edits:
        text = replace_value(text, edit.path, edit.new)
    return text


def _reads_tokens(checkpoint: Checkpoint, target: Target) -> bool:
    """Whether the table is the one that the tokenizer's limit is about: a decoder's is not, beside an encoder's."""
    role = target.tables[0][0].role if target.tables else "text"
    encoders = any(one.role in ("text", "encoder") and one.kind == "learned" for one in checkpoint.tables)
    return role in ("text", "encoder") or (role == "decoder" and not encoders)


def _of_text(
    documents: Mapping[str, Mapping[str, Any]], target: Target, config: str | None
) -> Iterator[Edit]:
    to = target.new
    assert isinstance(to, int)
    tokenizer = documents.get(_TOKENIZER)
    if tokenizer is not None:
        named = (
            "max_len"
            if tokenizer.get("model_max_length") is None and "max_len" in tokenizer
            else "model_max_length"
        )
        yield Edit(_TOKENIZER, (named,), tokenizer.get(named), to)
        if _is_count(tokenizer.get("max_length")):
            yield Edit(_TOKENIZER, ("max_length",), tokenizer["max_length"], to)
    data = documents.get(_TOKENIZER_DATA, {})
    truncation, padding = data.get("truncation"), data.get("padding")
    if isinstance(truncation, Mapping):
        yield Edit(_TOKENIZER_DATA, ("truncation", "max_length"), truncation.get("max_length"), to)
    fixed: Any = dig(padding, ("strategy", "Fixed"))
    if (
        _is_count(fixed) and fixed > to
    ):  # never longer than it was: every text would become as long as the table
        yield Edit(_TOKENIZER_DATA, ("padding", "strategy", "Fixed"), fixed, to)
    if (old := documents.get(_SENTENCE, {}).get("max_seq_length")) is not None:
        yield Edit(_SENTENCE, ("max_seq_length",), old, to)
    for file in (_GENERATION, config):
        old = documents.get(file or "", {}).get("max_length")
        if file and _is_count(old) and old in (target.old, *(before for _, before, _ in target.fields)):
            yield Edit(file, ("max_length",), old, to)


def _of_images(documents: Mapping[str, Mapping[str, Any]], target: Target) -> Iterator[Edit]:
    for file, path in _PREPROCESSORS:
        document: Any = documents.get(file, {})
        for name in path:
            document = document.get(name)
        if not isinstance(document, Mapping):
            continue
        if isinstance(target.new, int):
            if document.get("max_length") == target.fields[0][1]:
                yield Edit(file, (*path, "max_length"), document["max_length"], target.new)
            continue
        for name in PATCH_COUNTS:
            if (old := document.get(name)) is not None and old == target.old_patches:
                yield Edit(file, (*path, name), old, target.new_patches)
        for name in ("size", "crop_size"):
            if (old := document.get(name)) is not None:
                yield Edit(file, (*path, name), old, _scaled(old, target.old, target.new))


def _scaled(value: Any, old: Size, new: Size) -> Any:
    """An image size as processors write it; one that was not the model's own keeps its ratio to it."""
    assert isinstance(old, tuple) and isinstance(new, tuple)

    def side(given: Any, axis: int) -> Any:
        return round(given * new[axis] / old[axis]) if _is_count(given) else given

    if isinstance(value, Mapping):
        wider = 0 if new[0] * old[1] >= new[1] * old[0] else 1
        axes = {"height": 0, "width": 1, "shortest_edge": wider, "longest_edge": wider}
        return {name: side(given, axes[name]) if name in axes else given for name, given in value.items()}
    if isinstance(value, list) and len(value) == 2:
        return [side(given, axis) for axis, given in enumerate(value)]
    if not _is_count(value):
        return value
    height, width = side(value, 0), side(value, 1)
    return height if height == width else {"height": height, "width": width}


def _record(documents: Mapping[str, Mapping[str, Any]], config: str, target: Target) -> Edit:
    tuned = documents.get(_SENTENCE, {}).get("max_seq_length")
    if tuned is None and isinstance(cut := documents.get(_TOKENIZER_DATA, {}).get("truncation"), Mapping):
        tuned = cut.get("max_length")
    old = documents[config].get(RECORD)
    return Edit(config, (RECORD,), old, plan_record(old, target, tuned))


def plan_record(old: Any, target: Target, tuned: Any = None) -> dict[str, Any]:
    """What Milepost keeps of the lengths: later nobody could tell them from the files.

    Args:
        old: the record that is there.
        target: what becomes of the tables.
        tuned: the length of fine-tuning as other files state it.
    """
    record = dict(old) if isinstance(old, Mapping) else {}
    if not target.is_image:
        assert isinstance(target.old, int) and isinstance(target.new, int)
        tuned = record.get("tuned_length") or tuned
        record["trained_length"] = min(record.get("trained_length") or target.old, target.old, target.new)
        if _is_count(tuned):
            record["tuned_length"] = min(tuned, record["trained_length"])
        if target.method.position_rule:
            record["rule"] = Rule(target.method.name, target.old, target.new).document()
    record["extension"] = {
        "method": str(target.method.spec),
        "from_length": shown_size(target.old),
        "to_length": shown_size(target.new),
        "version": __version__,
    }
    return record


def shown_size(size: Size) -> Any:
    """A length as JSON has it: a number, or height and width."""
    return list(size) if isinstance(size, tuple) else size


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
