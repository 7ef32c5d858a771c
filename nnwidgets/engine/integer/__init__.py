"""Networks whose products are done in 8-bit integers."""

from __future__ import annotations

from nnwidgets.engine.integer._network import IntegerNetwork, integer
from nnwidgets.engine.integer.kernels import engines

__all__ = ["IntegerNetwork", "engines", "integer"]
