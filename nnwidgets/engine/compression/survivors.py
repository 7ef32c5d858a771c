"""How many weights of a layer are left after rounding, by one look at them instead of rounding them all."""

from __future__ import annotations

import torch
from torch import Tensor

from nnwidgets.engine.compression.decide import Decider
from nnwidgets.engine.compression.decision import Decision
from nnwidgets.engine.quantization import Grid
from nnwidgets.engine.quantization.affine import ternary_limit
from nnwidgets.engine.quantization.ranges import Ends
from nnwidgets.engine.quantization.zeros import LARGEST, count_outside, zero_limits

__all__ = ["Survivors"]


class Survivors:
    """Counts what rounding leaves. The smallest and largest weight of each channel are remembered: they say where a grid ends.

    Args:
        decider: of the weights.

    Attributes:
        decider: as given.
    """

    def __init__(self, decider: Decider) -> None:
        self.decider = decider
        self._extremes: dict[str, Tensor] = {}

    def count(self, decision: Decision, name: str) -> int | None:
        """Return how many weights of a layer that is rounded are not zero afterwards; None where only rounding tells.

        That is so of halves, whose levels may vanish, of floats near the ends of their range, of codebooks, of steps that are
        learned, and where weights are rounded together.
        """
        layer, weight, quantization = self.decider.layers[name], self.decider.weights[name], decision.recipe.quantization
        if quantization is None or weight.dtype != torch.float32 or weight.numel() == 0:
            return None
        grid = Grid.of(quantization, decision.stored[name].bits, layer.out_axis)
        if grid.method == "codebook" or grid.observer == "learned" or quantization.rounding != "nearest":
            return None
        cut = None if grid.method == "ternary" else decision.chosen.cut(name)
        keep = decision.chosen.keep(name) if cut is None else None
        values = weight if keep is None else decision.chosen.weight(name, weight, keep)
        extremes = self._known_extremes(name, cut or 0.0) if keep is None else _extremes(values, layer.out_axis)
        if grid.granularity == "tensor":
            extremes = torch.stack([extremes[:, 0].amin(), extremes[:, 1].amax()])[None]
        interval = self._interval(decision, name, grid, values, extremes)
        if interval is None:
            return None
        low, high = interval[0].clamp(max=-(cut or 0.0)), interval[1].clamp(min=cut or 0.0)
        return count_outside(_rows(values, layer.out_axis if len(low) > 1 else None), low, high)

    def _known_extremes(self, name: str, cut: float) -> Tensor:
        """Of a weight of which all goes that is not larger than ``cut``."""
        if name not in self._extremes:
            self._extremes[name] = _extremes(self.decider.weights[name], self.decider.layers[name].out_axis)
        found = self._extremes[name]
        return torch.where(found.abs() > cut, found, torch.zeros_like(found))  # one that goes is followed by a zero, or by itself

    def _interval(self, decision: Decision, name: str, grid: Grid, values: Tensor, extremes: Tensor) -> Ends | None:
        """What becomes zero on each scale."""
        if bool((extremes.abs() >= LARGEST).any()):
            return None
        if grid.method == "ternary":
            limit = ternary_limit(values, grid.shared(values)).reshape(-1)
            return -limit, limit
        if grid.symmetric and grid.bits == 1:
            nothing = torch.zeros(1, device=values.device)
            return nothing, nothing
        looks = grid.observer not in ("minmax", "hand")  # at more than the smallest and the largest
        ends = self.decider.fit(decision.recipe, name, decision.chosen) if looks else None
        assert not isinstance(ends, Tensor)  # no codebook, see `count`
        return zero_limits(grid, extremes, ends)


def _extremes(values: Tensor, axis: int) -> Tensor:
    """(C, 2) smallest and largest number of each channel."""
    rows = _rows(values, axis)
    return torch.stack([rows.amin(1), rows.amax(1)], dim=1)


def _rows(values: Tensor, axis: int | None) -> Tensor:
    return values.reshape(1, -1) if axis is None else values.movedim(axis, 0).reshape(values.shape[axis], -1)
