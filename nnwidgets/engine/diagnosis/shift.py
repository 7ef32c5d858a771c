"""Do two samples come from one source? Three detectors, one exact answer."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nnwidgets.engine.diagnosis._features import answer_features, image_features
from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.inspect._own import own_copy
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["ShiftReport", "shift_steps", "shift_tests"]

Floats = npt.NDArray[np.float64]

_MOST = 300  # images of a sample
_ROUNDS, _AT_ONCE = 999, 100
_RIDGE = 0.3  # of the mean diagonal of a kernel
_LEAST = 10
_MOST_NUMBERS = 2**21  # in the images of a sample: 8 MB


@dataclass(frozen=True)
class ShiftReport:
    """Whether two samples come from one source.

    Attributes:
        p: by detector ("pixels", "answers" where a network is given, "classifier"), the chance of a difference as large without
            any shift. combined: the same for the most extreme of them: of pairs from one source at most 5 % have .05 or less.
        strongest: by detector, what differs most, in words. sizes: its effect, in standard deviations (of the classifier: share
            of images whose sample it guesses, each sample counting half).
        n: images of each sample that were compared. rounds: permutations; no p is below 1 / (rounds + 1).
    """

    p: Mapping[str, float]
    combined: float
    strongest: Mapping[str, str]
    sizes: Mapping[str, float]
    n: tuple[int, int]
    rounds: int


def shift_tests(
    reference: Split, other: Split, network: nn.Module | None = None, *, rounds: int = _ROUNDS, most: int = _MOST, seed: int = 0
) -> ShiftReport:
    """Compare two samples of images; labels are not looked at.

    "pixels": means and spreads of ten figures of each channel (see `image_features`) and of the pooled image; the largest of all
    standardised differences. "answers": the same for probabilities, chosen classes, entropy. "classifier": ridge regression tells
    the samples apart by all of that, the pixels, and what reaches the last layer; the share of images that it puts into the right
    one without having seen them. All p values are exact: the same figures after permuting which sample an image is of; the most
    extreme of the three is corrected by the same permutations (Westfall and Young 1993, min p).

    Args:
        reference: of S_train's source. Where a network is given it must not have been trained on it: S_val.
        other: usually S_test. network: that answers both; it is left as it is.
        rounds: permutations, at least 19. most: images of each sample, drawn with ``seed``, at least 10.

    Raises:
        DataError: fewer than 10 images in a sample, or images of different shapes. InputError: other arguments out of range.
    """
    return result_of(shift_steps(reference, other, network, rounds=rounds, most=most, seed=seed))


def shift_steps(
    reference: Split, other: Split, network: nn.Module | None = None, *, rounds: int = _ROUNDS, most: int = _MOST, seed: int = 0
) -> Generator[None, None, ShiftReport]:
    """As `shift_tests`, for a job."""
    _check(reference, other, rounds, most)
    draw = np.random.default_rng([seed, 4])
    most = min(most, max(_LEAST, _MOST_NUMBERS // math.prod(reference.sample_shape)))
    few = [split.take(draw.permutation(len(split))[:most]) for split in (reference, other)]
    n, m = (len(split) for split in few)
    images = torch.cat([split.inputs(slice(None)) for split in few])
    yield
    pixels = yield from image_features(images)
    blocks = [pixels.values, pixels.raw]
    found = {"pixels": pixels}
    if network is not None:
        answers = yield from answer_features(own_copy(network), few)
        found["answers"] = answers
        blocks += [answers.values, answers.raw]
    signs = _permutations(n, m, rounds, draw)
    statistics: dict[str, Floats] = {}
    strongest, sizes = {}, {}
    for name, features in found.items():
        statistics[name], where = yield from _largest(features.values, signs)
        strongest[name] = features.names[where % len(features.names)] + (" (spread)" if where >= len(features.names) else "")
        sizes[name] = _effect(features.values, where, n)
    statistics["classifier"] = yield from _classified(blocks, signs)
    strongest["classifier"], sizes["classifier"] = "share of images put into the right sample", float(statistics["classifier"][0])
    ranks = {name: _p_of(values) for name, values in statistics.items()}
    combined = _p_of(-np.min(list(ranks.values()), 0))
    p = {name: float(values[0]) for name, values in ranks.items()}
    return ShiftReport(p, float(combined[0]), strongest, sizes, (n, m), rounds)


def _check(reference: Split, other: Split, rounds: int, most: int) -> None:
    for name, value, low in (("rounds", rounds, 19), ("most", most, _LEAST)):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise InputError(f"{name}: got {value!r}, expected an integer of at least {low}.")
    if reference.sample_shape != other.sample_shape:
        raise DataError(f"got images of {reference.sample_shape} and {other.sample_shape}, expected one shape.")
    if min(len(reference), len(other)) < _LEAST:
        raise DataError(f"got samples of {len(reference)} and {len(other)} images, expected at least {_LEAST} in each.")


def _permutations(n: int, m: int, rounds: int, draw: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(rounds + 1, n + m) whether an image counts as one of the reference; the first row is as it is."""
    first = np.arange(n + m) < n
    return np.stack([first, *(draw.permutation(first) for _ in range(rounds))])


def _p_of(values: Floats) -> Floats:
    """(B,) share of all values that are at least as large as each."""
    ordered = np.sort(values)
    shares: Floats = (len(values) - np.searchsorted(ordered, values - 1e-9, side="left")) / len(values)
    return shares


def _largest(values: Floats, signs: npt.NDArray[np.bool_]) -> Generator[None, None, tuple[Floats, int]]:
    """((B,) largest standardised difference of a mean or a spread, in each permutation; which one it is as things are)."""
    both = np.concatenate([values, _standardised(np.abs(values))], 1)
    n = int(signs[0].sum())
    m = len(values) - n
    scale = (1 / n + 1 / m) * np.sqrt(n * m / (n + m))  # columns have mean 0 and deviation 1 over all images
    parts = []
    where = 0
    for start in range(0, len(signs), _AT_ONCE):
        differences = np.abs(signs[start : start + _AT_ONCE].astype(np.float64) @ both) * scale
        where = int(differences[0].argmax()) if start == 0 else where
        parts.append(differences.max(1))
        yield
    return np.concatenate(parts), where


def _effect(values: Floats, where: int, n: int) -> float:
    """Difference of a feature's means, other less reference, in its standard deviations."""
    d = values.shape[1]
    column = values[:, where] if where < d else _standardised(np.abs(values))[:, where - d]
    return float(column[n:].mean() - column[:n].mean())


def _standardised(values: Floats) -> Floats:
    """Columns with mean 0 and deviation 1; a constant one is 0."""
    spread = values.std(0)
    found: Floats = (values - values.mean(0)) / np.where(spread > 1e-9, spread, np.inf)
    return found


def _classified(blocks: list[Floats], signs: npt.NDArray[np.bool_]) -> Generator[None, None, Floats]:
    """(B,) share of images that ridge regression on all others puts into the right sample, each sample counting half.

    What is left out needs no new fit: with H = K (K + r)^-1 the answer to image i without it is (Hy - H_ii y)_i / (1 - H_ii)
    (Allen 1974). H does not depend on the samples, so that a permutation costs one product.
    """
    kernel = np.zeros((signs.shape[1],) * 2)
    for block in blocks:
        inner = block @ block.T
        kernel += inner / max(float(np.trace(inner)) / len(inner), 1e-12)
        yield
    kernel += 1.0  # an intercept
    kernel /= len(blocks)
    root = torch.linalg.cholesky(torch.from_numpy(kernel + _RIDGE * np.eye(len(kernel))))
    yield
    hat = np.eye(len(kernel)) - _RIDGE * torch.cholesky_inverse(root).numpy()  # K (K + r)^-1
    yield
    own = np.diag(hat)
    n = int(signs[0].sum())
    m = len(own) - n
    parts = []
    for start in range(0, len(signs), _AT_ONCE):
        mine = signs[start : start + _AT_ONCE]
        y = np.where(mine, 1 / n, -1 / m) * (n * m / (n + m)) * 2  # mean 0
        answers = (y @ hat - own * y) / (1 - own)
        right = (answers > 0) == mine
        parts.append(((right & mine).sum(1) / n + (right & ~mine).sum(1) / m) / 2)
        yield
    return np.concatenate(parts)
