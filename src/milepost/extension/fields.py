"""The field of a configuration that makes a table as long as it is, and those that repeat it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeAlias

from milepost.tables import Checkpoint, Match

Path: TypeAlias = tuple[str, ...]

_OTHER_NAMES: Mapping[str, Mapping[str, Path]] = {
    # where a configuration that is translated for reading keeps its lengths
    "timm_vit": {"image_size": ("pretrained_cfg", "input_size")},
    "timm_vit_distilled": {"image_size": ("pretrained_cfg", "input_size")},
    "timm_vit_patches": {"image_size": ("pretrained_cfg", "input_size")},
    "open_clip": {"context_length": ("model_cfg", "text_cfg", "context_length")},
    "open_clip_vision": {"vision_cfg.image_size": ("model_cfg", "vision_cfg", "image_size")},
}


def change_length(
    checkpoint: Checkpoint, match: Match | None, value: Any
) -> tuple[dict[str, Any], tuple[tuple[Path, Any, Any], ...]]:
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
    return config, tuple(fields)


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
