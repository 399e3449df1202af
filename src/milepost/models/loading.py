"""Load a folder that stock loaders refuse: of a swapped model, or of one with a position rule."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel

from milepost.catalog import require_loaded
from milepost.encodings import build, settle
from milepost.errors import MilepostError, SwapRefused, UnsafeFile
from milepost.models.families import find_bases, find_stacks
from milepost.models.measuring import geometries, table_rows
from milepost.models.position_rule import install_rule
from milepost.models.swapped_config import KEY, ROPE
from milepost.models.swapping import POSITIONS, install
from milepost.models.transformers_private import (
    make_model,
    no_init_weights,
    read_attention,
    supports_sdpa,
    write_attention,
)
from milepost.plugins import Imports, load_imports
from milepost.spec import Spec
from milepost.tables import PREFIX, Rule, read_rule

_LARGEST_BYTES = 64 << 20  # of a JSON file
# what a rotary spec means that a version without theta=auto wrote
_UNSAID = Spec("rotary", {"theta": 10000.0, "partial": 1.0, "scaling": Spec("none")})


def load(
    folder: str | Path,
    *,
    model_class: type[PreTrainedModel] | None = None,
    attention: str = "sdpa",
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    imports: Imports | None = None,
) -> PreTrainedModel:
    """Load a swapped model from the folder that its ``save_pretrained`` wrote, or one that ``extend`` gave a position rule.

    Weights are bit-identical to those in the folder. Nothing but JSON and safetensors is read; code in or
    named by the folder is never run.

    Args:
        folder: the folder.
        model_class: class of the model; by default that of transformers which the folder names.
        attention: ``sdpa``, ``eager`` or ``flex``; families that know only eager attention get that.
        dtype: of the weights; that of the files by default.
        device: where the model goes.
        imports: your own code that defines the model's encoding: paths of files and names of installed modules. It is
            imported because you name it here; what a folder names never is.

    Returns:
        The model, in evaluation mode.

    Raises:
        SwapRefused: MP121, no folder of a swapped model.
        UnsafeFile: MP130, a file that is missing, malformed, or reaches out of the folder.
        UnknownFamily: MP120. UnknownName: MP104. PluginError: MP109, code that cannot be imported.

    >>> import tempfile
    >>> from milepost.models import ModelShape, build_scratch
    >>> shape = ModelShape(layers=1, dim=8, heads=2, init_std=0.02, max_len=32, vocabulary_size=16)
    >>> model = build_scratch("causal-lm", shape, encoding="rotary", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save_pretrained(folder)
    ...     load(folder).transformer.milepost.name
    'rotary'
    """
    load_imports(imports)
    root = Path(folder)
    config = _read_json(root, "config.json")
    rows = find_stacks(str(config.get("model_type")))
    rule = read_rule(config)
    record = _read_record(config, len(rows), rule)
    cls = model_class or _find_class(config, rows[0].module)
    stock = {key: value for key, value in config.items() if key not in ("attn_implementation", "auto_map")}
    stock["model_type"] = rows[0].model_type
    stock |= {ROPE: record[ROPE]} if ROPE in record else {}
    assert cls.config_class is not None
    asked = "flex_attention" if attention == "flex" else attention
    built = cls.config_class.from_dict(stock)
    write_attention(built, asked if supports_sdpa(cls) else "eager")
    weights = _read_weights(root)
    model: Any  # its ``to`` is typed without self
    if rule is not None and "encoding" not in record:
        model = install_rule(_build_stock(cls, built, weights, root, rule), rule, record)
    else:
        model = _build_swapped(cls, built, record)
        _fill(model, weights, root)
    if model.can_generate() and (root / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_dict(_read_json(root, "generation_config.json"))
    return cast(PreTrainedModel, model.to(device=device, dtype=dtype).eval())


def _build_swapped(
    cls: type[PreTrainedModel], config: PretrainedConfig, record: dict[str, Any]
) -> PreTrainedModel:
    """The model without its weights."""
    with torch.random.fork_rng(devices=[]):
        with no_init_weights():
            made = make_model(cls, config)
        require_loaded(record["encoding"])
        measured = geometries(made)  # as recorded: the new table holds nothing yet
        spec = record["encoding"]
        if measured[0].rotary:
            spec = str(settle(spec, replace(measured[0], rotary=(_UNSAID,))))
        built = [build(spec, shape) for shape in measured]
    return install(made, built, spec=spec, geometries=measured, positions=record["positions"])


def _build_stock(
    cls: type[PreTrainedModel], config: PretrainedConfig, weights: dict[str, Tensor], root: Path, rule: Rule
) -> PreTrainedModel:
    """The model as transformers itself makes it of these weights, old names of tensors and all."""
    with torch.random.fork_rng(devices=[]):
        try:
            model, found = cast(Any, cls).from_pretrained(
                None, config=config, state_dict=weights, output_loading_info=True,
                attn_implementation=read_attention(config),
            )  # fmt: skip
        except RuntimeError as error:
            raise _unsafe("the weights do not fit the config", str(error).splitlines()[-1].strip()) from error
    for base, stack in find_bases(model):
        rows = table_rows(base, stack)
        missing = [key for key in found["missing_keys"] if str(stack.table) in key]
        if missing or rows is None or len(rows) != rule.rows:
            raise _unsafe(
                "the position table is not the one that the rule was made for",
                f"missing {missing[:3]}, {0 if rows is None else len(rows)} rows for {rule.rows} in {root.name}",
            )
    return cast(PreTrainedModel, model)


def _read_record(config: dict[str, Any], most: int, rule: Rule | None) -> dict[str, Any]:
    record = config.get(KEY)
    if not str(config.get("model_type", "")).startswith(PREFIX) or not isinstance(record, dict):
        raise SwapRefused(
            "this folder holds no swapped model",
            got=f"model_type {config.get('model_type')!r}",
            fix="load it with transformers, then swap",
        )
    if rule is not None and "encoding" not in record:
        return record
    parts = record.get("parts")
    usable = {
        "encoding": isinstance(record.get("encoding"), str),
        "positions": record.get("positions") in POSITIONS,
        "parts": isinstance(parts, list) and 0 < len(parts) <= most and all(map(_is_part, parts)),
        ROPE: isinstance(record.get(ROPE, {}), dict),
    }
    for key, fine in usable.items():
        if not fine:
            raise _unsafe(f"config.json's record of the swap has no usable {key}", repr(record.get(key)))
    return record


def _is_part(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and type(part.get("max_len")) is int
        and isinstance(part.get("embedding_rms"), int | float)
    )


def _find_class(config: dict[str, Any], module: str) -> type[PreTrainedModel]:
    """The class that a folder names, among those of its family in transformers and nowhere else."""
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    found = vars(importlib.import_module(module)).get(name) if isinstance(name, str) else None
    if not (isinstance(found, type) and issubclass(found, PreTrainedModel)):
        raise SwapRefused(
            "the folder names no model class of its family",
            got=f"architectures {names!r}",
            fix="pass model_class",
        )
    return found


def _fill(model: PreTrainedModel, weights: dict[str, Tensor], root: Path) -> None:
    """Put the weights in place of the model's, which must take them all and want no others."""
    try:
        missing, unexpected = model.load_state_dict(weights, strict=False, assign=True)
    except RuntimeError as error:
        raise _unsafe("the weights do not fit the config", str(error).splitlines()[-1].strip()) from error
    model.tie_weights()
    tied = {id(value) for name, value in model.state_dict(keep_vars=True).items() if name in weights}
    state = model.state_dict(keep_vars=True)
    missing = [name for name in missing if id(state[name]) not in tied]
    if missing or unexpected:
        raise _unsafe(
            "the weights do not fit the config",
            f"missing {sorted(missing)[:3]}, unexpected {sorted(unexpected)[:3]} in {root.name}",
        )


def _read_weights(root: Path) -> dict[str, Tensor]:
    index = root / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        shards = _read_json(root, index.name).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
            raise _unsafe("the index of shards is malformed", index.name)
        names = sorted(set(shards.values()))
    weights: dict[str, Tensor] = {}
    for name in names:
        try:
            part = load_file(_inside(root, name))
        except (SafetensorError, OSError) as error:
            raise _unsafe("the weights cannot be read", f"{name}: {error}") from error
        if weights.keys() & part.keys():
            raise _unsafe("two shards hold one tensor", name)
        weights |= part
    return weights


def _read_json(root: Path, name: str) -> dict[str, Any]:
    path = _inside(root, name)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise _unsafe("a JSON file is too large", f"{name} of {path.stat().st_size} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, MilepostError):
            raise
        raise _unsafe("a JSON file cannot be read", f"{name}: {error}") from error
    if not isinstance(content, dict):
        raise _unsafe("a JSON file holds no object", name)
    return content


def _inside(root: Path, name: str) -> Path:
    """The path of a file of a folder; links may lead within it, or into its own Hub cache's blobs."""
    path = (root / name).resolve()
    home = root.resolve()
    blobs = home.parent.parent / "blobs"
    if Path(name).name != name or not (path.is_relative_to(home) or path.parent == blobs):
        raise _unsafe("a file lies outside of its folder", repr(name))
    return path


def _unsafe(problem: str, got: str) -> UnsafeFile:
    return UnsafeFile(problem, got=got, fix="save the model again with save_pretrained")
