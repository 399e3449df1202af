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

_OTHER_NAMES: Mapping[str, Mapping[str, Path]] = {
    # where a configuration that is translated for reading keeps its lengths
    "timm_vit": {"image_size": ("pretrained_cfg", "input_size")},
    "timm_vit_distilled": {"image_size": ("pretrained_cfg", "input_size")},
    "timm_vit_patches": {"image_size": ("pretrained_cfg", "input_size")},
    "open_clip": {"context_length": ("model_cfg", "text_cfg", "context_length")},
    "open_clip_vision": {"vision_cfg.image_size": ("model_cfg", "vision_cfg", "image_size")},
}
_TIMM_SIZE = ("model_args", "img_size")


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
    if match.family.name.startswith("timm_") and (given := dig(config, _TIMM_SIZE)) is not None:
        # timm builds the model by this size, and resamples the table on loading where it is the old one
        size = value[1] if value[1] == value[2] and not isinstance(given, list) else list(value[1:])
        config["model_args"]["img_size"] = size
        fields.append((_TIMM_SIZE, given, size))
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
    named = f"{match.path}{match.form.field}"
    return _OTHER_NAMES.get(match.family.name, {}).get(named) or tuple(named.split("."))


def dig(document: Any, path: Path) -> Any:
    """Follow names into nested objects; None where one is missing."""
    for name in path:
        if not isinstance(document, Mapping) or name not in document:
            return None
        document = document[name]
    return document
