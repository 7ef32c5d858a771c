"""Which weights are rounded up, chosen together so that a layer's outputs change least (AdaRound, Nagel et al. 2020).

With w' = s (floor(w / s) + v), v in {0, 1}, and H = mean x x' over the layer's inputs, the mean square change of an output is
(w' - w) H (w' - w)'. The paper relaxes v; here v is searched for itself: a weight goes to its other level wherever that makes
the change smaller, one input after the other, until no weight does. That is begun twice: from the nearest levels, and from levels
that are chosen in turn, each nearest to what the errors before it leave to make up for (as GPTQ, Frantar et al. 2023, but of the
two levels only). The better end is taken for each output: a local minimum, and never worse than rounding to the nearest.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnwidgets.engine.quantization.affine import Quantized, code_range

__all__ = ["adapting"]

_F64 = npt.NDArray[np.float64]
_Flags = npt.NDArray[np.bool_]

_SWEEPS = 20  # over all inputs; on trained networks fewer than ten change anything
_PART = 2_000_000  # numbers that are changed between two yields, at most: some milliseconds
_LEAST = 1e-9  # of a weight's own share of the change: smaller gains are noise of the arithmetic


def adapting(weight: Tensor, nearest: Quantized, hessian: Tensor) -> Generator[None, None, Tensor]:
    """Return bool, of the shape of the weight, True where it goes to the level above; yields after each few milliseconds.

    Args:
        weight: (O, I, ...), which is zero where it was removed. nearest: the same on its grid.
        hessian: (G, K, K) float64, of each of G groups of outputs with K weights an output.
    """
    groups, _, width = hessian.shape
    ratio, codes, scale = _in_steps(weight, nearest)
    low, high = code_range(nearest.bits, nearest.symmetric)
    below = ratio.floor()
    free = (ratio != below) & (below >= low) & (below < high)
    above = torch.where(free, codes > below, below < low)
    parts = [each.double().reshape(groups, -1, width).cpu().numpy() for each in ((codes - ratio) * scale, scale.expand_as(ratio))]
    up, may = (each.reshape(groups, -1, width).cpu().numpy() for each in (above, free))
    for group in range(groups):
        start, moments = _Levels(up[group], parts[0][group], parts[1][group], may[group]), hessian[group].cpu().numpy()
        yield
        ends = [start.in_turn(moments), start]
        yield
        for end in ends:
            yield from end.descending(moments)
        better = ends[0].change(moments) < ends[1].change(moments)
        up[group] = np.where(better[:, None], ends[0].up, ends[1].up)
    return torch.from_numpy(up).reshape(weight.shape).to(weight.device)


def _in_steps(weight: Tensor, found: Quantized) -> tuple[Tensor, Tensor, Tensor]:
    """The weight in steps of its grid with the zero point added, its codes, and the step; all shaped as the weight."""
    shape = [1] * weight.dim()
    if found.axis is not None:
        shape[found.axis] = -1
    scale, zero = found.scale.reshape(shape), found.zero_point.float().reshape(shape)
    return weight.float() * (1.0 / scale) + zero, found.values.float(), scale


@dataclass(eq=False)
class _Levels:
    """Levels of the weights of one group, (R, K) each. NumPy: calls are many and small.

    Attributes:
        up: at the level above. error: w' - w. steps: between the two levels. free: may go to the other one.
    """

    up: _Flags
    error: _F64
    steps: _F64
    free: _Flags

    def change(self, hessian: _F64) -> _F64:
        """(R,) mean square change of each output."""
        found: _F64 = np.einsum("rk,rk->r", self.error @ hessian, self.error)
        return found

    def in_turn(self, hessian: _F64) -> _Levels:
        """Levels that are chosen one input after the other."""
        factor = np.linalg.cholesky(np.linalg.inv(hessian)).T  # upper: row j is how inputs behind j make up for an error at j
        made = _Levels(self.up.copy(), self.error.copy(), self.steps, self.free)
        owed = np.zeros_like(self.error)  # what is to be added to a weight, for errors before it
        for column in range(self.error.shape[1]):
            move = np.where(self.up[:, column], -self.steps[:, column], self.steps[:, column])
            other = self.free[:, column] & (
                abs(self.error[:, column] + move - owed[:, column]) < abs(self.error[:, column] - owed[:, column])
            )
            made.up[:, column] ^= other
            made.error[:, column] += np.where(other, move, 0.0)
            left = (owed[:, column] - made.error[:, column]) / factor[column, column]
            owed[:, column + 1 :] -= left[:, None] * factor[column, column + 1 :]
        return made

    def descending(self, hessian: _F64) -> Generator[None, None, None]:
        """Change levels in place, column by column, while that makes the change smaller."""
        slope, since = self.error @ hessian, 0
        own = np.diagonal(hessian) * self.steps * self.steps
        yield
        for _ in range(_SWEEPS):
            changed = False
            for column in range(self.error.shape[1]):
                move = np.where(self.up[:, column], -self.steps[:, column], self.steps[:, column])
                gain = 2 * move * slope[:, column] + own[:, column]
                rows = np.flatnonzero(self.free[:, column] & (gain < -_LEAST * own[:, column]))
                if len(rows):
                    changed = True
                    self.up[rows, column] ^= True
                    self.error[rows, column] += move[rows]
                    slope[rows] += move[rows, None] * hessian[column]
                since += len(move) + len(rows) * self.error.shape[1]
                if since > _PART:
                    since = 0
                    yield
            if not changed:
                return
