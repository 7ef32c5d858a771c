"""A grid of weights with all its settings, and how a weight is put on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.quantization.affine import Codes, Quantized, even, range_ends, shifted, signs, ternary
from nnwidgets.engine.quantization.ranges import Ends
from nnwidgets.engine.values.recipe import Quantization

__all__ = ["Grid", "quantize"]

_METHODS = {"affine": None, "ternary": 2, "binary": 1}  # with the bits that a rule of its own needs
_OBSERVERS = ("minmax", "percentile", "mse", "kl", "hand")


@dataclass(frozen=True)
class Grid:
    """How a weight is put on few levels.

    Attributes:
        bits: 1 to 8. granularity: "tensor" or "channel" (a scale for each index of ``axis``).
        symmetric: levels lie alike on both sides of zero; axis: of the channels.
        observer: "minmax", "percentile", "mse", "kl" or "hand": where the grid ends. percentile: of the weights that it holds, by
            that observer, above 50 and up to 100. share: of the whole range, by hand. power_of_two: scales are.
        method: "affine"; "ternary" (2 symmetric bits) or "binary" (1 symmetric bit), which have rules of their own for the scale.

    Raises:
        InputError: a setting out of range, or settings that do not go together.
    """

    bits: int
    granularity: str = "channel"
    symmetric: bool = True
    axis: int = 0
    observer: str = "minmax"
    percentile: float = 99.9
    power_of_two: bool = False
    method: str = "affine"
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.bits not in range(1, 9) or self.granularity not in ("tensor", "channel"):
            raise InputError(f"Got {self.bits!r} bits a {self.granularity!r}; expected 1 to 8 bits a 'tensor' or 'channel'.")
        if self.observer not in _OBSERVERS or not 50 < self.percentile <= 100 or not 0 < self.share <= 1:
            raise InputError(
                f"Got observer={self.observer!r}, percentile={self.percentile!r}, share={self.share!r}; expected 'minmax', "
                "'percentile', 'mse', 'kl' or 'hand', a percentile above 50, up to 100, and a share above 0, up to 1."
            )
        own = self.method != "affine"
        if self.method not in _METHODS or (own and (self.bits, self.symmetric) != (_METHODS[self.method], True)):
            raise InputError(
                f"Got method={self.method!r} with {self.bits} bits, symmetric={self.symmetric}; expected 'affine', 'ternary' "
                "with 2 symmetric bits, or 'binary' with 1."
            )

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
            settings.range_share,
        )

    def shared_axes(self, dims: int) -> tuple[int, ...]:
        """Return the axes that share a scale, of a weight with this many."""
        return tuple(d for d in range(dims) if self.granularity == "tensor" or d != self.axis)

    def ends(self, weight: Tensor, mask: Tensor | None = None) -> Ends | None:
        """Where the grid ends, which takes longer than the rest for some observers; None where that is known at once."""
        if self.observer == "minmax" or self.method != "affine" or (self.symmetric and self.bits == 1):
            return None
        with torch.no_grad():
            values = _kept(weight, mask)
            return range_ends(
                values, self.shared_axes(values.dim()), self.bits, self.symmetric, self.observer, self.percentile, self.share
            )

    def quantize(self, weight: Tensor, mask: Tensor | None = None, ends: Ends | None = None) -> Quantized:
        """Put a weight on the grid.

        Args:
            weight: any shape and float dtype; computed in float32.
            mask: bool, True where a weight is kept; the others become 0 first. ends: as `ends` gave them, if at hand.
        """
        with torch.no_grad():
            values = _kept(weight, mask)
            found = self._codes(values, self.ends(weight, mask) if ends is None else ends)
            if self.power_of_two:
                found = shifted(values, found, self.bits, self.symmetric, self.method)
            scale, zero, codes, inside = found
            return Quantized(
                values=codes.to(torch.int16),
                scale=scale.reshape(-1),
                zero_point=zero.reshape(-1).to(torch.int16),
                dequantized=((codes - zero) * scale).to(weight.dtype),
                bits=self.bits,
                symmetric=self.symmetric,
                axis=self.axis if self.granularity == "channel" else None,
                inside=inside,
            )

    def _codes(self, values: Tensor, ends: Ends | None) -> Codes:
        dims = self.shared_axes(values.dim())
        if self.method == "ternary":
            return ternary(values, dims)
        if self.symmetric and self.bits == 1:
            return signs(values, dims)
        return even(values, dims, self.bits, self.symmetric, ends)


def _kept(weight: Tensor, mask: Tensor | None) -> Tensor:
    weight = weight.detach()
    return (weight if mask is None else torch.where(mask, weight, torch.zeros_like(weight))).float()


def quantize(
    weight: Tensor,
    bits: int,
    granularity: str = "channel",
    symmetric: bool = True,
    axis: int = 0,
    mask: Tensor | None = None,
    *,
    observer: str = "minmax",
    percentile: float = 99.9,
    power_of_two: bool = False,
    method: str = "affine",
    share: float = 1.0,
) -> Quantized:
    """Put a weight on the grid of these settings; see `Grid`.

    Raises:
        InputError: a setting out of range, or settings that do not go together.
    """
    return Grid(bits, granularity, symmetric, axis, observer, percentile, power_of_two, method, share).quantize(weight, mask)
