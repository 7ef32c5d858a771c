"""What weights are multiplied with: the inputs of every layer, seen where the arithmetic is done."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.evaluation import batches_of
from nnwidgets.engine.pruning.criteria._sample import with_gradients
from nnwidgets.engine.trace import Trace, WeightLayer, operations
from nnwidgets.engine.values.split import Split

__all__ = ["Inputs", "exact", "inputs_of", "place_of"]

_PRODUCTS = {"aten::addmm": 1, "aten::mm": 0}  # (n, in) x (in, out): the place of the first
_CONVOLUTIONS = frozenset({"aten::convolution", "aten::_convolution"})


@dataclass(eq=False)
class Inputs:
    """The inputs of one weight.

    Attributes:
        squares, amounts, nonzero: (I,) sums over images and places, for each index of the axis of inputs (of a grouped
            convolution over its groups too); count: how many numbers are in each.
    """

    squares: Tensor
    amounts: Tensor
    nonzero: Tensor
    count: int = 0

    def add(self, values: Tensor) -> None:
        """Take numbers (n, I), wherever they are."""
        values = exact(values.detach())
        self.squares += values.square().sum(0).cpu()
        self.amounts += values.abs().sum(0).cpu()
        self.nonzero += (values != 0).sum(0).cpu()
        self.count += len(values)


def exact(values: Tensor) -> Tensor:
    """In double precision, except on mps, which has none."""
    return values.float() if values.device.type == "mps" else values.double()


def inputs_of(model: nn.Module, split: Split, found: Trace) -> Generator[float, None, dict[str, Inputs]]:
    """Return layer -> its inputs over a sample, for each weight that is used as a matrix or in a convolution.

    Whatever calls it: modules, functions, attention. Weights that are cut before they are used (the packed projection of cross
    attention) are told apart by their memory, and missing where that says nothing.
    """
    network, layers, weights = with_gradients(model)
    places = {place_of(weight): layers[name] for name, weight in weights.items()}
    known: dict[str, Inputs] = {}

    def answer(op: Any, args: Any, kwargs: Any) -> Any:
        name = op._schema.name
        if name in _PRODUCTS:
            values, weight = args[_PRODUCTS[name]], args[_PRODUCTS[name] + 1]
            layer = places.get(place_of(weight)) if weight.dim() == 2 else None
            if layer is not None and tuple(weight.shape) == layer.shape[::-1]:
                _sums(known, layer).add(values)
        elif name in _CONVOLUTIONS:
            layer = places.get(place_of(args[1]))
            if layer is not None and tuple(args[1].shape) == layer.shape:
                _sums(known, layer).add(_columns(args[0], layer))
        return op(*args, **kwargs)

    for images, _, done in batches_of(split, found):
        # With gradients, though none is asked for: without, attention is done by one fused operation that shows no inputs.
        with torch.inference_mode(False), torch.enable_grad(), operations(answer):
            network(images)
        yield done
    return known


def _sums(known: dict[str, Inputs], layer: WeightLayer) -> Inputs:
    if layer.name not in known:
        width = layer.shape[1 - layer.out_axis]
        if layer.out_axis:
            width //= layer.groups
        squares, amounts, nonzero = (torch.zeros(width, dtype=torch.float64) for _ in range(3))
        known[layer.name] = Inputs(squares, amounts, nonzero)
    return known[layer.name]


def _columns(images: Tensor, layer: WeightLayer) -> Tensor:
    """(B, C, ...) as (n, I): the channels of each group below each other."""
    groups = layer.groups
    batch, channels = images.shape[:2]
    parts = images.reshape(batch, groups, channels // groups, -1)
    return parts.permute(0, 1, 3, 2).reshape(-1, channels // groups)


def place_of(tensor: Tensor) -> tuple[int, int]:
    """Where its numbers begin: views of a weight have the same."""
    return tensor.data_ptr(), tensor.numel()
