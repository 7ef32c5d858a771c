"""From the pruning part of a recipe to what goes. Tables of scores are built when they are first needed, and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression.choices import Chosen, GivenMasks, MakingUp, patterns, singles, units
from nnwidgets.engine.compression.knowledge import Knowledge
from nnwidgets.engine.compression.lately import Lately
from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.pruning import erdos_renyi, fits, largest_share, parsed, select_filters, tolerated, unit_scores
from nnwidgets.engine.pruning.channels import Bundle, ChannelGroups
from nnwidgets.engine.pruning.criteria import CRITERIA
from nnwidgets.engine.pruning.pieces import Pieces, in_own_scale
from nnwidgets.engine.trace import WeightLayer
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.recipe import Pruning

__all__ = ["UNITS", "Chooser"]

V = TypeVar("V")

UNITS = {"filter": "filters", "neuron": "neurons", "head": "attention heads"}
"""Structures that are removed with all that is coupled to them -> what a person calls several of them."""


_TOGETHER = ("global", "normalized")  # one ranking over all layers


class Chooser:
    """Chooses what goes of one set of weights, which must not change meanwhile.

    Args:
        groups: finds the channel groups of the network; asked once, and only where units are to be removed.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, WeightLayer],
        weights: Mapping[str, Tensor],
        groups: Callable[[], ChannelGroups],
        knowledge: Knowledge,
    ) -> None:
        self._model, self._layers, self._weights = model, layers, weights
        self._aliases = {alias: layer.name for layer in layers.values() for alias in layer.aliases}
        self._names = {(layer.module_name, layer.parameter): name for name, layer in layers.items()}
        self._find_groups, self._knowledge = groups, knowledge
        self._groups: ChannelGroups | None = None
        self._magnitudes: Pieces | None = None
        self._pieces, self._lately, self._unit_scores = Lately[Pieces](), Lately[Chosen](), Lately[dict[str, Tensor]]()

    @property
    def groups(self) -> ChannelGroups:
        """The channel groups of the network."""
        if self._groups is None:
            self._groups = self._find_groups()
        return self._groups

    def own(self, name: str) -> str:
        """Return the first name of a layer that has several."""
        return self._aliases.get(name, name)

    def named(self, given: Mapping[str, V]) -> dict[str, V]:
        """Return a mapping by first names."""
        return {self.own(name): value for name, value in given.items()}

    def choose(self, pruning: Pruning | None) -> Chosen:
        """Choose. What was chosen lately is remembered.

        Raises:
            RecipeError: it does not fit the network. DataError, ModelError: the criterion cannot look.
        """
        if pruning is None or (pruning.masks is None and pruning.removes_nothing):
            return Chosen()
        if pruning.masks is not None:
            return GivenMasks(self.named(pruning.masks), self._weights)
        return self._lately.get((pruning, self._knowledge.scans), lambda: self._made_up(pruning))

    def _made_up(self, pruning: Pruning) -> Chosen:
        chosen = self._chosen(pruning)
        importance = self._knowledge.importance(pruning)
        return chosen if importance is None or not importance.hessians else MakingUp(chosen, importance.hessians)

    def _chosen(self, pruning: Pruning) -> Chosen:
        if pruning.structure in UNITS:
            kept = self._kept_units(pruning)
            return units(kept, self.groups.bundles, self._model, self._layers, self._weights)
        exclude = {self.own(name) for name in pruning.exclude}
        if ":" in pruning.structure:
            return patterns(
                self.pieces(pruning), self._with_pattern(pruning) - exclude, pruning.structure, self._layers, self._weights
            )
        pieces = self.pieces(pruning)
        together = pruning.allocation in _TOGETHER
        by_size = pieces is self._magnitudes
        amounts = pruning.amount if together else self._amounts(pruning, pieces.table.sizes, exclude)
        return singles(pieces, amounts, exclude, self._weights, by_size)

    def largest(self, pruning: Pruning) -> float:
        """Return the largest amount that leaves a unit in each layer; what the pattern removes, for n:m; just below 1 else."""
        if pruning.masks is not None or pruning.structure in ("weight", "kernel"):
            return largest_share({}, together=False)
        if ":" in pruning.structure:
            n, m = parsed(pruning.structure)
            return 1 - n / m
        scores = self._scores(pruning)
        if isinstance(pruning.allocation, Mapping):
            by_hand = set(self._by_bundle(pruning.allocation, scores))
            scores = {name: values for name, values in scores.items() if name not in by_hand}
        return largest_share(scores, together=pruning.allocation in _TOGETHER and bool(scores))

    def pieces(self, pruning: Pruning) -> Pieces:
        """Return the scores that single weights or kernels are chosen by."""
        structure = "kernel" if pruning.structure == "kernel" else "weight"
        normalized = _normalized(pruning)
        if structure == "weight" and pruning.criterion == "magnitude" and not normalized:
            if self._magnitudes is None:
                self._magnitudes = self._made(pruning, structure)
            return self._magnitudes
        norm = pruning.norm if pruning.criterion == "magnitude" else 0
        key = (structure, pruning.criterion, norm, pruning.seed, normalized)
        return self._pieces.get(key, lambda: self._made(pruning, structure, normalized))

    def _made(self, pruning: Pruning, structure: str, normalized: bool = False) -> Pieces:
        importance = self._knowledge.importance(pruning)
        asked = (structure, pruning.criterion, pruning.norm, pruning.seed, importance, normalized)
        pieces = Pieces(self._weights, self._layers, *asked)
        if not pieces.table.names and importance is not None and importance.missing:
            name, why = next(iter(importance.missing.items()))
            raise RecipeError(
                f"criterion={pruning.criterion!r} says nothing of any layer of this network ({name!r}: {why}). "
                "Use criterion='magnitude' or 'taylor'."
            )
        if not pieces.table.names and structure == "kernel":
            raise RecipeError(
                "There are no kernels to prune: this network has no convolution whose kernels have more than one number. "
                "Use structure='weight' or 'neuron'."
            )
        return pieces

    # Single weights and kernels

    def _amounts(self, pruning: Pruning, sizes: Mapping[str, int], exclude: set[str]) -> dict[str, float]:
        names = [name for name in sizes if name not in exclude]
        if isinstance(pruning.allocation, Mapping):
            given = self.named(pruning.allocation)
            self._refuse_without(pruning.structure, given, names)
            return {name: given.get(name, pruning.amount) for name in names}
        if pruning.allocation == "erk":
            return erdos_renyi({name: self._layers[name].shape for name in names}, pruning.amount)
        if pruning.allocation == "sensitivity":
            drops = self._knowledge.losses()
            lacking = [name for name in names if name not in drops]
            if lacking:
                raise RecipeError(
                    f"The sensitivity scan says nothing of {', '.join(lacking[:5])}: it was made for another network. Scan again."
                )
            return tolerated({name: sizes[name] for name in names}, drops, pruning.amount)
        return dict.fromkeys(names, pruning.amount)

    def _refuse_without(self, structure: str, given: Mapping[str, float], names: list[str]) -> None:
        for name, amount in given.items():
            if name not in names and amount > 0:
                what = UNITS.get(structure, "kernels" if structure == "kernel" else f"groups of {parsed(structure)[1]} inputs")
                raise RecipeError(f"allocation names {name!r}, which has no {what} to prune; {nearest(name, names)}")

    def _with_pattern(self, pruning: Pruning) -> set[str]:
        """The layers that get an n:m pattern."""
        n, m = parsed(pruning.structure)
        names = [name for name in self.pieces(pruning).table.names if fits(self._layers[name], m)]
        if not names:
            raise RecipeError(
                f"structure={pruning.structure!r} needs layers whose number of inputs is a multiple of {m}; this network has "
                "none. Use another pattern, or structure='weight'."
            )
        given = self.named(pruning.allocation) if isinstance(pruning.allocation, Mapping) else {}
        self._refuse_without(pruning.structure, given, names)
        amounts = {name: given.get(name, pruning.amount) for name in names}
        whole = 1 - n / m
        for amount in amounts.values():
            if amount > 0 and abs(amount - whole) >= 0.005:
                raise RecipeError(
                    f"structure={pruning.structure!r} removes {whole:.1%} of a layer, no more and no less; got {amount:.1%}. "
                    f"Use amount={whole:.3g}, or another pattern such as '1:4' for 75 %.",
                    largest=whole,
                )
        return {name for name, amount in amounts.items() if amount > 0}

    # Units

    def _kept_units(self, pruning: Pruning) -> dict[str, Tensor]:
        scores = self._scores(pruning)
        what = UNITS[pruning.structure]
        if pruning.allocation in _TOGETHER:
            return select_filters(scores, pruning.amount, what)
        given = self._by_bundle(pruning.allocation, scores) if isinstance(pruning.allocation, Mapping) else {}
        return select_filters(scores, {name: given.get(name, pruning.amount) for name in scores}, what)

    def _by_bundle(self, allocation: Mapping[str, float], scores: Mapping[str, Tensor]) -> dict[str, float]:
        """Shares by hand; layers that are coupled share one."""
        made: dict[str, list[str]] = {}  # a layer can make units of several bundles
        for bundle in self.groups.bundles:
            for name in bundle.producers if bundle.name in scores else ():
                made.setdefault(name, []).append(bundle.name)
        found: dict[str, tuple[str, float]] = {}
        for name, amount in self.named(allocation).items():
            if name not in made:
                if amount == 0:
                    continue
                why = self.groups.refused.get(name)
                tail = f" {name!r} cannot be pruned so: {why}." if why else ""
                raise RecipeError(f"allocation names {name!r}, which has no such units to prune;{tail} {nearest(name, made)}")
            for bundle_name in made[name]:
                other = found.setdefault(bundle_name, (name, amount))
                if other[1] != amount:
                    raise RecipeError(
                        f"allocation gives {other[0]!r} {other[1]:.1%} and {name!r} {amount:.1%}; these layers are coupled and "
                        "lose the same channels. Give them the same share, or name one of them."
                    )
        return {bundle: amount for bundle, (_, amount) in found.items()}

    def _scores(self, pruning: Pruning) -> dict[str, Tensor]:
        exclude = {self.own(name) for name in pruning.exclude}
        every = [bundle for bundle in self.groups.bundles if bundle.structure == pruning.structure]
        free = [bundle for bundle in every if not exclude & set(bundle.producers)]
        if not free:
            raise RecipeError(self._nothing(pruning.structure, every))
        scores = self._all_scores(pruning)
        if _normalized(pruning):
            scores = {name: in_own_scale(values) for name, values in scores.items()}
        found = {bundle.name: scores[bundle.name] for bundle in free if bundle.name in scores}
        if not found:
            raise RecipeError(
                f"criterion={pruning.criterion!r} says nothing of the {UNITS[pruning.structure]} of this network; "
                f"it is: {CRITERIA[pruning.criterion].unit_formula}. Use criterion='magnitude'."
            )
        return found

    def _all_scores(self, pruning: Pruning) -> dict[str, Tensor]:
        norm = pruning.norm if pruning.criterion == "magnitude" else 0

        def make() -> dict[str, Tensor]:
            importance = self._knowledge.importance(pruning)
            bundles = [bundle for bundle in self.groups.bundles if bundle.structure == pruning.structure]
            with torch.no_grad():
                return unit_scores(self._model, bundles, self._names, pruning.criterion, pruning.norm, pruning.seed, importance)

        return self._unit_scores.get((pruning.structure, pruning.criterion, norm, pruning.seed), make)

    def _nothing(self, structure: str, every: list[Bundle]) -> str:
        what = UNITS[structure]
        if every:
            return f"There are no {what} to prune: all layers that have any are in exclude. Use structure='weight'."
        reasons = [f"{name!r}: {why}" for name, why in list(self.groups.refused.items())[:3]]
        told = f" ({'; '.join(reasons)})" if reasons else ""
        others = sorted({bundle.structure for bundle in self.groups.bundles})
        advice = " or ".join(repr(other) for other in (*others, "weight"))
        return f"There are no {what} to prune in this network{told}. Use structure={advice}."


def _normalized(pruning: Pruning) -> bool:
    return pruning.allocation == "normalized" and pruning.criterion != "random"  # whose scores are alike in all layers
