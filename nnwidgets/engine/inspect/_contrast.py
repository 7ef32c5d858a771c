"""Signed pixels as a picture: zero is mid-grey."""

from __future__ import annotations

import math
import numbers

import torch
from torch import Tensor

from nnwidgets.engine.errors import InputError

__all__ = ["contrast"]

_GREY = 128
_REACH = 127  # as far up as down, so that signs are shown alike


def contrast(pixels: Tensor, percentile: float = 99.5) -> Tensor:
    """Turn a projection into a picture: zero at mid-grey 128, the ends where a percentile of its absolute values is.

    Each image has a scale of its own: 128 + 127 * v / p, cut off at 1 and 255, with p the percentile (linear between two values)
    of those |v| of the image, over all its channels, that are not zero. Zeros are left out because most of an image lies outside
    of the receptive field of a unit in an early layer, where the percentile of all would be zero.

    Args:
        pixels: floating (..., C, H, W). One channel is shown in grey, three in colour, any other number by their mean in grey.
        percentile: above 0, at most 100.

    Returns:
        uint8 (..., H, W, C), with C 1 or 3. NaN is shown as zero.

    Raises:
        InputError: another shape or type, or a percentile out of range.
    """
    if not isinstance(pixels, Tensor) or not pixels.is_floating_point() or pixels.dim() < 3:
        what = f"{pixels.dtype} of shape {tuple(pixels.shape)}" if isinstance(pixels, Tensor) else type(pixels).__name__
        raise InputError(f"pixels: got {what}, expected floating (..., C, H, W), such as deconvnet(...).pixels.")
    share = _share(percentile)
    shown = pixels.detach().float()
    shown = shown if shown.shape[-3] in (1, 3) else shown.mean(-3, keepdim=True)
    lead, shape = shown.shape[:-3], shown.shape[-3:]
    flat = shown.reshape(math.prod(lead), math.prod(shape)).nan_to_num(nan=0.0, posinf=math.inf, neginf=-math.inf)
    ends = torch.stack([_end(row.abs(), share) for row in flat]) if len(flat) else flat.new_zeros(0)
    scaled = (flat / ends[:, None]).clamp(-1, 1) * _REACH + _GREY
    return scaled.round().to(torch.uint8).reshape(*lead, *shape).movedim(-3, -1).contiguous()


def _share(percentile: object) -> float:
    if isinstance(percentile, bool) or not isinstance(percentile, numbers.Real) or not 0 < float(percentile) <= 100:
        raise InputError(f"percentile: got {percentile!r}, expected a number above 0 and at most 100, such as 99.5.")
    return float(percentile) / 100


def _end(magnitudes: Tensor, share: float) -> Tensor:
    """The quantile of what is neither zero nor infinite; 1 where all is. torch.quantile refuses more than 16 million values."""
    nonzero = magnitudes[(magnitudes > 0) & torch.isfinite(magnitudes)]
    if len(nonzero) == 0:
        return magnitudes.new_ones(())
    place = (len(nonzero) - 1) * share
    low = nonzero.kthvalue(math.floor(place) + 1).values
    high = nonzero.kthvalue(math.ceil(place) + 1).values
    return torch.lerp(low, high, place - math.floor(place))
