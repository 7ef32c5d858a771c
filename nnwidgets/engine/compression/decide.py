"""From a recipe to masks and grids for one set of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression.choices import Chosen
from nnwidgets.engine.compression.choose import UNITS, Chooser
from nnwidgets.engine.compression.knowledge import Knowledge, rounds_inputs
from nnwidgets.engine.compression.lately import Lately
from nnwidgets.engine.compression.support import check_supported
from nnwidgets.engine.errors import DataError, ModelError, RecipeError
from nnwidgets.engine.pruning.channels import ChannelGroups
from nnwidgets.engine.quantization import Calibration, Grid, Quantized
from nnwidgets.engine.quantization.ranges import Ends
from nnwidgets.engine.trace import weight_layers, weight_of
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.mask import Mask
from nnwidgets.engine.values.recipe import Quantization, Recipe

__all__ = ["Decider"]


class Decider:
    """Answers what a recipe does to each weight of a network, which must not change meanwhile.

    Args:
        groups: finds its channel groups. knowledge: what criteria and scans say of it.

    Attributes:
        layers: its weights, by name. weights: their tensors, not copied. chooser: of what is removed. knowledge: as given.
        calibrations: the last ranges of inputs that were found.
    """

    def __init__(self, model: nn.Module, groups: Callable[[], ChannelGroups], knowledge: Knowledge) -> None:
        self.layers = {layer.name: layer for layer in weight_layers(model)}
        self.weights = {name: weight_of(model, layer).detach() for name, layer in self.layers.items()}
        self.knowledge = knowledge
        self.chooser = Chooser(model, self.layers, self.weights, groups, knowledge)
        self._finite: bool | None = None
        self._ends = Lately[dict[tuple[str, int], Ends | None]]()
        self.calibrations = Lately[Calibration]()

    def check(self, recipe: Recipe) -> None:
        """Raise what can be told to be wrong with a recipe for this network before anything is chosen; see `compress`."""
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
        if rounds_inputs(recipe):
            self._check_images(recipe)

    def _check_names(self, what: str, names: object) -> None:
        for name in names:  # type: ignore[attr-defined]
            if self.chooser.own(name) not in self.layers:
                raise RecipeError(
                    f"{what} names the layer {name!r}, which this network does not have; {nearest(name, self.layers)}"
                )

    def _check_masks(self, masks: Mapping[str, Mask]) -> None:
        for name, mask in masks.items():
            shape = self.layers[self.chooser.own(name)].shape
            if mask.shape != shape:
                raise RecipeError(
                    f"The mask of {name!r} has shape {mask.shape}, its weight has {shape}: it was made for another network."
                )

    @property
    def finite(self) -> bool:
        """True where no weight is NaN or infinite."""
        if self._finite is None:
            self._finite = all(bool(torch.isfinite(weight).all()) for weight in self.weights.values())
        return self._finite

    def _check_finite(self) -> None:
        if not self.finite:
            bad = [name for name, weight in self.weights.items() if not torch.isfinite(weight).all()]
            raise ModelError(
                f"The weights of {', '.join(bad[:5])} hold NaN or infinite numbers; nothing can be pruned or quantized by them. "
                "Train the network again with a lower learning rate, or load an earlier state."
            )

    def _check_images(self, recipe: Recipe) -> None:
        if self.knowledge.split is not None:
            return
        bits = recipe.quantization.activation_bits if recipe.quantization is not None else 32
        raise DataError(
            f"activation_bits={bits} needs images, from which the ranges of inputs are found; got none. Give "
            "calibration=Split(images), or train=... to the Experiment (never S_test)."
        )

    def layers_with(self, structure: str) -> tuple[str, ...]:
        """Return the names of the layers whose units may be removed, in order of definition."""
        if structure not in UNITS:
            return tuple(self.layers)
        found = {name for bundle in self.chooser.groups.bundles if bundle.structure == structure for name in bundle.producers}
        return tuple(name for name in self.layers if name in found)

    # How it is rounded

    def bits(self, quantization: Quantization | None, name: str) -> int:
        """Return the bits of a layer's weights, 32 for "as stored"."""
        if quantization is None:
            return 32
        names = (name, *self.layers[name].aliases)
        return min((quantization.bits_of(other) for other in names), default=32)

    def quantized(self, recipe: Recipe, name: str, chosen: Chosen) -> Quantized | None:
        """Return the weight on its grid, None where it is stored as it is."""
        grid = self._grid(recipe, name)
        if grid is None:
            return None
        kept = chosen.keep(name)
        return grid.quantize(chosen.weight(name, self.weights[name], kept), kept, self.ends(recipe, name, chosen))

    def ends(self, recipe: Recipe, name: str, chosen: Chosen) -> Ends | None:
        """Return where the grid of a layer ends, None where that is known at once. The last few are remembered, of all bits."""
        grid = self._grid(recipe, name)
        if grid is None:
            return None
        settings = replace(recipe.quantization, weight_bits=32) if recipe.quantization is not None else None
        known = self._ends.get((recipe.pruning, settings, self.knowledge.scans), dict)
        place = (name, grid.bits if grid.observer in ("mse", "kl") else min(grid.bits, 2))  # one symmetric bit has no ends
        if place not in known:
            kept = chosen.keep(name)
            known[place] = grid.ends(chosen.weight(name, self.weights[name], kept), kept)
        return known[place]

    def _grid(self, recipe: Recipe, name: str) -> Grid | None:
        bits = self.bits(recipe.quantization, name)
        if recipe.quantization is None or bits == 32:
            return None
        return Grid.of(recipe.quantization, bits, self.layers[name].out_axis)

    def effective(self, recipe: Recipe, name: str, chosen: Chosen) -> Tensor:
        """Return the weight as a recipe leaves it."""
        quantized = self.quantized(recipe, name, chosen)
        return chosen.weight(name, self.weights[name], chosen.keep(name)) if quantized is None else quantized.dequantized
