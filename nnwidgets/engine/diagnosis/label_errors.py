"""Which labels are wrong, how surely, and what they should be: from answers of networks that have not seen the image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnwidgets.engine.errors import DataError, InputError

__all__ = ["SuspectLabels", "confident_errors", "confident_joint", "suspect_labels"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FOUND = 0.3  # chance from which on a label is worth a look; on planted errors precision and recall are then .84 to .97
_TEMPERATURES = np.geomspace(0.2, 3.0, 41)
_FITTED, _CHUNK, _ROUNDS = 5000, 8192, 20  # images that set a temperature; rows at a time; rounds of the deconvolution
_LEAST = 1e-12


@dataclass(frozen=True)
class SuspectLabels:
    """Labels of N images of K classes, and what speaks against them. Arrays are by image, in the order of the sample.

    Attributes:
        rows: int64 (N,) positions in the sample, the most suspect first. labels: int64 (N,) as given.
        suggested: int64 (N,) the likeliest true class (that of the label, where nothing speaks against it).
        chance: (N,) chance that the label is wrong, in [0, 1], by which ``rows`` are ranked.
        confidence: (N,) probability that the networks give to the label. margin: (N,) that, less the largest other one, in
            [-1, 1].
        found: bool (N,) where ``chance`` is at least 0.3. confusion: (K, K) share of each label (columns) among the images of a
            true class (rows), as estimated.
    """

    rows: Ints
    labels: Ints
    suggested: Ints
    chance: Floats
    confidence: Floats
    margin: Floats
    found: npt.NDArray[np.bool_]
    confusion: Floats

    @cached_property
    def precision(self) -> Floats:
        """(N,) estimated share of wrong labels among the first 1, 2, ..., N of ``rows``: the mean of their ``chance``.

        No label has to be known for sure: chances follow from probabilities out of fold, calibrated on the labels that those
        networks have not seen. On digits with planted errors it is off by .03 or less where about as many are taken as are wrong.
        """
        means: Floats = np.cumsum(self.chance[self.rows]) / np.arange(1, len(self.rows) + 1)
        return means

    @property
    def expected(self) -> float:
        """How many labels are wrong in all, as estimated: the sum of the chances."""
        return float(self.chance.sum())

    def above(self, threshold: float) -> Ints:
        """(n,) rows whose chance is at least ``threshold``, the most suspect first.

        Raises:
            InputError: not a number in [0, 1].
        """
        return self.rows[: int((self.chance >= _share("threshold", threshold)).sum())]

    def at_precision(self, least: float) -> Ints:
        """(n,) as many of the first rows as can be taken while their estimated precision is at least ``least``.

        Raises:
            InputError: not a number in [0, 1].
        """
        enough = np.flatnonzero(self.precision >= _share("least", least))
        return self.rows[: enough[-1] + 1 if len(enough) else 0]


def suspect_labels(probabilities: Any, labels: Any) -> SuspectLabels:
    """Rank labels by the chance that they are wrong.

    The confident joint (Northcutt, Jiang and Chuang 2021) gives T, how true classes become labels. Probabilities to the power
    1/t (Guo et al. 2017: the t with which they foretell the labels best) are p(i|x) of labels; the true classes behind them,
    q(j|x) with p(i|x) = sum_j q(j|x) T_ji, are found by the iteration of Richardson and Lucy. Bayes' P(j | x, label i), which is
    q(j|x) T_ji but for a factor, is one estimate. A second one has its temperature at q, so that q T foretells the labels best;
    as a rule it is too sure where the first one is too cautious, so that the mean of both is taken.

    Args:
        probabilities: (N, K) of networks that were not trained on the image, see `out_of_fold_steps`; those of a network that has
            learnt the labels by heart find nothing. labels: (N,) integers below K.

    Raises:
        DataError: another shape, values that are no probabilities, or labels that do not fit.
    """
    p, y = _checked(probabilities, labels)
    own = p.gather(1, y[:, None])[:, 0]
    others = p.scatter(1, y[:, None], -1.0).max(1).values if p.shape[1] > 1 else torch.zeros_like(own)
    joint = confident_joint(p, y).T  # true class, label
    size = joint.sum(1, keepdim=True)
    same = torch.eye(len(joint), dtype=p.dtype)
    confusion = torch.where(size > 0, joint / size.clamp_min(_LEAST), same)
    cautious = _posterior(_behind(_tempered(p, y, same), confusion), y, confusion)
    sure = _posterior(_tempered(_behind(p, confusion), y, confusion), y, confusion)
    true = (cautious + sure) / 2
    chance = (1 - true.gather(1, y[:, None])[:, 0]).clamp(0, 1)
    # Where chances are equal, the networks' own doubt decides.
    order = np.lexsort((own.numpy(), -chance.numpy()))
    return SuspectLabels(
        order.astype(np.int64), y.numpy(), true.argmax(1).numpy(), chance.numpy(), own.numpy(), (own - others).numpy(),
        (chance >= _FOUND).numpy(), confusion.numpy(),
    )  # fmt: skip


def confident_errors(probabilities: Tensor, labels: Tensor) -> Tensor:
    """(N,) bool: images whose label is contradicted with confidence (confident learning, Northcutt, Jiang and Chuang 2021).

    A class counts as likely for an image where its probability is at least the mean that images labelled so have for it.

    Args:
        probabilities: (N, K) out of fold. labels: (N,) given.
    """
    some, found = _likely(probabilities, labels)
    return some & (found != labels)


def confident_joint(probabilities: Tensor, labels: Tensor) -> Tensor:
    """(K, K) shares of all images with a label (row) and a true class (column), which add up to 1.

    Counts of images that are confidently of a class, scaled so that each label has as many images as are given
    (Northcutt, Jiang and Chuang 2021, equation 2).
    """
    k = probabilities.shape[1]
    some, found = _likely(probabilities, labels)
    counts = torch.bincount(labels[some] * k + found[some], minlength=k * k).view(k, k).to(probabilities.dtype)
    counts.diagonal().clamp_(min=1)
    given = torch.bincount(labels, minlength=k).to(counts)
    return counts / counts.sum(1, keepdim=True) * (given / given.sum())[:, None]


def _likely(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """((N,) bool whether a class is likely for an image, (N,) the likeliest of those)."""
    k = probabilities.shape[1]
    own = probabilities.gather(1, labels[:, None])[:, 0]
    counts = torch.bincount(labels, minlength=k)
    thresholds = torch.zeros(k, dtype=own.dtype).index_add_(0, labels, own) / counts.clamp_min(1)
    thresholds[counts == 0] = torch.inf
    likely = torch.where(probabilities >= thresholds, probabilities, torch.zeros_like(probabilities))
    best = likely.max(1)
    return best.values > 0, best.indices


def _tempered(p: Tensor, y: Tensor, confusion: Tensor) -> Tensor:
    """Probabilities to the power 1 / t, with the t at which they, sent through ``confusion``, foretell the labels best."""
    logs = p.clamp_min(_LEAST).log()
    some = slice(None, None, max(1, len(p) // _FITTED))
    few, wanted = logs[some], y[some, None]

    def loss(t: float) -> float:
        foretold = ((few / t).softmax(1) @ confusion).gather(1, wanted)
        return -float(foretold.clamp_min(_LEAST).log().mean())

    return (logs / min((float(t) for t in _TEMPERATURES), key=loss)).softmax(1)


def _behind(p: Tensor, confusion: Tensor) -> Tensor:
    """(N, K) probabilities of true classes behind those of labels: Richardson 1972, Lucy 1974."""
    parts = []
    for part in torch.split_with_sizes(p, [min(_CHUNK, len(p) - start) for start in range(0, len(p), _CHUNK)]):
        true = part
        for _ in range(_ROUNDS):
            true = true * ((part / (true @ confusion).clamp_min(_LEAST)) @ confusion.T)
            true = true / true.sum(1, keepdim=True).clamp_min(_LEAST)
        parts.append(true)
    return torch.cat(parts)


def _posterior(true: Tensor, y: Tensor, confusion: Tensor) -> Tensor:
    """(N, K) chance of each true class, given the image and its label; that of the label where nothing else is possible."""
    both = true * confusion[:, y].T
    whole = both.sum(1, keepdim=True)
    certain = torch.zeros_like(both).scatter_(1, y[:, None], 1.0)
    return torch.where(whole > _LEAST, both / whole.clamp_min(_LEAST), certain)


def _share(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{name}: got {value!r}, expected a number from 0 to 1, such as 0.5.")
    return float(value)


def _checked(probabilities: Any, labels: Any) -> tuple[Tensor, Tensor]:
    p, y = torch.as_tensor(probabilities).detach().cpu().double(), torch.as_tensor(labels).detach().cpu()
    if p.dim() != 2 or y.shape != p.shape[:1] or not len(p) or y.is_floating_point() or y.dtype == torch.bool:
        raise DataError(
            f"got probabilities {tuple(p.shape)} and {str(y.dtype).removeprefix('torch.')} labels {tuple(y.shape)}; "
            "expected (N, K) and N integers."
        )
    y = y.long()
    if int(y.min()) < 0 or int(y.max()) >= p.shape[1]:
        raise DataError(f"labels: got {int(y.min())} to {int(y.max())}, expected 0 to {p.shape[1] - 1}: one column a class.")
    if not bool(((p >= 0) & (p <= 1 + 1e-6)).all()) or float((p.sum(1) - 1).abs().max()) > 1e-3:
        raise DataError("probabilities: expected rows of numbers in [0, 1] that add up to 1; take the softmax of logits first.")
    return p, y
