"""What an ONNX file with rounded weights and inputs is made of: a network in floats, and the integers that go in their place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnwidgets.engine.compression.decision import Decision
from nnwidgets.engine.compression.weight_codes import codes_of_weights, with_norm
from nnwidgets.engine.evaluation import Prepared
from nnwidgets.engine.quantization import Bytes, round_inputs, rounded_inputs
from nnwidgets.engine.trace import unvisited_copy

__all__ = ["Part", "Rounded", "rounded_parts"]

_PROBE = 8


@dataclass(frozen=True, eq=False)
class Part:
    """One layer.

    Attributes:
        grid: of its inputs.
        codes: int8, of the shape of its weight, None where that stays in floats. steps: (O,) float32, above zero.
    """

    grid: Bytes
    codes: npt.NDArray[np.int8] | None
    steps: npt.NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class Rounded:
    """Parts by module; images, and what the simulated network answers to them."""

    parts: dict[str, Part]
    images: Tensor
    answers: Tensor


def rounded_parts(network: nn.Module, decision: Decision) -> tuple[nn.Module, Rounded]:
    """Take a compressed network with plain weights apart: the same with inputs as they are and batch-norm folded, and what is to
    be rounded in it.
    """
    split = decision.decider.knowledge.split
    assert split is not None  # activations are rounded, so there are images
    images = split.inputs(slice(0, _PROBE))
    with torch.inference_mode(False), torch.no_grad():
        answers = network.eval()(images.clone())
        grids, floats = rounded_inputs(network), unvisited_copy(network)
        round_inputs(floats, {})
        folded = Prepared(floats, split.sample_shape, images).network.to(memory_format=torch.contiguous_format)
        codes, _ = codes_of_weights(network, decision)
        names = {layer.module_name: name for name, layer in decision.decider.layers.items() if layer.parameter == "weight"}
        parts = {}
        for module, grid in grids.items():
            found = codes.get(names.get(module, ""))
            signed = steps = None
            if found is not None:
                weights = [each.get_submodule(module).get_parameter("weight").detach() for each in (floats, folded)]
                factor = with_norm(found[1], *weights)
                turned = found[0].double() * factor.sign().reshape(-1, *(1,) * (found[0].dim() - 1))
                signed = turned.to(torch.int8).numpy()
                steps = torch.where(factor == 0, torch.ones_like(factor), factor.abs()).float().numpy()
            parts[module] = Part(grid.bytes, signed, steps)
    return folded, Rounded(parts, images, answers)
