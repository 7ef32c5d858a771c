"""From a recipe to masks and grids for one set of weights. The tables are built when they are first needed, and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression.filter_structure import FilterStructure
from nnwidgets.engine.compression.support import check_supported
from nnwidgets.engine.errors import ModelError, RecipeError
from nnwidgets.engine.pruning import (
    MagnitudeTable,
    Selection,
    filter_scores,
    filters_to_weights,
    largest_share,
    n_filters,
    random_scores,
    select_filters,
)
from nnwidgets.engine.quantization import Quantized, quantize
from nnwidgets.engine.trace import weight_layers, weight_of
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.mask import Mask
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe

__all__ = ["Decider"]

V = TypeVar("V")


class Decider:
    """Answers what a recipe does to each weight of a network, which must not change meanwhile.

    Attributes:
        layers: its weights, by name. weights: their tensors, not copied.
    """

    def __init__(self, model: nn.Module, structure: Callable[[], FilterStructure]) -> None:
        self.layers = {layer.name: layer for layer in weight_layers(model)}
        self.weights = {name: weight_of(model, layer).detach() for name, layer in self.layers.items()}
        self._aliases = {alias: layer.name for layer in self.layers.values() for alias in layer.aliases}
        self._model, self._find_structure = model, structure
        self._structure: FilterStructure | None = None
        self._table: MagnitudeTable | None = None
        self._random: tuple[int, MagnitudeTable] | None = None
        self._scores: dict[int, dict[str, Tensor]] = {}
        self._finite: bool | None = None

    # What fits

    def check(self, recipe: Recipe) -> None:
        """Raise what is wrong with a recipe for this network; see `compress`."""
        if not isinstance(recipe, Recipe):
            raise RecipeError(f"recipe is {type(recipe).__name__}; expected a Recipe, such as Recipe(pruning=Pruning(0.5)).")
        check_supported(recipe)
        pruning, quantization = recipe.pruning, recipe.quantization
        if pruning is not None:
            for what, names in (("exclude", pruning.exclude), ("allocation", pruning.allocation), ("masks", pruning.masks or ())):
                self._check_names(what, () if isinstance(names, str) else names)
            self._check_masks(pruning.masks or {})
        if quantization is not None and isinstance(quantization.weight_bits, Mapping):
            self._check_names("weight_bits", quantization.weight_bits)
        if not recipe.is_dense:
            self._check_finite()
        if pruning is not None and self._by_filters(pruning):
            self.filters(pruning)

    def _check_names(self, what: str, names: object) -> None:
        for name in names:  # type: ignore[attr-defined]
            if name not in self.layers and name not in self._aliases:
                raise RecipeError(
                    f"{what} names the layer {name!r}, which this network does not have; {nearest(name, self.layers)}"
                )

    def _check_masks(self, masks: Mapping[str, Mask]) -> None:
        for name, mask in masks.items():
            shape = self.layers[self._own(name)].shape
            if mask.shape != shape:
                raise RecipeError(
                    f"The mask of {name!r} has shape {mask.shape}, its weight has {shape}: it was made for another network."
                )

    def _check_finite(self) -> None:
        if self._finite is None:
            self._finite = all(bool(torch.isfinite(weight).all()) for weight in self.weights.values())
        if not self._finite:
            bad = [name for name, weight in self.weights.items() if not torch.isfinite(weight).all()]
            raise ModelError(
                f"The weights of {', '.join(bad[:5])} hold NaN or infinite numbers; nothing can be pruned or quantized by them. "
                "Train the network again with a lower learning rate, or load an earlier state."
            )

    def _own(self, name: str) -> str:
        return self._aliases.get(name, name)

    @property
    def structure(self) -> FilterStructure:
        """The filters of the network."""
        if self._structure is None:
            self._structure = self._find_structure()
        return self._structure

    # What is removed

    def table(self, pruning: Pruning) -> MagnitudeTable:
        """Return the table of scores that single weights are chosen by."""
        if pruning.criterion == "magnitude":
            if self._table is None:
                self._table = MagnitudeTable(self.weights)
            return self._table
        kept = self._random
        if kept is None or kept[0] != pruning.seed:
            scores = {name: random_scores(pruning.seed, name, weight.numel()) for name, weight in self.weights.items()}
            self._random = kept = pruning.seed, MagnitudeTable(scores)
        return kept[1]

    def selection(self, pruning: Pruning | None) -> Selection | None:
        """Return the single weights to remove, None where whole filters or given masks are asked for, or nothing."""
        if pruning is None or pruning.masks is not None or pruning.structure != "weight":
            return None
        exclude = {self._own(name) for name in pruning.exclude}
        if pruning.allocation == "global":
            return self.table(pruning).select(pruning.amount, exclude)
        return self.table(pruning).select(self._amounts(pruning, self.layers), exclude)

    def filters(self, pruning: Pruning) -> dict[str, Tensor]:
        """Return layer -> (C,) bool of the filters to keep."""
        scores = self._filter_scores(pruning)
        if pruning.allocation == "global":
            return select_filters(scores, pruning.amount) if scores else {}
        return select_filters(scores, self._amounts(pruning, scores))

    def largest(self, pruning: Pruning) -> float:
        """Return the largest amount that leaves a filter in each layer; just below 1 for single weights."""
        if not self._by_filters(pruning):
            return largest_share({}, together=False)
        scores = self._filter_scores(pruning)
        if isinstance(pruning.allocation, Mapping):
            scores = {name: values for name, values in scores.items() if name not in self._named(pruning.allocation)}
        return largest_share(scores, together=pruning.allocation == "global" and bool(scores))

    def keep(
        self, pruning: Pruning | None, name: str, selection: Selection | None, filters: Mapping[str, Tensor]
    ) -> Tensor | None:
        """Return the bool mask of a layer on its device, None where all of it is kept."""
        if pruning is None:
            return None
        weight = self.weights[name]
        if pruning.masks is not None:
            given = self._named(pruning.masks).get(name)
            return None if given is None else torch.from_numpy(given.to_array()).to(weight.device)
        if selection is not None:
            if selection.removed[selection.names.index(name)] == 0:
                return None
            by_size = pruning.criterion == "magnitude"
            scores = (
                weight if by_size else random_scores(pruning.seed, name, weight.numel()).reshape(weight.shape).to(weight.device)
            )
            return selection.keep(name, scores)
        kept = filters.get(name)
        return None if kept is None or bool(kept.all()) else filters_to_weights(kept, self.layers[name]).to(weight.device)

    def vectors(self, filters: Mapping[str, Tensor]) -> dict[tuple[str, str], Tensor]:
        """Return (module, parameter) -> (C,) bool for the biases and batch-norms that go with removed filters."""
        found: dict[tuple[str, str], Tensor] = {}
        for name, kept in filters.items():
            if kept.all():
                continue
            norm = self.structure.norms[name]
            for module_name, attributes in ((self.layers[name].module_name, ("bias",)), (norm, ("weight", "bias"))):
                module = None if module_name is None else self._model.get_submodule(module_name)
                for attribute in attributes:
                    vector = None if module is None else module._parameters.get(attribute)
                    if vector is not None and module_name is not None:
                        found[module_name, attribute] = kept.to(vector.device)
        return found

    def _by_filters(self, pruning: Pruning) -> bool:
        return pruning.structure == "filter" and pruning.masks is None

    def _filter_scores(self, pruning: Pruning) -> dict[str, Tensor]:
        exclude = {self._own(name) for name in pruning.exclude}
        names = [name for name in self.structure.layers if name not in exclude]
        if not names:
            raise RecipeError(
                "There are no filters to prune: this network has no convolution besides its output layer"
                + (" and those in exclude" if exclude else "")
                + ". Use structure='weight'."
            )
        if isinstance(pruning.allocation, Mapping):
            for name in self._named(pruning.allocation):
                if name not in self.structure.layers:
                    raise RecipeError(f"allocation names {name!r}, which has no filters to prune; {nearest(name, names)}")
        if pruning.criterion == "random":
            counts = {name: n_filters(self.layers[name]) for name in names}
            return {name: random_scores(pruning.seed, name, count).double() for name, count in counts.items()}
        scores = self._scores.get(pruning.norm)
        if scores is None:
            scores = {n: filter_scores(self.weights[n], self.layers[n], pruning.norm) for n in self.structure.layers}
            self._scores[pruning.norm] = scores
        return {name: scores[name] for name in names}

    def _amounts(self, pruning: Pruning, names: Mapping[str, object]) -> dict[str, float]:
        given: Mapping[str, float] = {} if isinstance(pruning.allocation, str) else self._named(pruning.allocation)
        return {name: given.get(name, pruning.amount) for name in names}

    def _named(self, given: Mapping[str, V]) -> dict[str, V]:
        return {self._own(name): value for name, value in given.items()}

    # How it is rounded

    def bits(self, quantization: Quantization | None, name: str) -> int:
        """Return the bits of a layer's weights, 32 for "as stored"."""
        if quantization is None:
            return 32
        names = (name, *self.layers[name].aliases)
        return min((quantization.bits_of(other) for other in names), default=32)

    def quantized(self, quantization: Quantization | None, name: str, kept: Tensor | None) -> Quantized | None:
        """Return the weight on its grid, None where it is stored as it is."""
        bits = self.bits(quantization, name)
        if quantization is None or bits == 32:
            return None
        axis = self.layers[name].out_axis
        return quantize(self.weights[name], bits, quantization.granularity, quantization.symmetric, axis, kept)

    def effective(self, recipe: Recipe, name: str, kept: Tensor | None) -> Tensor:
        """Return the weight as a recipe leaves it."""
        quantized = self.quantized(recipe.quantization, name, kept)
        if quantized is not None:
            return quantized.dequantized
        weight = self.weights[name]
        return weight if kept is None else torch.where(kept, weight, torch.zeros_like(weight))
