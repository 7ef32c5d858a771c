"""Slow and obvious twins: one image at a time."""

from __future__ import annotations

import copy
from math import comb

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nnwidgets.engine.values.split import Split


def answers_of(model: nn.Module, split: Split) -> list[int]:
    """The class that a copy of the network gives each image, one by one."""
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        return [int(twin(split.inputs(slice(i, i + 1))).argmax()) for i in range(len(split))]


def accuracy_of(model: nn.Module, split: Split) -> float:
    """Share of right answers."""
    assert split.labels is not None
    return sum(a == b for a, b in zip(answers_of(model, split), split.labels.tolist(), strict=True)) / len(split)


def confusion_of(model: nn.Module, split: Split) -> npt.NDArray[np.int64]:
    """Counts by label (row) and answer (column)."""
    assert split.labels is not None
    table = np.zeros((3, 3), np.int64)
    for answer, label in zip(answers_of(model, split), split.labels.tolist(), strict=True):
        table[label, answer] += 1
    return table


def exact_finite_slow(right: int, n: int, total: int) -> tuple[float, float]:
    """Every possible number of right images in turn, with exact integers."""

    def chance(x: int, k: int) -> float:
        return comb(k, x) * comb(total - k, n - x) / comb(total, n) if 0 <= n - x <= total - k and x <= k else 0.0

    kept = [
        k
        for k in range(right, right + total - n + 1)
        if sum(chance(x, k) for x in range(right, n + 1)) > 0.025 and sum(chance(x, k) for x in range(right + 1)) > 0.025
    ]
    return min(kept) / total, max(kept) / total
