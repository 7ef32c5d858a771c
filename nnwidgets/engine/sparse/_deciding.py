"""What goes next: decided on the weights of now, by what ``compress`` does or by scores from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression import compress
from nnwidgets.engine.compression.parametrizations import taken_off
from nnwidgets.engine.errors import RecipeError, UnsupportedError
from nnwidgets.engine.pruning import MagnitudeTable
from nnwidgets.engine.sparse._places import masked_weights, parts_of
from nnwidgets.engine.trace import WeightLayer, weight_layers, weight_of
from nnwidgets.engine.values.mask import Mask
from nnwidgets.engine.values.recipe import Pruning, Recipe

__all__ = ["Score", "decided", "recipe_of"]

Score = Callable[[nn.Module, Pruning], Mapping[str, Tensor]]
"""``score(network, pruning) -> {layer: scores}`` of the shape of each weight; the smallest go. The network is a plain copy."""

_TINY = torch.finfo(torch.float32).tiny


def decided(network: nn.Module, pruning: Pruning, score: Score | None, input_shape: tuple[int, ...]) -> nn.Module:
    """A copy of the network as it is now (with or without masks), with the masks that ``pruning`` asks for.

    Weights that were removed go first, also where kept ones are zero by chance.
    """
    plain = taken_off(network, quantized=False)
    before = {name: each.keep for name, each in masked_weights(network).items()}
    if score is not None and pruning.masks is None:
        pruning = _by_scores(plain, pruning, score, before)
    elif pruning.masks is None:
        for layer in weight_layers(plain):
            if layer.name in before:
                weight = weight_of(plain, layer)
                with torch.no_grad():
                    weight.masked_fill_(before[layer.name] & (weight == 0), _TINY)
    return compress(plain, Recipe(pruning), input_shape=input_shape)


def _by_scores(plain: nn.Module, pruning: Pruning, score: Score, before: Mapping[str, Tensor]) -> Pruning:
    if pruning.structure != "weight":
        raise UnsupportedError(
            f"score: got structure {pruning.structure!r}, but scores are of single weights; expected 'weight'."
        )
    layers = {layer.name: layer for layer in weight_layers(plain)}
    given = score(plain, pruning)
    raw = {name: _checked(given, layer) for name, layer in layers.items() if name not in pruning.exclude}
    lowest = min(0.0, *(float(values.min()) for values in raw.values() if values.numel()), 0.0)
    scores = {name: (values - lowest).clamp(min=_TINY) for name, values in raw.items()}
    for name, keep in before.items():
        if name in scores:
            scores[name].masked_fill_(~keep, 0)  # below all others
    table = MagnitudeTable(scores)
    if isinstance(pruning.allocation, Mapping):
        selection = table.select({name: pruning.allocation.get(name, pruning.amount) for name in scores})
    elif pruning.allocation in ("global", "uniform"):
        selection = table.select(pruning.amount if pruning.allocation == "global" else dict.fromkeys(scores, pruning.amount))
    else:
        raise UnsupportedError(f"score: got allocation {pruning.allocation!r}, expected 'global', 'uniform' or {{layer: share}}.")
    masks = {name: Mask.from_array(selection.keep(name, values)) for name, values in scores.items()}
    return Pruning(pruning.amount, exclude=pruning.exclude, masks=masks)


def _checked(given: Mapping[str, Tensor], layer: WeightLayer) -> Tensor:
    """Scores of the shape of the weight, finite."""
    values = given.get(layer.name)
    if not isinstance(values, Tensor) or tuple(values.shape) != layer.shape:
        got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else "none"
        raise RecipeError(f"score: got {got} for the layer {layer.name!r}; expected a tensor of shape {layer.shape}.")
    values = values.detach().float()
    if not bool(torch.isfinite(values).all()):
        raise RecipeError(f"score: the scores of {layer.name!r} are not all finite; nothing can be chosen by them.")
    return values


def recipe_of(network: nn.Module, wanted: Recipe, input_shape: tuple[int, ...]) -> Recipe:
    """The recipe that gives a network's masks on its own weights: the wanted one where it does, else with masks written out."""
    masks = {name: each.keep for name, each in masked_weights(network).items()}
    pruning = wanted.pruning
    if pruning is None or not masks:
        return Recipe(None, wanted.quantization)
    plain = taken_off(network, quantized=False)
    try:
        again = parts_of(compress(plain, Recipe(pruning), input_shape=input_shape))
    except UnsupportedError:  # a criterion that only ``score`` knows
        again = {}
    own = parts_of(network)
    if again.keys() == own.keys() and all(torch.equal(again[place][0].keep, own[place][0].keep) for place in own):
        return wanted
    exact = Pruning(
        pruning.amount,
        exclude=pruning.exclude,
        masks={name: Mask.from_array(keep) for name, keep in masks.items()},
    )
    return Recipe(exact, wanted.quantization)
