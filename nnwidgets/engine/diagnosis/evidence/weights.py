"""Weights beside those that a fresh network begins with."""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np
import torch

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.trace import weight_layers, weight_of

__all__ = ["Weights"]

_LEAST = 200  # numbers; the size of fewer tells little
_PART = 2**16  # numbers that are looked up in one step


class Weights(EvidenceTest):
    """Weights that are as at the start were hardly trained; far smaller ones were decayed; far larger ones were thrown about."""

    name = "weights"
    title = "Size of the weights"
    causes = ("learning_rate_low", "regularization_too_strong", "learning_rate_high")
    method = "root mean square of each weight / that of the same layer in a fresh network; how alike their distributions are"

    def steps(self, ctx: Context) -> Steps:
        fresh = ctx.fresh(seed=1)  # where that cannot be made, its error says what is needed
        yield
        ratios, distances = [], []
        for mine, new in zip(weight_layers(ctx.network), weight_layers(fresh), strict=False):
            a, b = (weight_of(n, layer).detach().float().flatten() for n, layer in ((ctx.network, mine), (fresh, new)))
            if a.numel() < _LEAST or a.numel() != b.numel():
                continue
            ratios.append(float(a.square().mean().sqrt() / b.square().mean().sqrt().clamp_min(1e-12)))
            yield
            distance = yield from _distance(a, b)
            distances.append(distance * math.sqrt(a.numel() / 2))
        if not ratios:
            return {}, "", {}
        smallest, largest, unlike = min(ratios), max(ratios), max(distances)
        numbers = {
            "smallest ratio": smallest,
            "largest ratio": largest,
            "largest Kolmogorov-Smirnov distance x sqrt(n / 2)": unlike,
        }
        middle = sorted(ratios)[len(ratios) // 2]
        if unlike < 1.6 and smallest > 0.9 and largest < 1.1:
            return {"learning_rate_low": 5.0}, "its weights are as those of a fresh network: they have hardly moved", numbers
        if middle < 0.35:
            text = f"its weights have shrunk to {100 * middle:.0f} % of those of a fresh network"
            return {"regularization_too_strong": 5.0}, text, numbers
        if middle > 4:
            text = f"its weights are {middle:.0f} times as large as those of a fresh network"
            return {"learning_rate_high": 3.5, "dead_units": -2.0}, text, numbers
        if smallest < 0.6:
            text = f"weights of a layer have shrunk to {100 * smallest:.0f} % of those of a fresh network"
            return {"learning_rate_low": -1.0, "regularization_too_strong": 1.5}, text, numbers
        return {"learning_rate_low": -1.0, "regularization_too_strong": -1.5}, "", numbers


def _sorted(x: torch.Tensor) -> torch.Tensor:
    """By NumPy, which is several times as fast: it makes no indices."""
    return torch.from_numpy(np.sort(x.cpu().numpy()))


def _distance(a: torch.Tensor, b: torch.Tensor) -> Generator[None, None, float]:
    """Kolmogorov-Smirnov distance of two samples of one size."""
    a = _sorted(a)
    yield
    b = _sorted(b)
    yield
    both, largest = torch.cat([a, b]), 0
    for at in range(0, len(both), _PART):
        part = both[at : at + _PART]
        apart = torch.searchsorted(a, part, right=True) - torch.searchsorted(b, part, right=True)
        largest = max(largest, int(apart.abs().max()))
        yield
    return largest / len(a)
