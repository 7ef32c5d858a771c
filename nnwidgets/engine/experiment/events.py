"""What an experiment tells those who subscribed to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from nnwidgets.engine.values.records import StepRecord

__all__ = ["Callback", "Event", "Notice", "Scoring", "Task"]


@dataclass(frozen=True)
class Notice:
    """A short message that stays until it no longer holds. ``id`` names its cause; an empty text takes it away."""

    id: str
    text: str
    role: Literal["muted", "warn", "bad"] = "warn"


@dataclass(frozen=True)
class Task:
    """Long work as it stands.

    Attributes:
        name: fine_tune, latency, disk, scan_layers, export, encodings or crossover; label: in words; progress: share done.
        seconds_left: estimate, None before there is one; ended: None while it runs, then done, cancelled or failed.
        text: where it is, or how it ended; records: of a training run, so far.
    """

    name: str
    label: str
    progress: float = 0.0
    seconds_left: float | None = None
    ended: Literal["done", "cancelled", "failed"] | None = None
    text: str = ""
    records: tuple[StepRecord, ...] = ()


@dataclass(frozen=True)
class Scoring:
    """A recipe needs to be told something before it can be applied: which criterion looks at images, or "sensitivity" for a scan
    of the layers, and the share that is done."""

    what: str
    progress: float


@dataclass(frozen=True)
class Event:
    """Something changed.

    Attributes:
        kind: state (recipe, history, snapshots), figures (size and arithmetic), estimate (accuracy), rest (the live figures are
            final), goal (another one), task, scoring, notice or error.
        task, scoring, notice, error: what the event is about, for those kinds; title: of an error, in words.
    """

    kind: Literal["state", "figures", "estimate", "rest", "goal", "task", "scoring", "notice", "error"]
    task: Task | None = None
    scoring: Scoring | None = None
    notice: Notice | None = None
    error: BaseException | None = None
    title: str = ""


Callback = Callable[[Event], Any]
