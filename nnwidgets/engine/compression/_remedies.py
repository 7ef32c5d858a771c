"""Networks that bear rounding better and answer the same: channels of like range, and biases that make up for a mean error.

Equalization (Nagel et al. 2019): with ReLU and the like, channels may be scaled where they are made and scaled back where they
are read. s = sqrt(r_out / r_in) gives both weights the range sqrt(r_out r_in). In front of a batch-norm channels may even be
scaled freely: its running statistics take it up. Correction: rounding a weight moves the mean of its outputs by that of the
inputs convolved with w' - w; the bias, or the running mean of the batch-norm behind, takes it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression.decided import decision_for
from nnwidgets.engine.compression.decision import Decision, decide
from nnwidgets.engine.compression.guess import guess_trace
from nnwidgets.engine.compression.knowledge import knowledge_for
from nnwidgets.engine.compression.parametrizations import is_compressed, taken_off
from nnwidgets.engine.compression.same_answers import check_same
from nnwidgets.engine.compression.weights_only import weights_compressed_by
from nnwidgets.engine.errors import DataError, ModelError, RecipeError, UnsupportedError
from nnwidgets.engine.evaluation import batches_of, sample_of
from nnwidgets.engine.pruning.channels import Bundle, channel_groups
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.trace import Trace, WeightLayer, preserved_rng, trace, unvisited_copy, weight_layers
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split

__all__ = ["correct_bias", "equalize", "remedied"]

_FURTHEST = 1e4  # a channel is scaled by no more: what is nearly zero stays small
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def equalize(model: nn.Module, input_shape: Sequence[int]) -> nn.Module:
    """Return a copy that answers the same, whose channels have ranges as alike as its functions allow.

    With one scale for a whole tensor, channels of small weights then no longer lose their levels to those of large ones. What the
    activation functions between two layers do not allow (ReLU6, GELU) is left as it is; each change is kept only where the
    answers on noise stay the same.

    Args:
        model: a plain network, which is not touched. input_shape: without the batch.

    Raises:
        ModelError: the network has masks or grids on it, or fails. And what `trace` raises.
    """
    _refuse_compressed(model)
    with preserved_rng(), torch.inference_mode(False), torch.no_grad():
        found, twin = trace(model, input_shape), unvisited_copy(model)
        layers = {layer.name: layer for layer in weight_layers(model)}
        norms = {name: norm for name in layers if (norm := _norm_behind(twin, found, layers[name])) is not None}
        for name, norm in norms.items():
            _level(twin.get_submodule(layers[name].module_name), twin.get_submodule(norm))
        check_same(model, twin, found.input_shape)
        for bundle in channel_groups(model, found.input_shape).bundles:
            changed = unvisited_copy(twin)
            if _balance(changed, bundle, norms):
                try:
                    check_same(model, changed, found.input_shape)
                except UnsupportedError:
                    continue
                twin = changed
    return twin


def correct_bias(model: nn.Module, recipe: Recipe, calibration: Split, *, loss: Loss | None = None) -> nn.Module:
    """Return a copy whose layers, once their weights are rounded, give the same mean in each channel as before.

    For the weights of this recipe: compress the copy by the same one. Layers with neither a bias nor a batch-norm behind them
    stay as they are.

    Args:
        model: a plain network, which is not touched. recipe: what rounds its weights, after what it removes.
        calibration: images, at most ``calibration_images`` of the recipe; no labels are looked at. loss: of criteria that ask it.

    Raises:
        RecipeError: the recipe rounds no weights. DataError: no images. And what `compress` raises.
    """
    _refuse_compressed(model)
    if not isinstance(calibration, Split):
        raise DataError(f"calibration is {type(calibration).__name__}; expected a Split(images), such as experiment.train.")
    shape = calibration.sample_shape
    knowledge = knowledge_for(model, recipe, calibration, loss, None)
    decision = decision_for(model, recipe, shape, knowledge)
    settings = recipe.quantization
    if settings is None or all(decision.decider.bits(settings, name) == 32 for name in decision.decider.layers):
        raise RecipeError("This recipe rounds no weights, so there is no error to correct. Give Quantization(weight_bits=...).")
    with preserved_rng(), torch.inference_mode(False), torch.no_grad():
        found, twin = trace(model, shape), unvisited_copy(model)
        moved = _moved(model, decision, sample_of(calibration, found.macs, settings.calibration_images), found)
        for name, layer in decision.decider.layers.items():
            if name not in moved:
                continue
            module, norm = twin.get_submodule(layer.module_name), _norm_behind(twin, found, layer)
            bias = module._parameters.get("bias")
            if bias is not None:
                bias.sub_(moved[name].to(bias))
            elif norm is not None:
                mean = twin.get_submodule(norm).get_buffer("running_mean")
                mean.add_(moved[name].to(mean))
    return twin


def remedied(
    model: nn.Module, recipe: Recipe, calibration: Split | None, input_shape: Sequence[int] | None, loss: Loss | None
) -> tuple[nn.Module, Recipe]:
    """Do what a recipe asks for before rounding, and return the network with a recipe that asks for it no more.

    Raises:
        DataError: it asks for ``bias_correction`` and there are no images. And what `equalize` and `correct_bias` raise.
    """
    settings = recipe.quantization if isinstance(recipe, Recipe) else None  # what else it is, is refused when it is decided
    if settings is None or not (settings.equalize or settings.bias_correction):
        return model, recipe
    plain = Recipe(recipe.pruning, replace(settings, equalize=False, bias_correction=False))
    if settings.equalize:
        model = equalize(model, guess_trace(model).input_shape if input_shape is None else input_shape)
    if settings.bias_correction:
        if calibration is None:
            raise DataError("bias_correction=True needs images, which tell mean errors. Give calibration=Split(images).")
        model = correct_bias(model, plain, calibration, loss=loss)
    return model, plain


def _refuse_compressed(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise ModelError(f"Got {type(model).__name__}; expected a torch.nn.Module.")
    if is_compressed(model):
        raise ModelError("The network has masks or grids on it. Give the network it was made from, or bake(network).")


def _norm_behind(network: nn.Module, found: Trace, layer: WeightLayer) -> str | None:
    """Name of the batch-norm with running statistics that alone reads a layer which is called once."""
    if layer.aliases or not found.calls_of(layer.name) or layer.parameter != "weight" or layer.out_axis:
        return None
    name = found.norm_after(layer.name)
    if name is None or found.followed_by(layer.name) != [name] or len(found.calls_of(name)) != 1:
        return None
    norm = network.get_submodule(name)
    return name if isinstance(norm, _NORMS) and norm.running_var is not None else None


# Equalization


def _ranges(weight: Tensor, axis: int) -> Tensor:
    return weight.detach().abs().movedim(axis, 0).flatten(1).amax(1)


def _level(module: Any, norm: Any) -> None:
    """Bring all channels in front of a batch-norm to the range of the widest one."""
    ranges = _ranges(module.weight, 0).double()
    factor = torch.where(ranges > 0, ranges.max() / ranges.clamp(min=1e-300), torch.ones_like(ranges)).clamp(max=_FURTHEST)
    module.weight.mul_(factor.to(module.weight).reshape(-1, *(1,) * (module.weight.dim() - 1)))
    if module.bias is not None:
        module.bias.mul_(factor.to(module.bias))
    norm.running_mean.mul_(factor.to(norm.running_mean))
    norm.running_var.copy_((norm.running_var.double() + norm.eps) * factor.square() - norm.eps)


def _balance(network: nn.Module, bundle: Bundle, norms: dict[str, str]) -> bool:
    """Scale the units of a bundle where they are made, and back where they are read; False where its parts do not allow it."""
    behind = {norms[name] for name in bundle.producers if name in norms}
    odd = any(member.role == "scale" or (member.role == "norm" and member.module_name not in behind) for member in bundle.members)
    if odd or bundle.structure == "head" or not bundle.producers or not bundle.consumers:
        return False
    made, read = (torch.zeros(bundle.n, dtype=torch.float64) for _ in range(2))
    for member in bundle.members:
        if member.role not in ("out", "in"):
            continue
        ranges = _ranges(network.get_submodule(member.module_name).get_parameter(member.attribute), member.axis).double().cpu()
        if member.role == "out" and member.layer in norms:
            norm: Any = network.get_submodule(norms[member.layer])
            if norm.weight is None:
                return False
            ranges *= (norm.weight.double().abs() * torch.rsqrt(norm.running_var.double() + norm.eps)).cpu()
        place = torch.from_numpy(member.index)
        (made if member.role == "out" else read).scatter_reduce_(0, place[place >= 0], ranges[place >= 0], "amax")
    step = torch.where((made > 0) & (read > 0), (made / read.clamp(min=1e-300)).sqrt(), torch.ones_like(made))
    step = step.clamp(1 / _FURTHEST, _FURTHEST)
    under_norm = {member.module_name for member in bundle.members if member.role == "out" and member.layer in norms}
    for member in bundle.members:
        tensor = network.get_submodule(member.module_name)._parameters.get(member.attribute)
        if tensor is None or (member.role in ("out", "bias") and member.module_name in under_norm):
            continue  # running statistics, and what is in front of a batch-norm, which would take it back
        place = torch.from_numpy(member.index)
        factor = torch.where(place >= 0, step[place.clamp(min=0)], torch.ones(1, dtype=torch.float64))
        shape = [1] * tensor.dim()
        shape[member.axis] = -1
        tensor.mul_((factor if member.role == "in" else 1 / factor).to(tensor).reshape(shape))
    return True


# Correction


def _moved(model: nn.Module, decision: Decision, sample: Split, found: Trace) -> dict[str, Tensor]:
    """Layer -> (O,) by how much rounding its weight moves the mean of each output channel, on the inputs of the float network."""
    decider, pruning = decision.decider, Recipe(decision.recipe.pruning)
    before = decide(decider, pruning)
    network = taken_off(weights_compressed_by(model, before), quantized=True).eval()
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    for name, layer in decider.layers.items():
        module = network.get_submodule(layer.module_name)
        if decider.bits(decision.recipe.quantization, name) == 32 or layer.parameter != "weight":
            continue
        error = decision.effective(name) - before.effective(name)

        def look(module: Any, args: Any, name: str = name, error: Tensor = error) -> None:
            kept = {key: module._parameters[key] for key in ("weight", "bias")}
            module._parameters.update(weight=nn.Parameter(error, requires_grad=False), bias=None)
            try:
                outputs = module.forward(*args)
            finally:
                module._parameters.update(kept)
            axis = outputs.dim() - 1 if isinstance(module, nn.Linear) else 1
            rows = outputs.movedim(axis, 0).flatten(1).double()
            sums[name] = sums.get(name, 0.0) + rows.sum(1)
            counts[name] = counts.get(name, 0) + rows.shape[1]

        module.register_forward_pre_hook(look)  # the network is our own
    for images, _, _ in batches_of(sample, found):
        network(images)
    return {name: total / counts[name] for name, total in sums.items()}
