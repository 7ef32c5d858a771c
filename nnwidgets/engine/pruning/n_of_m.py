"""N of each M neighbours along the inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from nnwidgets.engine.trace import WeightLayer

__all__ = ["fits", "keep_n_of_m", "parsed"]


def parsed(structure: str) -> tuple[int, int]:
    """Return (n, m) of "n:m"."""
    n, m = structure.split(":")
    return int(n), int(m)


def fits(layer: WeightLayer, m: int) -> bool:
    """True where the inputs of a layer (of each group, where it has several) are a multiple of m."""
    inputs = layer.shape[1 - layer.out_axis]
    return (inputs // layer.groups if layer.out_axis else inputs) % m == 0


def keep_n_of_m(scores: Tensor, layer: WeightLayer, n: int, m: int) -> Tensor:
    """Return flags of the shape of the weight: of each m neighbours along the inputs the n with the largest scores are kept.

    Of equal ones the first are kept (Zhou et al. 2021 and NVIDIA's 2:4 keep the largest amounts).
    """
    axis = 1 - layer.out_axis
    along = scores.reshape(layer.shape).movedim(axis, -1)
    parts = along.reshape(*along.shape[:-1], -1, m)
    order = torch.sort(parts, dim=-1, descending=True, stable=True).indices[..., :n]
    kept = torch.zeros(parts.shape, dtype=torch.bool, device=scores.device).scatter_(-1, order, True)
    return kept.reshape(along.shape).movedim(-1, axis).contiguous()
