"""Pieces of documents, placed anywhere in a table: what new rows are trained on, and by what loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from milepost.tuning.subject import Subject, choose_masks
from milepost.tuning.training.split_table import SplitTable

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows of one offset, padded on the right.

    Attributes:
        ids: with special tokens and, for ``masked-lm``, masks.
        targets: the tokens themselves.
        lengths: positions of each window that are no pads.
        scored: where a loss counts, at the token that it is about.
        offset: by how many positions the text lies further back than it would by itself.
    """

    ids: Int64[np.ndarray, "batch seq"]
    targets: Int64[np.ndarray, "batch seq"]
    lengths: Int64[np.ndarray, " batch"]
    scored: Bool[np.ndarray, "batch seq"]
    offset: int


@dataclass(frozen=True)
class Span:
    """Where windows may lie.

    Args:
        begin: the first position whose row is trained.
        length: positions of the table.
        window: positions of a window, special tokens included.
    """

    begin: int
    length: int
    window: int

    def draw(self, random: np.random.Generator) -> int:
        """An offset; every trained row is as likely to be met as a row in the middle, or more.

        Drawn so that windows may hang over both ends, then pushed inside: of offsets within the table alone, one in thousands
        would reach the last row.
        """
        drawn = random.integers(self.begin - self.window + 1, self.length)
        return int(np.clip(drawn, 0, self.length - self.window))


def make_batch(subject: Subject, texts: Sequence[np.ndarray], offset: int, seed: Sequence[int]) -> Batch:
    """Wrap pieces of text as inputs of the model.

    Args:
        subject: the model and its special tokens.
        texts: token ids of each, without special ones.
        offset: where they lie.
        seed: of the masks.
    """
    wrapped = [np.concatenate([subject.prefix, text, subject.suffix]).astype(np.int64) for text in texts]
    lengths = np.array([len(one) for one in wrapped])
    pad = subject.tokenizer.facts.pad
    targets = np.full((len(texts), lengths.max()), pad or 0)
    scored = np.zeros(targets.shape, bool)
    front = len(subject.prefix)
    for row, (one, text) in enumerate(zip(wrapped, texts, strict=True)):
        targets[row, : len(one)] = one
        if subject.kind == "embedding":
            scored[row, : len(one)] = True
        elif subject.kind == "causal-lm":
            scored[row, max(front, 1) : len(one)] = True
        else:
            scored[row, front : front + len(text)] = choose_masks(len(text), [(0, len(text))], [*seed, row])
    ids = targets
    if subject.kind == "masked-lm":
        assert subject.mask_token is not None
        ids = np.where(scored, subject.mask_token, targets)
    return Batch(ids, targets, lengths, scored, offset)


def draw_batch(
    subject: Subject, documents: Sequence[np.ndarray], span: Span, size: int, seed: Sequence[int]
) -> Batch:
    """Windows of random documents at one random offset: a function of its arguments alone.

    A document is as likely as it is long; all beginnings in it are alike.
    """
    random = np.random.default_rng(list(seed))
    room = subject.room(span.window)
    shares = np.array([len(one) for one in documents], float)
    offset = span.draw(random)
    texts = []
    for choice in random.choice(len(documents), size, p=shares / shares.sum()):
        begin = random.integers(max(1, len(documents[choice]) - room + 1))
        texts.append(documents[choice][begin : begin + room])
    return make_batch(subject, texts, offset, seed)


def window_losses(
    subject: Subject, name: str, table: SplitTable, original: Float[Tensor, "rows dim"], batch: Batch
) -> Float[Tensor, " scored"]:
    """The loss of each scored token, in the order of rows and places; gradients reach ``table`` alone.

    For language models the cross-entropy, in nats. For embedding models ``distances`` of the hidden states at this offset from
    those that the original gives the same windows at position 0.

    Args:
        subject: the model. Left untouched.
        name: of the parameter that holds the table in the model.
        table: the rows as they are now.
        original: the table that teaches: its first rows are those of the original model.
        batch: the windows.
    """
    found = run_windows(subject, name, table.window(batch.offset, kept=len(subject.prefix)), batch)
    if subject.kind == "embedding":
        with torch.no_grad():
            wanted = run_windows(subject, name, original, batch)
        return distances(found, wanted)
    row, place = np.nonzero(batch.scored)
    targets = torch.from_numpy(batch.targets[row, place]).to(subject.device, non_blocking=True)
    return functional.cross_entropy(found, targets, reduction="none")


def run_windows(
    subject: Subject, name: str, rows: Float[Tensor, "rows dim"], batch: Batch
) -> Float[Tensor, "scored values"]:
    """What the model says of each scored token, float32: logits, or the last hidden state; with ``rows`` in place of its table."""
    device = subject.device
    inputs: dict[str, Any] = {"input_ids": torch.from_numpy(batch.ids).to(device, non_blocking=True)}
    width = batch.ids.shape[1]
    if int(batch.lengths.min()) < width:
        real = torch.from_numpy(np.arange(width) < batch.lengths[:, None]).long()
        inputs["attention_mask"] = real.to(device, non_blocking=True)
    if subject.kind == "causal-lm":
        inputs["use_cache"] = False
    found = functional_call(subject.model, {name: rows}, kwargs=inputs)
    # places are known on the host: indexing by a mask on a device would wait for it
    row, place = (torch.from_numpy(one).to(device, non_blocking=True) for one in np.nonzero(batch.scored))
    if subject.kind == "embedding":
        return found.last_hidden_state[row, place].float()
    return found.logits[row, place - int(subject.kind == "causal-lm")].float()


def distances(
    found: Float[Tensor, "tokens dim"], wanted: Float[Tensor, "tokens dim"]
) -> Float[Tensor, " tokens"]:
    """Squared distances of states from those wanted, relative to the squares of the latter.

    >>> distances(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 4.0]])).tolist()
    [0.5625]
    """
    return (found - wanted).square().sum(-1) / wanted.square().sum(-1)
