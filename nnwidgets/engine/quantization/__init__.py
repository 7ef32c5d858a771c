"""Few bits a weight and an activation: grids, codes and fake quantization."""

from __future__ import annotations

from nnwidgets.engine.quantization.adaptive import adapting
from nnwidgets.engine.quantization.affine import Quantized, code_range, dequantize
from nnwidgets.engine.quantization.grid import Grid, quantize
from nnwidgets.engine.quantization.inputs import (
    Bytes,
    Calibration,
    InputGrid,
    RoundInputs,
    SeenInputs,
    observing,
    round_inputs,
    rounded_inputs,
)
from nnwidgets.engine.quantization.learned_parametrization import LearnedSteps
from nnwidgets.engine.quantization.parametrization import FakeQuantize
from nnwidgets.engine.quantization.report import Followed, RoundingReport, rounding_of

__all__ = [
    "Bytes",
    "Calibration",
    "FakeQuantize",
    "Followed",
    "Grid",
    "InputGrid",
    "LearnedSteps",
    "Quantized",
    "RoundInputs",
    "RoundingReport",
    "SeenInputs",
    "adapting",
    "code_range",
    "dequantize",
    "observing",
    "quantize",
    "round_inputs",
    "rounded_inputs",
    "rounding_of",
]
