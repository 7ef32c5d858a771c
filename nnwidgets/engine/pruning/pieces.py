"""Scores of what is removed one by one: single weights, or kernels of convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nnwidgets.engine.pruning.criteria import CRITERIA, Importance
from nnwidgets.engine.pruning.scores import random_scores
from nnwidgets.engine.pruning.table import MagnitudeTable
from nnwidgets.engine.trace import WeightLayer

__all__ = ["Pieces", "as_amounts", "has_kernels", "in_own_scale", "kernels"]


def kernels(weight: Tensor, layer: WeightLayer) -> Tensor:
    """Return the weights of a convolution as (number of kernels, numbers in a kernel)."""
    return weight.reshape(layer.shape[0] * layer.shape[1], -1)


class Pieces:
    """Nonnegative scores by layer; the smallest go first.

    Args:
        structure: "weight", or "kernel": then only convolutions with kernels of more than one number have any.
        criterion: its name; norm: how numbers of a kernel become one under "magnitude"; seed: of "random".
        importance: what the criterion found, None for "magnitude" and "random". normalized: scores are divided by the root mean
            square of their layer.

    Attributes:
        table: of the scores, to choose by.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        layers: Mapping[str, WeightLayer],
        structure: str,
        criterion: str,
        norm: int,
        seed: int,
        importance: Importance | None,
        normalized: bool = False,
    ) -> None:
        self._layers, self._structure, self._seed = layers, structure, seed
        self._drawn = criterion == "random"
        names = [name for name, layer in layers.items() if structure == "weight" or has_kernels(layer)]
        if importance is not None:
            names = [name for name in names if name in importance.entries]
        found = {name: self._of(name, weights[name], criterion, norm, importance) for name in names}
        if normalized:
            found = {name: in_own_scale(value) for name, value in found.items()}
        if importance is not None:
            silent = {name: self._silent(name, weights[name]) for name in names}
            found = (_ranked if CRITERIA[criterion].signed else _above_zero)(found, silent)
        self.table = MagnitudeTable(found)
        self._kept = {} if self._drawn else found

    def keep(self, name: str, selected: Tensor) -> Tensor:
        """Spread flags of pieces over the weights they stand for."""
        layer = self._layers[name]
        if self._structure == "weight":
            return selected.reshape(layer.shape)
        return selected.reshape(*layer.shape[:2], *[1] * (len(layer.shape) - 2)).expand(layer.shape).contiguous()

    def scores(self, name: str) -> Tensor:
        """Return the scores of a layer, of any shape, in the order of its pieces."""
        if self._drawn:
            return random_scores(self._seed, name, self.table.sizes[name])
        return self._kept[name]

    def weights_in(self, name: str) -> int:
        """How many weights one piece of a layer stands for."""
        return self._layers[name].numel // max(1, self.table.sizes[name])

    def _silent(self, name: str, weight: Tensor) -> Tensor:
        """Pieces that are all zero already."""
        zero = weight.detach() == 0
        return zero if self._structure == "weight" else kernels(zero, self._layers[name]).all(dim=1)

    def _of(self, name: str, weight: Tensor, criterion: str, norm: int, importance: Importance | None) -> Tensor:
        layer, facts = self._layers[name], CRITERIA[criterion]
        single = self._structure == "weight"
        if self._drawn:
            return random_scores(self._seed, name, layer.numel if single else layer.shape[0] * layer.shape[1])
        entries = weight if importance is None else importance.entries[name]
        if single:
            return entries if facts.signed or importance is None else entries.abs()
        return as_amounts(kernels(entries, layer).double(), facts.total, norm, importance is None).float()


def in_own_scale(scores: Tensor) -> Tensor:
    """Divide by the root mean square of those that are finite and not zero (Molchanov et al. 2017, section 2.2)."""
    known = scores[torch.isfinite(scores) & (scores != 0)].double()
    return scores / float(known.square().mean().sqrt()) if len(known) else scores


def as_amounts(rows: Tensor, total: str, norm: int, by_size: bool) -> Tensor:
    """Return (C,) from (C, n) entries: see ``Facts.total``; ``by_size``: the entries are weights, of which amounts are taken."""
    if by_size:
        return rows.abs().mean(dim=1) if norm == 1 else rows.square().mean(dim=1).sqrt()
    if total == "mean":
        return rows.mean(dim=1)
    return rows.sum(dim=1).abs() if total == "abs_sum" else rows.sum(dim=1)


def has_kernels(layer: WeightLayer) -> bool:
    """True for convolutions whose kernels have more than one number: others would be single weights."""
    return layer.is_conv and layer.numel > layer.shape[0] * layer.shape[1]


def _above_zero(scores: Mapping[str, Tensor], silent: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is zero already goes first; what is not counts more, even if the criterion finds it to be without effect."""
    tiny = torch.finfo(torch.float32).tiny
    return {name: value.float().clamp(min=tiny).masked_fill(silent[name], 0.0) for name, value in scores.items()}


def _ranked(scores: Mapping[str, Tensor], silent: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Numbers of either sign as ranks over all layers, from 1; equal numbers get the same. What is zero already gets 0."""
    if not scores:
        return {}
    together = torch.cat([value.reshape(-1).float().cpu() for value in scores.values()])
    _, ranks = torch.unique(together, return_inverse=True)
    parts = (ranks + 1).float().split([value.numel() for value in scores.values()])
    named = zip(scores.items(), parts, strict=True)
    return {name: part.reshape(value.shape).masked_fill(silent[name].cpu(), 0.0) for (name, value), part in named}
