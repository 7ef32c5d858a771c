"""Answers to the images of a sample by networks that have not seen them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from nnwidgets.engine.diagnosis._context import answers_of
from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import retold

__all__ = ["folds_of", "out_of_fold_steps", "usual_setup"]

_MOVED = 16  # least side of images, in pixels

Loss = Callable[[Tensor, Tensor], Tensor]


def out_of_fold_steps(
    fresh: Callable[[int], nn.Module],
    split: Split,
    setup: TrainingSetup | None = None,
    folds: int = 5,
    seed: int = 0,
    loss: Loss | None = None,
) -> Generator[float, None, Tensor]:
    """Train one network a fold on all other folds, and ask it about the fold: probabilities float32 (N, K).

    Yields the share that is done, after each part of a training step or batch. 5,000 digits by a LeNet-300-100 take about seven
    seconds on one core.

    Args:
        fresh: ``fresh(seed)`` makes a network with new random weights, which is trained in place.
        split: images with labels. setup: how; see `usual_setup`. folds: at least 2. seed: of the folds, weights and order.
        loss: as in `fit`.

    Raises:
        DataError: no labels, or fewer images than folds. InputError: fewer than two folds. And what `fit` raises.
    """
    if split.labels is None:
        raise DataError("got images without labels; answers out of fold need Split(images, labels).")
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
        raise InputError(f"folds: got {folds!r}, expected an integer of at least 2.")
    if len(split) < folds:
        raise DataError(f"got {len(split)} images for {folds} folds, expected at least one a fold.")
    setup = usual_setup(split) if setup is None else setup
    fold = folds_of(split.labels.cpu(), folds, seed)
    found: Tensor | None = None
    for k in range(folds):
        rest, held = (fold != k).nonzero()[:, 0], (fold == k).nonzero()[:, 0]
        network = fresh(folds * seed + k)
        run = fit(network, split.take(rest), setup=setup, loss=loss)
        done = 0
        for record in run.in_parts():
            done += record is not None
            yield (k + done / (run.steps + 1)) / folds
        network.eval()
        answers = yield from retold(answers_of(network, split.take(held)), partial(float, (k + 1) / folds))
        found = torch.zeros(len(split), answers.shape[1]) if found is None else found
        found[held] = answers.softmax(1)
    assert found is not None
    return found


def usual_setup(split: Split) -> TrainingSetup:
    """A recipe that generalises: Adam from 1e-3 down to 0 by a cosine, about 40,000 images in all, at least 4 epochs.

    Images of 16 x 16 and more are moved by up to two pixels: on digits with 10 % wrong labels that finds 5 % more of them at the
    same precision.
    """
    n, shape = len(split), split.sample_shape
    moved = "shift" if len(shape) == 3 and min(shape[1:]) >= _MOVED else None
    size = 64 if n >= 500 else 16
    return TrainingSetup(
        lr=1e-3, batch_size=size, epochs=max(4, min(60, round(40_000 / n))), schedule="cosine", augmentation=moved
    )


def folds_of(labels: Tensor, folds: int, seed: int = 0) -> Tensor:
    """int64 (N,) fold of each image, drawn within each label, so that every fold has its part of a rare one."""
    draw = np.random.default_rng([seed, 3])
    shuffled = draw.permutation(len(labels))
    order = shuffled[np.argsort(labels.numpy()[shuffled], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % folds
    return torch.from_numpy(fold)
