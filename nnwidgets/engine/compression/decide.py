"""From a recipe to masks and grids for one set of weights."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression._equalize import equalizing
from nnwidgets.engine.compression.choices import Chosen
from nnwidgets.engine.compression.choose import UNITS, Chooser
from nnwidgets.engine.compression.knowledge import Knowledge, adapts, rounds_inputs
from nnwidgets.engine.compression.lately import Lately
from nnwidgets.engine.compression.support import check_supported
from nnwidgets.engine.errors import DataError, ModelError, RecipeError
from nnwidgets.engine.pruning.channels import channel_groups
from nnwidgets.engine.quantization import Calibration, Grid, Quantized, adapting
from nnwidgets.engine.quantization.grid import Fit
from nnwidgets.engine.trace import weight_layers, weight_of
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.mask import Mask
from nnwidgets.engine.values.recipe import Quantization, Recipe
from nnwidgets.engine.values.steps import result_of

__all__ = ["Decider"]


@dataclass(frozen=True, eq=False)
class _OnGrid:
    """A weight and its grid."""

    weight: Tensor
    keep: Tensor | None
    grid: Grid
    fit: Fit | None = None
    steps: Tensor | None = None

    @property
    def kept_weight(self) -> Tensor:
        """With zeros where it is removed."""
        return self.weight if self.keep is None else torch.where(self.keep, self.weight, torch.zeros_like(self.weight))

    def quantize(self, up: Tensor | None = None) -> Quantized:
        return self.grid.quantize(self.weight, self.keep, self.fit, up, self.steps)


class Decider:
    """Answers what a recipe does to each weight of a network, which must not change meanwhile.

    Args:
        shape: tells that of one sample, where something depends on it. knowledge: what criteria and scans say of it.

    Attributes:
        model: the network. layers: its weights, by name. weights: their tensors, not copied. chooser: of what is removed.
        knowledge: as given. calibrations: the last ranges of inputs that were found. corrected: copies with other biases.
    """

    def __init__(self, model: nn.Module, shape: Callable[[], Sequence[int]], knowledge: Knowledge) -> None:
        self.model, self._shape = model, shape
        self.layers = {layer.name: layer for layer in weight_layers(model)}
        self.weights = {name: weight_of(model, layer).detach() for name, layer in self.layers.items()}
        self.knowledge = knowledge
        self.chooser = Chooser(model, self.layers, self.weights, lambda: channel_groups(model, shape()), knowledge)
        self._finite: bool | None = None
        self._fits = Lately[dict[tuple[str, int], Fit | None]]()
        self.calibrations = Lately[Calibration]()
        self.corrected = Lately[nn.Module]()
        self._ups = Lately[dict[str, Tensor | None]]()
        self._equal: tuple[int, Decider] | None = None  # with the scans that its knowledge is from

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
        if quantization is not None and quantization.scales is not None:
            self._check_names("scales", quantization.scales)
            self._check_scales(quantization)
        if not recipe.is_dense:
            self._check_finite()
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

    def _check_scales(self, quantization: Quantization) -> None:
        for name, steps in (quantization.scales or {}).items():
            own = self.chooser.own(name)
            if self.bits(quantization, own) == 32:
                raise RecipeError(f"scales names {name!r}, whose weights are not rounded. Leave it out, or give it weight_bits.")
            wanted = self.n_scales(quantization, own)
            if len(steps) != wanted:
                raise RecipeError(
                    f"scales[{name!r}] has {len(steps)} steps; expected {wanted} for granularity={quantization.granularity!r} "
                    f"and a weight of shape {self.layers[own].shape}: they were found for other settings, or another network."
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
        settings = recipe.quantization
        if settings is None or self.knowledge.split is not None:
            return
        what = f"activation_bits={settings.activation_bits}", "from which the ranges of inputs are found"
        if not rounds_inputs(recipe):
            if not (settings.bias_correction or adapts(recipe)):
                return
            adaptive = ("rounding='adaptive'", "on which it is found what each layer reads")
            what = adaptive if adapts(recipe) else ("bias_correction=True", "on which mean errors are found")
        raise DataError(
            f"{what[0]} needs images, {what[1]}; got none. Give calibration=Split(images), or train=... to the Experiment "
            "(never S_test)."
        )

    def layers_with(self, structure: str) -> tuple[str, ...]:
        """Return the names of the layers whose units may be removed, in order of definition."""
        if structure not in UNITS:
            return tuple(self.layers)
        found = {name for bundle in self.chooser.groups.bundles if bundle.structure == structure for name in bundle.producers}
        return tuple(name for name in self.layers if name in found)

    # What is done to the network first

    def is_equalized(self) -> bool:
        """True where `equalizing` has nothing left to do."""
        return self._equal is not None and self._equal[0] == self.knowledge.scans

    def equalizing(self) -> Generator[float, None, Decider]:
        """Return what decides for the same network with equalized channels, made once; yields the share that is done."""
        scans = self.knowledge.scans
        known = self._equal
        if known is None or known[0] != scans:
            network = (yield from equalizing(self.model, self._shape())) if known is None else known[1].model
            known = self._equal = scans, Decider(network, self._shape, self.knowledge.of(network))
        return known[1]

    # How it is rounded

    def bits(self, quantization: Quantization | None, name: str) -> int:
        """Return the bits of a layer's weights, 32 for "as stored"."""
        if quantization is None:
            return 32
        names = (name, *self.layers[name].aliases)
        return min((quantization.bits_of(other) for other in names), default=32)

    def n_scales(self, quantization: Quantization, name: str) -> int:
        """Return how many scales a layer has."""
        layer = self.layers[name]
        return layer.shape[layer.out_axis] if quantization.granularity == "channel" else 1

    def quantized(self, recipe: Recipe, name: str, chosen: Chosen) -> Quantized | None:
        """Return the weight on its grid, None where it is stored as it is."""
        parts = self._parts(recipe, name, chosen)
        return None if parts is None else parts.quantize(self.up(recipe, name, chosen))

    def fitting(self, recipe: Recipe, chosen: Chosen) -> Iterator[None]:
        """Fit the grids that take long to fit, a layer a step; a codebook takes some 40 ms for a million weights."""
        fitted = [name for name in self.layers if (grid := self._grid(recipe, name)) is not None and grid.is_fitted]
        if fitted:
            yield from chosen.steps(self.weights)
        for name in fitted:
            self._parts(recipe, name, chosen)
            yield

    def adapting(self, recipe: Recipe, chosen: Chosen) -> Generator[float, None, None]:
        """Choose which weights of all layers are rounded up, where a recipe asks for that; yields the share of layers done."""
        for done, name in enumerate(self.layers):
            for _ in self._adapting(recipe, name, chosen):
                yield done / len(self.layers)

    def is_adapted(self, recipe: Recipe) -> bool:
        """True where `adapting` has nothing left to do."""
        return not adapts(recipe) or len(self._ups.find(self._key(recipe)) or ()) == len(self.layers)

    def up(self, recipe: Recipe, name: str, chosen: Chosen) -> Tensor | None:
        """Bool, where a weight goes to the level above it; None where all are rounded to the nearest."""
        return result_of(self._adapting(recipe, name, chosen))

    def _adapting(self, recipe: Recipe, name: str, chosen: Chosen) -> Generator[None, None, Tensor | None]:
        """`up` in steps, found once for the last recipes."""
        settings = recipe.quantization
        if settings is None or not adapts(recipe):
            return None
        known = self._ups.get(self._key(recipe), dict)
        if name not in known:
            parts, hessians = self._parts(recipe, name, chosen), self.knowledge.moments(settings.calibration_images)
            free = parts is not None and name in hessians and not (parts.grid.symmetric and parts.grid.bits == 1)
            made = (yield from adapting(parts.kept_weight, parts.quantize(), hessians[name])) if parts and free else None
            known[name] = made
        return known[name]

    def _key(self, recipe: Recipe) -> tuple[object, ...]:
        """What the rounding of weights depends on."""
        return recipe.pruning, recipe.quantization and recipe.quantization.of_weights(), self.knowledge.scans

    def _grid(self, recipe: Recipe, name: str) -> Grid | None:
        bits = self.bits(recipe.quantization, name)
        if recipe.quantization is None or bits == 32:
            return None
        return Grid.of(recipe.quantization, bits, self.layers[name].out_axis)

    def fit(self, recipe: Recipe, name: str, chosen: Chosen) -> Fit | None:
        """Return where the grid of a layer ends, or its codebook; None where that is known at once, or 32 bits are kept."""
        parts = self._parts(recipe, name, chosen)
        return None if parts is None else parts.fit

    def _parts(self, recipe: Recipe, name: str, chosen: Chosen) -> _OnGrid | None:
        """What is put on which grid; the last few fits are remembered, of all bits."""
        grid, settings = self._grid(recipe, name), recipe.quantization
        if grid is None or settings is None:
            return None
        keep = chosen.keep(name)
        weight = chosen.weight(name, self.weights[name], keep)
        if grid.observer == "learned":
            return _OnGrid(weight, keep, grid, steps=self._steps(settings, name))
        if not grid.is_fitted:
            return _OnGrid(weight, keep, grid)
        same = replace(settings.of_weights(), weight_bits=32)
        known = self._fits.get((recipe.pruning, same, self.knowledge.scans), dict)
        by_bits = grid.observer in ("mse", "kl") or grid.method == "codebook"
        place = (name, grid.bits if by_bits else min(grid.bits, 2))  # one symmetric bit has no ends
        if place not in known:
            known[place] = grid.fit(weight, keep)
        return _OnGrid(weight, keep, grid, known[place])

    def _steps(self, quantization: Quantization, name: str) -> Tensor | None:
        """The steps that were learned for a layer, None where they begin."""
        steps = self.chooser.named(quantization.scales or {}).get(name)
        return None if steps is None else torch.tensor(steps, dtype=torch.float32, device=self.weights[name].device)

    def effective(self, recipe: Recipe, name: str, chosen: Chosen) -> Tensor:
        """Return the weight as a recipe leaves it."""
        quantized = self.quantized(recipe, name, chosen)
        return chosen.weight(name, self.weights[name], chosen.keep(name)) if quantized is None else quantized.dequantized
