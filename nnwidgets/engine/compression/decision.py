"""What a recipe does to a network, decided in full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nnwidgets.engine.compression.choices import Chosen
from nnwidgets.engine.compression.decide import Decider
from nnwidgets.engine.compression.inventory import Stored
from nnwidgets.engine.values.recipe import Recipe

__all__ = ["Decision", "decide"]


@dataclass(frozen=True, eq=False)
class Decision:
    """Attributes:
    recipe, decider: what was asked of which weights.
    chosen: what is removed. stored: how each weight is stored.
    """

    recipe: Recipe
    decider: Decider
    chosen: Chosen
    stored: Mapping[str, Stored]

    @property
    def vectors(self) -> Mapping[tuple[str, str], Tensor]:
        """(module, parameter) -> bool of its shape, for what else goes with removed units."""
        return self.chosen.vectors

    def keep(self, name: str) -> Tensor | None:
        """Return the bool mask of a weight, None where all of it is kept."""
        return self.chosen.keep(name)

    def effective(self, name: str) -> Tensor:
        """Return the weight as it is afterwards."""
        return self.decider.effective(self.recipe, name, self.chosen)

    def count_nonzero(self, name: str) -> int:
        """Count the weights that are not zero afterwards, by a pass over them."""
        return int(torch.count_nonzero(self.effective(name)))


def decide(decider: Decider, recipe: Recipe) -> Decision:
    """Check a recipe and choose what goes.

    Raises:
        RecipeError, UnsupportedError, ModelError, DataError: see `compress`.
    """
    decider.check(recipe)
    stored = {name: _stored(decider, recipe, name) for name in decider.layers}
    return Decision(recipe, decider, decider.chooser.choose(recipe.pruning), stored)


def _stored(decider: Decider, recipe: Recipe, name: str) -> Stored:
    quantization = recipe.quantization
    bits = decider.bits(quantization, name)
    if quantization is None or bits == 32:
        return Stored(8 * decider.weights[name].element_size())
    return Stored(bits, decider.n_scales(quantization, name), quantization.symmetric)
