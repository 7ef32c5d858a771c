"""What a layer gives for all images of a sample, in batches of about 20 ms: the unit of progress and of cancellation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.evaluation._memory import half_after
from nnwidgets.engine.inspect._maps import Layouts, Reader
from nnwidgets.engine.inspect._sites import Site, as_inputs, quiet, reading, run
from nnwidgets.engine.trace import plain_copy
from nnwidgets.engine.values.split import Split

__all__ = ["Progress", "maps_over", "not_nan", "working_copy"]

T = TypeVar("T")
Reduce = Callable[[int, Tensor, str], T]

_FIRST, _LARGEST = 8, 1024  # images in a batch
_FIRST_NUMBERS = 100_000  # and numbers in the first one: eight images for a VGG16 would take 300 MB
_LARGE = 256 * 2**20  # bytes; a network beyond that is not copied


@dataclass(frozen=True)
class Progress:
    """How far a pass over a sample is.

    Attributes:
        share: of the images, in [0, 1]. text: in words.
    """

    share: float
    text: str


def working_copy(model: nn.Module) -> tuple[nn.Module, bool]:
    """A copy to work on in the background, and True; the network itself and False where it is large or cannot be copied."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))
    if size > _LARGE:
        return model, False
    try:
        return plain_copy(model), True
    except ModelError:
        return model, False


def maps_over(
    network: nn.Module,
    split: Split,
    site: Site,
    reduce: Reduce[T],
    own: bool = False,
    target_s: float = 0.02,
    layouts: Layouts | None = None,
) -> Generator[tuple[int, T], None, None]:
    """Yield (images looked at, what ``reduce`` made of a batch) until each image was seen once, in order.

    The network runs no further than the layer. It is in eval and inference mode only while a batch runs.

    Args:
        reduce: gets the position of the first image, the maps (B, C, H, W) in the network's own memory, and how their axes were
            read; whatever it keeps has to be a copy.
        own: it is the caller's own copy in eval mode, whose flags and random states need no guard. layouts: known ones.

    Raises:
        OutOfMemoryError: not even one image fits; before, the batch is halved as often as it takes. And what `as_maps` raises.
    """
    reader = Reader(network, as_inputs(network, split.inputs(slice(0, 1))), site, layouts)
    start, largest = 0, _LARGEST
    size = min(_FIRST, max(1, _FIRST_NUMBERS // math.prod(split.sample_shape)))
    while start < len(split):
        began = time.perf_counter()
        try:
            count, made = _one_batch(network, split, slice(start, start + size), site, reader, reduce, own)
        except (RuntimeError, MemoryError) as error:
            size = largest = half_after(error, min(size, len(split) - start))
            continue
        spent = time.perf_counter() - began
        start += count
        yield start, made
        # Powers of two: each new size makes the libraries below build and keep kernels for it.
        if spent < target_s / 2:
            size = min(2 * size, largest)
        elif spent > target_s and size > 1:
            size //= 2


def _one_batch(
    network: nn.Module, split: Split, part: slice, site: Site, reader: Reader, reduce: Reduce[T], own: bool
) -> tuple[int, T]:
    found: list[Any] = []
    with quiet(), reading(network, own):
        images = as_inputs(network, split.inputs(part))
        run(network, images, {site: found.append}, stop=True)
        return len(images), reduce(part.start, *reader.arranged(found[0], len(images)))


def not_nan(values: Tensor, site: Site) -> Tensor:
    """The same values.

    Raises:
        ModelError: some are NaN.
    """
    bad = int(torch.isnan(values).sum())
    if bad:
        raise ModelError(f"{site} gives NaN for {bad} of {values.numel()} units; look at the weights and at the images.")
    return values
