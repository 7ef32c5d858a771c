"""Steps between levels that training finds (LSQ, Esser et al. 2020, "Learned step size quantization").

q = clamp(round(w / s), -Q, Q), w' = q s, symmetric, with Q = 2^(b-1) - 1; rounding is half to even, and what lies beyond the last
level is clipped. At one bit q is the sign of w. A step begins at s = 2 mean|w| / sqrt(Q), at one bit at mean|w| (where signs lose
least, Rastegari et al. 2016), of the weights that share it and are not zero. Where all of those have one size, s is that size, so
that they come back exactly; a channel without any begins as its whole tensor would, a tensor without any at 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["first_steps", "on_steps", "positive"]

TINY = torch.finfo(torch.float32).tiny


def positive(steps: Tensor) -> Tensor:
    """The step that a trained number stands for: its size, and no less than the smallest normal float32."""
    return steps.float().abs().clamp(min=TINY)


def first_steps(values: Tensor, dims: tuple[int, ...], most: int, bits: int) -> Tensor:
    """Where steps begin, shaped to multiply the weight.

    Args:
        values: float32, what is pruned is zero. dims: axes that share a step. most: Q.
    """
    found = _start(values, dims, most, bits)
    whole = _start(values, tuple(range(values.dim())), most, bits)
    found = torch.where(found < TINY, whole, found)
    return torch.where((found < TINY) | ~torch.isfinite(found), torch.ones_like(found), found)


def _start(values: Tensor, dims: tuple[int, ...], most: int, bits: int) -> Tensor:
    """The same, zero where all weights are."""
    if values.numel() == 0:
        return values.sum(dims, keepdim=True)
    sizes, some = values.abs(), values != 0
    mean = sizes.double().sum(dims, keepdim=True) / some.sum(dims, keepdim=True).clamp(min=1)
    start = (mean if bits == 1 else 2 * mean / math.sqrt(most)).float()
    largest = sizes.amax(dims, keepdim=True)
    smallest = torch.where(some, sizes, torch.inf).amin(dims, keepdim=True)
    return torch.where(smallest == largest, largest, start)


def on_steps(values: Tensor, steps: Tensor, most: int, bits: int) -> tuple[Tensor, Tensor]:
    """Codes, and where none had to be clamped; ``steps`` is shaped to multiply the weight."""
    if bits == 1:
        return values.sign().add_(0.0), torch.ones_like(values, dtype=torch.bool)  # no -0
    codes = (values * (1.0 / steps)).round_().add_(0.0)
    inside = codes.abs() <= most
    return codes.clamp_(-most, most), inside
