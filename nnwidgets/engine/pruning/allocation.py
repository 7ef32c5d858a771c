"""How the removed share is spread over the layers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

__all__ = ["erdos_renyi", "tolerated"]

_LARGEST = 0.995  # of one layer, where a scan says how much it bears
_HALVINGS = 60


def erdos_renyi(shapes: Mapping[str, Sequence[int]], amount: float) -> dict[str, float]:
    """Return layer -> share removed by the Erdos-Renyi-Kernel rule (Mocanu et al. 2018; Evci et al. 2020).

    The kept share of a layer is proportional to the sum of the sizes of its axes by their product, so that small layers keep
    more; layers that would keep more than all keep all. The share of all weights together is ``amount``.
    """
    sizes = {name: _product(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items() if sizes[name]}
    kept_whole: set[str] = set()
    while True:
        left = (1 - amount) * sum(sizes[name] for name in raw) - sum(sizes[name] for name in kept_whole)
        open_layers = [name for name in raw if name not in kept_whole]
        weighted = sum(raw[name] * sizes[name] for name in open_layers)
        factor = left / weighted if weighted else 0.0
        over = [name for name in open_layers if factor * raw[name] > 1]
        if not over:
            break
        kept_whole.update(over)
    return {name: 0.0 if name in kept_whole else min(1.0, 1 - factor * raw[name]) for name in raw}


def tolerated(sizes: Mapping[str, int], drops: Mapping[str, Sequence[tuple[float, float]]], amount: float) -> dict[str, float]:
    """Return layer -> share removed so that each layer alone would lose the same accuracy, and all together ``amount``.

    Args:
        sizes: weights of each layer. drops: layer -> (share removed, accuracy lost) as a scan measured them, in any order; lost
            accuracy is taken as never falling with the share, and as rising in straight lines between the points.
    """
    curves = {name: _rising(drops[name]) for name in sizes}
    total = sum(sizes.values())

    def removed(loss: float) -> float:
        return sum(sizes[name] * _share_at(curves[name], loss) for name in sizes) / total if total else 0.0

    low, high = _between(removed, amount)
    shares = {name: _share_at(curves[name], low) for name in sizes}
    more = {name: _share_at(curves[name], high) for name in sizes}
    # Curves that lie flat jump from one share to the next: the rest is taken from there, by the same part of each jump.
    have, could = removed(low), removed(high)
    part = (amount - have) / (could - have) if could > have else 0.0
    return {name: shares[name] + part * (more[name] - shares[name]) for name in sizes}


def _product(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _rising(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """From (0, 0) on, never falling, up to the largest share at a loss that no layer can have."""
    curve = [(0.0, 0.0)]
    for share, loss in sorted(points):
        if share > 0:
            curve.append((share, max(curve[-1][1], loss)))
    if curve[-1][0] < _LARGEST:
        curve.append((_LARGEST, curve[-1][1] + 1.0))
    return curve


def _share_at(curve: Sequence[tuple[float, float]], loss: float) -> float:
    """The largest share whose loss is at most this."""
    best = 0.0
    for (share, lost), (next_share, next_lost) in itertools.pairwise(curve):
        if next_lost <= loss:
            best = next_share
        elif lost <= loss:
            return share + (next_share - share) * (loss - lost) / (next_lost - lost)
    return best


def _between(removed: Callable[[float], float], amount: float) -> tuple[float, float]:
    """Losses just below and at which the wanted share is reached."""
    low, high = -1.0, 3.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if removed(middle) < amount else (low, middle)
    return low, high
