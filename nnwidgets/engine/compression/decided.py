"""From a network and a recipe to what is done to it, for functions that are given both."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nnwidgets.engine.compression.decide import Decider
from nnwidgets.engine.compression.decision import Decision, decide
from nnwidgets.engine.compression.guess import guess_trace
from nnwidgets.engine.compression.knowledge import Knowledge
from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.trace import preserved_rng
from nnwidgets.engine.values.recipe import Recipe

__all__ = ["decision_for"]


def decision_for(
    model: nn.Module, recipe: Recipe, input_shape: Sequence[int] | None, knowledge: Knowledge | None = None
) -> Decision:
    """Decide what a recipe does to a network; it is traced only where that is needed."""
    if not isinstance(model, nn.Module):
        raise ModelError(f"Got {type(model).__name__}; expected a torch.nn.Module.")
    if any(tensor.is_meta for tensor in model.parameters()):
        raise ModelError("The network is on the meta device and has no numbers. Load its weights first.")

    def shape() -> Sequence[int]:
        return guess_trace(model).input_shape if input_shape is None else tuple(input_shape)

    with preserved_rng():
        return decide(Decider(model, shape, knowledge or Knowledge(model)), recipe)
