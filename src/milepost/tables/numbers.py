"""The number formats of safetensors, and their exact values in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from milepost.errors import UnsafeFile

if TYPE_CHECKING:
    from jaxtyping import Float, Num

BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F8_E8M0": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits of one value, for every dtype that safetensors 0.8 knows."""

DECODABLE: Final = frozenset(
    {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"}
)
"""The dtypes that a position table may have."""

_FLOATS: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}

_EIGHT_BITS: Final = {  # mantissa bits, bias
    "F8_E4M3": (3, 7),
    "F8_E5M2": (2, 15),
    "F8_E4M3FNUZ": (3, 8),
    "F8_E5M2FNUZ": (2, 16),
}


def decode(raw: bytes, dtype: str) -> Num[np.ndarray, " values"]:
    """Turn stored little-endian bytes into numbers, exactly.

    Args:
        raw: the bytes of whole values.
        dtype: in the words of safetensors, one of ``DECODABLE``, or ``I64`` for counts.

    Returns:
        A new flat array, float32; float64 for ``F64``, int64 for ``I64``. Every value of a narrower format is a float32.

    Raises:
        UnsafeFile: MP130, for numbers that are packed, complex or no floats.

    Source: IEEE 754; Micikevicius et al. 2022 (E4M3 and E5M2); Noune et al. 2022 (FNUZ); OCP MX 1.0 (E8M0).

    >>> decode(bytes([0x38, 0xB8, 0x7E]), "F8_E4M3").tolist()
    [1.0, -1.0, 448.0]
    """
    if dtype == "F64":
        return np.frombuffer(raw, "<f8").astype(np.float64)
    if dtype == "I64":
        return np.frombuffer(raw, "<i8").astype(np.int64)
    if dtype in ("F32", "F16"):
        return np.frombuffer(raw, "<f4" if dtype == "F32" else "<f2").astype(np.float32)
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype in DECODABLE:
        return _values_of_bytes(dtype)[np.frombuffer(raw, np.uint8)]
    raise UnsafeFile(
        "a position table holds floating-point numbers of a byte or more",
        got=f"dtype {dtype}",
        fix="use the checkpoint before it was quantised or packed",
    )


def encode(values: Num[np.ndarray, "*axes"], dtype: str) -> bytes:
    """Turn numbers into stored little-endian bytes, rounded to nearest, ties to even.

    What ``decode`` gave comes back byte for byte (a signalling NaN of ``F16`` comes back quiet).

    Args:
        values: float32 or float64. Left untouched. For ``BF16`` float64 is rounded to float32 first.
        dtype: in the words of safetensors: ``F64``, ``F32``, ``F16`` or ``BF16``.

    Raises:
        UnsafeFile: MP130, for any other format: a byte a value is too coarse for blends of rows.

    >>> encode(np.float32([1.0, 1.00390625, 1.01171875]), "BF16").hex(" ", 2)  # the last two are ties
    '803f 803f 823f'
    """
    if dtype in _FLOATS:
        return values.astype(_FLOATS[dtype]).tobytes()
    if dtype != "BF16":
        raise UnsafeFile(
            "rows are written in 16 bits a value or more",
            got=f"dtype {dtype}",
            fix="use the checkpoint before it was quantised or packed",
        )
    single = values.astype("<f4")
    bits = single.view("<u4").astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    lost = np.where(bits & 0xFFFF, 0x40, 0).astype(np.uint64)  # a NaN whose payload is cut off stays a NaN
    return np.where(np.isnan(single), bits >> 16 | lost, rounded).astype("<u2").tobytes()


def _values_of_bytes(dtype: str) -> Float[np.ndarray, " bytes"]:
    """What each of the 256 bytes means."""
    byte = np.arange(256)
    if dtype == "F8_E8M0":
        values = np.ldexp(1.0, byte - 127)
        values[255] = np.nan
        return values.astype(np.float32)
    mantissa_bits, bias = _EIGHT_BITS[dtype]
    exponent = (byte & 0x7F) >> mantissa_bits
    mantissa = byte & ((1 << mantissa_bits) - 1)
    normal = exponent > 0
    significand = np.where(normal, (1 << mantissa_bits) + mantissa, mantissa)
    values = np.ldexp(significand.astype(np.float64), np.maximum(exponent, 1) - bias - mantissa_bits)
    values = np.where(byte < 128, values, -values)
    if dtype.endswith("FNUZ"):
        values[0x80] = np.nan  # what would be -0 is the only NaN
    elif dtype == "F8_E4M3":
        values[[0x7F, 0xFF]] = np.nan
    else:
        values[[0x7C, 0xFC]] = np.inf, -np.inf
        values[[0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF]] = np.nan
    return values.astype(np.float32)
