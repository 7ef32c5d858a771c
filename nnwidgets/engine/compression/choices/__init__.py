"""What of a network a recipe removes: a file for each kind of structure, one interface."""

from __future__ import annotations

from nnwidgets.engine.compression.choices._base import Chosen
from nnwidgets.engine.compression.choices._given import GivenMasks
from nnwidgets.engine.compression.choices._making_up import MakingUp
from nnwidgets.engine.compression.choices._patterns import Patterns, patterns
from nnwidgets.engine.compression.choices._single import Singles, singles
from nnwidgets.engine.compression.choices._units import Units, units

__all__ = ["Chosen", "GivenMasks", "MakingUp", "Patterns", "Singles", "Units", "patterns", "singles", "units"]
