"""One additive mask out of a bias and a mask: finite everywhere, whatever the dtype."""

import pytest
import torch

from milepost.models.attention import merge_bias

BIAS = -torch.arange(16.0).view(1, 4, 4) * 1e4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["none", "causal", "boolean", "additive"])
def test_the_mask_is_finite_and_hides_what_it_should(dtype, kind):
    seen = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    seen[..., 2, :] = False  # a row masked everywhere
    additive = torch.zeros(1, 1, 4, 4).masked_fill(~seen, torch.finfo(dtype).min).to(dtype)
    mask = {"boolean": seen, "additive": additive}.get(kind)
    merged = merge_bias(BIAS, mask, causal=kind == "causal", dtype=dtype)
    assert merged.dtype == dtype and merged.shape == (1, 1, 4, 4) and merged.isfinite().all()
    low = torch.finfo(dtype).min
    if kind == "causal":
        assert (merged[0, 0].triu(1)[torch.ones(4, 4).triu(1).bool()] == low).all()
    if mask is not None:
        assert (merged[0, 0, 2] == low).all()
    torch.testing.assert_close(merged[0, 0, 1, :2].float(), BIAS[0, 1, :2].clamp(min=low), rtol=1e-2, atol=0)
