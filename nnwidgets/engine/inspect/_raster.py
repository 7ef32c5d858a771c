"""Maps as bytes for a screen: one block of uint8 for all tiles, pooled to what a tile can show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

__all__ = ["Raster", "colours", "grid", "pooled", "sequential", "signed"]

_Bytes = npt.NDArray[np.uint8]
_FEWEST = 4  # rows or columns that a long thin map keeps: averaged into one they would tell nothing
_ASKED = 2**16  # numbers that tell where a scale ends
_NEAR = 1.5  # a side is at most so much longer, or shorter, than was wished


@dataclass(frozen=True)
class Raster:
    """Tiles of one size.

    Attributes:
        pixels: uint8 (n, h, w), or (n, h, w, 3) for colours.
        kind: "sequential" (0 = low, 255 = high), "diverging" (0 = low, 128 = zero, 255 = high), "colour" or "grey".
        low, high: what 0 and 255 stand for. ranges: (n, 2) the same for each tile, where each has a scale of its own.
        values: (h, w) float32, the exact numbers of a single tile.
        clipped: some numbers are beyond the ends, and drawn as these.

    NaN is drawn as the low end, in a diverging raster as zero; infinity as the end that it exceeds. Neither moves a scale.
    """

    pixels: _Bytes
    kind: str
    low: float
    high: float
    ranges: npt.NDArray[np.float32] | None = None
    values: npt.NDArray[np.float32] | None = None
    clipped: bool = False


def pooled(maps: Tensor, most: int | tuple[int, int]) -> Tensor:
    """(n, H, W) averaged to a smaller size; what is small enough stays as it is.

    Args:
        most: about so many pixels in each direction, within a factor of 1.5, so that means are of whole cells where that can be;
            the form is kept down to 4 pixels. Or (rows, columns), each axis by itself: no more than that.
    """
    height, width = maps.shape[-2:]
    if isinstance(most, int):
        times = _times(max(height, width), most)
        size = (_shrunk(height, times), _shrunk(width, times))
    else:
        size = (min(height, most[0]), min(width, most[1]))
    if size == (height, width):
        return maps
    cells = height // size[0], width // size[1]
    if (cells[0] * size[0], cells[1] * size[1]) == (height, width):
        return F.avg_pool2d(maps[:, None].float(), cells)[:, 0]  # the same, and five times as quick
    return F.adaptive_avg_pool2d(maps[:, None].float(), size)[:, 0]


def _times(length: int, most: int) -> int:
    """By which whole number a side is divided to be about ``most`` long: one that leaves no rest, if there is one."""
    wish = max(1.0, length / most)
    near = [times for times in range(math.ceil(wish / _NEAR), math.floor(wish * _NEAR) + 1) if length % times == 0]
    return min(near, key=lambda times: abs(times - wish), default=round(wish))


def _shrunk(length: int, times: int) -> int:
    return max(min(length, _FEWEST), round(length / times))


def sequential(
    maps: Tensor, per_tile: bool = False, low: float | None = None, of: Tensor | None = None, clip: bool = False
) -> Raster:
    """Numbers (n, h, w) from the smallest to the largest of all, or of each tile.

    Args:
        low: what 0 stands for, where it is not the smallest.
        of: (n, ...) numbers that give the scale instead, as those of two networks.
        clip: one scale for all ends where 99.5 % of the numbers do (but holds 90 % of those other than zero, where nearly all
            are zero): a few large ones do not darken all others.
    """
    maps = maps.float()
    scale = maps if of is None else of.float()
    ranges = _ranges(scale)
    bottom = float(ranges[:, 0].min()) if low is None else low
    largest = float(ranges[:, 1].max())
    top = max(min(_reach(scale), largest) if clip and not per_tile else largest, bottom)
    lows, highs = (ranges[:, 0], ranges[:, 1]) if per_tile else (torch.tensor(bottom), torch.tensor(top))
    scaled = (maps - _over(lows, maps)).div_(_over(_nonzero(highs - lows), maps)).mul_(255)
    scaled.nan_to_num_(0.0, torch.inf, -torch.inf)
    own = ranges.cpu().numpy() if per_tile else None
    return Raster(_bytes(scaled), "sequential", bottom, top, own, clipped=top < largest)


def signed(maps: Tensor, per_tile: bool = False, of: Tensor | None = None, clip: bool = False) -> Raster:
    """Numbers of both signs (n, h, w), zero in the middle, the largest magnitude of all (or of each tile) at the ends.

    Args:
        of: (n, ...) numbers that give the scale instead, as of two networks. clip: as for `sequential`, of magnitudes.
    """
    maps = maps.float()
    scale = maps if of is None else of.float()
    each = _ranges(scale).abs().amax(1)
    largest = float(each.max())
    most = _reach(scale.abs()) if clip and not per_tile else largest
    levels = _levels(maps, each if per_tile else torch.tensor(most), per_tile)
    levels.add_(levels.clamp_max(0), alpha=1 / 127)  # a byte has 128 levels below 128, and 127 above
    own = _both_ways(each) if per_tile else None
    return Raster(_bytes(levels.add_(128)), "diverging", 0.0 - most, most, own, clipped=most < largest)


def colours(maps: Tensor, per_tile: bool = False, of: Tensor | None = None) -> Raster:
    """Weights of three input channels (n, 3, h, w) as colours, zero at mid-grey; ``of``: as for `signed`."""
    maps = maps.float()
    each = _ranges(maps if of is None else of.float()).abs().amax(1)
    most = float(each.max())
    pixels = _bytes(_levels(maps, each, per_tile).add_(128)).transpose(0, 2, 3, 1).copy()
    return Raster(pixels, "colour", 0.0 - most, most, _both_ways(each) if per_tile else None)


def grid(maps: Tensor, side: int, signs: bool, per_tile: bool = False, clip: bool = False) -> Raster:
    """Feature maps (n, H, W) as tiles: zero in the middle where there are ``signs``, else from low to high."""
    small = pooled(maps, side)
    return signed(small, per_tile, clip=clip) if signs else sequential(small, per_tile, clip=clip)


def _reach(numbers: Tensor) -> float:
    """What 99.5 % of the finite numbers do not exceed, nor 90 % of those other than zero; 0.0 where there is none.

    Of many numbers some are asked, at equal steps.
    """
    flat = numbers.flatten()
    flat = flat[:: max(1, len(flat) // _ASKED)]
    fine = flat[torch.isfinite(flat)]
    told = fine[fine != 0]
    return max(_held(fine, 995), _held(told, 900)) if len(told) else 0.0


def _held(numbers: Tensor, of_1000: int) -> float:
    """The smallest of the numbers that so many of 1,000 of them do not exceed."""
    return float(numbers.kthvalue(-(-of_1000 * len(numbers) // 1000)).values)


def _ranges(maps: Tensor) -> Tensor:
    """(n, 2) smallest and largest finite number of each tile, zeros where there is none."""
    flat = maps.flatten(1)
    found = torch.stack([flat.amin(1), flat.amax(1)], 1)
    if not bool(torch.isfinite(found).all()):
        fine = torch.isfinite(flat)
        ends = [flat.masked_fill(~fine, torch.inf).amin(1), flat.masked_fill(~fine, -torch.inf).amax(1)]
        found = torch.stack(ends, 1).masked_fill(~fine.any(1, keepdim=True), 0.0)
    return found


def _levels(maps: Tensor, each: Tensor, per_tile: bool) -> Tensor:
    """The numbers as 127ths of the largest magnitude, a new tensor."""
    scale = _nonzero(each if per_tile else each.max())
    return (maps / _over(scale, maps)).mul_(127).nan_to_num_(0.0, torch.inf, -torch.inf)


def _both_ways(each: Tensor) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = torch.stack([0.0 - each, each], 1).cpu().numpy()
    return found


def _over(numbers: Tensor, maps: Tensor) -> Tensor:
    """One number for all tiles, or one for each, against (n, ...) maps."""
    return numbers if numbers.dim() == 0 else numbers.view(-1, *(1,) * (maps.dim() - 1))


def _nonzero(spans: Tensor) -> Tensor:
    return torch.where(spans > 0, spans, 1.0)


def _bytes(numbers: Tensor) -> _Bytes:
    """``numbers`` is written over."""
    found: _Bytes = numbers.round_().clamp_(0, 255).to(torch.uint8).cpu().numpy()
    return found
