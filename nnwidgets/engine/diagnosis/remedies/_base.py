"""What a remedy is. Users add their own: see `Remedy`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import ClassVar

from nnwidgets.engine.diagnosis._arms import Arm
from nnwidgets.engine.diagnosis._context import Context

__all__ = ["Changed", "Remedy"]

Changed = Generator[None, None, tuple[Arm, str]]
"""Steps that end in the changed arm and what was changed, in words."""


class Remedy(ABC):
    """One change to a network, its training or its data, which is compared with leaving it out.

    Attributes:
        name: unique. title: in words. text: what is done. causes: those that it is advised for.
        measure: what decides: "val" (E_val), "balanced" (E_val, each class alike), "test" (half of S_test; E_test is then
            reported on the other half), or "none" where no error is to fall.
        beside_given: compared with the network as it is, not with one that was trained anew in the old way.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    text: ClassVar[str]
    causes: ClassVar[tuple[str, ...]]
    measure: ClassVar[str] = "val"
    beside_given: ClassVar[bool] = False

    def why_not(self, ctx: Context) -> str:
        """Why it cannot be applied here; "" where it can."""
        return ctx.why_untrainable()

    @abstractmethod
    def change(self, ctx: Context, arm: Arm) -> Changed:
        """The arm with the change; yields at least every 20 ms of work."""

    def control(self, ctx: Context, arm: Arm, changed: Arm) -> Arm:
        """What it is compared with."""
        return arm
