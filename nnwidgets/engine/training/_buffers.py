"""Buffers of a network, such as batch-norm statistics, kept and put back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Buffers", "copy_back", "saved"]

Buffers = list[tuple[Tensor, Tensor]]
"""Of a network, each with a copy."""


def saved(module: nn.Module) -> Buffers:
    """The buffers of a module as they are now."""
    return [(buffer, buffer.clone()) for buffer in module.buffers()]


def copy_back(buffers: Buffers) -> None:
    """Put the numbers back that were saved."""
    with torch.no_grad():
        for buffer, before in buffers:
            buffer.copy_(before)
