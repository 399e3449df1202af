import numpy as np
import pytest
import torch

from milepost.errors import UnsafeFile
from milepost.tables import decode

TORCH = {
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
}


@pytest.mark.parametrize("dtype", TORCH)
def test_every_byte_of_a_float8_means_what_torch_says(dtype):
    raw = bytes(range(256))
    wanted = torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(TORCH[dtype]).float().numpy()
    got = decode(raw, dtype)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(np.signbit(got[~np.isnan(got)]), np.signbit(wanted[~np.isnan(wanted)]))


@pytest.mark.parametrize(("dtype", "kind"), [("BF16", torch.bfloat16), ("F16", torch.float16)])
def test_every_pattern_of_sixteen_bits_means_what_torch_says(dtype, kind):
    raw = np.arange(65536, dtype="<u2").tobytes()
    wanted = torch.frombuffer(bytearray(raw), dtype=torch.int16).view(kind).float().numpy()
    np.testing.assert_array_equal(decode(raw, dtype), wanted)


def test_wide_floats_come_back_bit_for_bit():
    for dtype, kind in (("F32", np.float32), ("F64", np.float64)):
        values = np.array([np.pi, -0.0, np.inf, 1e-45, 5e-324], kind)
        got = decode(values.tobytes(), dtype)
        assert got.dtype == kind
        assert got.tobytes() == values.tobytes()


def test_result_is_new_and_may_be_written_to():
    decode(bytes(8), "F32")[0] = 1.0


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "I32", "BOOL", "C64", "nonsense"])
def test_other_numbers_are_refused(dtype):
    with pytest.raises(UnsafeFile, match="floating-point"):
        decode(bytes(8), dtype)
