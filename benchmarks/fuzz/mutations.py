"""Changes to JSON documents and to bytes, drawn from a generator that a seed starts."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

VALUES: tuple[Any, ...] = (
    None, -1, 0, 1, 3, 41, 1.5, True, False, 1e308, -1e308, float("nan"), float("inf"),
    2**31, 2**32 - 1, 2**63, 2**70, 10**400, "", "x", "40", "a" * 5000, "<script>", "\u202e\x1b[31m", "\ud800",
    "../x", "(a+)+$", [], {}, [[]], [None], [40, 40], ["x"], {"a": 1}, {"0": {"0": []}},
)  # fmt: skip
NAMES = (
    "milepost", "rope_parameters", "rope_scaling", "quantization_config", "text_config", "vision_config",
    "position_embedding_type", "auto_map", "max_position_embeddings", "n_positions", "pad_token_id", "model_type",
    "image_size", "patch_size", "architectures", "attention_window", "head_dim", "hidden_size", "truncation",
)  # fmt: skip
PIECES = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\n",
    b'"',
    b",",
    b"[" * 2000,
    b"9" * 5000,
    b"-1",
    b"1e999",
    b"\xed\xa0\x80",
    b"\t",
)


def mutate_json(rng: random.Random, document: Any) -> Any:
    """A copy with one to three places set to something else, left out, renamed or added."""
    document = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(document))
        if not places:
            return rng.choice(VALUES)
        holder, key = rng.choice(places)
        act, value = rng.random(), copy.deepcopy(rng.choice(VALUES))
        if act < 0.7:
            holder[key] = value
        elif act < 0.8:
            del holder[key]
        elif isinstance(holder, dict):
            holder[rng.choice(NAMES)] = value
        else:
            holder.insert(key, value)
    return document


def _places(document: Any) -> Any:
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(pairs):
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)


def write_json(rng: random.Random, document: Any) -> bytes:
    """A mutated document as bytes, a few of which may be changed too."""
    raw = json.dumps(mutate_json(rng, document)).encode()
    return raw if rng.random() < 0.9 else mutate_bytes(rng, raw)


def mutate_bytes(rng: random.Random, raw: bytes, within: int | None = None) -> bytes:
    """A copy with bytes changed, cut, repeated or added; half of the time near its beginning or its end.

    Args:
        rng: to draw from.
        raw: any bytes.
        within: change the first of so many bytes alone.
    """
    found = bytearray(raw)
    for _ in range(rng.randint(1, 5)):
        size = min(len(found), within or len(found))
        if not size:
            return rng.choice(PIECES)
        edge = rng.random()
        at = rng.randrange(min(size, 64)) if edge < 0.25 else rng.randrange(size)
        at = size - 1 - at % min(size, 64) if edge > 0.75 else at
        act = rng.random()
        if act < 0.6:
            found[at] = rng.randrange(256) if act < 0.4 else rng.choice((0, 1, 127, 128, 255))
        elif act < 0.7:
            del found[at : at + rng.choice((1, 2, 16, 1000))]
        elif act < 0.8:
            found[at:at] = found[max(0, at - rng.choice((1, 8, 200))) : at] * rng.choice((1, 2, 50))
        elif act < 0.95:
            found[at:at] = rng.choice(PIECES)
        else:
            del found[at:]
    return bytes(found)
