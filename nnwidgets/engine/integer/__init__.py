"""Networks whose products are done in 8-bit integers."""

from __future__ import annotations

from nnwidgets.engine.integer._compare import Arithmetic, Arithmetics, arithmetics_steps
from nnwidgets.engine.integer._network import IntegerNetwork, integer, integer_by
from nnwidgets.engine.integer.kernels import engines

__all__ = ["Arithmetic", "Arithmetics", "IntegerNetwork", "arithmetics_steps", "engines", "integer", "integer_by"]
