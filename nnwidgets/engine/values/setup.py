"""How a network is trained, as a record."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nnwidgets.engine.errors import InputError

__all__ = ["AUGMENTATIONS", "OPTIMIZERS", "SCHEDULES", "TrainingSetup"]

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = (None, "cosine", "step")
AUGMENTATIONS = (None, "flip", "shift", "shift+flip")


@dataclass(frozen=True)
class TrainingSetup:
    """How a network is trained.

    Attributes:
        optimizer: adam, adamw or sgd; lr: its rate at the start; epochs: passes over the sample, at least 1.
        batch_size: images a step; weight_decay: L2 strength; momentum: of sgd.
        schedule: None (constant), cosine (to zero over all steps), step (a tenth after half, a hundredth after three quarters).
        augmentation: None, shift (by up to two pixels), flip (left and right), or shift+flip. Images only.
        seed: of the order of the images, of augmentation and of dropout.
    """

    optimizer: str = "adam"
    lr: float = 1e-3
    epochs: int = 10
    batch_size: int = 64
    weight_decay: float = 0.0
    momentum: float = 0.0
    schedule: str | None = None
    augmentation: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("augmentation", self.augmentation, AUGMENTATIONS)
        for name, low in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise InputError(f"{name}: got {value!r}, expected an integer of at least {low}.")
        for name, open_end in (("lr", True), ("weight_decay", False), ("momentum", False)):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or value < 0 or (open_end and value == 0):
                raise InputError(f"{name}: got {value!r}, expected a finite number {'above' if open_end else 'of at least'} 0.")
        if self.momentum >= 1:
            raise InputError(f"momentum: got {self.momentum!r}, expected a share in [0, 1).")


def _one_of(name: str, value: object, choices: tuple[str | None, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name}: got {value!r}, expected one of {', '.join(map(repr, choices))}.")
