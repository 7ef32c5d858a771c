"""Scores of what is removed as a whole: channels, neurons and heads, with all that is coupled to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from nnwidgets.engine.pruning.channels import Bundle, Member
from nnwidgets.engine.pruning.criteria import CRITERIA, Importance
from nnwidgets.engine.pruning.scores import random_scores

__all__ = ["unit_scores"]


def unit_scores(
    model: nn.Module,
    bundles: Iterable[Bundle],
    names: Mapping[tuple[str, str], str],
    criterion: str,
    norm: int,
    seed: int,
    importance: Importance | None,
) -> dict[str, Tensor]:
    """Return bundle -> (n,) float64 importance of its units; bundles that the criterion says nothing of are left out.

    Args:
        names: (module, parameter) -> name of the weight layer. importance: None for criteria of the weights alone.
    """
    found: dict[str, Tensor] = {}
    for bundle in bundles:
        if criterion == "random":
            found[bundle.name] = random_scores(seed, bundle.name, bundle.n).double()
            continue
        parts = list(_parts(model, bundle, names, criterion, importance))
        if not parts:
            continue
        facts = CRITERIA[criterion]
        if importance is not None and facts.gate:
            found[bundle.name] = _gated(parts, bundle.n, importance, facts.gate)
        else:
            found[bundle.name] = _total(parts, bundle.n, facts.total, norm, importance is None)
        if importance is not None:  # what is removed already goes first
            sizes = _total(list(_parts(model, bundle, names, "magnitude", None)), bundle.n, "mean", 1, True)
            found[bundle.name][sizes == 0] = -torch.inf
    return found


_Part = tuple[Member, Tensor]
"""A member with (L, k) numbers, a row for each index along its axis."""


def _parts(
    model: nn.Module, bundle: Bundle, names: Mapping[tuple[str, str], str], criterion: str, importance: Importance | None
) -> Iterator[_Part]:
    side = CRITERIA[criterion].side
    for member in bundle.members:
        if member.role != side:
            continue
        if side == "norm":
            module = model.get_submodule(member.module_name)
            if member.attribute == "weight" and "BatchNorm" in type(module).__name__:
                yield member, module._parameters["weight"].detach().reshape(-1, 1)  # type: ignore[union-attr]
            continue
        name = names.get((member.module_name, member.attribute))
        if name is None:
            continue
        if importance is None:
            weight = model.get_submodule(member.module_name)._parameters[member.attribute]
            assert weight is not None
            yield member, weight.detach().movedim(member.axis, 0).reshape(weight.shape[member.axis], -1)
        elif name in importance.entries:
            entries = importance.entries[name]
            axis = 0 if entries.dim() == 1 else member.axis
            yield member, entries.movedim(axis, 0).reshape(entries.shape[axis], -1)


def _total(parts: list[_Part], n: int, total: str, norm: int, by_size: bool) -> Tensor:
    sums, counts = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for member, rows in parts:
        values = rows.detach().double().cpu()
        if by_size:
            values = values.abs() if norm == 1 else values.square()
        index = torch.from_numpy(member.index).long()
        own = index >= 0
        sums.index_add_(0, index[own], values.sum(dim=1)[own])
        counts.index_add_(0, index[own], torch.full((int(own.sum()),), float(values.shape[1]), dtype=torch.float64))
    if by_size or total == "mean":
        means = sums / counts.clamp(min=1)
        return means.sqrt() if by_size and norm == 2 else means
    return sums.abs() if total == "abs_sum" else sums


def _gated(parts: list[_Part], n: int, importance: Importance, gate: str) -> Tensor:
    """Slopes of single images are added up over all that reads a unit before their amounts are taken."""
    sums = torch.zeros(importance.n_images, n, dtype=torch.float64)
    for member, _ in parts:
        index = torch.from_numpy(member.index).long()
        own = index >= 0
        sums.index_add_(1, index[own], importance.slopes[member.layer].double().cpu()[:, own])
    return sums.abs().mean(dim=0) if gate == "abs" else sums.square().mean(dim=0) / 2
