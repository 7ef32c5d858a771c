"""What cards of the lab have in common that run something in the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

__all__ = ["LabRun"]


class LabRun:
    """A run of one lab.

    Attributes:
        task: name of its task. Its button's command is the name with "_run" behind it.
    """

    task: ClassVar[str]

    def run(self) -> None:
        """Begin, in the background."""
        raise NotImplementedError

    def commands(self) -> dict[str, Callable[..., object]]:
        """What the button calls."""
        return {f"{self.task}_run": self.run}

    def starters(self) -> dict[str, Callable[[], object]]:
        """Name of the task -> what begins it once more."""
        return {self.task: self.run}
