"""Fake quantization that holds in any training loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.quantization.grid import Grid

__all__ = ["FakeQuantize"]


class FakeQuantize(nn.Module):
    """A torch parametrization: the forward pass sees the weight on its grid, the gradient passes straight through.

    The scale, or the codebook, is taken from the present weight at every call. Gradient: 1 where the code is in range, 0 where it
    was clamped (straight-through estimator, Bengio et al. 2013; Jacob et al. 2018); 1 everywhere at one symmetric bit and with a
    codebook.

    Args:
        grid: its settings. up: bool, of the shape of the weight, where it is not rounded to the nearest level: True for the level
            above. It stays as the weight moves.
    """

    order: tuple[str, ...] = ()  # of the module's parameters before it was parametrized, so that bake() can restore it

    up: Tensor | None

    def __init__(self, grid: Grid, up: Tensor | None = None) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("up", up)

    def forward(self, weight: Tensor) -> Tensor:
        found: Tensor = _StraightThrough.apply(weight, self.grid, self.up)
        return found

    def extra_repr(self) -> str:
        """Settings, for print(model)."""
        return str(self.grid).removeprefix("Grid(").removesuffix(")")


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, grid: Grid, up: Tensor | None) -> Tensor:
        found = grid.quantize(weight, up=up)
        ctx.save_for_backward(found.inside)
        return found.dequantized

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None
