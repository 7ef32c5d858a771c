"""Size and arithmetic of a network under a recipe, from the compressed tensors themselves."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from nnwidgets.engine.compression._compress import bake
from nnwidgets.engine.compression.decided import decision_for
from nnwidgets.engine.compression.files import write_packed
from nnwidgets.engine.compression.inventory import Inventory, Stored
from nnwidgets.engine.compression.knowledge import knowledge_for
from nnwidgets.engine.compression.parametrizations import is_compressed
from nnwidgets.engine.compression.weights_only import weights_compressed_by
from nnwidgets.engine.costs import arithmetic
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.trace import trace
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.records import Cost
from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cost"]


def cost(
    model: nn.Module,
    input_shape: Sequence[int],
    recipe: Recipe | None = None,
    on_disk: bool = False,
    *,
    calibration: Split | None = None,
    loss: Loss | None = None,
    sensitivity: pd.DataFrame | None = None,
) -> Cost:
    """Return size and arithmetic for one sample.

    MACs are those of convolutions, linear layers and matrix products (attention included) and agree with torch's FlopCounterMode
    on meta tensors, halved; biases, normalisation, activations and pooling are not counted. ``macs`` are executed by dense
    kernels whatever is zero; ``macs_nonzero`` leaves out those on zero weights. Weights that rounding made zero count as zero;
    biases count as they are before they are corrected.
    ``bytes_encoded`` is the size of the file that `save_packed` writes; buffers that a state dict leaves out are not stored.

    A network on the meta device has no numbers: its weights then count as not zero, and nothing but its dense cost can be told.

    Args:
        model: a plain network, or one that `compress` gave (its masks are then counted, its values as stored: 32 bits).
        input_shape: of one sample, without the batch. on_disk: write a real file to a temporary folder and measure it.
        calibration, loss, sensitivity: as of `compress`.

    Raises:
        as `trace` and `compress` do.
    """
    recipe = Recipe() if recipe is None else recipe
    model = bake(model) if is_compressed(model) else model
    if recipe.is_dense and not on_disk and any(parameter.is_meta for parameter in model.parameters()):
        return _cost_of_shapes(model, input_shape)
    decision = decision_for(model, recipe, input_shape, knowledge_for(model, recipe, calibration, loss, sensitivity))
    found = trace(model, input_shape)
    model = decision.decider.model
    inventory = Inventory(model)
    small = bake(weights_compressed_by(model, decision))
    with torch.no_grad():
        nonzero = {
            entry.layer: int(torch.count_nonzero(entry.of(small))) for entry in inventory.weights if entry.layer is not None
        }
        result = inventory.price(arithmetic(found), nonzero, inventory.other_nonzero(small, {}), decision.stored)
    if on_disk:
        with tempfile.TemporaryDirectory() as folder:
            size = write_packed(decision, Path(folder) / "network.safetensors")
        result = replace(result, bytes_on_disk=size)
    return result


def _cost_of_shapes(model: nn.Module, input_shape: Sequence[int]) -> Cost:
    """The dense cost of a network of which only the shapes are known."""
    inventory = Inventory(model)
    nonzero = {name: layer.numel for name, layer in inventory.layers.items()}
    stored = {entry.layer: Stored(8 * entry.of(model).element_size()) for entry in inventory.weights if entry.layer is not None}
    others = sum(parameter.numel() for parameter in model.parameters()) - sum(nonzero.values())
    return inventory.price(arithmetic(trace(model, input_shape)), nonzero, others, stored)
