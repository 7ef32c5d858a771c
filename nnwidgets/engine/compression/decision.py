"""What a recipe does to a network, decided in full."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nnwidgets.engine.compression.choices import Chosen
from nnwidgets.engine.compression.decide import Decider
from nnwidgets.engine.compression.inventory import Stored
from nnwidgets.engine.quantization import Quantized
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.steps import result_of

__all__ = ["Decision", "decide"]


@dataclass(frozen=True, eq=False)
class Decision:
    """Attributes:
    asked: the recipe. recipe: what of it is done to ``decider.model``, whose channels are equalized already where it says so.
    chosen: what is removed. stored: how each weight is stored.
    """

    asked: Recipe
    recipe: Recipe
    decider: Decider
    chosen: Chosen
    stored: Mapping[str, Stored]

    @property
    def vectors(self) -> Mapping[tuple[str, str], Tensor]:
        """(module, parameter) -> bool of its shape, for what else goes with removed units."""
        return self.chosen.vectors

    @property
    def rounds_weights(self) -> bool:
        """True where a layer's weights are."""
        return any(stored.symmetric is not None for stored in self.stored.values())

    def keep(self, name: str) -> Tensor | None:
        """Return the bool mask of a weight, None where all of it is kept."""
        return self.chosen.keep(name)

    def making_up(self) -> Iterator[None]:
        """Let kept weights make up for removed ones, in steps of some 20 ms, where the criterion does."""
        yield from self.chosen.steps(self.decider.weights)

    def fitting(self) -> Iterator[None]:
        """Find the ranges and codebooks that take long to find, a layer a step."""
        yield from self.decider.fitting(self.recipe, self.chosen)

    def adapting(self) -> Generator[float, None, None]:
        """Choose which weights are rounded up, in steps, where the recipe asks for that; yields the share that is done."""
        yield from self.decider.adapting(self.recipe, self.chosen)

    def quantized(self, name: str) -> Quantized | None:
        """Return the weight on its grid, None where it is not rounded."""
        return self.decider.quantized(self.recipe, name, self.chosen)

    def effective(self, name: str) -> Tensor:
        """Return the weight as it is afterwards."""
        return self.decider.effective(self.recipe, name, self.chosen)

    def count_nonzero(self, name: str) -> int:
        """Count the weights that are not zero afterwards, by a pass over them."""
        return int(torch.count_nonzero(self.effective(name)))


def decide(decider: Decider, recipe: Recipe) -> Decision:
    """Check a recipe and choose what goes. Where channels are to be equalized first, that is done now if it was not yet.

    Raises:
        RecipeError, UnsupportedError, ModelError, DataError: see `compress`.
    """
    decider.check(recipe)
    plain, settings = recipe, recipe.quantization
    if settings is not None:
        plain = Recipe(recipe.pruning, settings.on_prepared())
        decider = result_of(decider.equalizing()) if settings.equalize else decider
    stored = {name: _stored(decider, plain, name) for name in decider.layers}
    return Decision(recipe, plain, decider, decider.chooser.choose(plain.pruning), stored)


def _stored(decider: Decider, recipe: Recipe, name: str) -> Stored:
    quantization = recipe.quantization
    bits = decider.bits(quantization, name)
    if quantization is None or bits == 32:
        return Stored(8 * decider.weights[name].element_size())
    if quantization.method == "codebook":
        return Stored.shared(bits)
    return Stored(bits, decider.n_scales(quantization, name), quantization.symmetric)
