"""Second moments of what each layer reads: the Hessian of the squared error of its output."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.evaluation import batches_of
from nnwidgets.engine.pruning.criteria._inputs import exact, place_of
from nnwidgets.engine.pruning.criteria._sample import with_gradients
from nnwidgets.engine.trace import Trace, WeightLayer, operations
from nnwidgets.engine.values.split import Split

__all__ = ["LARGEST", "moments_of", "width_of"]

LARGEST = 1200
"""Weights that one output may have: its matrix has so many rows and columns."""

_DAMPING = 1e-2  # of the mean of the diagonal, added to it (as GPTQ and SparseGPT do)


def width_of(layer: WeightLayer) -> int:
    """How many weights one output of a layer has."""
    return layer.numel // max(1, layer.shape[layer.out_axis])


def moments_of(
    model: nn.Module, split: Split, found: Trace, most: int | None = None
) -> Generator[float, None, dict[str, Tensor]]:
    """Return layer -> (G, K, K) float64: for each group the mean of x x' over images and places, damped; K weights an output.

    Dense layers and two-dimensional convolutions that are not transposed and have at most ``LARGEST`` weights an output.

    Args:
        most: places of a layer that count, over all images; where there are more, fewer images of each batch do.
    """
    network, layers, weights = with_gradients(model)
    places = {place_of(weight): layers[name] for name, weight in weights.items() if width_of(layers[name]) <= LARGEST}
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def answer(op: Any, args: Any, kwargs: Any) -> Any:
        rows = _read(op._schema.name, args, places, None if most is None else most / len(split))
        if rows is not None:
            layer, values = rows
            values = exact(values.detach())
            product = (values.transpose(1, 2) @ values).double().cpu()
            sums[layer.name] = sums[layer.name] + product if layer.name in sums else product
            counts[layer.name] = counts.get(layer.name, 0) + values.shape[1]
        return op(*args, **kwargs)

    for images, _, done in batches_of(split, found):
        with torch.inference_mode(False), torch.enable_grad(), operations(answer):
            network(images)
        yield done
    return {name: _damped(total / counts[name]) for name, total in sums.items()}


def _read(
    name: str, args: Any, places: dict[tuple[int, int], WeightLayer], most: float | None
) -> tuple[WeightLayer, Tensor] | None:
    """The layer that an operation belongs to and what it reads, (G, n, K); about ``most`` places an image, on average."""
    if name in ("aten::addmm", "aten::mm"):
        values, weight = args[:2] if name == "aten::mm" else args[1:3]
        layer = places.get(place_of(weight)) if weight.dim() == 2 else None
        if layer is not None and tuple(weight.shape) == layer.shape[::-1]:
            return layer, values[None]
    elif name == "aten::convolution" and args[0].dim() == 4 and not args[6]:
        layer = places.get(place_of(args[1]))
        if layer is not None and tuple(args[1].shape) == layer.shape:
            stride, padding, dilation, groups = args[3], args[4], args[5], args[8]
            images = args[0].detach()
            if most is not None:
                each = math.prod(images.shape[2:]) / math.prod(stride)
                images = images[: max(1, math.ceil(len(images) * min(1.0, most / each)))]
            patches = F.unfold(images, layer.shape[2:], dilation, padding, stride)  # (B, C kh kw, places)
            parts = patches.reshape(len(patches), groups, -1, patches.shape[-1])
            return layer, parts.permute(1, 0, 3, 2).reshape(groups, -1, parts.shape[2])
    return None


def _damped(moments: Tensor) -> Tensor:
    diagonal = moments.diagonal(dim1=1, dim2=2)
    more = _DAMPING * diagonal.mean(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    return moments + torch.diag_embed(more.expand_as(diagonal))
