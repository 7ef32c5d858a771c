"""Importance of weights and filters."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from nnwidgets.engine.trace import WeightLayer

__all__ = ["filter_matrix", "filter_scores", "filters_to_weights", "n_filters", "random_scores"]


def random_scores(seed: int, name: str, count: int) -> Tensor:
    """Return (count,) uniform float32 numbers in [0, 1) that depend on the seed and the layer's name alone."""
    key = hashlib.blake2b(f"{seed}|{name}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1)
    return torch.rand(count, generator=generator)


def n_filters(layer: WeightLayer) -> int:
    """Return the number of output channels of a convolution."""
    return layer.shape[layer.out_axis] * (layer.groups if layer.out_axis else 1)


def filter_matrix(weight: Tensor, layer: WeightLayer) -> Tensor:
    """Return the weights of a convolution as (C, n): one row for each output channel, transposed and grouped ones too."""
    if layer.out_axis == 0:
        return weight.reshape(weight.shape[0], -1)
    inputs, outputs = weight.shape[:2]
    parts = weight.reshape(layer.groups, inputs // layer.groups, outputs, -1)
    return parts.transpose(1, 2).reshape(layer.groups * outputs, -1)


def filters_to_weights(kept: Tensor, layer: WeightLayer) -> Tensor:
    """Spread (C,) flags of output channels over the weights: the inverse of `filter_matrix`, of the shape of the weight."""
    if layer.out_axis == 0:
        return kept.reshape(-1, *[1] * (len(layer.shape) - 1)).expand(layer.shape).contiguous()
    inputs, outputs = layer.shape[:2]
    parts = kept.reshape(layer.groups, 1, outputs).expand(layer.groups, inputs // layer.groups, outputs)
    return parts.reshape(inputs, outputs, *[1] * (len(layer.shape) - 2)).expand(layer.shape).contiguous()


def filter_scores(weight: Tensor, layer: WeightLayer, norm: int) -> Tensor:
    """Return the (C,) mean |w| (norm 1) or root mean square (norm 2) of each filter, float64 on the CPU.

    Means, so that filters of layers of different size can be compared (Li et al. 2017 use sums within one layer, which order
    the filters of a layer alike).
    """
    rows = filter_matrix(weight.detach(), layer).abs().double().cpu()
    return rows.mean(dim=1) if norm == 1 else rows.square().mean(dim=1).sqrt()
