"""A copy of a network whose weights are seen through masks and grids; what goes into its layers stays as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nnwidgets.engine.compression.decision import Decision
from nnwidgets.engine.compression.parametrizations import add, holders, is_compressed
from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.pruning import MaskWeights
from nnwidgets.engine.quantization import FakeQuantize, Grid, LearnedSteps
from nnwidgets.engine.trace import unvisited_copy, weight_of

__all__ = ["weights_compressed_by"]


def weights_compressed_by(model: nn.Module, decision: Decision) -> nn.Module:
    """As `compressed_by`, of which only the weights are rounded.

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

        weight = twin.get_submodule(layer.module_name)._parameters[layer.parameter]
        assert weight is not None
        grid = None if quantization is None or bits == 32 else Grid.of(quantization, bits, layer.out_axis)
        steps = None if grid is None or grid.observer != "learned" else _steps(decision, name, weight.requires_grad)

        up = decision.decider.up(decision.recipe, name, decision.chosen)

        def parts(
            keep: Tensor | None = keep,
            grid: Grid | None = grid,
            steps: nn.Parameter | None = steps,
            up: Tensor | None = up,
        ) -> list[MaskWeights | FakeQuantize]:
            made: list[MaskWeights | FakeQuantize] = [] if keep is None else [MaskWeights(keep)]
            if grid is not None:
                made.append(FakeQuantize(grid, up) if steps is None else LearnedSteps(grid, steps))
            return made

        add(twin, holders(twin, weight), parts)
    for place, keep in decision.vectors.items():
        add(twin, [place], lambda keep=keep: [MaskWeights(keep)])  # type: ignore[misc]


def _steps(decision: Decision, name: str, trained: bool) -> nn.Parameter:
    """The steps that a grid begins with; those of a frozen weight are frozen too."""
    found = decision.decider.quantized(decision.recipe, name, decision.chosen)
    assert found is not None
    return nn.Parameter(found.scale.clone(), requires_grad=trained)
