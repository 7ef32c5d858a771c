"""What rounding does to one weight tensor: what is lost, which levels are used, what its largest weight costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.quantization.affine import Quantized, code_range

__all__ = ["Followed", "RoundingReport", "rounding_of"]


@dataclass(frozen=True)
class Followed:
    """One weight, step by step.

    Attributes:
        weight: w. channel: its place along the axis of the scales. scale, zero_point: s and z of that channel.
        ratio: w / s. All three are None with a codebook c, which has none of them.
        code: q. value: w' = (q - z) s, or c[q]. clipped: w lies beyond the last level.
    """

    weight: float
    channel: int
    scale: float | None
    zero_point: int | None
    ratio: float | None
    code: int
    value: float
    clipped: bool


@dataclass(frozen=True, eq=False)
class RoundingReport:
    """What a grid does to the weights of a layer that are not zero (zeros stay zero on every grid).

    Attributes:
        quantized: the weight on the grid. weight: before, float32.
        n: how many weights are not zero. clipped: of them, beyond the last level.
        sqnr_db: 10 log10 of the power of the weights by that of the error; infinite where nothing is lost.
        codes: (K,) int64 all codes, ascending. counts: (K,) weights on each, zeros not counted.
        used: mean over the scales of the share of levels that some weight has, in (0, 1].
        low, high: (C,) smallest and largest weight of each channel. ends: (S, 2) first and last level of each scale;
            (1, 2) with a codebook.
        outlier: largest |w| by the next of its scale, for the scale where that is most: how much finer its steps would be without
            it; 1.0 where no scale has two weights. outlier_channel: where that is.
    """

    quantized: Quantized
    weight: Tensor
    n: int
    clipped: int
    sqnr_db: float
    codes: Tensor
    counts: Tensor
    used: float
    low: Tensor
    high: Tensor
    ends: Tensor
    outlier: float
    outlier_channel: int

    def levels_end(self, channel: int | None = None) -> tuple[float, float]:
        """First and last level, of the channel's scale where each has its own."""
        first, last = self.ends[0 if self.quantized.axis is None else channel or 0].tolist()
        return first, last

    def histogram(self, channel: int | None = None, bins: int = 48) -> tuple[list[float], list[int]]:
        """Weights that share a scale, zeros left out: those of the channel where each has its own.

        Returns:
            ``bins`` + 1 edges from the smallest to the largest weight (zero included), and a count between each two.
        """
        values = self.weight if self.quantized.axis is None else self.weight.movedim(self.quantized.axis, 0)[channel or 0]
        values = values[values != 0].double().cpu()
        low, high = (min(0.0, float(values.min())), max(0.0, float(values.max()))) if values.numel() else (-1.0, 1.0)
        counts = torch.histc(values, bins, low, high)
        return torch.linspace(low, high, bins + 1, dtype=torch.float64).tolist(), counts.long().tolist()

    def follow(self, share: float) -> Followed:
        """The weight at this share of the order from the smallest to the largest, zeros left out.

        Raises:
            InputError: a share outside [0, 1], or no weight that is not zero.
        """
        if not 0 <= share <= 1 or self.n == 0:
            raise InputError(f"share is {share!r} of {self.n} weights; expected 0 to 1 of at least one.")
        flat = self.weight.reshape(-1)
        places = flat.nonzero().reshape(-1)
        rank = round(share * (self.n - 1))
        place = int(places[flat[places].argsort(stable=True)[rank]])
        found, axis = self.quantized, self.quantized.axis
        channel = 0
        if axis is not None:
            inner = math.prod(self.weight.shape[axis + 1 :])
            channel = place // inner % self.weight.shape[axis]
        weight, code = float(flat[place]), int(found.values.reshape(-1)[place])
        value = float(found.dequantized.reshape(-1)[place])
        if found.codebook is not None:
            return Followed(weight, channel, None, None, None, code, value, False)
        scale, zero = float(found.scale[channel]), int(found.zero_point[channel])
        return Followed(weight, channel, scale, zero, weight / scale, code, value, not bool(found.inside.reshape(-1)[place]))


def rounding_of(weight: Tensor, quantized: Quantized, axis: int) -> RoundingReport:
    """Put together what is to be told.

    Args:
        weight: before rounding, what is removed is zero. axis: of its channels, also where one scale is for all.
    """
    with torch.no_grad():
        before = weight.detach().float()
        some = before != 0
        error = (quantized.dequantized.float() - before).double()
        power, noise = float(before.double().square().sum()), float(error.square().sum())
        low_code, high_code = code_range(quantized.bits, quantized.symmetric)
        codes = torch.arange(low_code, high_code + 1)
        if quantized.symmetric and quantized.bits == 1:
            codes = torch.tensor([-1, 0, 1])
        scales = quantized.values[None] if quantized.axis is None else quantized.values.movedim(quantized.axis, 0)
        kept = some[None] if quantized.axis is None else some.movedim(quantized.axis, 0)
        per_scale = _counted(scales.flatten(1), kept.flatten(1), codes)
        rows = before.movedim(axis, 0).flatten(1)
        sizes = (before[None] if quantized.axis is None else before.movedim(quantized.axis, 0)).flatten(1).abs()
        outlier, channel = _outlier(sizes)
        return RoundingReport(
            quantized=quantized,
            weight=before,
            n=int(some.sum()),
            clipped=int((~quantized.inside & some).sum()),
            sqnr_db=math.inf if noise == 0 else 10 * math.log10(power / noise) if power else -math.inf,
            codes=codes,
            counts=per_scale.sum(0),
            used=float((per_scale > 0).double().mean(1).mean()) if per_scale.numel() else 0.0,
            low=rows.amin(1) if rows.numel() else rows.new_zeros(len(rows)),
            high=rows.amax(1) if rows.numel() else rows.new_zeros(len(rows)),
            ends=_ends(quantized, codes),
            outlier=outlier,
            outlier_channel=channel,
        )


def _ends(quantized: Quantized, codes: Tensor) -> Tensor:
    if quantized.codebook is not None:
        return quantized.codebook[[0, -1]].cpu()[None]
    zero, scale = quantized.zero_point.long().cpu(), quantized.scale.cpu()
    return torch.stack([(codes[0] - zero) * scale, (codes[-1] - zero) * scale], dim=1)


def _counted(codes: Tensor, kept: Tensor, all_codes: Tensor) -> Tensor:
    """(S, K) how many kept weights of each scale have each code."""
    rows, many = len(codes), len(all_codes)
    place = (codes.long().cpu() - int(all_codes[0])) + many * torch.arange(rows)[:, None]
    return torch.bincount(place[kept.cpu()], minlength=rows * many).reshape(rows, many)


def _outlier(sizes: Tensor) -> tuple[float, int]:
    if sizes.shape[1] < 2:
        return 1.0, 0
    top = sizes.topk(2, dim=1).values.double()
    ratio = torch.where(top[:, 1] > 0, top[:, 0] / top[:, 1].clamp(min=1e-300), torch.ones_like(top[:, 0]))
    channel = int(ratio.argmax()) if len(ratio) else 0
    return (float(ratio[channel]), channel) if len(ratio) else (1.0, 0)
