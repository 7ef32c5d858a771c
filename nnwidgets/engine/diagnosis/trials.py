"""What came of a remedy: an entry of the track."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor

from nnwidgets.engine.diagnosis._arms import Spent
from nnwidgets.engine.diagnosis.flowchart import Share
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.values.intervals import student

__all__ = ["Difference", "Trial", "difference_of", "of_images", "smallest_effect", "verdict_of"]

_Z95 = 1.96


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences of an error (after - before), its 95 % interval for another training run, and the pairs."""

    mean: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True)
class Trial:
    """An attempt: what was changed, and whether it helped.

    Attributes:
        id: 0 is the experiment as it was given. parent: the one it started from. remedy, cause, leaf: names; "" for id 0.
        title, change: in words. measured_on: the sample that decides, in words.
        before, after: errors there, a pair for each seed; difference: of them. smallest: effect that counts.
        verdict: "start", "confirmed", "refuted", "not established", or "measured" where no error was to fall.
        errors: of the network that came out, by sample. spent: on all runs. epochs, of_epochs: that were trained, and asked for.
        experiment: to go on with. recorded: of a replayed attempt, when and where it was made.
    """

    id: int
    parent: int
    remedy: str
    cause: str
    leaf: str
    title: str
    change: str
    measured_on: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    difference: Difference | None
    smallest: float
    verdict: str
    errors: Mapping[str, Share]
    spent: Spent
    epochs: int
    of_epochs: int
    experiment: Experiment | None = field(repr=False, compare=False, default=None)
    recorded: str = ""

    def to_data(self) -> dict[str, Any]:
        """As JSON data, without the experiment."""
        data = asdict(replace(self, experiment=None))
        del data["experiment"]
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any], recorded: str) -> Trial:
        """From what ``to_data`` gave, as one that was recorded."""
        found = dict(data)
        found["errors"] = {str(name): Share(**share) for name, share in data["errors"].items()}
        found["spent"] = Spent(**data["spent"])
        found["difference"] = None if data["difference"] is None else Difference(**data["difference"])
        found["before"], found["after"] = tuple(data["before"]), tuple(data["after"])
        return cls(**{**found, "recorded": recorded})


def difference_of(before: Sequence[float], after: Sequence[float], images: int) -> Difference:
    """Student's interval of paired differences; their spread is taken to be at least that of half an image."""
    mean, low, high = student([b - a for a, b in zip(before, after, strict=True)], 0.5 / images)
    return Difference(mean, low, high, len(before)) if len(before) > 1 else Difference(mean, -1.0, 1.0, 1)


def of_images(before: Tensor, after: Tensor) -> Difference:
    """Interval, for new images like these, of what one change without training does: (N,) wrong before and after."""
    found = after.double() - before.double()
    mean, n = float(found.mean()), len(found)
    half = _Z95 * math.sqrt(max(float(found.var()), 1 / n) / n)
    return Difference(mean, mean - half, mean + half, 1)


def smallest_effect(goal: float) -> float:
    """A fall of the error that is worth a change: a fifth of the goal, between 0.2 and 1 point."""
    return max(0.002, min(0.01, 0.2 * goal))


def verdict_of(found: Difference, smallest: float) -> str:
    """ "confirmed": falls beyond noise and by enough. "refuted": a fall by so much is ruled out. Else "not established"."""
    if found.high < 0 and found.mean <= -smallest:
        return "confirmed"
    return "refuted" if found.low > -smallest else "not established"
