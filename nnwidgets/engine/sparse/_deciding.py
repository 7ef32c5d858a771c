"""What goes next: decided on the weights of now, by whatever ``compress`` knows."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import nn

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.compression.parametrizations import taken_off
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.sparse._places import masked_weights, parts_of
from nnwidgets.engine.trace import weight_layers, weight_of
from nnwidgets.engine.values.mask import Mask
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.values.split import Split

__all__ = ["decided", "recipe_of"]

_TINY = torch.finfo(torch.float32).tiny


def decided(network: nn.Module, pruning: Pruning, train: Split, loss: Loss) -> Generator[None, None, nn.Module]:
    """Return a copy of the network as it is now (with or without masks), with the masks that ``pruning`` asks for.

    Weights that were removed go first, also where kept ones are zero by chance. Yields while the criterion looks at images.
    """
    plain = taken_off(network, quantized=False)
    before = {name: each.keep for name, each in masked_weights(network).items()}
    for layer in weight_layers(plain) if pruning.masks is None else ():
        if layer.name in before:
            weight = weight_of(plain, layer)
            with torch.no_grad():
                weight.masked_fill_(before[layer.name] & (weight == 0), _TINY)
    return (yield from _compressed(plain, pruning, train, loss))


def recipe_of(network: nn.Module, wanted: Recipe, train: Split, loss: Loss) -> Generator[None, None, Recipe]:
    """The recipe that gives a network's masks on its own weights: the wanted one where it does, else with masks written out."""
    masks = {name: each.keep for name, each in masked_weights(network).items()}
    pruning = wanted.pruning
    if pruning is None or not masks:
        return Recipe(None, wanted.quantization)
    again = parts_of((yield from _compressed(taken_off(network, quantized=False), pruning, train, loss)))
    own = parts_of(network)
    if again.keys() == own.keys() and all(torch.equal(again[place][0].keep, own[place][0].keep) for place in own):
        return wanted
    exact = Pruning(
        pruning.amount,
        exclude=pruning.exclude,
        masks={name: Mask.from_array(keep) for name, keep in masks.items()},
    )
    return Recipe(exact, wanted.quantization)


def _compressed(plain: nn.Module, pruning: Pruning, train: Split, loss: Loss) -> Generator[None, None, nn.Module]:
    plan, recipe = CompressionPlan(plain, train.sample_shape, split=train, loss=loss), Recipe(pruning)
    yield
    for _ in plan.preparing(recipe):
        yield
    return plan.compressed(recipe)
