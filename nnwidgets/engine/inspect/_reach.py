"""What part of the image each value of a tensor can depend on: boxes, carried along as numbers of the same shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["BOXES", "Reach", "aligned", "closed_up", "over", "rows_and_columns", "within"]

BOXES = 4
"""How many planes a box has: -y0, -x0, y1, x1 with exclusive ends, so that the union of two boxes is their maximum."""


@dataclass(frozen=True)
class Reach:
    """Two boxes for each value of a tensor.

    Attributes:
        planes: (8, *shape) float, of size 1 along each dimension where nothing changes; -inf for what depends on no pixel. The
            first four are the box around all pixels that a value can depend on. The others are its box if the image went on for
            ever, and without what is brought to all places alike, such as a gate.
        shape: of the tensor. image: rows and columns of the image. step: pixels between neighbours, down and across; needed where
            a map is a single place.
    """

    planes: Tensor
    shape: tuple[int, ...]
    image: tuple[int, int]
    step: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of_image(cls, shape: Sequence[int]) -> Reach:
        """Each pixel sees itself; the last two axes are rows and columns (a single row, where there is one axis)."""
        rows, columns = rows_and_columns(shape[1:])
        y, x = torch.arange(rows).view(-1, 1), torch.arange(columns).view(1, -1)
        box = torch.stack([each.expand(rows, columns) for each in (-y, -x, y + 1, x + 1)]).float()
        places = (rows, columns) if len(shape) > 2 else (columns,)
        planes = torch.cat([box, box]).view(2 * BOXES, *(1,) * (len(shape) - len(places)), *places)
        return cls(planes, tuple(shape), (rows, columns))

    @classmethod
    def everywhere(cls, shape: Sequence[int], image: tuple[int, int]) -> Reach:
        """All of an image of some rows and columns, for each value."""
        box = torch.tensor([0.0, 0.0, *image] * 2)
        return cls(box.view(2 * BOXES, *(1,) * len(shape)), tuple(shape), image)

    @classmethod
    def nowhere(cls, shape: Sequence[int], image: tuple[int, int]) -> Reach:
        """A constant."""
        return cls(torch.full((2 * BOXES, *(1,) * len(shape)), -math.inf), tuple(shape), image)

    def plane(self, index: int) -> Tensor:
        """One of the numbers, for each value, without taking memory for it."""
        return self.planes[index].expand(self.shape)

    def hull(self) -> Reach:
        """A single value for all: the union of their boxes."""
        return replace(self, planes=self.planes.flatten(1).amax(1), shape=())


def rows_and_columns(input_shape: Sequence[int]) -> tuple[int, int]:
    """Of one sample: its last two axes; a single row, where there is one axis."""
    return (input_shape[-2] if len(input_shape) > 1 else 1), input_shape[-1]


def closed_up(planes: Tensor) -> Tensor:
    """The same planes, of size 1 along each dimension where nothing changes."""
    for dim in range(1, planes.dim()):
        size, first = planes.shape[dim], planes.narrow(dim, 0, min(1, planes.shape[dim]))
        if size < 2 or (planes.stride(dim) and not torch.equal(planes.narrow(dim, size - 1, 1), first)):
            continue
        if planes.stride(dim) == 0 or bool((planes == first).all()):
            planes = first
    return planes.contiguous()


def aligned(parts: Sequence[Reach], shape: Sequence[int]) -> Reach:
    """The union of tensors that are combined value by value, after broadcasting to ``shape``."""
    dims = len(shape)
    planes = [part.planes.view(2 * BOXES, *(1,) * (dims - len(part.shape)), *part.planes.shape[1:]) for part in parts]
    varied = [max(each.shape[dim + 1] for each in planes) > 1 for dim in range(dims)]
    box = _union([each[:BOXES] for each in planes])
    # What is spread along places comes from all of them: a gate. The second box leaves it out, where anything else is left.
    near = [each for each, part in zip(planes, parts, strict=True) if not _is_spread(part.shape, varied)]
    endless = _union([each[BOXES:] for each in near or planes])
    sizes = [max(a, b) for a, b in zip(box.shape[1:], endless.shape[1:], strict=True)]
    steps = max(part.step[0] for part in parts), max(part.step[1] for part in parts)
    return Reach(torch.cat([each.expand(-1, *sizes) for each in (box, endless)]), tuple(shape), parts[0].image, steps)


def _is_spread(shape: tuple[int, ...], varied: list[bool]) -> bool:
    sizes = (1,) * (len(varied) - len(shape)) + shape
    return any(size == 1 and varies for size, varies in zip(sizes, varied, strict=True))


def _union(planes: Sequence[Tensor]) -> Tensor:
    joined = planes[0]
    for each in planes[1:]:
        joined = torch.maximum(joined, each)
    return joined


def over(reach: Reach, dims: Sequence[int], *, statistics: bool = False) -> Reach:
    """Each value sees all along some dimensions; the shape stays. ``statistics``: only the first box counts that.

    Where places are joined, the second box ends with the image: they are those that there are, not those of an endless one.
    """
    if not dims:
        return reach
    joined = reach.planes.amax([dim + 1 for dim in dims], keepdim=True)
    if statistics:
        box = joined[:BOXES].expand(BOXES, *reach.planes.shape[1:])
        return replace(reach, planes=torch.cat([box, reach.planes[BOXES:]]))
    if any(reach.planes.shape[dim + 1] > 1 for dim in dims):
        joined = within(joined, reach.image)
    return replace(reach, planes=joined)


def within(planes: Tensor, image: tuple[int, int]) -> Tensor:
    """Planes whose second box does not go beyond the image."""
    limits = torch.tensor([0.0, 0.0, *image]).view(BOXES, *(1,) * (planes.dim() - 1))
    return torch.cat([planes[:BOXES], planes[BOXES:].minimum(limits)])
