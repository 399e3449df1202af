"""MP317: the size that images are brought to, against the size that the model wants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from milepost.diagnostics.doctor.folder import CHECKS, ModelFolder, count, place
from milepost.finding import FieldChange, Verdict

_FILE = "preprocessor_config.json"


@CHECKS.enter("MP317", "the size of images")
def image_size(folder: ModelFolder) -> Iterator[Verdict]:
    """Patches of another number than rows fail, or are interpolated where the caller allows it."""
    wanted = [
        (match, sides(match.config.get(match.form.field or "")))
        for table, match in folder.placed
        if table.role == "vision" and table.kind == "patches" and match.form.layout == "image"
    ]
    if _FILE not in folder.documents or not wanted:
        yield Verdict("not_applicable", f"there is no {_FILE}" if wanted else "no table of image patches")
        return
    field, given = _given(folder.documents[_FILE])
    for match, model in wanted:
        path = f"{match.path}{match.form.field}"
        if given is None or model is None:
            yield Verdict("cannot_tell", "one of both does not state a fixed size", place(_FILE, field))
        elif given != model:
            yield Verdict(
                "issue",
                f"{field} brings images to {given[0]} x {given[1]}; {path} is {model[0]} x {model[1]}",
                place(_FILE, field),
                f"{model[0]} x {model[1]}",
                "set it (--fix), or extend the table to the size that is wanted",
                _changes(folder, field, model),
            )


def sides(value: Any) -> tuple[int, int] | None:
    """Height and width of a size as configurations write it.

    >>> [sides(value) for value in (224, [224, 336], {"height": 224, "width": 336}, {"shortest_edge": 224}, "x")]
    [(224, 224), (224, 336), (224, 336), None, None]
    """
    if isinstance(value, Mapping):
        value = [value.get("height"), value.get("width")]
    pair = value if isinstance(value, list | tuple) else [value, value]
    numbers = [count(side) for side in pair]
    if len(numbers) != 2 or not numbers[0] or not numbers[1]:
        return None
    return numbers[0], numbers[1]


def _given(document: Mapping[str, Any]) -> tuple[str, tuple[int, int] | None]:
    """What the last step makes: the crop, else the resizing."""
    if document.get("crop_size") is not None and document.get("do_center_crop") is not False:
        return "crop_size", sides(document["crop_size"])
    if document.get("do_resize") is False:
        return "do_resize", None
    return "size", sides(document.get("size"))


def _changes(folder: ModelFolder, field: str, model: tuple[int, int]) -> list[FieldChange]:
    old = folder.value(_FILE, field)
    if isinstance(old, Mapping):
        named = zip(("height", "width"), model, strict=True)
        return [
            FieldChange(_FILE, f"{field}.{side}", old.get(side), new)
            for side, new in named
            if old.get(side) != new
        ]
    new = model[0] if not isinstance(old, list | tuple) and model[0] == model[1] else list(model)
    return [FieldChange(_FILE, field, old, new)] if isinstance(new, list) == isinstance(old, list) else []
