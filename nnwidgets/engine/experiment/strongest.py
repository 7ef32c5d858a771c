"""The nine images that make a channel fire most, ready to be shown."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.experiment.pictures import Picture, picture_of
from nnwidgets.engine.inspect import Projections, ReceptiveField, Row, TopActivations, contrast, projection_steps
from nnwidgets.engine.values.split import Split

__all__ = ["Strongest", "projection_pixels", "some_of", "some_rows", "strongest_of"]


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
    return split if len(split) <= most else split.take(some_rows(len(split), most))


def some_rows(count: int, most: int) -> Tensor:
    """(n,) at most so many of the positions of a sample, drawn with a fixed seed, in order."""
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most].sort().values


def strongest_of(
    network: nn.Module,
    field: ReceptiveField | None,
    row: Row,
    channel: int,
    found: TopActivations,
    split: Split,
    sample: str,
    names: Sequence[str],
) -> Generator[None, None, Strongest]:
    """Make the pictures of a channel's strongest images: yields after each projection, and returns them."""
    places = [
        (int(i), tuple(int(p) for p in position))
        for i, position in zip(found.images[channel], found.positions[channel], strict=True)
        if i >= 0
    ]
    pictures, boxes, projections, notes, rule = [], [], [], dict[str, None](), ""
    for index, (y, x) in places:
        picture = picture_of(split, sample, index)
        pictures.append(picture)
        height, width = picture.pixels.shape[:2]
        boxes.append((0, 0, height, width) if field is None else field.box(y, x))
        made = yield from _projected(network, picture, row, channel, (y, x))
        if made is not None:
            projections.append(made[0])
            rule = made[1]
            notes.update(dict.fromkeys(made[2]))
    whole = len(projections) == len(pictures) and bool(pictures)
    side = max((max(y1 - y0, x1 - x0) for y0, x0, y1, x1 in boxes), default=1)
    return Strongest(
        pictures=np.stack([picture.pixels for picture in pictures]),
        patches=np.stack([_cut(picture.pixels, box, side) for picture, box in zip(pictures, boxes, strict=True)]),
        projections=np.stack([_cut(pixels, box, side) for pixels, box in zip(projections, boxes, strict=True)])
        if whole
        else None,
        rule=rule,
        boxes=tuple(boxes),
        images=tuple(index for index, _ in places),
        values=tuple(float(value) for value in found.values[channel][: len(places)]),
        labels=tuple("" if picture.label is None else names[picture.label] for picture in pictures),
        field="the whole image" if field is None or field.whole else f"{field.size[0]} × {field.size[1]} pixels",
        sample=sample,
        n=len(split),
        channels=len(found.values),
        notes=tuple(notes),
    )


def _projected(
    network: nn.Module, picture: Picture, row: Row, channel: int, place: tuple[int, int]
) -> Generator[None, None, tuple[npt.NDArray[np.uint8], str, tuple[str, ...]] | None]:
    """The unit taken back to pixels by the Deconvnet rule, by the gradient where that does not fit; None where neither does."""
    known = {row.site: row.layout}
    for rule in ("deconvnet", "gradient"):
        steps = projection_steps(network, picture.inputs, row.name, channel, place, row.call, (rule,), own=True, layouts=known)
        try:
            made: Projections = yield from steps
        except UnsupportedError:
            return None
        if rule in made.found:
            found = made.found[rule]
            return projection_pixels(found.pixels[0]), found.label, found.notes
    return None


def projection_pixels(pixels: Tensor) -> npt.NDArray[np.uint8]:
    """A projection (C, H, W) as a picture, (H, W) or (H, W, 3); channels that are not colours are summed up."""
    if pixels.dim() != 3:
        pixels = pixels.reshape(1, 1, -1) if pixels.dim() == 1 else pixels[None]
    if pixels.shape[0] not in (1, 3):
        pixels = pixels.sum(0, keepdim=True)
    seen = contrast(pixels[None])[0]
    return np.ascontiguousarray(seen[..., 0] if seen.shape[-1] == 1 else seen)


def _cut(pixels: npt.NDArray[np.uint8], box: tuple[int, int, int, int], side: int) -> npt.NDArray[np.uint8]:
    """The part in a box, in the middle of a grey square of one size for all."""
    y0, x0, y1, x1 = box
    part = pixels[y0:y1, x0:x1]
    made = np.full((side, side, *pixels.shape[2:]), 128, np.uint8)
    top, left = (side - part.shape[0]) // 2, (side - part.shape[1]) // 2
    made[top : top + part.shape[0], left : left + part.shape[1]] = part
    return made
