"""The JSON Schemas of all result documents, as they ship in the wheel."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from milepost.errors import UnknownName


def read_schema(name: str) -> dict[str, Any]:
    """Read the JSON Schema (draft 2020-12) of one verb's document.

    Raises:
        UnknownName: MP104, when no document has this name.

    >>> read_schema("compare")["title"]
    'milepost compare'
    """
    folder = files("milepost") / "schemas"
    known = {entry.name.removesuffix(".json"): entry for entry in folder.iterdir()}
    if name not in known:
        raise UnknownName.among("schema", name, known)
    return json.loads(known[name].read_text("utf-8"))
