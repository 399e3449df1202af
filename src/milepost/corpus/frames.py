"""What a tokenizer's process and its owner say to each other: a JSON object, and bytes that follow it."""

from __future__ import annotations

import json
import struct
from typing import IO, Any, Final

MAX_VOCABULARY: Final = 1 << 22
"""Of a tokenizer: a model gets a row of weights for each id up to the largest."""
_HEAD = struct.Struct("<QQ")  # bytes of the JSON object, and of what follows it


def write_frame(stream: IO[bytes], facts: dict[str, Any], content: bytes = b"") -> None:
    """Write one frame and flush it."""
    said = json.dumps(facts).encode()
    stream.write(_HEAD.pack(len(said), len(content)) + said)
    stream.write(content)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Read one frame.

    Raises:
        EOFError: when the other side has ended.
    """
    sizes = _HEAD.unpack(_exactly(stream, _HEAD.size))
    said, content = (_exactly(stream, size) for size in sizes)
    facts: dict[str, Any] = json.loads(said)
    return facts, content


def _exactly(stream: IO[bytes], size: int) -> bytes:
    got = stream.read(size)
    if len(got) < size:
        raise EOFError
    return got
