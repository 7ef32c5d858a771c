"""Which images to look at next, and what is known after those seen so far."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.evaluation.strata import Strata
from nnwidgets.engine.values.intervals import Z95, exact_finite
from nnwidgets.engine.values.records import Estimate

__all__ = ["Tally"]

_Counts = npt.NDArray[np.int64]
_Numbers = npt.NDArray[np.float64]

_PILOT = 6  # images of each stratum before its share of right answers says where to look
_BAND = 8.0  # half right, half wrong: what a band of strata is believed to hold before an image was seen, in images
_STRATUM = 1.0  # what a stratum is believed to hold besides, in images answered like its band
_WIDER = 1.15  # for stopping where the interval happens to be narrow; see the test of coverage


class Tally:
    """Hands out the images of a sample in a random order and counts the answers.

    With strata, images are handed out where they tell most (Neyman 1934: by the size of a stratum times the spread of answers), a
    random one of the stratum each time. The spread is that of the whole margin band: were it that of the stratum's own answers,
    a stratum that looked pure by chance would not be looked at again, and what is damaged class by class would look too good. The
    interval speaks of the whole sample: were the images drawn again, it would hold the sample's accuracy in about 95 of 100
    draws. It has no width once all are seen.

    Args:
        n: images in the sample; strata: groups that are likely to be answered alike, None to draw from the whole sample.
        reference: accuracy of another network on the whole sample, to tell the difference to it.
        seed: of the order of the images.

    Attributes:
        right: (N,) bool, the answers of the images seen; seen: (N,) bool; margin: (N,) float32, NaN where none was given.
    """

    def __init__(self, n: int, strata: Strata | None = None, reference: float | None = None, seed: int = 0) -> None:
        self.right, self.seen = np.zeros(n, bool), np.zeros(n, bool)
        self.margin = np.full(n, np.nan, np.float32)
        self._reference = reference
        of = np.zeros(n, np.int64) if strata is None else strata.of
        self._of, self._band = of, np.zeros(1, np.int64) if strata is None else strata.band
        self._sizes = np.bincount(of)
        self._weights = self._sizes / n
        self._order = np.random.default_rng(seed).permutation(n)
        self._by_stratum = self._order[np.argsort(of[self._order], kind="stable")]
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
        self._drawn = np.zeros_like(self._sizes)
        self._n, self._rights = np.zeros_like(self._sizes), np.zeros_like(self._sizes)  # seen of each stratum

    @property
    def settled(self) -> bool:
        """True once each stratum was looked at often enough for the interval to be relied on when it is narrow."""
        return len(self._sizes) == 1 or bool((self._n >= np.minimum(_PILOT, self._sizes)).all())

    def draw(self, size: int) -> npt.NDArray[np.int64]:
        """Return the next positions to look at, at most ``size``; none once all were handed out."""
        size = min(size, int(self._sizes.sum() - self._drawn.sum()))
        more = self._shares(size)
        parts = [
            self._by_stratum[start + done : start + done + count]
            for start, done, count in zip(self._starts, self._drawn, more, strict=True)
            if count
        ]
        self._drawn += more
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def add(
        self, index: npt.NDArray[np.int64], right: npt.NDArray[np.bool_], margin: npt.NDArray[np.float32] | None = None
    ) -> Estimate:
        """Count the answers at some positions that were handed out, and sum up."""
        self.right[index], self.seen[index] = right, True
        if margin is not None:
            self.margin[index] = margin
        strata = self._of[index]
        self._n += np.bincount(strata, minlength=len(self._n))
        self._rights += np.bincount(strata[right], minlength=len(self._n))
        return self.estimate()

    def estimate(self) -> Estimate:
        """Accuracy as known so far; at least one image was seen."""
        n, total, right = int(self._n.sum()), len(self.seen), int(self._rights.sum())
        if n == total:
            return self._told(right / total, right / total, right / total)
        if len(self._sizes) == 1:
            return self._told(right / n, *exact_finite(right, n, total))
        believed = (self._rights + _STRATUM * self._banded()) / (self._n + _STRATUM)
        left = 1 - self._n / self._sizes
        plain = np.where(self._n > 0, self._rights / np.maximum(self._n, 1), believed)
        centre = float((self._weights * (believed * left + plain * (1 - left))).sum())
        variance = self._weights**2 * believed * (1 - believed) / (self._n + _STRATUM) * left
        half = Z95 * _WIDER * math.sqrt(float(variance.sum()))
        low, high = max(centre - half, right / total), min(centre + half, (total - n + right) / total)
        return self._told(min(max(float((self._weights * plain).sum()), low), high), low, high)

    def _told(self, accuracy: float, low: float, high: float) -> Estimate:
        n, total, reference = int(self._n.sum()), len(self.seen), self._reference
        if reference is None:
            return Estimate(accuracy, low, high, n, total)
        return Estimate(accuracy, low, high, n, total, accuracy - reference, low - reference, high - reference)

    def _banded(self) -> _Numbers:
        """(H,) share of right answers in the band of each stratum, drawn towards a half."""
        bands = int(self._band.max()) + 1
        shares = self._rights / np.maximum(self._n, 1)
        known = np.bincount(self._band, self._weights * (self._n > 0), bands)
        mean = np.bincount(self._band, self._weights * shares, bands) / np.maximum(known, 1e-12)
        n = np.bincount(self._band, self._n, bands)
        found: _Numbers = ((n * mean + _BAND / 2) / (n + _BAND))[self._band]
        return found

    def _shares(self, size: int) -> _Counts:
        """(H,) how many images of each stratum come next; ``size`` in all."""
        if len(self._sizes) == 1:
            return np.array([size], np.int64)
        if not self._drawn.any():  # the first ones are a random subset of the whole sample
            first: _Counts = np.bincount(self._of[self._order[:size]], minlength=len(self._sizes))
            return first
        more = np.zeros_like(self._sizes)
        for level in range(1, _PILOT + 1):
            lacking = np.flatnonzero(self._drawn + more < np.minimum(level, self._sizes))
            more[lacking[: size - int(more.sum())]] += 1
        left = size - int(more.sum())
        banded = self._banded()
        spread = self._weights * np.sqrt(banded * (1 - banded))
        while left > 0:
            room = self._sizes - self._drawn - more
            share = np.where(room > 0, spread, 0.0)
            have = self._drawn + more
            wanted = np.maximum(share / share.sum() * (have[room > 0].sum() + left) - have, 0.0)
            given = np.minimum(_whole(np.where(room > 0, wanted, 0.0), left), room)
            more += given
            left -= int(given.sum())
        return more


def _whole(wanted: _Numbers, total: int) -> _Counts:
    """Whole numbers in proportion to ``wanted`` that add up to ``total``."""
    exact = wanted / wanted.sum() * total
    whole: _Counts = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: total - int(whole.sum())]] += 1
    return whole
