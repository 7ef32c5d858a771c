"""A plan for one set of weights: any recipe's figures in microseconds, any recipe's weights in one pass."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression._compress import compressed_by
from nnwidgets.engine.compression._correct_bias import correcting, network_of
from nnwidgets.engine.compression._encodings import encodings_of
from nnwidgets.engine.compression._export import checked_format, decided_export_steps
from nnwidgets.engine.compression._materialize import materialized_by
from nnwidgets.engine.compression.decide import Decider
from nnwidgets.engine.compression.decision import Decision, decide
from nnwidgets.engine.compression.exported import Exported
from nnwidgets.engine.compression.files import write_packed
from nnwidgets.engine.compression.input_ranges import calibrating, gridding, input_grids
from nnwidgets.engine.compression.inventory import Entry, Inventory
from nnwidgets.engine.compression.knowledge import Drops, Knowledge, adapts, rounds_inputs
from nnwidgets.engine.compression.parametrizations import is_compressed
from nnwidgets.engine.compression.survivors import Survivors
from nnwidgets.engine.costs import arithmetic
from nnwidgets.engine.errors import InputError, ModelError, RecipeError
from nnwidgets.engine.pruning.channels import ChannelGroups
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.quantization import Calibration, Quantized, RoundingReport, round_inputs, rounding_of
from nnwidgets.engine.trace import Trace, WeightLayer, trace
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.values.records import Cost
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of, retold

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CompressionPlan"]

_KEPT_COUNTS = 64


class CompressionPlan:
    """Everything about compressing one network that can be prepared: its trace, its sorted magnitudes, its inventory.

    Holds the network's tensors, not copies: the network must not change while the plan is used. Figures and masks may be asked
    for from several threads; ``load`` is for one at a time.

    Args:
        model: a plain network. input_shape: of one sample, without the batch. traced: what `trace` gave for the two, to save the
            time. split, loss, scan: what criteria look at and how layers are scanned, see `Knowledge`.

    Attributes:
        trace: of the network. layers: its weights, in order of definition. knowledge: what criteria have found.

    Raises:
        ModelError: the network has masks or grids on it already (bake it first), or cannot be traced.
    """

    def __init__(
        self,
        model: nn.Module,
        input_shape: Sequence[int],
        traced: Trace | None = None,
        split: Split | None = None,
        loss: Loss | None = None,
        scan: Callable[[], Generator[float, None, Drops]] | None = None,
    ) -> None:
        if isinstance(model, nn.Module) and is_compressed(model):
            raise ModelError("The network has masks or grids on it. Plan for the network it was made from, or for bake(network).")
        self.trace: Trace = trace(model, input_shape) if traced is None else traced
        self._model = model
        self.knowledge = Knowledge(model, split, loss, self.trace, scan)
        self._decider = Decider(model, lambda: self.trace.input_shape, self.knowledge)
        self._survivors = Survivors(self._decider)
        self._inventory = Inventory(model)
        self._arithmetic = arithmetic(self.trace)
        self._counts: OrderedDict[Recipe, tuple[dict[str, int], int]] = OrderedDict()
        self._lock = threading.Lock()
        weights = self._decider.weights.values()
        self._zeros = {name: w.numel() - int(torch.count_nonzero(w)) for name, w in self._decider.weights.items()}
        self._dense_others = self._inventory.other_nonzero(model, {})
        if all(not weight.is_meta for weight in weights) and self._decider.finite:
            self._decider.chooser.pieces(Pruning(0.0))  # now, so that the first move of a slider is as quick as the others

    @property
    def layers(self) -> tuple[WeightLayer, ...]:
        """The weights that can be pruned and quantized, in order of definition."""
        return tuple(self._decider.layers.values())

    @property
    def groups(self) -> ChannelGroups:
        """What is coupled in the network, and what cannot be removed."""
        return self._decider.chooser.groups

    def layers_with(self, structure: str) -> tuple[str, ...]:
        """Return the names of the layers of which ``structure`` can be removed, in order of definition."""
        return self._decider.layers_with(structure)

    def compressed(self, recipe: Recipe) -> nn.Module:
        """Return what ``compress`` returns, by what is known already."""
        return compressed_by(decide(self._decider, recipe))

    def trainable(self, recipe: Recipe) -> tuple[nn.Module, Recipe]:
        """Return what `compressed` does, to be trained, and the recipe that describes it from then on.

        What makes up for rounding without training is in its weights then, and the recipe does not ask for it any more: channels
        are equalized and biases corrected, and training itself decides which weights go up and which go down.
        """
        settings = recipe.quantization
        nearest = None if settings is None else replace(settings, rounding="nearest")
        decision = decide(self._decider, Recipe(recipe.pruning, nearest))
        return compressed_by(decision), decision.recipe

    def materialized(self, recipe: Recipe) -> nn.Module | None:
        """Return what ``materialize`` returns, by what is known already; None where nothing gets smaller."""
        decision = decide(self._decider, recipe)
        return materialized_by(decision, self.trace.input_shape) if decision.chosen.kept else None

    def save(self, recipe: Recipe, path: str | os.PathLike[str]) -> int:
        """Write what ``save_packed`` writes, by what is known already; returns the size in bytes."""
        return write_packed(decide(self._decider, recipe), path)

    def exporting(
        self,
        recipe: Recipe,
        path: str | os.PathLike[str],
        format: str = "state_dict",
        *,
        materialized: bool = False,
        overwrite: bool = False,
    ) -> Generator[str, None, Exported]:
        """Write what ``export`` writes, by what is known already, in the steps of ``export_steps``."""
        kind, decision = checked_format(recipe, format, materialized), decide(self._decider, recipe)
        steps = decided_export_steps(decision, path, kind, self.trace.input_shape, overwrite, materialized)
        return (yield from steps)

    def encodings(self, recipe: Recipe) -> Generator[float, None, pd.DataFrame]:
        """Return what ``encodings`` returns, by what is known already; yields the share that is done."""
        return (yield from encodings_of(decide(self._decider, recipe)))

    def missing(self, recipe: Recipe) -> bool:
        """True where `preparing` has something to do for a recipe."""
        decider = self._decider
        if _equalizes(recipe):
            if not decider.is_equalized():
                return True
            decider = result_of(decider.equalizing())
        settings = recipe.quantization
        return decider.knowledge.missing(recipe) or (
            settings is not None and not decider.is_adapted(Recipe(recipe.pruning, settings.on_prepared()))
        )

    def preparing(self, recipe: Recipe) -> Generator[tuple[str, float], None, None]:
        """Find what has to be known before a recipe's figures can be told, in steps of some 20 ms.

        Yields what is done (the criterion's name, "sensitivity", "equalize", "moments" or "adaptive") and its share. Closed
        early, what was seen so far is kept, and the next call goes on from there.
        """
        decider = self._decider
        if _equalizes(recipe):
            for share in decider.equalizing():
                yield "equalize", share
            decider = result_of(decider.equalizing())
        yield from decider.knowledge.steps(recipe)
        if adapts(recipe):
            decision = decide(self._decider, recipe)
            yield from (("adaptive", 0.0) for _ in decision.making_up())
            yield from (("adaptive", 0.0) for _ in decision.fitting())
            yield from (("adaptive", share) for share in decision.adapting())

    def check(self, recipe: Recipe) -> None:
        """Raise what is wrong with a recipe for this network, as far as that is told without looking at images."""
        if self.missing(recipe):
            self._decider.check(recipe)
        else:
            decide(self._decider, recipe)

    def figures(self, recipe: Recipe) -> Cost:
        """Return what `cost` returns for this recipe, without a pass over the weights where single weights go by magnitude.

        What else is counted (filters, random choice, given masks) takes one pass, what rounding leaves a shorter one, and is
        remembered.

        Raises:
            RecipeError, UnsupportedError, ModelError: as `compress` does.
        """
        decision = decide(self._decider, recipe)
        nonzero, others = self._count(decision)
        return self._inventory.price(self._arithmetic, nonzero, others, decision.stored)

    def decision(self, recipe: Recipe) -> Decision:
        """Return what a recipe does to the network, decided by what is known already.

        Raises:
            RecipeError, UnsupportedError, ModelError, DataError: as `compress` does.
        """
        return decide(self._decider, recipe)

    def masks(self, recipe: Recipe) -> dict[str, Tensor]:
        """Return layer -> bool tensor of the shape of its weight, True where it is kept; all layers are there."""
        decision = decide(self._decider, recipe)
        found = {}
        for name, weight in self._decider.weights.items():
            keep = decision.keep(name)
            found[name] = torch.ones_like(weight, dtype=torch.bool) if keep is None else keep
        return found

    def load(self, recipe: Recipe, into: nn.Module) -> None:
        """Write the weights that a recipe leaves into a plain copy of the network, bit for bit those of ``bake(compress(...))``.

        Every weight is written from the originals, so that what an earlier recipe removed is back. Its modules round their inputs
        from now on where the recipe says so, and else no longer.

        Args:
            into: a deep copy of the network, or one of the same architecture. Its biases and batch-norms are written too, their
                running statistics with them; its other buffers are not.

        Raises:
            ModelError: ``into`` is the network itself, has masks or grids on it, or another architecture; nothing is written.
        """
        decision = decide(self._decider, recipe)
        network = network_of(decision)
        targets = [self._target(into, entry) for entry in self._inventory.entries if entry.is_parameter]
        with torch.no_grad():
            _write_statistics(network, into)
            for entry, target in targets:
                if entry.layer is not None:
                    target.copy_(decision.effective(entry.layer))
                    continue
                value, keep = entry.of(network).detach(), decision.vectors.get((entry.module_name, entry.attribute))
                target.copy_(value if keep is None else torch.where(keep, value, torch.zeros_like(value)))
        round_inputs(into, input_grids(decision))

    def making(self, recipe: Recipe) -> Iterator[None]:
        """Do what ``load`` would take long for, in steps of some 20 ms: kept weights make up for others, grids are fitted, inputs
        are seen.
        """
        decision = decide(self._decider, recipe)
        yield from decision.making_up()
        yield from decision.fitting()
        yield from retold(decision.adapting(), lambda: None)
        yield from retold(correcting(decision), lambda: None)
        if rounds_inputs(recipe):
            yield from gridding(decision)

    def fitting(self, recipe: Recipe) -> Iterator[None]:
        """Do what ``figures`` would take long for, in steps: ranges by some observers and codebooks are found, a layer a step."""
        yield from decide(self._decider, recipe).fitting()

    def calibration(self, recipe: Recipe) -> Calibration | None:
        """Return what goes into each layer, looked at now if it was not yet; None where a recipe does not round inputs.

        Raises:
            DataError: an input is not finite. And what `compress` raises.
        """
        decision = decide(self._decider, recipe)
        return result_of(calibrating(decision)) if rounds_inputs(recipe) else None

    def effective(self, recipe: Recipe, layer: str) -> Tensor:
        """Return a layer's weight as a recipe leaves it, bit for bit that of ``bake(compress(...))``; it must not be written to.

        Raises:
            RecipeError, UnsupportedError, ModelError: as `compress` does.
        """
        return decide(self._decider, recipe).effective(self._layer(layer))

    def threshold(self, recipe: Recipe, layer: str) -> float | None:
        """Return the magnitude below which single weights of a layer go; None where none goes, or not by magnitude."""
        return decide(self._decider, recipe).chosen.threshold(self._layer(layer))

    def quantized(self, recipe: Recipe, layer: str) -> Quantized | None:
        """Return a layer's weight on its grid, None where it is not quantized."""
        name, decision = self._layer(layer), decide(self._decider, recipe)
        return decision.quantized(name)

    def rounding(self, recipe: Recipe, layer: str) -> RoundingReport | None:
        """Return what the grid of a layer does to it, None where it is not quantized."""
        name, decision = self._layer(layer), decide(self._decider, recipe)
        quantized = decision.quantized(name)
        if quantized is None:
            return None
        with torch.no_grad():
            before = decision.chosen.weight(name, decision.decider.weights[name], decision.chosen.keep(name))
            return rounding_of(before, quantized, decision.decider.layers[name].out_axis)

    def largest_amount(self, pruning: Pruning) -> float:
        """Return the largest ``amount`` for these settings that leaves a unit in each layer, just below 1 for weights."""
        if not isinstance(pruning, Pruning):
            raise InputError(f"Got {type(pruning).__name__}; expected Pruning(...), whose amount does not matter here.")
        return self._decider.chooser.largest(pruning)

    def _layer(self, name: str) -> str:
        if name not in self._decider.layers:
            raise RecipeError(f"This network has no layer {name!r} with weights; {nearest(name, self._decider.layers)}")
        return name

    def _count(self, decision: Decision) -> tuple[dict[str, int], int]:
        with self._lock:
            known = self._counts.get(decision.asked)
        if known is not None:
            return known
        nonzero = {name: self._instant(decision, name) for name in self._decider.layers}
        if all(count is not None for count in nonzero.values()) and not decision.vectors:
            return {name: count or 0 for name, count in nonzero.items()}, self._dense_others
        counted = {name: self._looked_at(decision, name) if count is None else count for name, count in nonzero.items()}
        others = self._inventory.other_nonzero(self._model, decision.vectors) if decision.vectors else self._dense_others
        with self._lock:
            self._counts[decision.asked] = counted, others
            while len(self._counts) > _KEPT_COUNTS:
                self._counts.popitem(last=False)
        return counted, others

    def _instant(self, decision: Decision, name: str) -> int | None:
        """The nonzero weights of a layer from what is known already, None where they have to be counted."""
        if decision.stored[name].symmetric is not None:
            return None  # rounding makes zeros
        return decision.chosen.nonzero(name, self._decider.layers[name].numel, self._zeros[name])

    def _looked_at(self, decision: Decision, name: str) -> int:
        survivors = self._survivors
        if survivors.decider is not decision.decider:  # channels are equalized, or no longer
            self._survivors = survivors = Survivors(decision.decider)
        left = None if decision.stored[name].symmetric is None else survivors.count(decision, name)
        return decision.count_nonzero(name) if left is None else left

    def _target(self, into: nn.Module, entry: Entry) -> tuple[Entry, Tensor]:
        try:
            target = into.get_submodule(entry.module_name)._parameters.get(entry.attribute)
        except AttributeError:
            target = None
        place = f"{entry.module_name}.{entry.attribute}"
        if target is None or tuple(target.shape) != entry.shape:
            got = "no such parameter" if target is None else f"shape {tuple(target.shape)}"
            raise ModelError(
                f"load() writes {place!r} of shape {entry.shape}; the target has {got}. Give a plain copy.deepcopy(model)."
            )
        if target is entry.of(self._model):
            raise ModelError(
                "load() was given the network that the plan is for, which must not change. Give a copy.deepcopy(model)."
            )
        return entry, target


def _equalizes(recipe: Recipe) -> bool:
    return recipe.quantization is not None and recipe.quantization.equalize


def _write_statistics(network: nn.Module, into: nn.Module) -> None:
    """Running statistics of batch-norm, which remedies of rounding change."""
    for name, module in network.named_modules():
        for attribute in ("running_mean", "running_var"):
            value = module._buffers.get(attribute)
            target = into.get_submodule(name)._buffers.get(attribute) if value is not None else None
            if value is not None and target is not None:
                target.copy_(value)
