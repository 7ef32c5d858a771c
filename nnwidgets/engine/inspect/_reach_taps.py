"""Which inputs each output of a layer with windows sees along one axis: integers (outputs, taps), also beyond the ends."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nnwidgets.engine.inspect._reach import BOXES

__all__ = ["NONE", "adaptive", "gathered", "resized", "transposed", "window"]

NONE = -(2**40)
"""Stands for no input at all."""


def window(outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Convolution and pooling: o * stride - padding + k * dilation."""
    return torch.arange(outputs)[:, None] * stride - padding + torch.arange(kernel) * dilation


def transposed(outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Transposed convolution: the i with i * stride = o + padding - k * dilation."""
    reached = torch.arange(outputs)[:, None] + padding - torch.arange(kernel) * dilation
    return (reached // stride).where(reached % stride == 0, NONE)


def adaptive(inputs: int, outputs: int) -> Tensor:
    """Adaptive pooling: from floor(o * inputs / outputs) to ceil((o + 1) * inputs / outputs), exclusive."""
    ranges = [range(o * inputs // outputs, -(-(o + 1) * inputs // outputs)) for o in range(outputs)]
    widest = max(len(each) for each in ranges)
    return torch.tensor([[*each, *[NONE] * (widest - len(each))] for each in ranges])


def resized(inputs: int, outputs: int, scale: float | None, way: str, corners: bool) -> Tensor:
    """Interpolation as torch places it: "nearest", "nearest_exact", "linear" or "cubic"; ``scale``: outputs an input."""
    step = inputs / outputs if scale is None else 1 / scale
    places = torch.arange(outputs, dtype=torch.float64)
    if way.startswith("nearest"):
        return ((places + (0.5 if way == "nearest_exact" else 0.0)) * step).floor().long().clamp(max=inputs - 1)[:, None]
    source = places * ((inputs - 1) / max(outputs - 1, 1)) if corners else (places + 0.5) * step - 0.5
    first = source.floor().long()[:, None]
    offsets = torch.tensor([0, 1] if way == "linear" else [-1, 0, 1, 2])
    seen = (offsets == 0) | (source != source.floor())[:, None]
    return (first + offsets).clamp(0, inputs - 1).where(seen, NONE)


def gathered(planes: Tensor, dim: int, inputs: int, taps: Tensor, step: float) -> Tensor:
    """The union of what each output sees along a dimension of the planes, which may be closed up along it.

    Beyond the ends nothing is added to the first box; the second one goes on as at the end.

    Args:
        step: pixels between neighbours along it, for a map that is a single place.
    """
    if planes.shape[dim] == 1 and inputs > 1:
        return planes
    known = taps[taps != NONE]
    before, after = max(0, -int(known.min())), max(0, int(known.max()) - inputs + 1)
    first, last = planes.narrow(dim, 0, 1), planes.narrow(dim, planes.shape[dim] - 1, 1)
    if planes.shape[dim] > 1:
        rise = planes.narrow(dim, 1, 1) - first, last - planes.narrow(dim, planes.shape[dim] - 2, 1)
    else:
        rise = (_single(planes, dim, step),) * 2
    parts = [_beyond(first, rise[0], dim, range(-before, 0)), planes, _beyond(last, rise[1], dim, range(1, after + 1))]
    padded = torch.cat([*parts, torch.full_like(first, -math.inf)], dim)
    places = (taps + before).where(taps != NONE, padded.shape[dim] - 1)
    made = padded.index_select(dim, places[:, 0])
    for column in places.T[1:]:
        made = torch.maximum(made, padded.index_select(dim, column))
    return made


def _single(planes: Tensor, dim: int, step: float) -> Tensor:
    """How the planes rise along a dimension of one place: the last two are rows and columns."""
    image = 1 if dim == planes.dim() - 1 else 0
    rise = torch.zeros(2 * BOXES).view(2, 2, 2)
    rise[:, 0, image], rise[:, 1, image] = -step, step
    return rise.view(2 * BOXES, *(1,) * (planes.dim() - 1)).expand_as(planes)


def _beyond(end: Tensor, rise: Tensor, dim: int, places: range) -> Tensor:
    counts = torch.tensor(list(places), dtype=end.dtype).view(-1, *(1,) * (end.dim() - 1 - dim))
    endless = (end + rise * counts).nan_to_num(nan=-math.inf, neginf=-math.inf, posinf=math.inf)
    return torch.cat([torch.full_like(endless[:BOXES], -math.inf), endless[BOXES:]])
