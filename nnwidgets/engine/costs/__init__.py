"""What a network costs: arithmetic, bytes, time, energy."""

from __future__ import annotations

from nnwidgets.engine.costs._arithmetic import Arithmetic, arithmetic
from nnwidgets.engine.costs._energy import Energy, energy, energy_of
from nnwidgets.engine.costs._latency import latency, latency_of, latency_runs
from nnwidgets.engine.costs._sparse_crossover import sparse_crossover, sparse_crossover_steps

__all__ = [
    "Arithmetic",
    "Energy",
    "arithmetic",
    "energy",
    "energy_of",
    "latency",
    "latency_of",
    "latency_runs",
    "sparse_crossover",
    "sparse_crossover_steps",
]
