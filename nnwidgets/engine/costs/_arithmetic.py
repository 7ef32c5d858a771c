"""Multiply-accumulates by weight layer, from a trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nnwidgets.engine.trace import Trace

__all__ = ["Arithmetic", "arithmetic"]


@dataclass(frozen=True)
class Arithmetic:
    """Multiply-accumulates of one sample.

    Attributes:
        macs: by name of the weight layer, all its calls together; 0 for one that is never called. In order of definition.
        weights: how many weights each of these layers has.
        other_macs: those that belong to no weight (attention products, recurrent layers, other matrix products).
        params: all parameters of the network.
    """

    macs: Mapping[str, int]
    weights: Mapping[str, int]
    other_macs: int
    params: int

    @property
    def total(self) -> int:
        """All multiply-accumulates of one sample."""
        return sum(self.macs.values()) + self.other_macs

    @property
    def positions(self) -> Mapping[str, float]:
        """How often each weight of a layer is used for one sample (``Ho * Wo`` of a convolution, over all calls).

        A whole number except where parts of one tensor are used unequally often (cross attention with a packed projection): then
        the mean.
        """
        return MappingProxyType({name: macs / self.weights[name] for name, macs in self.macs.items()})

    def macs_nonzero(self, name: str, nonzero: int) -> int:
        """Return the multiply-accumulates on nonzero weights of a layer: ``macs * nonzero / weights``, exact where each weight is
        used equally often, else the mean rounded down."""
        return self.macs[name] * nonzero // self.weights[name]


def arithmetic(trace: Trace) -> Arithmetic:
    """Sum a trace by weight layer."""
    macs = {layer.name: 0 for layer in trace.layers}
    for call in trace.calls:
        for name, share in call.weights:
            macs[name] += share
    return Arithmetic(
        macs=MappingProxyType(macs),
        weights=MappingProxyType({layer.name: layer.numel for layer in trace.layers}),
        other_macs=trace.macs - sum(macs.values()),
        params=trace.params,
    )
