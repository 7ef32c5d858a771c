"""The images of a sample that a channel answers most strongly to."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.inspect._maps import Layouts
from nnwidgets.engine.inspect._over import Progress, maps_over, not_nan, working_copy
from nnwidgets.engine.inspect._receptive import Box, ReceptiveField
from nnwidgets.engine.inspect._sites import Site, site_of
from nnwidgets.engine.trace import preserved_rng
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["TopActivations", "patch", "top_activations", "top_patches", "top_steps"]


@dataclass(frozen=True)
class TopActivations:
    """The k strongest images of each channel, strongest first.

    Attributes:
        site: the layer. channels: (C,) which channels the rows are of.
        values: (C, k) largest activation of the channel in the image. images: (C, k) positions in the sample, each at most once a
            channel. positions: (C, k, 2) where on the map, (y, x).
        n: images looked at. note: how the axes of the layer were read.
    """

    site: Site
    channels: Tensor
    values: Tensor
    images: Tensor
    positions: Tensor
    n: int
    note: str = ""


def top_activations(
    model: nn.Module, split: Split, layer: str, channel: int | None = None, k: int = 9, call: int = 0
) -> TopActivations:
    """Find the images that each channel of a layer answers most strongly to (the "top 9" of Zeiler & Fergus, ECCV 2014).

    An image counts by its strongest place, the first of equals from the top left; of images that are equal the one that stands
    first in the sample is taken. Only k numbers a channel are kept.

    Args:
        model: any network; it is left as it is (one below 256 MB is copied once). split: where the network is.
        layer: name as in `layers`, also of a container or of a function between layers; "" for the answer.
        channel: one only; None for all, which costs hardly more. k: how many images, at least 1.
        call: which call of a layer that is called again.

    Raises:
        InputError: no such layer or channel, or k. ModelError: NaN. UnsupportedError: what the layer gives has no channels.
        OutOfMemoryError: not even one image fits.
    """
    steps = top_steps(model, split, layer, channel, k, call)
    with preserved_rng():
        return result_of(steps)


def top_steps(
    model: nn.Module,
    split: Split,
    layer: str,
    channel: int | None = None,
    k: int = 9,
    call: int = 0,
    layouts: Layouts | None = None,
) -> Generator[Progress, None, TopActivations]:
    """As `top_activations`, for a job: yields its progress after each batch of about 20 ms, and returns the record.

    Random states are not guarded: in a background thread that would take back what the user's own code draws meanwhile.
    Known ``layouts`` need no trace.
    """
    if not isinstance(split, Split):
        raise DataError(f"split: got {type(split).__name__}, expected Split(images).")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise InputError(f"k: got {k!r}, expected how many images of each channel, such as 9.")
    best = _Best(site_of(layer, call), channel, k)
    network, own = working_copy(model)
    for done, _ in maps_over(network, split, best.site, best.take, own, layouts=layouts):
        yield Progress(done / len(split), f"{done:,} of {len(split):,} images")
    return best.record(len(split))


class _Best:
    """The k best of each channel so far."""

    def __init__(self, site: Site, channel: object, k: int) -> None:
        self.site, self._channel, self._k = site, channel, k
        self._values, self._note, self._width, self._first = torch.zeros(0, 0), "", 1, 0
        self._images = self._places = torch.zeros((0, 0), dtype=torch.int64)

    def take(self, start: int, maps: Tensor, note: str) -> None:
        """Let the images of a batch compete: (B, C, H, W), the first of them at ``start`` in the sample."""
        chosen = maps if self._channel is None else maps[:, _checked(self._channel, maps, self.site)].unsqueeze(1)
        values, places = not_nan(chosen, self.site).flatten(2).max(2)
        if start == 0:
            self._note, self._width = note, maps.shape[3]
            self._first = 0 if self._channel is None else _checked(self._channel, maps, self.site)
            self._values, self._images, self._places = values.T[:, :0], places.T[:, :0], places.T[:, :0]
        images = torch.arange(start, start + len(maps), device=maps.device).expand(values.shape[1], -1)
        joined = torch.cat([self._values, values.T], 1)
        # Stable: of equals those that were there before stay in front, and within a batch the earlier image.
        order = joined.sort(stable=True, dim=1, descending=True).indices[:, : self._k]
        best = (torch.cat([old, new], 1).gather(1, order) for old, new in ((self._images, images), (self._places, places.T)))
        # At once: where memory runs out before, the batch comes again.
        self._values, self._images, self._places = joined.gather(1, order), *best

    def record(self, n: int) -> TopActivations:
        """What has been found; normal tensors, also where inference mode made the maps."""
        with torch.inference_mode(False):
            positions = torch.stack([self._places // self._width, self._places % self._width], 2)
            channels = torch.arange(self._first, self._first + len(self._values), device=self._values.device)
            return TopActivations(self.site, channels, self._values.clone(), self._images.clone(), positions, n, self._note)


def _checked(channel: object, maps: Tensor, site: Site) -> int:
    if isinstance(channel, bool) or not isinstance(channel, int) or not 0 <= channel < maps.shape[1]:
        raise InputError(
            f"channel: got {channel!r}, expected None or a whole number from 0 to {maps.shape[1] - 1}, the channels of {site}."
        )
    return channel


def patch(image: Tensor, box: Box) -> Tensor:
    """The part of an image within a box (y0, x0, y1, x1), in the same memory; rows and columns are its last axes."""
    y0, x0, y1, x1 = box
    return image[x0:x1] if image.dim() == 1 else image[..., y0:y1, x0:x1]


def top_patches(split: Split, top: TopActivations, field: ReceptiveField, channel: int) -> list[Tensor]:
    """What a channel saw in each of its strongest images: patches of the images as stored, (C, h, w) where they are images.

    The patch is the path of convolutions (`ReceptiveField.path`), cut off at the border, so that sizes may differ.

    Raises:
        InputError: the channel is not in ``top``.
    """
    rows = (top.channels == channel).nonzero()
    if len(rows) != 1:
        raise InputError(f"channel: got {channel!r}, expected one of those that were looked at, {top.channels.tolist()[:8]}...")
    row = int(rows[0])
    found = []
    for index, (y, x) in zip(top.images[row].tolist(), top.positions[row].tolist(), strict=True):
        split.check_file()
        found.append(patch(split.images[index], field.path(y, x)))
    return found
