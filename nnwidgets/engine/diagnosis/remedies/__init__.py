"""What can be done about a cause, each beside leaving it out."""

from __future__ import annotations

from nnwidgets.engine.diagnosis.remedies._base import Changed, Remedy
from nnwidgets.engine.diagnosis.remedies._data import (
    DropSuspects,
    MendTest,
    MoreData,
    MoveLabels,
    NoCopies,
    NoisyTraining,
    Normalize,
    Relabel,
    Resample,
    Reweight,
    ScaleTest,
    Smooth,
)
from nnwidgets.engine.diagnosis.remedies._network import (
    Anew,
    Dropout,
    NoDropout,
    PutActivations,
    Relus,
    TakeSoftmax,
    UsualStep,
    Width,
)
from nnwidgets.engine.diagnosis.remedies._recipe import (
    AnotherOptimizer,
    Augment,
    Decay,
    Longer,
    NoDecay,
    Rate,
    RateByTest,
    Schedule,
)

__all__ = ["REMEDIES", "Changed", "Remedy"]

REMEDIES: tuple[Remedy, ...] = (
    Width(2.0, "Twice as wide", "enlarge_network"),
    Width(4.0, "Four times as wide", "enlarge_network"),
    Width(0.5, "Half as wide", "shrink_network"),
    Width(0.25, "A quarter as wide", "shrink_network"),
    Relus(),
    AnotherOptimizer(),
    RateByTest(),
    Rate(0.1, "learning_rate_high"),
    Rate(0.01, "learning_rate_high"),
    Rate(10.0, "learning_rate_low"),
    Rate(100.0, "learning_rate_low"),
    Rate(1000.0, "learning_rate_low"),
    Schedule(),
    Longer(),
    MoreData(),
    NoDecay(),
    NoDropout(),
    Decay(),
    Dropout(),
    Augment("shift"),
    Augment("flip"),
    Normalize(),
    ScaleTest(),
    MendTest(),
    NoisyTraining(),
    DropSuspects(),
    Relabel(),
    Resample(),
    Reweight(),
    Smooth(),
    NoCopies(),
    TakeSoftmax(),
    PutActivations(),
    UsualStep(),
    MoveLabels(),
    Anew(),
)
"""In each cause's order: what is tried first stands first."""
