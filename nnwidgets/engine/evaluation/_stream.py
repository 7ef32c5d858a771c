"""Accuracy that streams: images in random order, an honest interval, exact at the end."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.evaluation._passes import passes
from nnwidgets.engine.values.intervals import exact_finite, paired_finite
from nnwidgets.engine.values.records import Estimate
from nnwidgets.engine.values.split import Split

__all__ = ["Tally", "stream", "stream_accuracy"]


class Tally:
    """Counts answers as they come.

    Attributes:
        right: (N,) bool, the answer of each image seen; seen: (N,) bool.

    Args:
        n: images in the sample; reference: (N,) bool, the images that a reference network answers right.
    """

    def __init__(self, n: int, reference: npt.NDArray[np.bool_] | None = None) -> None:
        if reference is not None and reference.shape != (n,):
            raise DataError(f"reference: got answers for {reference.shape} images, expected ({n},), one an image.")
        self.right, self.seen = np.zeros(n, bool), np.zeros(n, bool)
        self._reference = reference
        self._better = self._worse = 0

    def add(self, index: npt.NDArray[np.int64], right: npt.NDArray[np.bool_]) -> Estimate:
        """Count the answers at some positions and sum up."""
        self.right[index], self.seen[index] = right, True
        if self._reference is not None:
            before = self._reference[index]
            self._better += int((right & ~before).sum())
            self._worse += int((~right & before).sum())
        return self.estimate()

    def estimate(self) -> Estimate:
        """Accuracy as known so far."""
        n, total, right = int(self.seen.sum()), len(self.seen), int(self.right.sum())
        low, high = exact_finite(right, n, total)
        if self._reference is None:
            return Estimate(right / n, low, high, n, total)
        difference = paired_finite(self._better, self._worse, n, total)
        return Estimate(right / n, low, high, n, total, (self._better - self._worse) / n, *difference)


def stream(model: nn.Module, split: Split, tally: Tally, seed: int = 0, own: bool = False) -> Generator[Estimate, None, None]:
    """Yield an estimate after each batch of about 20 ms, the last one exact.

    ``tally`` holds the single answers; ``own`` is as in ``passes``.
    """
    if split.labels is None:
        raise DataError("got images without labels; accuracy needs Split(images, labels).")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    labels = split.labels.cpu()
    for index, logits in passes(model, split, order, own=own):
        yield tally.add(index.numpy(), (logits.argmax(1).cpu() == labels[index]).numpy())


def stream_accuracy(
    model: nn.Module,
    split: Split,
    reference: nn.Module | npt.NDArray[np.bool_] | None = None,
    half_width: float | None = 0.01,
    seed: int = 0,
) -> Iterator[Estimate]:
    """Accuracy of a network, image by image in random order, until it is exact.

    Each estimate carries a 95 % interval for the whole split (exact, from the hypergeometric distribution) that has no width
    at the end; the last estimate equals ``evaluate``.

    Args:
        reference: a network, or (N,) bool of the images it answers right: estimates then carry the paired difference to it.
        half_width: stop once the interval is this narrow each way, a share; a point by default; None goes on to the end.
        seed: of the order of the images.

    Raises:
        DataError: no labels, or a reference of another length. ModelError: the answers are not logits (B, K), or NaN.
    """
    if isinstance(reference, nn.Module):
        known = Tally(len(split))
        for _ in stream(reference, split, known):
            pass
        reference = known.right
    for estimate in stream(model, split, Tally(len(split), reference), seed):
        yield estimate
        if half_width is not None and (estimate.high - estimate.low) / 2 <= half_width:
            return
