"""Choose whole filters, neurons or heads, never all of a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from nnwidgets.engine.errors import RecipeError

__all__ = ["largest_share", "select_filters"]


def select_filters(scores: Mapping[str, Tensor], amount: float | Mapping[str, float], what: str = "filters") -> dict[str, Tensor]:
    """Choose the units to keep: filters, neurons or heads.

    Args:
        scores: layer -> (C,) importance of its units (coupled layers appear once).
        amount: one share of all units together, or {layer: share} for each of the layers; round(share * N) go, the least
            important first, ties in the order of layers and then of channels.
        what: they are called in a message.

    Returns:
        Layer -> (C,) bool, True where a filter is kept.

    Raises:
        RecipeError: a layer would lose all its units; ``.largest`` is the largest share that leaves one in each.
    """
    if isinstance(amount, Mapping):
        kept = {name: _without_smallest(values, round(amount[name] * len(values))) for name, values in scores.items()}
    else:
        together = torch.cat(list(scores.values()))
        flags = _without_smallest(together, round(amount * len(together)))
        kept = dict(zip(scores, torch.split(flags, [len(values) for values in scores.values()]), strict=True))
    for name, flags in kept.items():
        if not flags.any():
            raise _nothing_left(name, scores, amount, what)
    return kept


def largest_share(scores: Mapping[str, Tensor], together: bool) -> float:
    """Return the largest share below 1 that leaves one in each layer, chosen together or in each layer alike."""
    if not together:
        return min((_share_of(len(values) - 1, len(values)) for values in scores.values()), default=math.nextafter(1.0, 0.0))
    order = torch.argsort(torch.cat(list(scores.values())), stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    # A layer is gone once its most important filter is; that filter's rank is how many can go before.
    most = min(int(ranks.max()) for ranks in torch.split(rank, [len(values) for values in scores.values()]))
    return _share_of(most, len(order))


def _nothing_left(name: str, scores: Mapping[str, Tensor], amount: float | Mapping[str, float], what: str) -> RecipeError:
    if not isinstance(amount, Mapping):
        asked, largest = amount, largest_share(scores, together=True)
    elif len(set(amount.values())) == 1:  # the same for all: so is the largest
        asked, largest = amount[name], largest_share(scores, together=False)
    else:
        asked, largest = amount[name], largest_share({name: scores[name]}, together=False)
    return RecipeError(
        f"Removing {asked:.1%} of the {what} would leave none in {name!r}, which has {len(scores[name])}. "
        f"The largest share that keeps one in each layer is {math.floor(largest * 1000) / 1000:.1%}; "
        "lower the amount, or leave this layer out with exclude.",
        largest=largest,
    )


def _share_of(count: int, total: int) -> float:
    """The largest share below 1 with round(share * total) <= count."""
    share = min((count + 0.5) / total, math.nextafter(1.0, 0.0))
    while round(share * total) > count:
        share = math.nextafter(share, 0.0)
    return share


def _without_smallest(scores: Tensor, count: int) -> Tensor:
    kept = torch.ones(len(scores), dtype=torch.bool)
    kept[torch.argsort(scores, stable=True)[:count]] = False
    return kept
