import numpy as np
import pytest
import torch

from milepost.encodings import Geometry, SinusoidalPositions, build

GEOMETRY = Geometry(dim=10, heads=2, head_dim=4, max_len=16, embedding_rms=0.3)


def oracle(positions, dim, theta, amplitude):
    """PE(pos, 2i) = sin(pos / theta^(2i/dim)), PE(pos, 2i+1) = cos of the same."""
    table = np.zeros((len(positions), dim))
    for row, position in enumerate(positions):
        for column in range(dim):
            angle = position / theta ** (2 * (column // 2) / dim)
            table[row, column] = amplitude * (np.cos(angle) if column % 2 else np.sin(angle))
    return table


@pytest.mark.parametrize("thetas", [(100.0, 5e5), (5e5, 100.0)])
@pytest.mark.parametrize("dim", [10, 7])
def test_it_is_the_papers_at_two_bases_in_both_orders(thetas, dim):
    positions = [0, 1, 5, 511, 100_000]
    made = [SinusoidalPositions(dim, theta=theta) for theta in thetas]
    for encoding, theta in zip(made, thetas, strict=True):
        got = encoding.vectors(torch.tensor(positions)).numpy()
        np.testing.assert_allclose(got, oracle(positions, dim, theta, 1.0), atol=1e-7)


@pytest.mark.parametrize(
    ("option", "rms"), [("auto", 0.3), ("0.05", 0.05), ("2", 2.0), ("raw", np.sqrt(0.5))]
)
def test_the_scale_is_a_stated_root_mean_square(option, rms):
    encoding = build(f"sinusoidal(rms={option})", GEOMETRY)
    assert encoding.vectors(range(50)).square().mean().sqrt().item() == pytest.approx(rms, rel=1e-6)
    assert encoding.scales == {"rms": pytest.approx(rms)}
    want = oracle([3, 9], 10, 10000.0, rms * np.sqrt(2))
    np.testing.assert_allclose(encoding.vectors(torch.tensor([3, 9])).numpy(), want, atol=1e-6)


def test_what_is_remembered_follows_every_attribute_and_device():
    encoding = SinusoidalPositions(4)
    first = encoding.vectors(range(5))
    assert encoding.vectors(range(5)) is first
    assert encoding.vectors(range(5), device="meta").is_meta
    encoding.theta = 50.0
    np.testing.assert_allclose(encoding.vectors(range(5)).numpy(), oracle(range(5), 4, 50.0, 1.0), atol=1e-7)


def test_what_inference_mode_saw_can_be_trained_on():
    encoding = SinusoidalPositions(4)
    with torch.inference_mode():
        encoding.vectors(range(3))
    weight = torch.ones(4, requires_grad=True)
    (encoding.vectors(range(3)) * weight).sum().backward()
    assert weight.grad is not None
