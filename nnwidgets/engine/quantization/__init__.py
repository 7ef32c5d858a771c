"""Few bits a weight: grids, codes and fake quantization."""

from __future__ import annotations

from nnwidgets.engine.quantization.affine import Quantized, code_range, dequantize
from nnwidgets.engine.quantization.grid import Grid, quantize
from nnwidgets.engine.quantization.parametrization import FakeQuantize
from nnwidgets.engine.quantization.report import Followed, RoundingReport, rounding_of

__all__ = [
    "FakeQuantize",
    "Followed",
    "Grid",
    "Quantized",
    "RoundingReport",
    "code_range",
    "dequantize",
    "quantize",
    "rounding_of",
]
