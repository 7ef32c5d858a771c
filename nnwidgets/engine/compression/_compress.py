"""A compressed copy of a network, simulated: full-precision weights seen through masks and grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nnwidgets.engine.compression.decide import Decider
from nnwidgets.engine.compression.decision import Decision, decide
from nnwidgets.engine.compression.guess import guess_trace
from nnwidgets.engine.compression.knowledge import Knowledge, knowledge_for
from nnwidgets.engine.compression.parametrizations import add, holders, is_compressed, taken_off
from nnwidgets.engine.errors import ModelError, UnsupportedError
from nnwidgets.engine.pruning import MaskWeights
from nnwidgets.engine.pruning.channels import ChannelGroups, channel_groups
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.quantization import FakeQuantize, Grid
from nnwidgets.engine.trace import preserved_rng, unvisited_copy, weight_of
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["bake", "compress", "compressed_by", "decision_for", "latent_state"]


def compress(
    model: nn.Module,
    recipe: Recipe,
    calibration: Split | None = None,
    *,
    input_shape: Sequence[int] | None = None,
    loss: Loss | None = None,
    sensitivity: pd.DataFrame | None = None,
) -> nn.Module:
    """Return a copy with masks and fake quantization registered as torch parametrizations.

    Any training loop keeps them: what was removed stays exactly zero and gets no gradient, and grids follow the weights with a
    straight-through gradient. The network itself is not touched. ``bake`` turns the copy into a plain network, ``materialize``
    makes one with smaller tensors.

    Removed filters, neurons and heads go with all that is coupled to them: what adds to them, normalises them and reads them.

    Args:
        model: in any mode, on any device. recipe: ``Recipe()`` gives an exact copy.
        calibration: a Split with the images that a criterion looks at (labelled for those that ask the loss), at most 512 of
            them; choose nothing by S_test. input_shape: without the batch, where neither calibration nor a guess tells it.
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
    decision = decision_for(model, recipe, input_shape, knowledge_for(model, recipe, calibration, loss, sensitivity))
    return compressed_by(model, decision)


def compressed_by(model: nn.Module, decision: Decision) -> nn.Module:
    """Return a copy with the masks and grids of a decision about this network.

    Raises:
        UnsupportedError: a layer is parametrized already.
    """
    if not decision.recipe.is_dense:
        _refuse_parametrized(model, decision)
    with torch.inference_mode(False), torch.no_grad():
        masks = {name: decision.keep(name) for name in decision.decider.layers}
        twin = unvisited_copy(model)
        for name, keep in masks.items():
            if keep is not None:
                layer, before = decision.decider.layers[name], decision.decider.weights[name]
                after = decision.chosen.weight(name, before, keep)
                weight_of(twin, layer).copy_(torch.where(keep, after, before))  # what is removed stays behind its mask
        _register(twin, decision, masks)
    return twin


def bake(compressed: nn.Module) -> nn.Module:
    """Return a plain copy that computes the same: the weights are what the masks and grids made of them.

    Its state dict has the keys of the network that was compressed. A network without masks and grids is copied as it is.
    """
    return taken_off(compressed, quantized=True)


def latent_state(compressed: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of the network behind the grids: masked weights are zero, the others as trained, not rounded.

    Compressing a network with these weights by the same recipe gives the same masks (zeros are the smallest magnitudes, so that
    they go first) and the same grids.
    """
    return taken_off(compressed, quantized=False).state_dict()


def decision_for(
    model: nn.Module, recipe: Recipe, input_shape: Sequence[int] | None, knowledge: Knowledge | None = None
) -> Decision:
    """Decide what a recipe does to a network; it is traced only where that is needed."""
    if not isinstance(model, nn.Module):
        raise ModelError(f"Got {type(model).__name__}; expected a torch.nn.Module.")
    if any(tensor.is_meta for tensor in model.parameters()):
        raise ModelError("The network is on the meta device and has no numbers. Load its weights first.")

    def groups() -> ChannelGroups:
        return channel_groups(model, guess_trace(model).input_shape if input_shape is None else tuple(input_shape))

    with preserved_rng():
        return decide(Decider(model, groups, knowledge or Knowledge(model)), recipe)


def _refuse_parametrized(model: nn.Module, decision: Decision) -> None:
    places = [layer.module_name for layer in decision.decider.layers.values()] + [name for name, _ in decision.vectors]
    for name in places:
        module = model.get_submodule(name)
        if parametrize.is_parametrized(module):
            advice = (
                "Compress the network it was made from, or bake() it first."
                if is_compressed(model)
                else ("Take that off with torch.nn.utils.parametrize.remove_parametrizations first.")
            )
            raise UnsupportedError(f"Layer {name!r} already has a parametrization on its weight or bias. {advice}")


def _register(twin: nn.Module, decision: Decision, masks: dict[str, Tensor | None]) -> None:
    quantization = decision.recipe.quantization
    for name, layer in decision.decider.layers.items():
        keep, bits = masks[name], decision.decider.bits(quantization, name)
        if keep is None and bits == 32:
            continue

        def parts(keep: Tensor | None = keep, bits: int = bits, axis: int = layer.out_axis) -> list[MaskWeights | FakeQuantize]:
            made: list[MaskWeights | FakeQuantize] = [] if keep is None else [MaskWeights(keep)]
            if quantization is not None and bits != 32:
                made.append(FakeQuantize(Grid.of(quantization, bits, axis)))
            return made

        weight = twin.get_submodule(layer.module_name)._parameters[layer.parameter]
        assert weight is not None
        add(twin, holders(twin, weight), parts)
    for place, keep in decision.vectors.items():
        add(twin, [place], lambda keep=keep: [MaskWeights(keep)])  # type: ignore[misc]
