"""Grids of few levels against torch, scalar formulas and theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from oracle_plan import affine
from torch import Tensor

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.quantization import FakeQuantize, Grid, code_range, dequantize, quantize

KINDS = {
    "normal": lambda g: torch.randn(16, 3, 5, 5, generator=g),
    "positive": lambda g: torch.rand(16, 3, 5, 5, generator=g) + 0.5,
    "negative": lambda g: -torch.rand(16, 3, 5, 5, generator=g),
    "small": lambda g: torch.randn(16, 3, 5, 5, generator=g) * 1e-20,
    "large": lambda g: torch.randn(16, 3, 5, 5, generator=g) * 1e20,
    "uneven": lambda g: torch.randn(16, 3, 5, 5, generator=g) * torch.logspace(-4, 4, 16)[:, None, None, None],
}


def make(kind: str, seed: int = 0) -> Tensor:
    """A weight of a kind."""
    return KINDS[kind](torch.Generator().manual_seed(seed))


def bits_of(x: Tensor) -> bytes:
    """Its bytes, so that -0 is not 0."""
    return x.contiguous().numpy().tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_affine_equals_torch_bit_for_bit(kind: str, bits: int) -> None:
    """Per tensor and per channel, scale and zero point from the scalar formula."""
    weight = make(kind)
    found = quantize(weight, bits, "tensor", symmetric=False)
    scale, zero = affine(weight, bits)
    assert (float(found.scale), int(found.zero_point)) == (scale, zero)
    assert bits_of(found.dequantized) == bits_of(torch.fake_quantize_per_tensor_affine(weight, scale, zero, 0, 2**bits - 1))
    each = quantize(weight, bits, "channel", symmetric=False)
    pairs = [affine(part, bits) for part in weight]
    assert each.scale.tolist() == [s for s, _ in pairs] and each.zero_point.tolist() == [z for _, z in pairs]
    expected = torch.fake_quantize_per_channel_affine(weight, each.scale, each.zero_point.int(), 0, 0, 2**bits - 1)
    assert bits_of(each.dequantized) == bits_of(expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", range(2, 9))
def test_symmetric_equals_torch_on_the_narrow_range(kind: str, bits: int) -> None:
    """s = max|w| / Q, no zero point, as many levels on each side."""
    weight, most = make(kind), 2 ** (bits - 1) - 1
    found = quantize(weight, bits, "tensor")
    scale = float(np.float32(weight.abs().max().numpy()) / np.float32(most))
    assert float(found.scale) == scale and int(found.zero_point) == 0
    assert bits_of(found.dequantized) == bits_of(torch.fake_quantize_per_tensor_affine(weight, scale, 0, -most, most))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", range(1, 9))
def test_per_channel_is_per_tensor_of_each_slice(bits: int, symmetric: bool) -> None:
    """Along either axis."""
    weight = make("uneven")
    for axis in (0, 1):
        found = quantize(weight, bits, "channel", symmetric, axis)
        for i, part in enumerate(weight.unbind(axis)):
            assert bits_of(found.dequantized.select(axis, i)) == bits_of(quantize(part, bits, "tensor", symmetric).dequantized)
        again = dequantize(found.values, found.scale, found.zero_point, axis, weight.dtype)
        assert bits_of(again) == bits_of(found.dequantized)


@pytest.mark.parametrize(("bits", "sqnr"), [(8, 48.13), (4, 23.52), (3, 16.90), (2, 9.54), (1, 0.0)])
def test_noise_on_uniform_numbers_is_what_theory_says(bits: int, sqnr: float) -> None:
    """SQNR = 20 log10(2^b - 1) for numbers uniform over the range."""
    x = torch.linspace(0, 1, 200_001)[None]
    error = quantize(x, bits, "tensor", symmetric=False).dequantized - x
    # Signal as in the source: the variance of a uniform number over half a step more on each side than its levels.
    step = 1 / (2**bits - 1)
    assert 10 * math.log10((1 / 12) / float(error.square().mean())) == pytest.approx(sqnr, abs=0.02)
    assert float(error.abs().max()) <= step / 2 * (1 + 1e-5)


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_levels_and_zeros(bits: int, symmetric: bool, granularity: str) -> None:
    """Codes are in range, each value is a level, what is masked is exactly +0, the error is within half a step."""
    weight = make("normal", 3)
    mask = make("normal", 4) > 0
    found = quantize(weight, bits, granularity, symmetric, mask=mask)
    low, high = code_range(bits, symmetric)
    assert found.values.min() >= low and found.values.max() <= high and found.n_scales == (16 if granularity == "channel" else 1)
    assert bits_of(found.dequantized[~mask]) == bytes(4 * int((~mask).sum()))
    for channel in range(16):
        levels = found.levels(channel if granularity == "channel" else None)
        assert len(levels) == (3 if symmetric and bits == 1 else high - low + 1) and (np.diff(levels) > 0).all() and 0 in levels
        assert np.isin(found.dequantized[channel].double().numpy(), levels).all()
    if bits > 1:
        steps = found.scale.reshape(-1, 1, 1, 1)
        assert (
            (found.dequantized - weight)[mask.expand_as(weight)].abs() <= (steps.expand_as(weight)[mask] * 0.50001)
        ).all() or not symmetric


def test_one_symmetric_bit_is_the_sign_times_the_mean_of_the_kept() -> None:
    """XNOR-Net; what is zero stays zero and does not count in the mean."""
    found = quantize(torch.tensor([[1.0, -3.0, 0.0, -0.0], [0.0, 0.0, 0.0, 0.0]]), 1)
    assert found.dequantized.tolist() == [[2.0, -2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    assert bits_of(found.dequantized[0, 2:]) == bytes(8) and found.levels(0).tolist() == [-2.0, 0.0, 2.0]


@pytest.mark.parametrize("value", [0.0, 0.1, -0.1, 1 / 3, 1e30, -1e-30, 1e-45])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", range(1, 9))
def test_constant_channels_come_back_exactly(value: float, symmetric: bool, bits: int) -> None:
    """Also beside an ordinary one; numbers too small to divide by become zero."""
    weight = torch.stack([torch.full((37,), value), torch.linspace(-1, 1, 37)])
    found = quantize(weight, bits, "channel", symmetric).dequantized[0]
    tiny = abs(value) < 1e-38 and not (symmetric and bits == 1)
    assert torch.isfinite(found).all() and torch.equal(found, torch.zeros(37) if tiny else weight[0])


def test_other_formats_are_computed_in_float32() -> None:
    """A half-precision weight comes back in its own format."""
    weight = make("normal").half()
    found = quantize(weight, 4)
    assert found.dequantized.dtype == torch.float16 and torch.equal(
        found.dequantized, quantize(weight.float(), 4).dequantized.half()
    )


def test_unknown_settings_are_refused() -> None:
    """Bits, granularity, and the channel asked for."""
    for arguments in ((0,), (9,), (4, "row")):
        with pytest.raises(InputError):
            quantize(make("normal"), *arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="channel"):
        quantize(make("normal"), 4).levels(16)


def test_the_widest_channel_has_the_largest_step() -> None:
    """The last of the uneven ones; one scale has none."""
    found = quantize(make("uneven"), 4)
    assert found.widest is not None and found.scale_of() == float(found.scale.max()) == found.scale_of(found.widest)
    assert quantize(make("uneven"), 4, "tensor").widest is None


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_gradient_passes_straight_through(symmetric: bool) -> None:
    """1 where the code is in range, 0 where it was clamped, as torch's own."""
    weight = make("positive").requires_grad_()
    layer = FakeQuantize(Grid(3, "tensor", symmetric))
    out = layer(weight)
    upstream = make("normal", 9)
    (out * upstream).sum().backward()
    found = quantize(weight, 3, "tensor", symmetric)
    assert weight.grad is not None and torch.equal(weight.grad, upstream * found.inside)
    twin = weight.detach().clone().requires_grad_()
    low, high = code_range(3, symmetric)
    (
        torch.fake_quantize_per_tensor_affine(twin, float(found.scale), int(found.zero_point), low, high) * upstream
    ).sum().backward()
    assert twin.grad is not None and torch.equal(weight.grad, twin.grad)
