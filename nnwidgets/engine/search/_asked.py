"""What is searched for, checked before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.search._merits import MERITS
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["Asked", "check_split"]

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Asked:
    """What is searched for."""

    goal: float
    merit: str
    budget_s: float
    train: Split | None
    tune_epochs: int
    setup: TrainingSetup | None
    loss: Loss | None
    seed: int

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
        for name, value in (("tune_epochs", self.tune_epochs), ("seed", self.seed)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InputError(f"{name}: got {value!r}, expected a whole number from 0.")
        if self.setup is not None and not isinstance(self.setup, TrainingSetup):
            raise InputError(f"setup: got {type(self.setup).__name__}, expected TrainingSetup(...), or None.")
        if self.tune_epochs:
            check_split("train", self.train)


def check_split(name: str, split: object) -> None:
    if not isinstance(split, Split):
        raise DataError(f"{name}: got {type(split).__name__}, expected Split(images, labels).")
    if split.labels is None:
        raise DataError(f"{name}: got images without labels; expected Split(images, labels).")
    if not len(split):
        raise DataError(f"{name}: got no images, expected one at least.")
