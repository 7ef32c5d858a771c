"""A compressed copy of a network, simulated: full-precision weights seen through masks and grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from nnwidgets.engine.compression._correct_bias import network_of
from nnwidgets.engine.compression.decided import decision_for
from nnwidgets.engine.compression.decision import Decision
from nnwidgets.engine.compression.input_ranges import input_grids
from nnwidgets.engine.compression.knowledge import knowledge_for
from nnwidgets.engine.compression.parametrizations import learned_steps, taken_off
from nnwidgets.engine.compression.weights_only import weights_compressed_by
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.quantization import round_inputs
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["bake", "compress", "compressed_by", "latent_state", "trained_recipe"]


def compress(
    model: nn.Module,
    recipe: Recipe,
    calibration: Split | None = None,
    *,
    input_shape: Sequence[int] | None = None,
    loss: Loss | None = None,
    sensitivity: pd.DataFrame | None = None,
) -> nn.Module:
    """Return a copy with masks and fake quantization registered as torch parametrizations, that of activations as hooks.

    Any training loop keeps them: what was removed stays exactly zero and gets no gradient, and grids follow the weights with a
    straight-through gradient; by the observer "learned" their steps are parameters that are trained too. Grids of inputs stay as
    they are. Inputs are those of modules with weights; where other code uses a weight (such as out_proj of torch's attention),
    what goes into it is not rounded. The network itself is not touched. ``bake`` turns the copy into a network with plain
    weights, ``materialize`` makes one with smaller tensors.

    Removed filters, neurons and heads go with all that is coupled to them: what adds to them, normalises them and reads them.

    Args:
        model: in any mode, on any device. recipe: ``Recipe()`` gives an exact copy.
        calibration: a Split with the images that a criterion looks at (labelled for those that ask the loss), at most 512 of
            them, and that ranges of activations are from, at most ``calibration_images``; choose nothing by S_test.
        input_shape: without the batch, where neither calibration nor a guess tells it.
        loss: ``loss(logits, labels)`` of such criteria, by default cross entropy.
        sensitivity: what ``sensitivity_scan`` returned, for ``allocation="sensitivity"``.

    Raises:
        RecipeError: the recipe does not fit the network (unknown layers, masks of another shape, a layer that would lose all its
            units: then ``.largest`` is the largest amount), or its settings do not go together.
        UnsupportedError: a setting that this version cannot apply, or a layer that is parametrized already.
        DataError: a criterion needs images or labels that are not there. ModelError: weights that are not finite.
    """
    if input_shape is None and calibration is not None:
        input_shape = calibration.sample_shape
    return compressed_by(decision_for(model, recipe, input_shape, knowledge_for(model, recipe, calibration, loss, sensitivity)))


def compressed_by(decision: Decision) -> nn.Module:
    """Return a copy of the network with the masks and grids of a decision; unknown ranges of inputs are found now.

    Raises:
        UnsupportedError: a layer is parametrized already. DataError: an input is not finite.
    """
    grids = input_grids(decision)
    twin = weights_compressed_by(network_of(decision), decision)
    round_inputs(twin, grids)
    return twin


def bake(compressed: nn.Module) -> nn.Module:
    """Return a plain copy that computes the same: the weights are what the masks and grids made of them.

    Its state dict has the keys of the network that was compressed. A network without masks and grids is copied as it is.
    """
    return taken_off(compressed, quantized=True)


def latent_state(compressed: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of the network behind the grids: masked weights are zero, the others as trained, not rounded.

    Compressing a network with these weights by the same recipe gives the same masks (zeros are the smallest magnitudes, so that
    they go first) and the same grids; where steps are learned, by the recipe that `trained_recipe` gives.
    """
    return taken_off(compressed, quantized=False).state_dict()


def trained_recipe(compressed: nn.Module, recipe: Recipe) -> Recipe:
    """Return the recipe that with `latent_state` gives the compressed network again, bit for bit, trained as it is now.

    Steps that were learned are in its ``scales``; what was done to the network before (``equalize``, ``bias_correction``) is left
    out. By ``rounding="adaptive"`` it is chosen anew which weights go up.

    Args:
        compressed: what `compress` made by this recipe, trained or not.
    """
    settings = recipe.quantization
    if settings is None:
        return recipe
    scales = learned_steps(compressed) or settings.scales
    return replace(recipe, quantization=replace(settings.on_prepared(), scales=scales))
