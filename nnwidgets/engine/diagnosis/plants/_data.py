"""Samples of small images, drawn from the bundled digits and the procedural shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from nnwidgets.engine.values.split import Split
from nnwidgets.engine.zoo import digits, shapes

__all__ = ["CONFUSED", "Sample", "Samples", "Scale", "draw_samples", "noisy", "scale_of", "stored"]

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

CONFUSED = {"digits": ((4, 9), (3, 5)), "shapes": ((0, 1), (3, 4))}
"""Pairs of classes that look alike: 4 and 9, 3 and 5; disc and ring, stripes and dots."""
_TEST, _RESERVE = 1000, 400
_SIDE = 16  # of shapes
_CLASSES = (0, 1, 5, 7, 9)  # of shapes: those that a small network tells apart at this size


@dataclass(frozen=True)
class Sample:
    """Images uint8 (N, C, H, W) with labels (N,)."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> Sample:
        """Some of them."""
        return Sample(self.images[rows], self.labels[rows])

    def labelled(self, labels: Labels) -> Sample:
        """The same images with other labels."""
        return replace(self, labels=labels)


@dataclass(frozen=True)
class Samples:
    """S_train, S_val, S_test, and images that are held back."""

    train: Sample
    val: Sample
    test: Sample
    reserve: Sample
    names: tuple[str, ...]


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation a channel, in shares of the full range."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def draw_samples(data: str, seed: int, train: int, rare: float | None = None) -> Samples:
    """Draw without repeats: ``train`` images, a fifth as many for S_val, 1,000 for S_test, 400 that are held back.

    Args:
        data: "digits" (1 x 14 x 14: 2 x 2 pixels averaged, ten classes) or "shapes" (3 x 16 x 16, five classes).
        rare: share in S_train and S_val of each class of half of the classes; None leaves all as they come.
    """
    draw = np.random.default_rng([seed, 1])
    val = max(10, train // 5)
    used = train + val + _RESERVE
    wanted = _TEST + (2 if rare is not None else 1) * used
    everything, names = _digits(draw) if data == "digits" else _shapes(seed, wanted)
    test, rest = np.arange(_TEST), np.arange(_TEST, len(everything))
    if rare is not None:
        rest = _with_rare(everything.labels, rest, used, rare, draw)
    parts = (rest[:train], rest[train : train + val], test, rest[train + val : used])
    for_train, for_val, for_test, held = (everything.take(rows) for rows in parts)
    return Samples(for_train, for_val, for_test, held, names)


def _with_rare(
    labels: Labels, rows: npt.NDArray[np.int64], n: int, rare: float, draw: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Rows (n,) in which half of the classes, drawn at random, have the share ``rare`` each; the others share the rest."""
    classes = int(labels.max()) + 1
    few = draw.permutation(classes)[: classes // 2]
    counts = np.full(classes, (1 - len(few) * rare) / (classes - len(few)) * n)
    counts[few] = max(1.0, rare * n)
    chosen = [rows[labels[rows] == label][: math.ceil(count)] for label, count in enumerate(counts)]
    return draw.permutation(np.concatenate(chosen))


def _digits(draw: np.random.Generator) -> tuple[Sample, tuple[str, ...]]:
    """All of them, in random order."""
    parts = digits()
    images = np.concatenate([part.images.numpy() for part in parts]).reshape(-1, 1, 14, 2, 14, 2)
    labels = np.concatenate([part.labels.numpy() for part in parts if part.labels is not None])
    order = draw.permutation(len(labels))
    return Sample(images.mean((3, 5)).round().astype(np.uint8)[order], labels[order]), tuple("0123456789")


def _shapes(seed: int, n: int) -> tuple[Sample, tuple[str, ...]]:
    """At least ``n``; the first ones do not depend on ``n``."""
    found = shapes(round(2.2 * n), seed=seed, size=_SIDE)
    assert found.labels is not None and found.class_names is not None
    place = np.full(10, -1)
    place[list(_CLASSES)] = range(len(_CLASSES))
    labels = place[found.labels.numpy()]
    names = tuple(found.class_names[label] for label in _CLASSES)
    return Sample(found.images.numpy()[labels >= 0], labels[labels >= 0]), names


def noisy(sample: Sample, sigma: float, draw: np.random.Generator) -> Sample:
    """With Gaussian noise of ``sigma``, in shares of the full range, as a camera stores it: clipped and rounded."""
    noise = draw.standard_normal(sample.images.shape, dtype=np.float32) * np.float32(255 * sigma)
    return replace(sample, images=(sample.images + noise).clip(0, 255).round().astype(np.uint8))


def scale_of(sample: Sample) -> Scale:
    """What the images of a sample are normalised with."""
    shares = sample.images.astype(np.float64) / 255
    mean, std = (getattr(shares, what)((0, 2, 3)) for what in ("mean", "std"))
    return Scale(tuple(round(float(value), 4) for value in mean), tuple(round(float(value), 4) for value in std))


def stored(sample: Sample, form: str, scale: Scale, names: tuple[str, ...]) -> Split:
    """As a Split.

    Args:
        form: "bytes" (uint8 with mean and std), "floats" (normalised), "shares" (0 to 1) or "raw" (0 to 255), the latter three in
            float32.
    """
    images = torch.from_numpy(sample.images.copy())
    labels = torch.from_numpy(sample.labels.copy())
    if form == "bytes":
        return Split(images, labels, scale.mean, scale.std, names)
    values = images.float()
    if form != "raw":
        values /= 255
    if form == "floats":
        mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (scale.mean, scale.std))
        values = (values - mean) / std
    return Split(values, labels, class_names=names)
