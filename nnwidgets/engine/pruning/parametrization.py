"""Masks that hold in any training loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["MaskWeights"]


class MaskWeights(nn.Module):
    """A torch parametrization: masked entries are exactly 0 and get no gradient.

    Args:
        keep: bool, of the shape of the tensor, True where it is kept.
    """

    keep: Tensor
    order: tuple[str, ...] = ()  # of the module's parameters before it was parametrized, so that bake() can restore it

    def __init__(self, keep: Tensor) -> None:
        super().__init__()
        self.register_buffer("keep", keep.detach().clone())

    def forward(self, weight: Tensor) -> Tensor:
        # where, not a product: -1 * 0 is -0, and NaN * 0 is NaN.
        return torch.where(self.keep, weight, torch.zeros((), dtype=weight.dtype, device=weight.device))
