"""What a network costs: arithmetic, bytes, time."""

from __future__ import annotations

from nnwidgets.engine.costs._arithmetic import Arithmetic, arithmetic
from nnwidgets.engine.costs._latency import latency, latency_of, latency_runs

__all__ = ["Arithmetic", "arithmetic", "latency", "latency_of", "latency_runs"]
