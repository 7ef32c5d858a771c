"""Fake quantization that holds in any training loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.quantization.affine import quantize

__all__ = ["FakeQuantize"]


class FakeQuantize(nn.Module):
    """A torch parametrization: the forward pass sees the weight on its grid, the gradient passes straight through.

    The scale is taken from the present weight at every call. Gradient: 1 where the code is in range, 0 where it was clamped
    (straight-through estimator, Bengio et al. 2013; Jacob et al. 2018); 1 everywhere at one symmetric bit.

    Args: as of `quantize`.
    """

    order: tuple[str, ...] = ()  # of the module's parameters before it was parametrized, so that bake() can restore it

    def __init__(self, bits: int, granularity: str = "channel", symmetric: bool = True, axis: int = 0) -> None:
        super().__init__()
        self.bits, self.granularity, self.symmetric, self.axis = bits, granularity, symmetric, axis

    def forward(self, weight: Tensor) -> Tensor:
        found: Tensor = _StraightThrough.apply(weight, self)
        return found

    def extra_repr(self) -> str:
        """Settings, for print(model)."""
        return f"bits={self.bits}, granularity={self.granularity!r}, symmetric={self.symmetric}, axis={self.axis}"


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, settings: FakeQuantize) -> Tensor:
        found = quantize(weight, settings.bits, settings.granularity, settings.symmetric, settings.axis)
        ctx.save_for_backward(found.inside)
        return found.dequantized

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None
