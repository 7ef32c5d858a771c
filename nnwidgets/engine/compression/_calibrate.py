"""What goes into the layers of a network: the ranges that rounding activations needs."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from nnwidgets.engine.compression.decided import decision_for
from nnwidgets.engine.compression.input_ranges import calibrating
from nnwidgets.engine.compression.knowledge import knowledge_for, rounds_inputs
from nnwidgets.engine.errors import DataError
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.quantization import Calibration
from nnwidgets.engine.values.recipe import Quantization, Recipe
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["calibrate"]


def calibrate(model: nn.Module, split: Split, recipe: Recipe | None = None, *, loss: Loss | None = None) -> Calibration:
    """Run images through a network and return what goes into each of its layers.

    The network is not touched. Its weights are first pruned and rounded as the recipe says, its inputs are not: these are the
    numbers that ``compress(model, recipe, split)`` takes ranges from.

    Args:
        model: in any mode. split: images, at most ``calibration_images`` of the recipe (256), drawn with a fixed seed; fewer
            where the network is large. recipe: by default none. loss: of criteria that ask for it.

    Raises:
        DataError: images that do not fit the network, or numbers that are not finite on the way. OutOfMemoryError: not even one
            image fits; before, fewer are run at a time. And what `compress` raises.
    """
    if not isinstance(split, Split):
        raise DataError(f"split is {type(split).__name__}; expected a Split(images) to look at, such as experiment.train.")
    recipe = Recipe() if recipe is None else recipe
    if not rounds_inputs(recipe):
        recipe = replace(recipe, quantization=replace(recipe.quantization or Quantization(), activation_bits=8))
    decision = decision_for(model, recipe, split.sample_shape, knowledge_for(model, recipe, split, loss, None))
    return result_of(calibrating(decision))
