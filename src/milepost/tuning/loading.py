"""A model folder opened to be measured: what kind of model it is, its weights and its tokenizer."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
import transformers

from milepost.corpus.tokenizer_process import TokenizerProcess
from milepost.errors import DataError, ModelError, OptionError, UnknownName
from milepost.extension.source import Source, find_source
from milepost.models.output import quietly
from milepost.models.transformers_private import CAUSAL_LM_CLASSES, MASKED_LM_CLASSES
from milepost.tables import PositionTable, parse_json, read
from milepost.tuning.subject import KINDS, POOLINGS, Subject

_T = TypeVar("_T")
_CLASSES: Mapping[str, str] = {
    "masked-lm": "AutoModelForMaskedLM",
    "causal-lm": "AutoModelForCausalLM",
    "embedding": "AutoModel",
}
_HEADS = {"masked-lm": MASKED_LM_CLASSES, "causal-lm": CAUSAL_LM_CLASSES}
_STEPS = ("Transformer", "Pooling", "Normalize")
_LEGACY_POOLINGS: Mapping[str, str] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def load_subject(
    model: str | os.PathLike[str], *, objective: str | None = None, tensor: str | None = None, **options: Any
) -> Subject:
    """Find and read a model's files, then `open_subject`.

    Raises:
        NoTable: MP122. MilepostError: what ``milepost.tables.read`` and `open_subject` raise.
    """
    source = find_source(model, None)
    table = read(source.weights or source.folder).table(tensor)
    return open_subject(model, source, table, objective=objective, **options)


def open_subject(
    model: str | os.PathLike[str],
    source: Source,
    table: PositionTable,
    *,
    objective: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Subject:
    """Load a text model and its tokenizer with stock transformers, and find what it is measured by.

    Guarantee: only local safetensors and JSON are loaded (a Hub id is downloaded first); no code in or named by the folder
    is run; nothing is written.

    Args:
        model: what the user called it.
        source: its files.
        table: its position table.
        objective: ``masked-lm``, ``causal-lm`` or ``embedding``. Without it, folders of sentence-transformers and models
            without a head are embedding models, others what their head is for.
        device: where the model goes.
        dtype: of the weights.

    Returns:
        The subject; its length is that of the position table.

    Raises:
        ModelError: MP124, images, encoder-decoder models, no tokenizer, no head, weights that do not load, or a
            pipeline that is more than a Transformer with pooling. UnknownName: MP104, no such objective.
        OptionError: MP105, no such device.
    """
    if objective is not None and objective not in KINDS:
        raise UnknownName.among("objective", objective, KINDS)
    if table.kind == "patches":
        raise ModelError(
            "images cannot be measured yet",
            got=f"{table.key!a} is a table of patches",
            fix="choose a method with --method",
        )
    with quietly():
        config = _try("configuration", transformers.AutoConfig.from_pretrained, source)
        if config.is_encoder_decoder:
            raise ModelError(
                "encoder-decoder models cannot be measured yet",
                got=ascii(config.model_type),
                fix="choose a method with --method",
            )
        kind = objective or _kind_of(config, source)
        if kind in _HEADS and config.model_type not in _HEADS[kind]:
            raise ModelError(
                f"this kind of model has no head for {kind}",
                got=ascii(config.model_type),
                fix=f"--objective with another of: {', '.join(KINDS)}",
            )
        tokenizer = _load_tokenizer(source)
        loaded = _load_model(kind, source, dtype)
    prefix, suffix = _special_tokens(tokenizer)
    if kind == "masked-lm" and tokenizer.facts.mask is None:
        raise ModelError("the tokenizer has no mask", got=str(source.folder), fix="--objective embedding")
    return Subject(
        os.fspath(model), kind, _move(loaded, device).eval(), tokenizer, table.usable_length, prefix,
        () if kind == "causal-lm" else suffix, tokenizer.facts.mask,
        _pooling_of(source) if kind == "embedding" else None,
    )  # fmt: skip


def _kind_of(config: Any, source: Source) -> str:
    """What a model is measured by: its head, where it has one."""
    name = (config.architectures or [""])[0]
    masked, causal = (_HEADS[kind].get(config.model_type) for kind in ("masked-lm", "causal-lm"))
    if any(member.name == "modules.json" for member in source.members):
        return "embedding"
    if masked and (name == masked or name.endswith("ForPreTraining")):
        return "masked-lm"
    if causal and (name == causal or not masked):  # a decoder's head is its token table
        return "causal-lm"
    return "embedding"


def _load_tokenizer(source: Source) -> TokenizerProcess:
    """The tokenizer that transformers finds in the folder, in a process of its own."""
    try:
        tokenizer = TokenizerProcess(str(source.folder), "folder", str(source.folder.resolve()).encode())
    except DataError as error:
        raise ModelError(
            "transformers finds no tokenizer in the folder",
            got=error.got[:200],
            fix="load the model with transformers, and save it whole again, tokenizer included",
        ) from None
    names = tokenizer.facts.files
    if not {source.inner + name for name in names} & {member.name for member in source.members}:
        # transformers makes one with an empty vocabulary then
        raise ModelError(
            "there is no tokenizer in the folder",
            got=f"none of: {', '.join(names)}",
            fix="save the model's tokenizer into its folder",
        )
    return tokenizer


def _load_model(kind: str, source: Source, dtype: torch.dtype) -> Any:
    def load(folder: str, **options: Any) -> tuple[Any, dict[str, Any]]:
        found: tuple[Any, dict[str, Any]] = getattr(transformers, _CLASSES[kind]).from_pretrained(
            folder, output_loading_info=True, use_safetensors=True, dtype=dtype, **options
        )
        return found

    model, info = _try("model of this kind", load, source)
    # what pools for classifiers is not read here
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if missing:
        raise ModelError(
            f"the folder lacks weights that {kind} needs",
            got=", ".join(map(ascii, missing[:4])),
            fix=f"--objective with another of: {', '.join(KINDS)}",
        )
    return model


def _move(model: Any, device: torch.device | str) -> Any:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:  # torch raises either for what is not there
        raise OptionError(
            "the model cannot be put on this device",
            got=ascii(f"{device}: {str(error).splitlines()[0]}")[:200],
            fix="--device cpu, or another that has room",
        ) from None


def _special_tokens(tokenizer: TokenizerProcess) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the tokenizer puts before and after a text."""
    plain, whole = (tokenizer.encode_all(["a"], special=special)[0].tolist() for special in (False, True))
    for begin in range(len(whole) - len(plain) + 1):
        if plain and whole[begin : begin + len(plain)] == plain:
            return tuple(whole[:begin]), tuple(whole[begin + len(plain) :])
    raise ModelError(
        "the tokenizer does not keep a text in one piece",
        got=f"'a' is {plain} alone, {whole} with special tokens",
        fix="choose a method with --method",
    )


def _pooling_of(source: Source) -> str:
    """How sentence-transformers pools in this folder; the mean where nothing says so."""
    files = {member.name: member.real for member in source.members}
    if "modules.json" not in files:
        return "mean"
    raw = files["modules.json"].read_bytes().removeprefix(b"\xef\xbb\xbf")
    modules = parse_json(b'{"modules": ' + raw + b"}", "modules.json")["modules"]
    stages = [one for one in modules if isinstance(one, dict)] if isinstance(modules, list) else []
    steps = {str(one.get("type")).rpartition(".")[2]: str(one.get("path", "")) for one in stages}
    if unknown := [name for name in steps if name not in _STEPS]:
        raise ModelError(
            "this pipeline is more than a Transformer with pooling",
            got=f"modules.json: {', '.join(map(ascii, unknown))}",
            fix="choose a method with --method, and measure with your own evaluation",
        )
    file = f"{steps.get('Pooling', '')}/config.json"
    config = parse_json(files[file].read_bytes(), file) if file in files else {"pooling_mode": "mean"}
    stated = config.get("pooling_mode") or [
        word for name, word in _LEGACY_POOLINGS.items() if config.get(name)
    ]
    words = [stated] if isinstance(stated, str) else stated
    word = "mean" if words == ["mean_sqrt_len_tokens"] else words[0] if len(words) == 1 else None
    if word not in POOLINGS:
        raise ModelError(
            "this pooling is not known", got=ascii(stated)[:80], fix=f"one of: {', '.join(POOLINGS)}"
        )
    return word


def _try(what: str, load: Callable[..., _T], source: Source) -> _T:
    """Load with transformers, which raises anything for what it cannot load."""
    try:
        return load(str(source.folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"transformers finds no {what} in the folder",
            got=ascii(f"{type(error).__name__}: {lines[0]}")[:200],
            fix="load the model with transformers, and save it whole again, tokenizer included",
        ) from None
