"""Bits for each layer by what a scan says it bears: mixed precision."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from nnwidgets.engine.errors import InputError, ModelError
from nnwidgets.engine.trace import weight_layers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["spread_bits"]


def spread_bits(model: nn.Module, scan: pd.DataFrame, average: float) -> dict[str, int]:
    """Return {layer: bits}, at most ``average`` bits a weight, so that the accuracy lost by the layers, each alone, is smallest.

    Losses of single layers are added up, which is a guess: measure what comes out. A lost accuracy is taken as never falling
    with fewer bits. From the most bits on, the layer goes first that loses least for each bit saved (along the lower convex hull
    of each layer); what room is left is given back. Never worse, by the same guess, than the same bits for all.

    Args:
        model: that was scanned. scan: ``sensitivity_scan(model, val, bits, kind="quantization")``.
        average: bits a weight over all layers, at least the fewest that were scanned.

    Returns:
        For ``Quantization(weight_bits=...)``; all layers are there.

    Raises:
        InputError: a scan of something else, or an average below what was scanned. ModelError: no network.

    Source:
        Wang et al. 2019 (HAQ) for the aim; Shoham & Gersho 1988 for the way.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"model: got {type(model).__name__}, expected the torch.nn.Module that was scanned.")
    columns = tuple(getattr(scan, "columns", ()))
    if not {"layer", "bits", "drop"} <= set(columns):
        raise InputError(
            f"scan: got columns {', '.join(map(str, columns))[:80] or type(scan).__name__}, expected what "
            "sensitivity_scan(model, val, bits, kind='quantization') returned."
        )
    sizes = {layer.name: layer.numel for layer in weight_layers(model)}
    losses: dict[str, dict[int, float]] = {name: {} for name in sizes}
    told = zip(scan["layer"].tolist(), scan["bits"].tolist(), scan["drop"].tolist(), strict=True)
    for name, bits, drop in told:
        if name not in losses:
            raise InputError(f"scan: its layer {name!r} is not in this network: it was made for another one. Scan again.")
        losses[name][int(bits)] = float(drop)
    lacking = [name for name, found in losses.items() if not found]
    if lacking:
        raise InputError(f"scan: it says nothing of {', '.join(lacking[:5])}: it was made for another network. Scan again.")
    if isinstance(average, bool) or not isinstance(average, int | float) or not math.isfinite(average):
        raise InputError(f"average: got {average!r:.40}, expected bits a weight, such as 4 or 3.5.")
    fewest = {name: min(found) for name, found in losses.items()}
    total = sum(sizes.values())
    least = sum(sizes[name] * width for name, width in fewest.items()) / max(total, 1)
    if average < least:
        raise InputError(f"average: got {average:g} bits, the scan goes down to {least:.2f}. Scan fewer bits, or ask for more.")
    return _spread(sizes, {name: _rising(found) for name, found in losses.items()}, average * total)


Losses = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class _Step:
    """From one width of a layer to the next on its hull: the loss that is added for each bit saved, and what it saves."""

    slope: float
    layer: str
    order: int
    bits: int


def _rising(drops: Mapping[int, float]) -> dict[int, float]:
    """Losses by bits, the most first, never falling with fewer bits and never below zero."""
    found, worst = {}, 0.0
    for bits in sorted(drops, reverse=True):
        worst = max(worst, drops[bits])
        found[bits] = worst
    return found


def _hull(losses: Mapping[int, float]) -> list[int]:
    """Widths, the most first, along which the loss for each bit saved never falls."""
    kept: list[int] = []
    for bits in losses:
        while len(kept) > 1 and _slope(losses, kept[-2], kept[-1]) >= _slope(losses, kept[-1], bits):
            kept.pop()
        kept.append(bits)
    return kept


def _slope(losses: Mapping[int, float], above: int, below: int) -> float:
    return (losses[below] - losses[above]) / (above - below)


def _spread(sizes: Mapping[str, int], losses: Losses, room: float) -> dict[str, int]:
    bits = {name: next(iter(found)) for name, found in losses.items()}
    steps = []
    for name, found in losses.items():
        hull = _hull(found)
        for order, (above, below) in enumerate(itertools.pairwise(hull)):
            steps.append(_Step(_slope(found, above, below) / max(sizes[name], 1), name, order, below))
    used = _used(sizes, bits)
    for step in sorted(steps, key=lambda step: (step.slope, step.layer, step.order)):
        if used <= room:
            break
        used -= sizes[step.layer] * (bits[step.layer] - step.bits)
        bits[step.layer] = step.bits
    _give_back(sizes, losses, bits, room - used)
    alike = [_same(losses, width) for width in sorted({width for found in losses.values() for width in found})]
    fits = [way for way in (bits, *alike) if way is not None and _used(sizes, way) <= room]
    return min(fits, key=lambda way: sum(losses[name][width] for name, width in way.items()))


def _used(sizes: Mapping[str, int], bits: Mapping[str, int]) -> float:
    return float(sum(sizes[name] * width for name, width in bits.items()))


def _same(losses: Losses, width: int) -> dict[str, int] | None:
    """The same bits for all, where all have been scanned with them."""
    return dict.fromkeys(losses, width) if all(width in found for found in losses.values()) else None


def _give_back(sizes: Mapping[str, int], losses: Losses, bits: dict[str, int], left: float) -> None:
    """More bits where there is room, as long as something is gained."""
    while True:
        better: list[tuple[float, str, int, float]] = []
        for name, found in losses.items():
            for width in found:
                cost, gain = sizes[name] * (width - bits[name]), found[bits[name]] - found[width]
                if width > bits[name] and cost <= left and gain > 0:
                    better.append((gain / cost, name, width, cost))
        if not better:
            return
        _, name, width, spent = max(better)
        bits[name], left = width, left - spent
