"""The nine images that make a channel fire most, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    pass

__all__ = ["Strongest", "some_of"]


@dataclass(frozen=True)
class Strongest:
    """The strongest images of a channel, the strongest first.

    Attributes:
        pictures: uint8 (k, h, w) or (k, h, w, 3). patches: the same, cut to the receptive field of the unit and padded with
            grey to one size. boxes: (y0, x0, y1, x1) of each patch. projections: of the unit, as ``patches``; None where no rule
            fits. rule: that was followed. images: positions in the sample. values: activations. labels: names of the classes.
        field: size of the patch in words. sample, n: where they are from, and of how many images. channels: of the layer.
    """

    pictures: npt.NDArray[np.uint8]
    patches: npt.NDArray[np.uint8]
    projections: npt.NDArray[np.uint8] | None
    rule: str
    boxes: tuple[tuple[int, int, int, int], ...]
    images: tuple[int, ...]
    values: tuple[float, ...]
    labels: tuple[str, ...]
    field: str
    sample: str
    n: int
    channels: int
    notes: tuple[str, ...] = ()


def some_of(split: Split, most: int) -> Split:
    """At most so many images of a sample, drawn with a fixed seed and kept in order."""
    if len(split) <= most:
        return split
    return split.take(torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:most].sort().values)
