"""What is refused before anything is read, trained or written."""

from __future__ import annotations

import torch

from milepost.errors import OptionError

_LEARNT_ANEW = ("char", "byte", "train:")  # tokenizers that are no model's own


def choose_tokenizer(folder: str, *, reads_text: bool) -> str:
    """The tokenizer by default: that of the user's own model, where the task reads text.

    >>> choose_tokenizer("", reads_text=True), choose_tokenizer("my-model", reads_text=True)
    ('char', 'my-model')
    """
    return folder if folder and reads_text else "char"


def refuse_strange_tokenizer(tokenizer: str, folder: str) -> None:
    """Refuse to go on from weights with ids that mean something else than those they were trained on.

    Raises:
        OptionError: MP105.

    >>> refuse_strange_tokenizer("tokenizer.json", "my-model")
    """
    if tokenizer.startswith(_LEARNT_ANEW):
        raise OptionError(
            "the weights were trained on the ids of another tokenizer",
            got=f"--weights and --tokenizer {tokenizer}",
            fix=f"--tokenizer {folder}, or leave --weights out",
        )


def refuse_missing_device(device: str) -> None:
    """Refuse a device that torch does not know, or does not find here.

    Raises:
        OptionError: MP105.

    >>> refuse_missing_device("cpu")
    """
    try:
        torch.empty(1, device=device)
    except Exception as error:  # each kind of device fails in a way of its own
        raise OptionError(
            "torch cannot use this device",
            got=f"{device!a}: {' '.join(str(error).split())[:120]}",
            fix="--device cpu, or cuda where there is a GPU and a torch made for it",
        ) from None
