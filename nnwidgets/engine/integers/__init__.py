"""Networks whose products are done in 8-bit integers."""

from __future__ import annotations

from nnwidgets.engine.integers._compare import Arithmetic, Arithmetics, arithmetics_steps, time_arithmetic
from nnwidgets.engine.integers._network import IntegerNetwork, chosen_engine, integer, integer_by
from nnwidgets.engine.integers.kernels import engines

__all__ = [
    "Arithmetic",
    "Arithmetics",
    "IntegerNetwork",
    "arithmetics_steps",
    "chosen_engine",
    "engines",
    "integer",
    "integer_by",
    "time_arithmetic",
]
