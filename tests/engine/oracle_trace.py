"""Slow, obvious twins of what the trace computes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def macs_by_counting(layer: nn.Module, x: torch.Tensor) -> int:
    """Count the multiply-accumulates of a convolution or linear layer: with ones everywhere each of them adds 1 to a result.

    The padding of the layer must be 0, as zeros are multiplied without adding anything.
    """
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(0.0 if "bias" in name else 1.0)
        return int(layer(torch.ones_like(x)).sum().item())


def attention_macs(n: int, d: int) -> int:
    """Self-attention of n tokens of width d, from the four projections and the two products written out."""
    projections = 4 * n * d * d
    scores = n * n * d
    mixing = n * n * d
    return projections + scores + mixing


def everything(model: nn.Module) -> dict[str, Any]:
    """All that the fingerprint stands for, as plain copies."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        hooks = [len(vars(module)[h]) for h in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")]
        found[f"module {name}"] = (type(module), module.training, hooks)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        found[f"tensor {name}"] = (tensor.dtype, tensor.requires_grad, tensor.detach().clone().tolist())
    return found
