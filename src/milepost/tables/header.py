"""The header of a safetensors file, read strictly: what is ambiguous is refused.

Format: eight bytes of length, little-endian; a JSON object; the data. Offsets must cover the data without
hole, overlap or rest. Stricter than the safetensors library: names that stand twice, fields that the format
does not know and a header that begins with spaces are refused as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from milepost.errors import UnsafeFile
from milepost.tables.checkpoint import TensorEntry
from milepost.tables.numbers import BITS

MAX_HEADER_BYTES: Final = 10_000_000
LONGEST_HEADER_BYTES: Final = 100_000_000
"""What the safetensors library reads at most; no option raises the limit past it."""
_BYTES_PER_TENSOR: Final = 100  # an entry with a name of any use takes more
_MAX_RANK: Final = 32
_LARGEST: Final = 2**63 - 1
_FIELDS: Final = frozenset({"dtype", "shape", "data_offsets"})


@dataclass(frozen=True)
class Header:
    """What a header says: every tensor by name in the header's order, the metadata, and where the data begins."""

    entries: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    data_start: int


def read_header(
    read: Callable[[int, int], bytes], size: int, name: str, max_header_bytes: int = MAX_HEADER_BYTES
) -> Header:
    """Read and check the header of one file.

    Args:
        read: gives the bytes from one offset to another, or raises.
        size: bytes in the whole file.
        name: the file's name, for errors and for the entries.
        max_header_bytes: longer headers are refused before they are read.

    Raises:
        UnsafeFile: MP130, when the header is cut off, too long, malformed or ambiguous.
    """
    if size < 10:
        raise _refusal(name, "the file is too short to be safetensors", f"{size} bytes")
    length = int.from_bytes(read(0, 8), "little")
    if length > size - 8:
        raise _refusal(name, "the header is longer than the file", f"{length} bytes of header in {size}")
    if length > max_header_bytes:
        raise UnsafeFile(
            f"{name!r}: the header is too long",
            got=f"{length} bytes, at most {max_header_bytes} are read",
            fix="raise the limit if you trust the file: --max-header-bytes BYTES",
        )
    return parse_header(read(8, 8 + length), size, name, max_header_bytes // _BYTES_PER_TENSOR)


def parse_header(
    raw: bytes, size: int, name: str, max_tensors: int = MAX_HEADER_BYTES // _BYTES_PER_TENSOR
) -> Header:
    """Check the JSON of a header, ``raw``, against the ``size`` in bytes of the file it came from.

    Raises:
        UnsafeFile: MP130, with what is wrong.

    >>> raw = b'{"wpe.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
    >>> parse_header(raw, 8 + len(raw) + 24, "model.safetensors").entries["wpe.weight"].shape
    (2, 3)
    """
    if not raw.startswith(b"{"):
        raise _refusal(name, "the header does not begin with a brace", repr(raw[:8]))
    if not raw.rstrip(b" ").endswith(b"}"):
        raise _refusal(name, "the header does not end with a brace", repr(raw[-8:]))
    if raw.count(b'"dtype"') > max_tensors or raw.count(b"[") + raw.count(b"{") > 10 * max_tensors:
        raise _refusal(name, "the header lists too many tensors or values", f"more than {max_tensors}")
    document = _parse_json(raw, name)
    metadata = _check_metadata(document.pop("__metadata__", {}), name)
    start = 8 + len(raw)
    entries = {key: _check_entry(key, value, name, start) for key, value in document.items()}
    _check_cover(entries, start, size, name)
    return Header(entries, metadata, start)


def _refusal(name: str, problem: str, got: str) -> UnsafeFile:
    return UnsafeFile(f"{name!r}: {problem}", got=got, fix="get the file again from where it came from")


def _parse_json(raw: bytes, name: str) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items):
            seen: set[str] = set()
            twice = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise _refusal(name, "a name stands twice in the header", _shown(twice))
        return made

    def no_number(text: str) -> Any:
        raise _refusal(name, "the header has a number that is not whole", text[:40])

    try:
        document = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=pairs,
            parse_float=no_number,
            parse_constant=no_number,
        )
    except UnicodeDecodeError as error:
        raise _refusal(name, "the header is not UTF-8", f"byte {error.start}") from None
    except RecursionError:
        raise _refusal(name, "the header is nested too deep", "a JSON value inside too many others") from None
    except ValueError as error:
        if isinstance(error, UnsafeFile):
            raise
        raise _refusal(name, "the header is not JSON", str(error)) from None
    if not isinstance(document, dict):
        raise _refusal(name, "the header is not a JSON object", type(document).__name__)
    return document


def _shown(text: str) -> str:
    """A name from a file, short and without anything that a terminal would act on."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _check_metadata(metadata: Any, name: str) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _refusal(name, "the metadata is not a table of strings", _shown(str(metadata)))
    return metadata


def _check_entry(key: str, entry: Any, name: str, start: int) -> TensorEntry:
    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        fields = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise _refusal(name, f"tensor {_shown(key)} lacks or exceeds the known fields", _shown(str(fields)))
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _refusal(name, f"tensor {_shown(key)} has an unknown dtype", _shown(str(dtype)))
    if not _whole_numbers(shape) or len(shape) > _MAX_RANK:
        raise _refusal(name, f"tensor {_shown(key)} has no proper shape", _shown(str(shape)))
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _refusal(name, f"tensor {_shown(key)} has no proper offsets", _shown(str(offsets)))
    try:
        key.encode()
    except UnicodeEncodeError:
        raise _refusal(name, "a tensor's name is no text", _shown(key)) from None
    made = TensorEntry(dtype, tuple(shape), name, start + offsets[0], start + offsets[1])
    bits = made.elements * BITS[dtype]
    if bits > _LARGEST or bits != 8 * (made.end - made.begin):
        raise _refusal(
            name,
            f"tensor {_shown(key)} has a shape that does not fit its bytes",
            f"{dtype} {_shown(str(shape))} in {made.end - made.begin} bytes",
        )
    return made


def _whole_numbers(values: Any) -> bool:
    """Whether this is a list of integers from 0 to 2**63 - 1; True and False are none."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= _LARGEST for value in values)


def _check_cover(entries: Mapping[str, TensorEntry], start: int, size: int, name: str) -> None:
    at = start
    for entry in sorted(entries.values(), key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != at:
            what = "hole" if entry.begin > at else "overlap"
            raise _refusal(name, f"the tensors leave a {what} in the data", f"at byte {min(at, entry.begin)}")
        at = entry.end
    if at > size:
        raise _refusal(name, "the file is cut off", f"{size} bytes, the header speaks of {at}")
    if at < size:
        raise _refusal(name, "there are bytes after the last tensor", f"{size - at} bytes")
