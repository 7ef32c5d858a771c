"""Biases that make up for what rounding a weight does to the mean of its outputs (Nagel et al. 2019).

Rounding moves the mean of a layer's outputs by that of its inputs convolved with w' - w; the bias, or the running mean of the
batch-norm behind, takes it back.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression.behind import norm_behind
from nnwidgets.engine.compression.decided import decision_for
from nnwidgets.engine.compression.decision import Decision, decide
from nnwidgets.engine.compression.knowledge import knowledge_for
from nnwidgets.engine.compression.parametrizations import refuse_compressed, taken_off
from nnwidgets.engine.compression.weights_only import weights_compressed_by
from nnwidgets.engine.errors import DataError, RecipeError
from nnwidgets.engine.evaluation import looked_over, sample_of
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.trace import Trace, preserved_rng, unvisited_copy
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["correct_bias", "correcting", "network_of"]


def correct_bias(model: nn.Module, recipe: Recipe, calibration: Split, *, loss: Loss | None = None) -> nn.Module:
    """Return a copy whose layers, once their weights are rounded, give the same mean in each channel as before.

    For the weights of this recipe: compress the copy by the same one. Layers with neither a bias nor a batch-norm behind them
    stay as they are.

    Args:
        model: a plain network, which is not touched. recipe: what rounds its weights, after what it removes.
        calibration: images, at most ``calibration_images`` of the recipe; no labels are looked at. loss: of criteria that ask it.

    Raises:
        RecipeError: the recipe rounds no weights. DataError: no images. OutOfMemoryError: not even one image fits; before, fewer
            are run at a time. And what `compress` raises.
    """
    refuse_compressed(model)
    if not isinstance(calibration, Split):
        raise DataError(f"calibration is {type(calibration).__name__}; expected a Split(images), such as experiment.train.")
    settings = recipe.quantization if isinstance(recipe, Recipe) else None
    if settings is not None:
        recipe = replace(recipe, quantization=replace(settings, bias_correction=True))
    decision = decision_for(model, recipe, calibration.sample_shape, knowledge_for(model, recipe, calibration, loss, None))
    if settings is None or not decision.rounds_weights:
        raise RecipeError("This recipe rounds no weights, so there is no error to correct. Give Quantization(weight_bits=...).")
    with preserved_rng(), torch.inference_mode(False), torch.no_grad():
        return unvisited_copy(network_of(decision))


def network_of(decision: Decision) -> nn.Module:
    """The plain network that a decision is about, with its biases corrected where that was asked for, now if not yet.

    It must not change: numbers that are not corrected are those of the network it was made from.
    """
    return result_of(correcting(decision))


def correcting(decision: Decision) -> Generator[float, None, nn.Module]:
    """As `network_of`, for a job: yields the share that is done, a batch of images a step."""
    decider, settings = decision.decider, decision.asked.quantization
    if settings is None or not settings.bias_correction or not decision.rounds_weights:
        return decider.model
    recipe = decision.recipe
    assert recipe.quantization is not None
    key = (Recipe(recipe.pruning, recipe.quantization.of_weights()), decider.knowledge.scans)
    known = decider.corrected.find(key)
    if known is None:
        made = yield from _corrected(decide(decider, key[0]), settings.calibration_images)
        known = decider.corrected.get(key, lambda: made)
    return known


def _corrected(decision: Decision, images: int) -> Generator[float, None, nn.Module]:
    decider = decision.decider
    split = decider.knowledge.split
    assert split is not None  # which was checked when it was decided
    found = decider.knowledge.traced(split.sample_shape)
    moved = yield from _moved(decision, sample_of(split, found.macs, images), found)
    changed = []  # (module, attribute, what is added to it)
    for name, layer in decider.layers.items():
        if name not in moved:
            continue
        module, norm = decider.model.get_submodule(layer.module_name), norm_behind(decider.model, found, layer)
        if module._parameters.get("bias") is not None:
            changed.append((layer.module_name, "bias", -moved[name]))
        elif norm is not None:
            changed.append((norm, "running_mean", moved[name]))
    with torch.inference_mode(False), torch.no_grad():
        own = {id(getattr(decider.model.get_submodule(module), attribute)) for module, attribute, _ in changed}
        twin = unvisited_copy(decider.model, {id(p): p for p in decider.model.parameters() if id(p) not in own})
        for module_name, attribute, more in changed:
            tensor = getattr(twin.get_submodule(module_name), attribute)
            tensor.add_(more.to(tensor))
    return twin


def _moved(decision: Decision, sample: Split, found: Trace) -> Generator[float, None, dict[str, Tensor]]:
    """Layer -> (O,) by how much rounding its weight moves the mean of each output channel, on the inputs of the float network."""
    with torch.inference_mode(False), torch.no_grad():
        network, errors = _with_errors(decision)
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    parts: list[tuple[str, Tensor, int]] = []  # of the images at hand
    for name, (module, error) in errors.items():
        module.register_forward_pre_hook(_Look(name, error, parts))  # the network is our own

    def run(images: Tensor) -> None:
        parts.clear()
        with torch.inference_mode():
            network(images)
        for name, total, count in parts:
            sums[name] = sums.get(name, 0.0) + total
            counts[name] = counts.get(name, 0) + count

    yield from looked_over(sample, found, run)
    return {name: total / counts[name] for name, total in sums.items()}


def _with_errors(decision: Decision) -> tuple[nn.Module, dict[str, tuple[Any, Tensor]]]:
    """The network without rounding; and layer -> its module there, and what rounding adds to its weight."""
    decider = decision.decider
    before = decide(decider, Recipe(decision.recipe.pruning))
    network = taken_off(weights_compressed_by(decider.model, before), quantized=True).eval()
    errors = {
        name: (network.get_submodule(layer.module_name), decision.effective(name) - before.effective(name))
        for name, layer in decider.layers.items()
        if decider.bits(decision.recipe.quantization, name) != 32 and layer.parameter == "weight"
    }
    return network, errors


class _Look:
    """A hook: tells what the error of a weight adds to each channel of the output, summed, and over how many numbers."""

    def __init__(self, name: str, error: Tensor, parts: list[tuple[str, Tensor, int]]) -> None:
        self._name, self._parts = name, parts
        self._error = nn.Parameter(error, requires_grad=False)

    def __call__(self, module: Any, args: Any) -> None:
        kept = {key: module._parameters[key] for key in ("weight", "bias")}
        module._parameters.update(weight=self._error, bias=None)
        try:
            outputs = module.forward(*args)
        finally:
            module._parameters.update(kept)
        axis = outputs.dim() - 1 if isinstance(module, nn.Linear) else 1
        rows = outputs.movedim(axis, 0).flatten(1).double()
        self._parts.append((self._name, rows.sum(1), rows.shape[1]))
