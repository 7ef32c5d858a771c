"""What a scan counts, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Counts", "Progress"]


@dataclass(frozen=True)
class Progress:
    """How far a scan is.

    Attributes:
        share: of the work, in [0, 1]. text: what is being done.
    """

    share: float
    text: str


@dataclass(frozen=True)
class Counts:
    """Right answers of one part of the images.

    Attributes:
        n: images. dense: right answers of the network as it is. right: (layers, amounts) of each candidate.
        method, note: how the candidates were run, see `Resumable`.
    """

    n: int
    dense: int
    right: npt.NDArray[np.int64]
    method: str
    note: str

    def __add__(self, other: Counts) -> Counts:
        """The counts of both parts; where they were run in two ways, both are named."""
        same = other.method == self.method
        method = self.method if same else f"{self.method}, {other.method}"
        note = self.note if same else f"{self.note} {other.note}"
        return Counts(self.n + other.n, self.dense + other.dense, self.right + other.right, method, note)
