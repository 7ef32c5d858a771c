"""Fake quantization whose steps are trained with the weights."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nnwidgets.engine.quantization.affine import code_range
from nnwidgets.engine.quantization.grid import Grid
from nnwidgets.engine.quantization.learned import positive
from nnwidgets.engine.quantization.parametrization import FakeQuantize

__all__ = ["LearnedSteps"]


class LearnedSteps(FakeQuantize):
    """A torch parametrization: the forward pass sees the weight on levels a step apart, and the step learns too (LSQ).

    With v = w / s, inside meaning |v| <= Q, and n the weights of a step that are not zero (Esser et al. 2020):
    dw'/dw = 1 inside, 0 outside; dw'/ds = round(v) - v inside, -Q or Q outside, times 1 / sqrt(n Q), which keeps the updates of a
    step in proportion to those of its weights. At one bit dw'/dw = 1 and dw'/ds = sign(w), for no weight is clipped.

    A step is the size of the number that is trained, never less than the smallest normal float32: an update across zero cannot
    turn the levels round. Weight decay of `fit` leaves steps alone.

    Args:
        grid: its settings, with the observer "learned". steps: float32, (1,) or (C,); shared by the places of a tied weight.
    """

    not_decayed: ClassVar[tuple[str, ...]] = ("steps",)

    def __init__(self, grid: Grid, steps: nn.Parameter) -> None:
        super().__init__(grid)
        self.steps = steps

    def forward(self, weight: Tensor) -> Tensor:
        found: Tensor = _Learned.apply(weight, self.steps, self.grid)
        return found

    def begin(self, weight: Tensor) -> None:
        """Put the steps where training begins for this weight; what is pruned is zero."""
        with torch.no_grad():
            self.steps.copy_(self.grid.quantize(weight).scale)

    @property
    def found(self) -> tuple[float, ...]:
        """The steps as they are now."""
        return tuple(positive(self.steps.detach()).tolist())


class _Learned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, steps: Tensor, grid: Grid) -> Tensor:
        found = grid.quantize(weight, steps=positive(steps))
        ctx.save_for_backward(weight, steps, found.values)
        ctx.grid = grid
        return found.dequantized

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        weight, steps, codes = ctx.saved_tensors
        grid, most = ctx.grid, code_range(ctx.grid.bits, True)[1]
        ratio = weight.float() * (1.0 / grid.shaped(positive(steps), weight))
        inside = torch.ones_like(ratio, dtype=torch.bool) if grid.bits == 1 else ratio.abs() <= most
        by_step = codes.float() if grid.bits == 1 else torch.where(inside, codes - ratio, codes)
        dims = grid.shared(weight)
        share = (weight != 0).sum(dims).clamp(min=1).mul(most).rsqrt().reshape(-1)
        moved = (gradients[0].float() * by_step).sum(dims).reshape(-1) * share
        return gradients[0] * inside, torch.where(steps < 0, -moved, moved).to(steps), None
