"""All settings of a grid of weights in one value."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nnwidgets.engine.quantization.affine import Quantized, quantize, weight_ends
from nnwidgets.engine.quantization.ranges import Ends
from nnwidgets.engine.values.recipe import Quantization

__all__ = ["Grid"]


@dataclass(frozen=True)
class Grid:
    """How a weight is put on few levels; see `quantize`."""

    bits: int
    granularity: str = "channel"
    symmetric: bool = True
    axis: int = 0
    observer: str = "minmax"
    percentile: float = 99.9
    power_of_two: bool = False
    method: str = "affine"

    @classmethod
    def of(cls, settings: Quantization, bits: int, axis: int) -> Grid:
        """The grid of a layer: its bits and the axis of its channels, all else as the recipe has it."""
        return cls(
            bits,
            settings.granularity,
            settings.symmetric,
            axis,
            settings.observer,
            settings.percentile,
            settings.power_of_two,
            settings.method,
        )

    def ends(self, weight: Tensor, mask: Tensor | None = None) -> Ends | None:
        """Where the grid ends, which takes longer than the rest for some observers; None where that is known at once."""
        if self.method != "affine":
            return None
        return weight_ends(weight, self.bits, self.granularity, self.symmetric, self.axis, mask, self.observer, self.percentile)

    def quantize(self, weight: Tensor, mask: Tensor | None = None, ends: Ends | None = None) -> Quantized:
        """Put a weight on the grid; what is not kept by the mask becomes 0 first. ``ends``: as `ends` gave them, if at hand."""
        return quantize(
            weight,
            self.bits,
            self.granularity,
            self.symmetric,
            self.axis,
            mask,
            self.observer,
            self.percentile,
            self.power_of_two,
            ends,
            self.method,
        )
