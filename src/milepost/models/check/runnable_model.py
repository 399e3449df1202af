"""A model under test: a copy that can be run on tokens, and what holds of it."""

from __future__ import annotations

import copy
import inspect
import itertools
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from milepost.encodings import Encoding
from milepost.errors import MilepostError
from milepost.finding import Checks
from milepost.models.transformers_private import cache_argument, output_cache
from milepost.tables import recognise

_TEXT_ROLES = ("text", "encoder", "decoder")
_FIRST_POSITIONS = (0, 1, 2)
PADS_FAR = 40
"""Pads around sequences of about a threshold's length."""


class NotRunnable(Exception):
    """Why a model cannot be run on tokens alone; its text is the reason."""


class NotFinite(Exception):
    """A model answers ordinary tokens with NaN or infinity."""


@dataclass(frozen=True)
class PositionLimit:
    """How many positions a model has, or claims.

    Attributes:
        length: positions; ``None`` where nothing is claimed.
        where: the tensor or field that says so.
        hard: whether a table ends there.
    """

    length: int | None
    where: str
    hard: bool


class RunnableModel:
    """A copy of a model in evaluation mode; it shares the parameters, which are only read.

    Weights in half precision are copied to float32: differences would drown in their rounding.

    Args:
        model: left as it is.
        tokenizer: says which ids are special; the config does without it.
        length: tokens of the sequences that are tried; fewer where the model has no room for two of them.
        longest: inputs longer than this are not tried.
        tolerance: largest difference, as a share of the largest number expected.

    Raises:
        NotRunnable: a model that cannot be run on tokens alone. NotFinite: outputs that are no numbers.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: Any, *, length: int, longest: int, tolerance: float
    ) -> None:
        if model.main_input_name != "input_ids":
            raise NotRunnable(f"the model reads {model.main_input_name}, not tokens")
        shared = {id(weight): weight for weight in model.parameters()}
        halved = any(weight.dtype in (torch.float16, torch.bfloat16) for weight in model.parameters())
        self.model = copy.deepcopy(model, None if halved else shared).eval()
        if halved:
            self.model.float()
        self.longest = longest
        self.tolerance = tolerance
        self.config = self.model.config.get_text_config()
        self.paired = bool(model.config.is_encoder_decoder)
        self.device = model.device
        self.name = f"the encoder of {type(model).__name__}" if self.paired else type(model).__name__
        self.size = self.model.get_input_embeddings().weight.shape[0]
        self.pad, self._special = _special_ids(self.config, tokenizer, self.size)
        self.limit = _find_limit(self.model)
        room = self.limit.length if self.limit.hard else None
        self.length = length if room is None else min(length, room // 2)
        if self.length < 4:
            raise NotRunnable(f"{self.limit.length} positions are too few to try anything")
        room = longest if room is None else min(longest, room)
        encodings = _find_encodings(self.model)
        self.needs_whole = any(encoding.needs_whole for encoding in encodings)
        near = [at for threshold in _find_thresholds(self.model) for at in (threshold - 2, threshold + 3)]
        self.lengths = (self.length, *(at for at in near if at > self.length and at + PADS_FAR <= room))
        self._choose_runner()
        tokens = self.tokens(self.length)
        whole = self.run(tokens)
        if not whole.isfinite().all():
            raise NotFinite("outputs are NaN or infinite")
        self.causal = self.close(self.run(tokens[:, :-1]), whole[:, :-1])
        self.first = self._find_first(tokens, whole)

    def _choose_runner(self) -> None:
        """The model itself where it answers token by token, else its body."""
        body = self.model.get_encoder() if self.paired else self.model
        for runner in (body, body.base_model) if isinstance(body, PreTrainedModel) else (body,):
            self.runner: nn.Module = runner
            self.takes = frozenset(inspect.signature(runner.forward).parameters)
            try:
                self.run(self.tokens(4))
            except NotRunnable:
                continue
            return
        raise NotRunnable("the outputs have no vector for each token")

    def _find_first(self, tokens: Tensor, expected: Tensor) -> int | None:
        """What ``position_ids`` call the first position; found by trying, ``None`` where they are not taken."""
        if "position_ids" not in self.takes:
            return None
        places = torch.arange(tokens.shape[1], device=self.device)[None]
        for first in (*_FIRST_POSITIONS, self.pad + 1):
            try:
                if self.close(self.run(tokens, position_ids=places + first), expected):
                    return first
            except (IndexError, RuntimeError):
                continue
        return None

    def tokens(self, length: int, *, rows: int = 1, seed: int = 0) -> Tensor:
        """Random ids, none of them special, ``(rows, length)``; torch's own random state is not used."""
        plain = torch.tensor([at for at in range(min(self.size, 1000)) if at not in self._special])
        drawn = torch.randint(len(plain), (rows, length), generator=torch.Generator().manual_seed(seed))
        return plain[drawn].to(self.device)

    def run(self, ids: Tensor | None, mask: Tensor | None = None, **more: Any) -> Tensor:
        """The vector of each token, ``(rows, length, ...)``; a mask of ones by default."""
        return self.output(ids, mask, **more)[0]

    def output(self, ids: Tensor | None, mask: Tensor | None = None, **more: Any) -> tuple[Tensor, Any]:
        """The vector of each token, and the cache where there is one."""
        given = more["inputs_embeds"] if ids is None else ids
        if mask is None:
            mask = torch.ones(given.shape[:2], dtype=torch.int64, device=self.device)
        if "use_cache" in self.takes:
            more.setdefault("use_cache", False)
        if ids is not None:
            more["input_ids"] = ids
        answer = self.runner(attention_mask=mask, return_dict=True, **more)
        for name in ("logits", "last_hidden_state"):
            found = answer.get(name)
            if isinstance(found, Tensor) and found.ndim == 3 and found.shape[:2] == given.shape[:2]:
                return found, output_cache(answer)
        raise NotRunnable("the outputs have no vector for each token")

    @property
    def cache_argument(self) -> str:
        """What the model calls its cache.

        Raises:
            LookupError: no name that is known; nothing that needs a cache can be checked.
        """
        name = cache_argument(self.takes)
        if name is None:
            raise LookupError(f"no cache argument that is known among {sorted(self.takes)}")
        return name

    def pad_around(self, tokens: Tensor, *, before: int, after: int) -> tuple[Tensor, Tensor]:
        """Ids and mask with pads around the tokens."""
        sides = (before, after)
        ids = nn.functional.pad(tokens, sides, value=self.pad)
        return ids, nn.functional.pad(torch.ones_like(tokens), sides)

    def decode(self, tokens: Tensor, *, explicit: bool) -> Tensor:
        """Outputs of a first chunk, a second one, and single tokens, through one cache."""
        length = tokens.shape[1]
        first = max(length // 2, length - 6)
        cuts = [0, first, first + 2, *range(first + 3, length + 1)]
        cache: Any = DynamicCache(config=self.config)
        parts = []
        for start, stop in itertools.pairwise(cuts):
            more: dict[str, Any] = {self.cache_argument: cache, "use_cache": True}
            if explicit:
                more["position_ids"] = torch.arange(start, stop, device=self.device)[None] + (self.first or 0)
            part, cache = self.output(tokens[:, start:stop], torch.ones_like(tokens[:, :stop]), **more)
            parts.append(part)
        return torch.cat(parts, 1)

    def difference(self, got: Tensor, expected: Tensor) -> float:
        """Largest difference as a share of the largest number expected; infinite where one is not a number."""
        apart = (got - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
        return apart.item() if apart.isfinite() else float("inf")

    def close(self, got: Tensor, expected: Tensor) -> bool:
        """Whether two outputs are the same within the tolerance."""
        return self.difference(got, expected) <= self.tolerance


CHECKS: Checks[RunnableModel] = Checks("docs/doctor")


def _special_ids(config: Any, tokenizer: Any, size: int) -> tuple[int, set[int]]:
    """The id that fills up, and all ids that mean more than a word; those past the vocabulary are left out."""
    named = [
        getattr(config, f"{name}_token_id", None) for name in ("pad", "eos", "bos", "cls", "sep", "mask")
    ]
    flat = [at for value in named for at in (value if isinstance(value, list) else [value])]
    known = [getattr(tokenizer, "pad_token_id", None), *flat, *getattr(tokenizer, "all_special_ids", ())]
    special = [at for at in known if isinstance(at, int) and 0 <= at < size]
    return (special or [0])[0], {*special, 0}


def _find_encodings(model: PreTrainedModel) -> list[Encoding]:
    """The encodings of a swapped model."""
    found = (module._modules.get("milepost") for module in model.modules())
    return [cast("Encoding", encoding) for encoding in found if encoding is not None]


def _find_thresholds(model: PreTrainedModel) -> list[int]:
    """Positions at which the model begins to treat all positions otherwise."""
    if encodings := _find_encodings(model):
        return sorted({at for encoding in encodings for at in encoding.thresholds})
    config = model.config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    field = {"dynamic": "max_position_embeddings", "longrope": "original_max_position_embeddings"}
    name = field.get(str(rope.get("rope_type")))
    found = None if name is None else rope.get(name, getattr(config, name, None))
    return [found] if isinstance(found, int) else []


def _find_limit(model: PreTrainedModel) -> PositionLimit:
    claimed = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    claim = PositionLimit(
        claimed if isinstance(claimed, int) else None, "config.max_position_embeddings", False
    )
    for encoding in _find_encodings(model):
        usable = encoding.usable_length
        return PositionLimit(usable, f"encoding {encoding.name}", True) if isinstance(usable, int) else claim
    state = model.state_dict()
    try:
        matches = recognise(model.config.to_dict(), state)[2]
        for match in matches:
            if match.form.role in _TEXT_ROLES and match.form.kind == "learned":
                return PositionLimit(len(state[match.key]) - match.first_row(), match.key, True)
    except MilepostError:
        pass  # a family without a row of data: its config has to do
    return claim
