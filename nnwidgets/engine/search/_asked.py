"""What is searched for, checked before anything runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.search._merits import MERITS
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split

__all__ = ["Asked", "check_split"]


@dataclass(frozen=True)
class Asked:
    """What is searched for."""

    goal: float
    merit: str
    budget_s: float
    seed: int
    start: Recipe | None = None

    def check(self) -> None:
        if isinstance(self.goal, bool) or not isinstance(self.goal, int | float) or not 0 < self.goal < 1:
            raise InputError(
                f"goal: got {self.goal!r}, expected the error allowed as a share inside (0, 1), such as 0.03 for 3 %."
            )
        if self.merit not in MERITS:
            raise InputError(f"merit: got {self.merit!r}, expected one of {', '.join(map(repr, MERITS))}.")
        if (
            isinstance(self.budget_s, bool)
            or not isinstance(self.budget_s, int | float)
            or not (math.isfinite(self.budget_s) and self.budget_s > 0)
        ):
            raise InputError(f"budget_s: got {self.budget_s!r}, expected seconds above 0, such as 30.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise InputError(f"seed: got {self.seed!r}, expected a whole number from 0.")
        if self.start is not None and not isinstance(self.start, Recipe):
            raise InputError(f"start: got {type(self.start).__name__}, expected a Recipe to begin with, or None.")


def check_split(name: str, split: object) -> None:
    if not isinstance(split, Split):
        raise DataError(f"{name}: got {type(split).__name__}, expected Split(images, labels).")
    if split.labels is None:
        raise DataError(f"{name}: got images without labels; expected Split(images, labels).")
    if not len(split):
        raise DataError(f"{name}: got no images, expected one at least.")
