"""Experiments with one fault whose cause is known: what a diagnosis is scored on."""

from __future__ import annotations

from nnwidgets.engine.diagnosis.plants._faults import FAULTS, Fault, list_faults
from nnwidgets.engine.diagnosis.plants._plant import Planted, plant, planted

__all__ = ["FAULTS", "Fault", "Planted", "list_faults", "plant", "planted"]
