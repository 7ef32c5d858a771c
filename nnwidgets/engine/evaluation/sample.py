"""Which images are looked at where a few are enough, and how many at a time: the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from nnwidgets.engine.evaluation._memory import half_after
from nnwidgets.engine.trace import Trace
from nnwidgets.engine.values.split import Split

__all__ = ["batch_of", "batches_of", "looked_over", "sample_of"]

_MOST, _FEWEST = 512, 16  # images
_MACS = 5e10  # forward, that looking may cost: some seconds on one core, backward passes included
_A_STEP = 1e8  # multiply-accumulates of a batch: some 20 ms with its backward pass


def sample_of(split: Split, macs: int, most: int = _MOST, seed: int = 0) -> Split:
    """The images that are looked at: all of a small sample, else a draw with a fixed seed, fewer for a large network."""
    count = min(len(split), most, max(_FEWEST, int(_MACS / max(macs, 1))))
    if count == len(split):
        return split
    return split.take(torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:count].sort().values)


def batch_of(found: Trace, most: int = 64) -> int:
    """How many images take about 20 ms, at most ``most``."""
    return max(1, min(most, int(_A_STEP / max(found.macs, 1))))


def batches_of(split: Split, found: Trace, most: int = 64) -> Iterator[tuple[Tensor, Tensor | None, float]]:
    """Yield (inputs, labels, share of all images that is done once these are), as many at a time as take about 20 ms."""
    size = batch_of(found, most)
    for start in range(0, len(split), size):
        stop = min(start + size, len(split))
        labels = None if split.labels is None else split.labels[start:stop]
        yield split.inputs(slice(start, stop)), labels, stop / len(split)


def looked_over(split: Split, found: Trace, look: Callable[[Tensor], None], most: int = 64) -> Iterator[float]:
    """Hand all images to ``look``, as many at a time as take about 20 ms; yield the share that is done.

    Args:
        look: where memory runs out in it, it is called with the first half of these images, and as few from then on. What it
            remembers must then be as if it had not been called.

    Raises:
        OutOfMemoryError: not even one image fits. And whatever ``look`` raises.
    """
    size, start = batch_of(found, most), 0
    while start < len(split):
        stop = min(start + size, len(split))
        try:
            look(split.inputs(slice(start, stop)))
        except (RuntimeError, MemoryError) as error:
            size = half_after(error, stop - start)
            continue
        start = stop
        yield stop / len(split)
