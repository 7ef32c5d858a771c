"""The tests of a diagnosis, the cheapest first. Each stands in a file of its own."""

from __future__ import annotations

from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Finding, Steps
from nnwidgets.engine.diagnosis.evidence.counts import Counts
from nnwidgets.engine.diagnosis.evidence.drift import Drift
from nnwidgets.engine.diagnosis.evidence.duplicates import Duplicates
from nnwidgets.engine.diagnosis.evidence.gap import Gap
from nnwidgets.engine.diagnosis.evidence.gradients import Gradients
from nnwidgets.engine.diagnosis.evidence.inputs import Inputs
from nnwidgets.engine.diagnosis.evidence.linearity import Linearity
from nnwidgets.engine.diagnosis.evidence.neighbours import Neighbours
from nnwidgets.engine.diagnosis.evidence.noise import Noise
from nnwidgets.engine.diagnosis.evidence.outputs import Outputs
from nnwidgets.engine.diagnosis.evidence.rate import Rate
from nnwidgets.engine.diagnosis.evidence.reachable import Reachable
from nnwidgets.engine.diagnosis.evidence.refit import Retrain
from nnwidgets.engine.diagnosis.evidence.shift import Shift
from nnwidgets.engine.diagnosis.evidence.start_loss import StartLoss
from nnwidgets.engine.diagnosis.evidence.step import Step
from nnwidgets.engine.diagnosis.evidence.suspects import Suspects
from nnwidgets.engine.diagnosis.evidence.tiny import Tiny
from nnwidgets.engine.diagnosis.evidence.transforms import Transforms
from nnwidgets.engine.diagnosis.evidence.units import Units
from nnwidgets.engine.diagnosis.evidence.weights import Weights
from nnwidgets.engine.diagnosis.evidence.wider import Wider

__all__ = ["ALL", "EvidenceTest", "Finding", "Steps"]

ALL: tuple[EvidenceTest, ...] = (
    Outputs(),
    Linearity(),
    Inputs(),
    StartLoss(),
    Duplicates(),
    Counts(),
    Drift(),
    Shift(),
    Gap(),
    Weights(),
    Gradients(),
    Noise(),
    Step(),
    Units(),
    Neighbours(),
    Reachable(),
    Transforms(),
    Tiny(),
    Retrain(),
    Wider(),
    Rate(),
    Suspects(),
)
