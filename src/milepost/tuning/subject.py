"""What a model is measured by without labels: losses by position, or the embedding of a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from milepost.errors import DataError, ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int64
    from transformers import PreTrainedModel

    from milepost.corpus.tokenizer_process import TokenizerProcess

KINDS: Final = ("masked-lm", "causal-lm", "embedding")
POOLINGS: Final = ("mean", "cls", "max", "lasttoken")
MASKED_SHARE: Final = 0.15
_LOGITS_AT_ONCE: Final = 256  # rows of logits in float32 beside the model's own


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, its tokenizer, and what it is measured by.

    Attributes:
        source: what was asked for: a path or a Hub id.
        kind: ``masked-lm``, ``causal-lm`` or ``embedding``.
        model: in evaluation mode. Methods take another model of the same vocabulary as ``model``.
        tokenizer: in a process of its own, without truncation and padding.
        length: usable positions, special tokens included.
        prefix: ids of the special tokens before a text.
        suffix: those after it; none for ``causal-lm``, whose texts may go on.
        mask_token: id of the mask; None where there is none.
        pooling: how hidden states become an embedding; None for language models.
    """

    source: str
    kind: str
    model: PreTrainedModel
    tokenizer: TokenizerProcess
    length: int
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    mask_token: int | None = None
    pooling: str | None = None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def room(self, length: int | None = None) -> int:
        """Tokens of text that ``length`` positions hold beside the special ones; of the model's own length without it."""
        return (self.length if length is None else length) - len(self.prefix) - len(self.suffix)

    def tokenize(self, text: str) -> Int64[np.ndarray, " seq"]:
        """All token ids of a text, however long; no special ones, also where the text spells them out.

        Raises:
            ModelError: MP124, an id that the model has no row for.
        """
        (ids,) = self.tokenizer.encode_all([text])
        tokens = ids.astype(np.int64)
        tokens = tokens[~np.isin(tokens, self.tokenizer.facts.special)]
        embeddings: Any = self.model.get_input_embeddings()
        known = len(embeddings.weight)
        if tokens.max(initial=0) >= known:
            raise ModelError(
                "the tokenizer is not this model's",
                got=f"token id {tokens.max()}, {known} rows of tokens",
                fix="save the model's own tokenizer into its folder",
            )
        return tokens

    def wrap(self, tokens: Int64[np.ndarray, " seq"]) -> Int64[Tensor, "1 positions"]:
        """One input of the model: the special tokens around the text, on the model's device."""
        ids = np.concatenate([self.prefix, tokens, self.suffix]).astype(np.int64)
        return torch.from_numpy(ids)[None].to(self.device)

    @torch.inference_mode()
    def losses(
        self,
        tokens: Int64[np.ndarray, " seq"],
        *,
        masked: Bool[np.ndarray, " seq"] | None = None,
        model: PreTrainedModel | None = None,
    ) -> Float[np.ndarray, " seq"]:
        """The loss of each token of a text that is read in one pass.

        Args:
            tokens: of text, as ``tokenize`` makes them; at most ``room`` of them. Left untouched.
            masked: for ``masked-lm``: the tokens that are replaced by the mask and predicted.
            model: another one than the subject's own.

        Returns:
            Nats, float64; NaN for tokens that are not predicted: those not masked, and for ``causal-lm`` the first one where
            no special token stands before it. Logits are in the model's dtype, their log-sum in float32.

        Raises:
            DataError: MP110, losses that are not finite.
        """
        scored = np.arange(len(tokens)) + len(self.prefix) > 0 if masked is None else masked
        given = tokens if masked is None else np.where(masked, np.int64(self.mask_token or 0), tokens)
        more = {} if self.kind == "masked-lm" else {"use_cache": False}
        logits = (model or self.model)(input_ids=self.wrap(given), **more).logits[0]
        # a causal model says a token at the position before it
        at = np.flatnonzero(scored) + len(self.prefix) - (self.kind == "causal-lm")
        found = np.full(len(tokens), np.nan)
        found[scored] = _cross_entropy(logits, at, tokens[scored])
        if not np.isfinite(found[scored]).all():
            raise DataError(
                "the model's losses are not finite",
                got=f"a text of {len(tokens)} tokens",
                fix="look at its weights: milepost inspect",
            )
        return found

    @torch.inference_mode()
    def embed(
        self, tokens: Int64[np.ndarray, " seq"], *, model: PreTrainedModel | None = None
    ) -> Float[np.ndarray, " dim"]:
        """The embedding of a text that is read in one pass, of length 1.

        Args:
            tokens: of text, at most ``room`` of them. Left untouched.
            model: another one than the subject's own.

        Returns:
            Float64; pooled in float32 over all positions, special ones included, as sentence-transformers pools.

        Raises:
            DataError: MP110, an embedding that is not finite.
        """
        hidden = (model or self.model)(input_ids=self.wrap(tokens)).last_hidden_state[0].float()
        pooled = {
            "mean": lambda: hidden.mean(0),
            "cls": lambda: hidden[0],
            "max": lambda: hidden.amax(0),
            "lasttoken": lambda: hidden[-1],
        }[self.pooling or "mean"]()
        vector = pooled.double().cpu().numpy()
        norm = float(np.linalg.norm(vector))
        if not (np.isfinite(norm) and norm):
            raise DataError(
                "the model's embedding is not finite, or zero",
                got=f"a text of {len(tokens)} tokens",
                fix="look at its weights: milepost inspect",
            )
        return vector / norm


def _cross_entropy(
    logits: Float[Tensor, "positions vocabulary"],
    at: Int64[np.ndarray, " scored"],
    targets: Int64[np.ndarray, " scored"],
) -> Float[np.ndarray, " scored"]:
    """Losses of ``targets`` by the rows ``at``; a few rows at once, for logits are the largest thing in memory."""
    wanted = torch.from_numpy(targets).to(logits.device)
    rows = torch.from_numpy(at).to(logits.device)
    found = [
        functional.cross_entropy(logits[some].float(), goal, reduction="none").double()
        for some, goal in zip(rows.split(_LOGITS_AT_ONCE), wanted.split(_LOGITS_AT_ONCE), strict=True)
    ]
    return torch.cat(found).cpu().numpy() if found else np.empty(0)


def choose_masks(
    length: int, parts: Sequence[tuple[int, int]], seed: Sequence[int]
) -> Bool[np.ndarray, " length"]:
    """Choose the tokens of a text that are masked: 15 % of each part, at least one of a part that is not empty.

    A function of its arguments alone, so every model is asked the same. All chosen tokens become the mask; none is kept or
    replaced at random, as training does.

    Args:
        length: tokens of the text.
        parts: beginning and end of each part.
        seed: of the choice.

    >>> choose_masks(40, [(0, 20), (20, 40)], [0]).reshape(2, 20).sum(1).tolist()
    [3, 3]
    """
    random = np.random.default_rng(list(seed))
    masked = np.zeros(length, bool)
    for begin, end in parts:
        wanted = min(end - begin, max(1, round(MASKED_SHARE * (end - begin))))
        masked[begin + random.permutation(end - begin)[:wanted]] = True
    return masked
