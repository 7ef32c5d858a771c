"""How many weights each layer keeps in a sparse network."""

from __future__ import annotations

from torch import nn

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.trace import weight_layers
from nnwidgets.engine.values._fields import share

__all__ = ["erk_amounts"]


def erk_amounts(model: nn.Module, amount: float) -> dict[str, float]:
    """Share to remove from each layer so that ``amount`` goes in all, by the Erdos-Renyi-kernel rule.

    A layer keeps a share in proportion to (sum of the sizes of its axes) / (their product), at most all of it (Mocanu et al.
    2018, Evci et al. 2020): small layers keep more. For ``Pruning(amount, allocation=erk_amounts(model, amount))``.

    Raises:
        RecipeError: ``amount`` is no share in [0, 1). ModelError: no weights.
    """
    amount = share("amount", amount)
    layers = weight_layers(model)
    if not layers:
        raise ModelError("this network has no weights that can be pruned; expected a convolution or a linear layer.")
    raw = {layer.name: sum(layer.shape) / layer.numel for layer in layers}
    size = {layer.name: layer.numel for layer in layers}
    whole: set[str] = set()
    while True:
        left = (1 - amount) * sum(size.values()) - sum(size[name] for name in whole)
        factor = left / sum(raw[name] * size[name] for name in raw if name not in whole)
        over = {name for name in raw if name not in whole and factor * raw[name] > 1}
        if not over:
            return {name: 0.0 if name in whole else 1 - factor * raw[name] for name in raw}
        whole |= {max(over, key=raw.__getitem__)}
