"""Maps as bytes for a screen: one block of uint8 for all tiles, pooled to what a tile can show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

__all__ = ["Raster", "colours", "grid", "pooled", "sequential", "signed"]

_Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Raster:
    """Tiles of one size.

    Attributes:
        pixels: uint8 (n, h, w), or (n, h, w, 3) for colours.
        kind: "sequential" (0 = low, 255 = high), "diverging" (0 = low, 128 = zero, 255 = high), "colour" or "grey".
        low, high: what 0 and 255 stand for. ranges: (n, 2) the same for each tile, where each has a scale of its own.
        values: (h, w) float32, the exact numbers of a single tile.
    """

    pixels: _Bytes
    kind: str
    low: float
    high: float
    ranges: npt.NDArray[np.float32] | None = None
    values: npt.NDArray[np.float32] | None = None


def pooled(maps: Tensor, side: int) -> Tensor:
    """(n, H, W) averaged to at most ``side`` in each direction; smaller ones stay as they are."""
    height, width = maps.shape[-2:]
    if max(height, width) <= side:
        return maps
    share = side / max(height, width)
    size = (max(1, round(height * share)), max(1, round(width * share)))
    return F.adaptive_avg_pool2d(maps[:, None].float(), size)[:, 0]


def sequential(maps: Tensor, per_tile: bool = False, low: float | None = None, high: float | None = None) -> Raster:
    """Nonnegative or mixed numbers (n, h, w) from the smallest to the largest of all, or of each tile."""
    maps = maps.float()
    ranges = torch.stack([maps.amin((1, 2)), maps.amax((1, 2))], 1) if per_tile else None
    bottom = float(maps.min()) if low is None else low
    top = float(maps.max()) if high is None else high
    if ranges is None:
        scaled = (maps - bottom) / max(top - bottom, 1e-12)
    else:
        scaled = (maps - ranges[:, 0, None, None]) / (ranges[:, 1] - ranges[:, 0]).clamp_min(1e-12)[:, None, None]
    return Raster(_bytes(255 * scaled), "sequential", bottom, top, None if ranges is None else ranges.numpy())


def signed(maps: Tensor, per_tile: bool = False, reach: float | None = None) -> Raster:
    """Numbers of both signs (n, h, w), zero in the middle, the largest magnitude of all (or of each tile) at the ends."""
    maps = maps.float()
    each = maps.abs().amax((1, 2)).clamp_min(1e-12)
    most = float(each.max()) if reach is None else reach
    scale = each[:, None, None] if per_tile else torch.tensor(max(most, 1e-12))
    ranges = torch.stack([-each, each], 1).numpy() if per_tile else None
    return Raster(_bytes(128 + 127 * maps / scale), "diverging", -most, most, ranges)


def colours(maps: Tensor, per_tile: bool = False, reach: float | None = None) -> Raster:
    """Weights of three input channels (n, 3, h, w) as colours, zero at mid-grey; ``reach``: the magnitude at the ends."""
    maps = maps.float()
    each = maps.abs().amax((1, 2, 3)).clamp_min(1e-12)
    most = float(each.max()) if reach is None else reach
    scale = each[:, None, None, None] if per_tile else torch.tensor(max(most, 1e-12))
    ranges = torch.stack([-each, each], 1).numpy() if per_tile else None
    return Raster(_bytes(128 + 127 * maps / scale).transpose(0, 2, 3, 1).copy(), "colour", -most, most, ranges)


def grid(maps: Tensor, side: int, signs: bool, per_tile: bool = False) -> Raster:
    """Feature maps (n, H, W) as tiles: zero in the middle where there are ``signs``, else from low to high."""
    small = pooled(maps, side)
    return signed(small, per_tile) if signs else sequential(small, per_tile)


def _bytes(numbers: Tensor) -> _Bytes:
    found: _Bytes = numbers.round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return found
