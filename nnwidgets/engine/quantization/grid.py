"""A grid of weights with all its settings, and how a weight is put on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.quantization.affine import (
    Codes,
    Quantized,
    code_range,
    even,
    range_ends,
    shifted,
    signs,
    ternary,
    turned,
)
from nnwidgets.engine.quantization.codebook import codebook_for, nearest_codes
from nnwidgets.engine.quantization.learned import first_steps, on_steps
from nnwidgets.engine.quantization.ranges import Ends
from nnwidgets.engine.values.recipe import Quantization

__all__ = ["Fit", "Grid", "quantize"]

Fit = Ends | Tensor
"""Where a grid ends, or its codebook."""

_BITS = {"ternary": 2, "binary": 1}  # that a rule of its own needs
_OBSERVERS = ("minmax", "percentile", "mse", "kl", "hand", "learned")


@dataclass(frozen=True)
class Grid:
    """How a weight is put on few levels.

    Attributes:
        bits: 1 to 8. granularity: "tensor" or "channel" (a scale for each index of ``axis``).
        symmetric: levels lie alike on both sides of zero; axis: of the channels.
        observer: "minmax", "percentile", "mse", "kl" or "hand": where the grid ends; "learned": its steps are given, or begin as
            `learned` says. percentile: of the weights that it holds, by that observer, above 50 and up to 100. share: of the
            whole range, by hand. power_of_two: scales are.
        method: "affine"; "ternary" (2 symmetric bits) or "binary" (1 symmetric bit), which have rules of their own for the scale;
            "codebook", one for the whole tensor, whatever granularity, symmetric, observer, percentile and share say.

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
                "'percentile', 'mse', 'kl', 'hand' or 'learned', a percentile above 50, up to 100, and a share above 0, up to 1."
            )
        if self.method not in ("affine", "codebook") and (self.bits, self.symmetric) != (_BITS.get(self.method), True):
            raise InputError(
                f"Got method={self.method!r} with {self.bits} bits, symmetric={self.symmetric}; expected 'affine', 'codebook', "
                "'ternary' with 2 symmetric bits, or 'binary' with 1."
            )
        if self.method == "codebook" and self.power_of_two:
            raise InputError("Got method='codebook', power_of_two=True; a codebook has no step. Leave power_of_two out.")
        if self.observer == "learned" and (self.method != "affine" or not self.symmetric or self.power_of_two):
            raise InputError(
                f"Got observer='learned' with method={self.method!r}, symmetric={self.symmetric}, power_of_two="
                f"{self.power_of_two}; expected 'affine', True and False: steps that are learned have no zero point and any size."
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

    @property
    def is_fitted(self) -> bool:
        """True where `fit` takes longer than all the rest."""
        by_rule = self.observer in ("minmax", "learned") or (self.symmetric and self.bits == 1)
        return self.method == "codebook" or (self.method == "affine" and not by_rule)

    def fit(self, weight: Tensor, mask: Tensor | None = None) -> Fit | None:
        """Return where the grid ends, or its codebook; None where that is known at once."""
        if not self.is_fitted:
            return None
        with torch.no_grad():
            values = _kept(weight, mask)
            if self.method == "codebook":
                return codebook_for(values, self.bits)
            return range_ends(values, self.shared(values), self.bits, self.symmetric, self.observer, self.percentile, self.share)

    def quantize(
        self,
        weight: Tensor,
        mask: Tensor | None = None,
        fit: Fit | None = None,
        up: Tensor | None = None,
        steps: Tensor | None = None,
    ) -> Quantized:
        """Put a weight on the grid.

        Args:
            weight: any shape and float dtype; computed in float32.
            mask: bool, True where a weight is kept; the others become 0 first. fit: as `fit` gave it, if at hand.
            up: bool, True where a weight goes to the level above it and not to the one below; None rounds to the nearest.
            steps: float32, above zero, (1,) or (C,): those that were learned; None for where they begin.
        """
        fit = self.fit(weight, mask) if fit is None else fit
        if isinstance(fit, Tensor):
            return self._shared(weight, mask, fit)
        with torch.no_grad():
            values = _kept(weight, mask)
            found = self._learned(values, steps) if self.observer == "learned" else self._codes(values, fit)
            if self.power_of_two:
                found = shifted(values, found, self.bits, self.symmetric, self.method)
            if up is not None:
                found = turned(values, found, up, self.bits, self.symmetric)
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

    def _shared(self, weight: Tensor, mask: Tensor | None, codebook: Tensor) -> Quantized:
        with torch.no_grad():
            codes = nearest_codes(_kept(weight, mask), codebook)
            return Quantized(
                values=codes,
                scale=codebook.new_zeros(0),
                zero_point=torch.zeros(0, dtype=torch.int16, device=codes.device),
                dequantized=codebook.index_select(0, codes.reshape(-1).int()).reshape(codes.shape).to(weight.dtype),
                bits=self.bits,
                symmetric=False,
                axis=None,
                inside=torch.ones_like(codes, dtype=torch.bool),
                codebook=codebook,
            )

    def _codes(self, values: Tensor, ends: Ends | None) -> Codes:
        dims = self.shared(values)
        if self.method == "ternary":
            return ternary(values, dims)
        if self.symmetric and self.bits == 1:
            return signs(values, dims)
        return even(values, dims, self.bits, self.symmetric, ends)

    def _learned(self, values: Tensor, steps: Tensor | None) -> Codes:
        most = code_range(self.bits, self.symmetric)[1]
        scale = first_steps(values, self.shared(values), most, self.bits) if steps is None else self.shaped(steps, values)
        return scale, torch.zeros_like(scale), *on_steps(values, scale, most, self.bits)

    def shared(self, weight: Tensor) -> tuple[int, ...]:
        """The axes of a weight that share a scale."""
        return tuple(d for d in range(weight.dim()) if self.granularity == "tensor" or d != self.axis)

    def shaped(self, scales: Tensor, weight: Tensor) -> Tensor:
        """(1,) or (C,) scales with as many axes as a weight, to multiply it."""
        return scales.reshape([-1 if d not in self.shared(weight) else 1 for d in range(weight.dim())])


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
