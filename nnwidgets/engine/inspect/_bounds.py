"""Layers whose outputs have bounds, at which a unit is saturated: its gradient is zero or nearly so."""

from __future__ import annotations

import math

from torch import nn

__all__ = ["Bounds", "bounds_of"]

Bounds = tuple[float, float]
"""At or below the first, and at or above the second, a unit is saturated."""

_NEAR = 0.01  # of the distance between the bounds
_FUNCTIONS = {"sigmoid": (0.0, 1.0), "hardsigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu6": (0.0, 6.0)}
_CLIPPED = ("relu6",)


def bounds_of(module: nn.Module | None, kind: str) -> Bounds | None:
    """Within 1 % of a bound of ReLU6, hardtanh, sigmoid, hardsigmoid or tanh, as a layer or a function; None for anything else.

    Where ReLU6 and hardtanh end at 0, zero is off and not saturated. A function hardtanh does not tell its bounds: None.
    """
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return _near(float(module.min_val), float(module.max_val), clipped=True)
    if module is None:
        return _near(*_FUNCTIONS[kind], clipped=kind in _CLIPPED) if kind in _FUNCTIONS else None
    if isinstance(module, nn.Tanh):
        return _near(-1.0, 1.0)
    return _near(0.0, 1.0) if isinstance(module, nn.Sigmoid | nn.Hardsigmoid) else None


def _near(low: float, high: float, clipped: bool = False) -> Bounds:
    near = _NEAR * (high - low)
    return -math.inf if clipped and low == 0 else low + near, high - near
