"""Writing numbers in the formats of safetensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from milepost.errors import UnsafeFile
from milepost.tables import decode, encode


def test_every_bfloat16_comes_back() -> None:
    raw = np.arange(65536, dtype="<u2").tobytes()
    assert encode(decode(raw, "BF16"), "BF16") == raw


def test_every_half_but_signalling_nans_comes_back() -> None:
    bits = np.arange(65536, dtype="<u2")
    signalling = ((bits & 0x7C00) == 0x7C00) & ((bits & 0x3FF) > 0) & ((bits & 0x200) == 0)
    raw = bits[~signalling].tobytes()
    assert encode(decode(raw, "F16"), "F16") == raw


@pytest.mark.parametrize("dtype", ["F32", "F64"])
def test_wide_formats_come_back(dtype: str) -> None:
    raw = np.random.default_rng(0).bytes(8 * 500)
    assert encode(decode(raw, dtype), dtype) == raw


@settings(deadline=None, derandomize=True, max_examples=25)
@given(arrays.arrays(np.uint32, 50, elements=st.integers(0, 2**32 - 1)))
def test_rounding_is_that_of_torch(bits: np.ndarray) -> None:
    values = bits.view(np.float32)
    values = values[~np.isnan(values)]
    tensor = torch.from_numpy(values.copy())
    assert encode(values, "BF16") == tensor.bfloat16().view(torch.int16).numpy().tobytes()
    with np.errstate(over="ignore"):
        assert encode(values, "F16") == tensor.half().view(torch.int16).numpy().tobytes()


@pytest.mark.parametrize("low", [0x7F800001, 0xFF80FFFF, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_nan_stays_a_nan(low: int) -> None:
    values = np.array([low], np.uint32).view(np.float32)
    assert np.isnan(decode(encode(values, "BF16"), "BF16")).all()


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "I64", "F4"])
def test_other_formats_are_refused(dtype: str) -> None:
    with pytest.raises(UnsafeFile, match=f"dtype {dtype}"):
        encode(np.ones(2, np.float32), dtype)
