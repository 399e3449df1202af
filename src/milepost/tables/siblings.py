"""What lies beside the weights that are read: copies in other formats, and a Transformer one folder below."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from milepost.errors import UnsafeFile
from milepost.storage.files import expand
from milepost.storage.folder import Folder, check_name, parse_json
from milepost.tables.hub import HubModel

COPY_FOLDERS: Final = ("onnx", "openvino", "coreml", "tflite")
"""Folders that exporters put copies of the weights into."""
_COPIES: Final = re.compile(
    r".+\.(onnx|onnx_data|h5|msgpack|ot|gguf|tflite|engine|mlmodel)|(pytorch|openvino|open_clip_pytorch)_model.*\.bin"
)
_MODULES: Final = "modules.json"
_LARGEST_BYTES: Final = 1_000_000


def is_copy(name: str) -> bool:
    """Whether a file's name is that of weights in another format than safetensors.

    >>> is_copy("pytorch_model-00001-of-00002.bin"), is_copy("optimizer.pt")
    (True, False)
    """
    return _COPIES.fullmatch(name) is not None


def read_modules(source: Folder | HubModel) -> list[Any]:
    """The list in ``modules.json`` of sentence-transformers, read by the rules for all other files.

    Raises:
        UnsafeFile: MP130, when it is malformed. DataError: MP110, when there is none.
    """
    raw = source.read(_MODULES, 0, min(source.size(_MODULES), _LARGEST_BYTES))
    whole = parse_json(b'{"modules": ' + raw.removeprefix(b"\xef\xbb\xbf") + b"}", _MODULES)
    return whole["modules"] if isinstance(whole["modules"], list) else []


def find_transformer(root: Path) -> str:
    """The name of the folder below ``root`` where a sentence-transformers model keeps its Transformer.

    Returns:
        The name (``0_Transformer``); empty where the Transformer is in ``root`` itself.

    Raises:
        UnsafeFile: MP130, when ``modules.json`` is malformed or names a folder outside the model's.
    """
    if not (root / _MODULES).is_file():
        return ""
    with Folder(root) as folder:
        modules = read_modules(folder)
    for module in modules:
        path = module.get("path") if isinstance(module, dict) else None
        if isinstance(path, str) and path and str(module.get("type")).endswith(".Transformer"):
            check_name(path)
            if not (root / path).resolve().is_relative_to(root.resolve()):
                raise UnsafeFile(
                    "modules.json names a folder outside the model's",
                    got=ascii(path[:80]),
                    fix="do not use it",
                )
            return path if (root / path).is_dir() else ""
    return ""


def locate_transformer(model: str | os.PathLike[str]) -> Path | None:
    """The folder of the Transformer: a sentence-transformers model may keep it one folder below (``0_Transformer``).

    Returns:
        None for anything but a local folder.

    Raises:
        UnsafeFile: MP130, when ``modules.json`` names a folder outside the model's.
    """
    root = expand(model)
    if not root.is_dir():
        return None
    return root / find_transformer(root)
