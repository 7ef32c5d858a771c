"""The codes and steps of rounded weights of a network that is really smaller, for whoever stores or multiplies integers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression._materialize import shrink
from nnwidgets.engine.compression.decision import Decision
from nnwidgets.engine.trace import unvisited_copy, weight_of

__all__ = ["codes_of_weights", "with_norm"]


def codes_of_weights(network: nn.Module, decision: Decision) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, str]]:
    """Layer -> int8 codes of a materialized network's weight and (O,) float32 scales; and layer -> why it has none.

    Codes times scales are the weights, bit for bit.
    """
    rulers, without = _rulers(decision)
    found = {}
    for name, layer in decision.decider.layers.items():
        if name in without:
            continue
        if layer.out_axis:
            without[name] = f"{layer.kind} has its channels on another axis"
            continue
        weight = weight_of(network, layer).detach()
        scale = weight_of(rulers, layer).detach().flatten(1)[:, 0]
        steps = scale.reshape(-1, *(1,) * (weight.dim() - 1))
        codes = (weight / steps).round()
        if not torch.equal(codes * steps, weight) or (codes.numel() and codes.abs().max() > 127):
            without[name] = "its weights lie on no grid of 8 bits"
        else:
            found[name] = codes.to(torch.int8), scale
    return found, without


def with_norm(scale: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """(O,) steps of a weight that something was folded into, such as batch-norm: ``after`` is ``before`` with another factor for
    each output channel, which may be negative.
    """
    rows = before.flatten(1)
    place = rows.abs().argmax(1, keepdim=True)
    most, folded = rows.gather(1, place)[:, 0], after.flatten(1).gather(1, place)[:, 0]
    return scale * torch.where(most != 0, folded / torch.where(most != 0, most, 1.0), torch.ones_like(most))


def _rulers(decision: Decision) -> tuple[nn.Module, dict[str, str]]:
    """A network of the shape of the small one whose weights are the steps of their grids; and the layers that have none."""
    twin, without = unvisited_copy(decision.decider.model), {}
    for name, layer in decision.decider.layers.items():
        on_grid = decision.quantized(name)
        if on_grid is None:
            without[name] = "its weights are not rounded"
        elif on_grid.codebook is not None:
            without[name] = "its weights are places in a codebook, whose values lie on no grid (method='codebook')"
        elif not on_grid.symmetric:
            without[name] = "its weights have a zero point (symmetric=False)"
        else:
            shape = [1] * len(layer.shape)
            if on_grid.axis is not None:
                shape[on_grid.axis] = -1
            weight_of(twin, layer).copy_(on_grid.scale.reshape(shape).expand(layer.shape))
    if decision.chosen.kept:
        twin = shrink(twin, decision.decider.chooser.groups, decision.chosen.kept)
    return twin, without
