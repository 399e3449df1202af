"""The field of a configuration that makes a table as long as it is, and those that repeat it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeAlias

from milepost.tables import Checkpoint, Match

Path: TypeAlias = tuple[str, ...]
Fields: TypeAlias = tuple[tuple[Path, Any, Any], ...]

PATCH_COUNTS = ("image_seq_length", "image_seq_len", "num_image_tokens")
"""Fields of models and processors that read images beside text: tokens of an image."""


def change_length(checkpoint: Checkpoint, match: Match | None, value: Any) -> tuple[dict[str, Any], Fields]:
    """The configuration with the field, and all that repeat it, set to ``value``."""
    config = copy.deepcopy(dict(checkpoint.config))
    if match is None or value is None or not config:
        return config, ()
    path = path_of(match)
    old = dig(config, path)
    paths = [path, *((*path[:-1], name) for name in match.family.config_fields)]
    # older CLIP files write each part twice, and transformers reads the copy
    paths += [(f"{one[0]}_dict", *one[1:]) for one in paths if len(one) > 1]
    fields = []
    for one in paths:
        if (found := dig(config, one)) is not None and found == old:
            dig(config, one[:-1])[one[-1]] = value
            fields.append((one, old, value))
    argument = match.form.size_argument
    if argument and (given := dig(config, argument)) is not None:
        # timm builds the model by this size, and resamples the table on loading where it is the old one
        size = value[1] if value[1] == value[2] and not isinstance(given, list) else list(value[1:])
        dig(config, argument[:-1])[argument[-1]] = size
        fields.append((argument, given, size))
    return config, tuple(fields)


def change_segment(
    config: dict[str, Any], fields: Fields, match: Match, to: int
) -> tuple[dict[str, Any], Fields]:
    """Nystromformer reads inputs of one length alone: with a longer table, the table's new length."""
    path = (*path_of(match)[:-1], "segment_means_seq_len")
    old = dig(config, path)
    dig(config, path[:-1])[path[-1]] = to
    return config, (*fields, (path, old, to))


def change_patch_counts(
    config: dict[str, Any], fields: Fields, old: int, new: int
) -> tuple[dict[str, Any], Fields]:
    """Fields that say how many tokens of text stand for an image, where each stands for one patch."""
    for part in ((), ("text_config",), ("vision_config",)):
        for name in PATCH_COUNTS:
            if dig(config, (*part, name)) == old:
                dig(config, part)[name] = new
                fields = (*fields, ((*part, name), old, new))
    return config, fields


def path_of(match: Match) -> Path:
    """Where the length stands in the file, which for some libraries is not where the translation has it."""
    return match.form.stored_field or tuple(f"{match.path}{match.form.field}".split("."))


def dig(document: Any, path: Path) -> Any:
    """Follow names into nested objects; None where one is missing."""
    for name in path:
        if not isinstance(document, Mapping) or name not in document:
            return None
        document = document[name]
    return document
