"""Weights on a grid of few levels: affine and symmetric, a tensor or a channel at a time.

Affine (Jacob et al. 2018, with the nudged zero point): lo = min(0, min w), hi = max(0, max w), s = (hi - lo) / (2^b - 1),
z = clamp(round(-lo / s)), q = clamp(round(w * (1 / s)) + z, 0, 2^b - 1), all in float32; the same bits as
torch.fake_quantize_per_tensor_affine and ..._per_channel_affine. Symmetric: s = max |w| / Q with Q = 2^(b-1) - 1, q in [-Q, Q]
(the narrow range). By another observer than "minmax" the ends lo and hi lie nearer (see `ranges`), and what is beyond is clipped;
by "learned" training finds s, at one bit too (see `learned`).
Power of two: s is rounded up to the next power of two, so that a product with it is a shift (true fixed point). Symmetric at one
bit: q is the sign and s the mean |w| of the weights that are not zero (XNOR-Net, Rastegari et al. 2016), whatever the range.
Ternary: q is the sign of weights above D = 0.7 mean |w|, else zero, and s the mean |w| of those above (Li & Liu 2016), of weights
that are not zero. Zero stays exactly zero in all of them, so that what was pruned stays pruned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.quantization.ranges import Ends, ends_of

__all__ = [
    "Codes",
    "Quantized",
    "code_range",
    "dequantize",
    "even",
    "range_ends",
    "shifted",
    "signs",
    "ternary",
    "ternary_limit",
    "turned",
]


_TERNARY = 0.7  # of the mean |w|; what is smaller becomes zero


@dataclass(frozen=True, eq=False)
class Quantized:
    """A weight on its grid.

    Attributes:
        values: int16 codes q, of the shape of the weight. scale: float32, (1,) or (C,). zero_point: int16, the same shape. Both
            are empty with a codebook.
        dequantized: (q - z) * s, or codebook[q], of the shape and dtype of the weight.
        bits; symmetric; axis: the channel axis, None where the tensor shares one scale.
        inside: bool, False where a code had to be clamped.
        codebook: (2**bits,) float32 values by code, ascending; None where levels lie at even steps.
    """

    values: Tensor
    scale: Tensor
    zero_point: Tensor
    dequantized: Tensor
    bits: int
    symmetric: bool
    axis: int | None
    inside: Tensor
    codebook: Tensor | None = None

    @property
    def n_scales(self) -> int:
        """1, or the number of channels; 0 with a codebook."""
        return len(self.scale)

    @property
    def widest(self) -> int | None:
        """Channel with the largest scale, None where there is one for all."""
        return None if self.axis is None else int(self.scale.argmax())

    def scale_of(self, channel: int | None = None) -> float:
        """Return the step between levels, of a channel where each has its own (the widest if not said).

        Raises:
            InputError: no such channel, or a codebook, whose values lie at uneven steps.
        """
        if self.codebook is not None:
            raise InputError("scale_of: the values of a codebook lie at uneven steps. Look at codebook or levels().")
        return float(self.scale[self._place(channel)])

    def levels(self, channel: int | None = None) -> npt.NDArray[np.float64]:
        """Return all values that a weight can have, ascending; of the widest channel where none is said."""
        if self.codebook is not None:
            return np.unique(self.codebook.cpu().double().numpy())
        low, high = code_range(self.bits, self.symmetric)
        codes = torch.tensor([-1, 0, 1] if self.symmetric and self.bits == 1 else list(range(low, high + 1)))
        place = self._place(channel)
        grid = (codes - self.zero_point[place].cpu()).float() * self.scale[place].cpu()
        found: npt.NDArray[np.float64] = grid.double().numpy()
        return found

    def _place(self, channel: int | None) -> int:
        place = (self.widest or 0) if channel is None else channel
        if not 0 <= place < max(self.n_scales, 1) and self.axis is not None:
            raise InputError(f"channel is {channel}; this weight has {self.n_scales} (0 to {self.n_scales - 1}).")
        return place if self.axis is not None else 0


def code_range(bits: int, symmetric: bool) -> tuple[int, int]:
    """Return the smallest and largest code. Symmetric at 1 bit has -1 and 1, and 0 for what was pruned."""
    if symmetric:
        most = max(1, 2 ** (bits - 1) - 1)
        return -most, most
    return 0, 2**bits - 1


def dequantize(codes: Tensor, scale: Tensor, zero_point: Tensor, axis: int | None, dtype: torch.dtype) -> Tensor:
    """Return (q - z) * s: the same bits as ``Quantized.dequantized``. scale, zero_point: (1,), or (C,) along ``axis``."""
    shape = [1] * codes.dim()
    if axis is not None:
        shape[axis] = -1
    return ((codes.float() - zero_point.float().reshape(shape)) * scale.reshape(shape)).to(dtype)


Codes = tuple[Tensor, Tensor, Tensor, Tensor]
"""Scale, zero point (shaped to multiply the weight), codes, and where none had to be clamped."""


def range_ends(
    values: Tensor, dims: tuple[int, ...], bits: int, symmetric: bool, observer: str, percentile: float, share: float = 1.0
) -> Ends | None:
    """The ends of each scale by an observer, shaped as it is."""
    if values.numel() == 0:
        return None
    kept = [d for d in range(values.dim()) if d not in dims]
    rows = values.movedim(kept[0], 0).reshape(values.shape[kept[0]], -1) if kept else values.reshape(1, -1)

    codes = torch.arange(code_range(bits, symmetric)[0], code_range(bits, symmetric)[1] + 1, device=values.device)

    def levels(low: Tensor, high: Tensor) -> Tensor:
        scale, zero = _scale(low, high, bits, symmetric)
        return (codes - zero) * scale

    shape = [values.shape[d] if d in kept else 1 for d in range(values.dim())]
    low, high = ends_of(rows, bits, symmetric, observer, percentile, levels, share)
    return low.reshape(shape), high.reshape(shape)


def even(values: Tensor, dims: tuple[int, ...], bits: int, symmetric: bool, ends: Ends | None = None) -> Codes:
    """Levels at even steps between two ends, by default the smallest and the largest weight."""
    low, high = code_range(bits, symmetric)
    if values.numel() == 0:
        one = torch.ones([1] * values.dim(), device=values.device)
        return one, torch.zeros_like(one), values, torch.ones_like(values, dtype=torch.bool)
    smallest, largest = values.amin(dims, keepdim=True), values.amax(dims, keepdim=True)
    bottom, top = (smallest.clamp(max=0), largest.clamp(min=0)) if ends is None else ends
    # A constant takes one step, so that it comes back exactly; (hi / n) * n may be off by one unit in the last place.
    constant = torch.where(smallest == largest, largest.abs(), torch.zeros_like(largest))
    scale, zero = _scale(bottom, top, bits, symmetric, constant)
    return scale, zero, *_codes(values, scale, zero, low, high)


def _scale(bottom: Tensor, top: Tensor, bits: int, symmetric: bool, constant: Tensor | None = None) -> Ends:
    """Step and zero point of a grid between two ends; the step is ``constant`` where that is not zero."""
    low, high = code_range(bits, symmetric)
    scale = torch.maximum(-bottom, top) / high if symmetric else (top - bottom) / (high - low)
    if constant is not None:
        scale = torch.where(constant != 0, constant, scale)
    scale = torch.where(torch.isfinite(1.0 / scale), scale, torch.ones_like(scale))  # all zero, or too small to divide by
    zero = torch.zeros_like(scale) if symmetric else (low - bottom / scale).round().clamp(low, high)
    return scale, zero


def _codes(values: Tensor, scale: Tensor, zero: Tensor, low: int, high: int) -> Ends:
    codes = (values * (1.0 / scale)).round_().add_(zero)
    inside = (codes >= low) & (codes <= high)
    return codes.clamp_(low, high), inside


def shifted(values: Tensor, found: Codes, bits: int, symmetric: bool, method: str) -> Codes:
    """The same grid with the next power of two for a scale. The share of the levels below zero stays."""
    scale, zero, codes, inside = found
    mantissa, exponent = torch.frexp(scale)  # mantissa in [0.5, 1)
    wider = torch.ldexp(torch.ones_like(scale), torch.where(mantissa == 0.5, exponent - 1, exponent))
    if method != "affine" or (symmetric and bits == 1):  # whose codes do not come from the scale
        return wider, zero, codes, inside
    low, high = code_range(bits, symmetric)
    return wider, zero, *_codes(values, wider, zero, low, high)


def turned(values: Tensor, found: Codes, up: Tensor, bits: int, symmetric: bool) -> Codes:
    """The same grid with the level above where ``up``, else the level below."""
    scale, zero, _, _ = found
    low, high = code_range(bits, symmetric)
    codes = (values * (1.0 / scale) + zero).floor_().add_(up)
    inside = (codes >= low) & (codes <= high)
    return scale, zero, codes.clamp_(low, high), inside


def signs(values: Tensor, dims: tuple[int, ...]) -> Codes:
    """One symmetric bit: the sign, times the mean size of those that are not zero."""
    sizes = values.abs()
    if values.numel() == 0:
        return even(values, dims, 8, True)
    count = (values != 0).sum(dims, keepdim=True)
    scale = (sizes.double().sum(dims, keepdim=True) / count.clamp(min=1)).float()
    scale = torch.where(count == 0, torch.ones_like(scale), scale)
    return scale, torch.zeros_like(scale), values.sign().add_(0.0), torch.ones_like(values, dtype=torch.bool)  # no -0


def ternary_limit(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The size up to which weights become zero, of each scale."""
    count = (values != 0).sum(dims, keepdim=True)
    return (_TERNARY * values.abs().double().sum(dims, keepdim=True) / count.clamp(min=1)).float()


def ternary(values: Tensor, dims: tuple[int, ...]) -> Codes:
    """The sign of what is larger than a share of the mean size, times the mean size of those."""
    sizes = values.abs()
    if values.numel() == 0:
        return even(values, dims, 8, True)
    above = sizes > ternary_limit(values, dims)
    kept = above.sum(dims, keepdim=True)
    scale = ((sizes.double() * above).sum(dims, keepdim=True) / kept.clamp(min=1)).float()
    scale = torch.where(kept == 0, torch.ones_like(scale), scale)
    codes = torch.where(above, values.sign(), torch.zeros_like(values))
    return scale, torch.zeros_like(scale), codes, torch.ones_like(values, dtype=torch.bool)
