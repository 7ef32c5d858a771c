"""Groups of images that a network is likely to answer alike: label x margin of a network whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.errors import DataError

__all__ = ["Strata", "strata_of"]

_EDGES = (0.1, 0.3)  # shares of a label's images, by margin, where the bands end
_WORTH = 0.5
_MOST, _SMALLEST = 60, 20  # strata, and images a stratum on average


@dataclass(frozen=True)
class Strata:
    """A partition of a sample.

    Attributes:
        of: (N,) the stratum of each image; band: (H,) the margin band of each stratum, 0 for the smallest margins.
    """

    of: npt.NDArray[np.int64]
    band: npt.NDArray[np.int64]


def strata_of(labels: npt.NDArray[np.int64], margin: npt.NDArray[np.float32]) -> Strata | None:
    """Split a sample by label and, within a label, by margin: the lowest tenth, the next fifth, the rest.

    Where that would be more than 60 strata, or fewer than 20 images a stratum, labels of similar mean margin share theirs. None
    where the network answers fewer than half of the images right: its margins tell too little of another network.

    Args:
        labels: (N,). margin: (N,) logit of the label minus the best other, of a network whose answers are all known.

    Raises:
        DataError: the two differ in length.
    """
    if margin.shape != labels.shape:
        raise DataError(f"reference: got answers for {margin.shape} images, expected {labels.shape}, one an image.")
    if (margin > 0).mean() < _WORTH:
        return None
    bands = len(_EDGES) + 1
    group = _groups(labels, margin, max(1, min(_MOST, len(labels) // _SMALLEST) // bands))
    of = np.zeros(len(labels), np.int64)
    band: list[int] = []
    for members in (np.flatnonzero(group == number) for number in range(int(group.max()) + 1)):
        order = members[np.argsort(margin[members], kind="stable")]
        edges = [0, *(round(edge * len(order)) for edge in _EDGES), len(order)]
        for number in range(bands):
            if edges[number + 1] > edges[number]:
                of[order[edges[number] : edges[number + 1]]] = len(band)
                band.append(number)
    return Strata(of, np.array(band))


def _groups(labels: npt.NDArray[np.int64], margin: npt.NDArray[np.float32], most: int) -> npt.NDArray[np.int64]:
    """(N,) the group of labels of each image: neighbours by mean margin, at most ``most`` groups of about equal size."""
    counts = np.bincount(labels)
    present = np.flatnonzero(counts)
    mean = np.bincount(labels, weights=margin)[present] / counts[present]
    ranked = present[np.argsort(mean, kind="stable")]
    if len(present) <= most:
        number_of = np.arange(len(present))
    else:
        middle = np.cumsum(counts[ranked]) - counts[ranked] / 2
        number_of = np.minimum((middle * most / len(labels)).astype(np.int64), most - 1)
        number_of = np.unique(number_of, return_inverse=True)[1]  # a very large class may leave a group empty
    of_label = np.zeros(len(counts), np.int64)
    of_label[ranked] = number_of
    return of_label[labels]
