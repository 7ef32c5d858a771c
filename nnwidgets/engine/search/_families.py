"""Families of recipes: all settings but the amount are fixed, so that accuracy falls and the merit shrinks with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nnwidgets.engine.compression.choose import UNITS
from nnwidgets.engine.pruning.criteria import CRITERIA
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe

__all__ = ["STEP", "Family", "families_for", "left_out"]

STEP = 0.01  # between two amounts of a family

# What a criterion takes before its first candidate, in passes over the images it looks at (bundled nets, one core). Of OBS most
# is the compensation of each candidate.
_PASSES = {"magnitude": 0, "bn_scale": 0, "wanda": 1, "activation": 1, "taylor": 3, "obd": 5, "obs": 8}
_SINGLE = ("magnitude", "wanda", "taylor", "obd", "obs")
_BY_UNIT = ("magnitude", "bn_scale", "activation", "taylor", "obd")
_BITS = (8, 4, 5, 6, 3, 2, 32)


@dataclass(frozen=True)
class Family:
    """Settings of a recipe without its amount.

    Attributes:
        structure, criterion, allocation: of the pruning. bits: of weights, 32 for as stored.
    """

    structure: str
    criterion: str
    allocation: str
    bits: int = 32

    @property
    def settings(self) -> tuple[str | int, ...]:
        """All of them."""
        return self.structure, self.criterion, self.allocation, self.bits

    @property
    def pruning_label(self) -> str:
        """What is removed, in words."""
        what = UNITS.get(self.structure, "weights")
        return f"{what} by {CRITERIA[self.criterion].label}, {self.allocation}"

    @property
    def label(self) -> str:
        """All in words."""
        return self.pruning_label + ("" if self.bits == 32 else f", {self.bits} bits")

    @property
    def passes(self) -> int:
        """How long the criterion takes, in passes over its images."""
        return _PASSES[self.criterion]

    @property
    def compensates(self) -> bool:
        """Kept weights make up for removed ones, which takes long for each amount."""
        return self.criterion == "obs"

    @property
    def fewest(self) -> int:
        """The smallest number of steps that changes anything: none where weights are rounded."""
        return 1 if self.bits == 32 else 0

    def pruning(self, steps: int) -> Pruning:
        """What is removed at so many steps of `STEP`."""
        return Pruning(round(steps * STEP, 10), self.structure, self.criterion, self.allocation)

    def recipe(self, steps: int) -> Recipe:
        """The recipe at so many steps of `STEP`."""
        rounding = None if self.bits == 32 else Quantization(weight_bits=self.bits)
        return Recipe(None if steps == 0 else self.pruning(steps), rounding)


def families_for(merit: str) -> tuple[Family, ...]:
    """The families that can make a merit smaller, the simplest first."""
    units = [
        Family(structure, criterion, allocation)
        for structure in UNITS
        for criterion in _BY_UNIT
        for allocation in ("global", "uniform")
        if criterion != "bn_scale" or structure == "filter"
    ]
    if merit in ("macs", "latency"):
        return tuple(units)
    pruned = [
        *(Family("weight", criterion, allocation) for criterion in _SINGLE for allocation in ("global", "erk", "uniform")),
        *(unit for unit in units if unit.allocation == "global" and unit.criterion in ("magnitude", "taylor")),
    ]
    return tuple(Family(each.structure, each.criterion, each.allocation, bits) for each in pruned for bits in _BITS)


def left_out(merit: str) -> Mapping[str, str]:
    """What cannot make a merit smaller, in words -> why."""
    if merit not in ("macs", "latency"):
        return {}
    return {
        "single weights": "zeros in a full tensor are multiplied like any other number",
        "fewer bits": "rounded weights are multiplied in full precision here, as many of them as before",
    }
