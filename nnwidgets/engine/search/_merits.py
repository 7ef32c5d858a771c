"""What a search makes small: what a recipe would weigh, execute, take or consume."""

from __future__ import annotations

from collections.abc import Generator

from torch import nn

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.costs import energy_of, latency_of, latency_runs
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.records import Cost

__all__ = ["MERITS", "Pricing", "in_words"]

MERITS = {
    "size": ("bytes", "encoded size, of the best of dense, bitmask and CSR for each weight"),
    "macs": ("MAC", "multiply-accumulates that are executed once the network is really smaller"),
    "latency": ("ms", "measured milliseconds of the really smaller network, one image at a time"),
    "energy": ("µJ", "estimated microjoules an image where zeros are neither multiplied nor read"),
}
"""What can be made small -> (unit, meaning)."""

_SCALES = {"bytes": ("B", "kB", "MB", "GB"), "MAC": ("MAC", "kMAC", "MMAC", "GMAC")}
_RUNS, _SECONDS = 30, 0.15  # of a measured latency: passes of each network, at most so long


def in_words(merit: str, value: float) -> str:
    """A merit with its unit, three digits."""
    unit = MERITS[merit][0]
    for name in _SCALES.get(unit, (unit,))[:-1]:
        if value < 999.5:
            return f"{value:.3g} {name}"
        value /= 1000
    return f"{value:.3g} {_SCALES.get(unit, (unit,))[-1]}"


class Pricing:
    """Says what a recipe costs. Counts are asked of a plan; latency is measured, in turns with the dense network.

    Args:
        merit: of `MERITS`. plan: of the network. dense: the network as it is, which nobody else runs meanwhile; for latency.
    """

    def __init__(self, merit: str, plan: CompressionPlan, dense: nn.Module) -> None:
        self.merit, self._plan, self._dense = merit, plan, dense
        self._dense_ms: float | None = None

    @property
    def least_gain(self) -> float:
        """The share by which something has to be better to be told from chance."""
        return 0.02 if self.merit == "latency" else 0.0

    def price(self, recipe: Recipe, plan: CompressionPlan | None = None) -> Generator[None, None, tuple[float, Cost]]:
        """The merit and the counts of a recipe, in steps; ``plan`` where it is for other weights.

        Raises:
            what `cost` raises; UnsupportedError: the network cannot be made really smaller.
        """
        plan = self._plan if plan is None else plan
        yield from plan.making(recipe)
        cost = plan.figures(recipe)
        yield
        if self.merit == "size":
            return cost.bytes_encoded, cost
        if self.merit == "macs":
            return cost.macs_nonzero, cost
        if self.merit == "energy":
            return energy_of(cost, recipe).total_nonzero_uj, cost
        small = plan.materialized(recipe)
        yield
        return (yield from self._measured(small)), cost

    def _measured(self, small: nn.Module | None) -> Generator[None, None, float]:
        """Milliseconds: the dense network's, times the ratio of both as measured in turns."""
        networks = [self._dense] if small is None else [small, self._dense]
        times: list[list[float]] = [[] for _ in networks]
        shape = self._plan.trace.input_shape
        for together in zip(*(latency_runs(each, shape, runs=_RUNS) for each in networks), strict=True):
            for own, milliseconds in zip(times, together, strict=True):
                own.append(milliseconds)
            yield
            if len(times[0]) >= 5 and sum(map(sum, times)) > 1000 * _SECONDS:
                break
        medians = [latency_of(each).median_ms for each in times]
        if self._dense_ms is None:
            self._dense_ms = medians[-1]
        return self._dense_ms * medians[0] / medians[-1]
