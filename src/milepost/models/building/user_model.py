"""The user's own model, from its folder: its architecture from scratch, or its weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from milepost.encodings import resolve
from milepost.encodings.table import StoredPositions
from milepost.errors import OptionError, SwapRefused, UnsafeFile
from milepost.models.building.initialisation import put_encoding
from milepost.models.building.scratch import ModelShape, add_projections, finish
from milepost.models.families import find_stacks
from milepost.models.output import quietly
from milepost.models.swapping import swap
from milepost.models.transformers_private import no_init_weights
from milepost.spec import Spec
from milepost.tables import Stack

_CLASSES: Mapping[str, str] = {
    "causal-lm": "AutoModelForCausalLM",
    "masked-lm": "AutoModelForMaskedLM",
    "classify": "AutoModelForSequenceClassification",
    "tag": "AutoModelForTokenClassification",
    "images": "AutoModelForImageClassification",
    "forecast": "AutoModel",
}
_INNER = ("intermediate_size", "n_inner", "ffn_dim", "inner_dim")
_DROPOUTS = ("dropout", "drop", "pdrop", "dropout_prob", "drop_rate", "drop_path_rate", "layerdrop")
_BLOCK = 1 << 20


def describe_user_model(folder: str, *, weights: bool) -> dict[str, Any]:
    """Sizes of the model in a folder, and the hash of all that decides what it is.

    Args:
        folder: with ``config.json``, and ``.safetensors`` files if ``weights`` are wanted.
        weights: whether its weights are to be trained on.

    Returns:
        ``layers``, ``dim``, ``heads``, ``init_std`` and ``sha256``.

    Raises:
        OptionError: MP105, no folder. UnsafeFile: MP130, files that are missing or malformed. UnknownFamily: MP120.
        SwapRefused: MP121.
    """
    config = _read_config(folder)
    find_stacks(str(config.model_type))
    digest = hashlib.sha256((Path(folder) / "config.json").read_bytes())
    if weights:
        files = sorted(Path(folder).glob("*.safetensors"))
        if not files:
            raise UnsafeFile(
                "the model folder holds no weights that can be read safely",
                got=folder,
                fix="save them as safetensors, or leave --weights out to train from scratch",
            )
        for file in files:
            digest.update(file.name.encode())
            with file.open("rb") as content:
                while block := content.read(_BLOCK):
                    digest.update(block)
    text = config.get_text_config()
    return {
        "layers": int(text.num_hidden_layers),
        "dim": int(text.hidden_size),
        "heads": int(text.num_attention_heads),
        "init_std": float(getattr(text, "initializer_range", getattr(text, "init_std", 0.02))),
        "sha256": digest.hexdigest(),
    }


def build_user_model(
    folder: str, kind: str, shape: ModelShape, *, encoding: str | Spec, seed: int, weights: bool
) -> nn.Module:
    """Build the model of a folder for a kind of output, with ``encoding`` in it.

    From scratch every weight is drawn from ``seed``, dropout is off, and for one seed all encodings share the
    initial value of every weight of one name and shape. With ``weights`` what the folder holds is loaded,
    ``learned`` and tables like it keep the rows of its table, and only what the folder lacks is drawn.

    Args:
        folder: as for ``describe_user_model``. Nothing in it is executed.
        kind: as for ``build_scratch``.
        shape: sizes; of a folder with weights all but labels and the horizon are its own.
        encoding: spec of the encoding.
        seed: of all weights that are drawn.
        weights: whether to begin from the folder's weights.

    Returns:
        A float32 model on the CPU in training mode.

    Raises:
        SwapRefused: MP121, a family or an encoding that makes no sense. UnknownFamily: MP120.
        OptionError: MP105, a vocabulary that is not the model's. UnsafeFile: MP130.
    """
    config = _read_config(folder)
    (stack, *_) = find_stacks(str(config.model_type))
    if weights and shape.vocabulary_size > getattr(config, "vocab_size", math.inf):
        raise OptionError(
            "the tokenizer has ids that the weights know nothing of",
            got=f"{shape.vocabulary_size} ids, {config.vocab_size} in the model",
            fix=f"--tokenizer {folder}",
        )
    config.num_labels = max(shape.labels, 1)
    if not weights:
        _resize(config, shape, stack)
        with torch.random.fork_rng(devices=[]), no_init_weights():
            model = _make(config, kind)
        if kind != "images":
            _forget_padding(model)
        return finish(model, kind, shape, encoding=encoding, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _make(config, kind, folder)
        whole = add_projections(model, kind, shape)
    cls, _ = resolve(encoding)
    if issubclass(cls, StoredPositions) and cls.keeps_rows(()):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            swap(model, encoding)
    else:
        put_encoding(model, encoding, seed=seed)
    return whole.train()


def _make(config: PretrainedConfig, kind: str, folder: str = "") -> PreTrainedModel:
    """A model of a kind, with the weights of a folder if one is given."""
    auto = getattr(transformers, _CLASSES[kind])
    config.architectures = (
        config.architectures or []
    )  # transformers 5.24 goes through them even when there are none
    try:
        with quietly():
            if not folder:
                return cast(PreTrainedModel, auto.from_config(config, trust_remote_code=False))
            return cast(
                PreTrainedModel,
                auto.from_pretrained(
                    folder,
                    config=config,
                    local_files_only=True,
                    trust_remote_code=False,
                    use_safetensors=True,
                    dtype=torch.float32,
                ),
            )
    except (ValueError, OSError) as error:
        raise SwapRefused(
            f"transformers has no model of this kind for the task: {kind}",
            got=f"{config.model_type}: {str(error).splitlines()[0][:120]}",
            fix="choose a task of its kind, or another model",
        ) from None


def _read_config(folder: str) -> PretrainedConfig:
    if not Path(folder).is_dir():  # transformers would take it for a name on the Hub
        raise OptionError(
            "a model of your own is a folder, and there is none at this path",
            got=folder,
            fix=f"give a folder; a model on the Hub is downloaded with: hf download {folder} --local-dir DIR",
        )
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises anything for a file that is missing or malformed
        raise UnsafeFile(
            "the model folder has no configuration that transformers can read",
            got=f"{folder}: {str(error).splitlines()[0][:160]}",
            fix="give a folder with a config.json of a known model type; remote code is never run",
        ) from None


def _resize(config: PretrainedConfig, shape: ModelShape, stack: Stack) -> None:
    """Fit a configuration to a task; its own blocks, width, heads and activation stay."""
    for name, value in list(vars(config).items()):
        if isinstance(value, float) and any(name == word or name.endswith(f"_{word}") for word in _DROPOUTS):
            setattr(config, name, 0.0)
    if shape.side:
        for name, value in (
            ("image_size", shape.side),
            ("patch_size", shape.patch),
            ("num_channels", shape.channels),
        ):
            if hasattr(config, name):
                setattr(config, name, value)
    if shape.vocabulary_size:
        # without a token of its own for padding, some families would take a character for it
        config.vocab_size = shape.vocabulary_size + (shape.pad is None)
        config.pad_token_id = shape.vocabulary_size if shape.pad is None else shape.pad
        config.bos_token_id = config.eos_token_id = None
    if stack.length is not None and not shape.side:
        extra = stack.first_row_of(config) if stack.pad is not None else 0
        setattr(config, stack.length, shape.max_len + extra)
    if shape.inner:
        setattr(config, find_inner(config), shape.inner)
    config.use_cache = False


def find_inner(config: PretrainedConfig) -> str:
    """The name of the field that holds the width of the feed-forward layers.

    Raises:
        SwapRefused: MP121, when there is none.
    """
    found = [name for name in _INNER if hasattr(config, name)]
    if not found:
        raise SwapRefused(
            "the width of this model's feed-forward layers cannot be set",
            got=f"model_type {config.model_type!r}",
            fix="leave --match out",
        )
    return found[0]


def inner_width(folder: str) -> int:
    """Width of the feed-forward layers of the model in a folder."""
    config = _read_config(folder)
    width = getattr(config, find_inner(config))
    return int(width or 4 * config.hidden_size)


def _forget_padding(model: PreTrainedModel) -> None:
    """Have the row of the padding token drawn like any other: the id may stand for something else here."""
    embedding = model.get_input_embeddings()
    if isinstance(embedding, nn.Embedding):
        embedding.padding_idx = None
