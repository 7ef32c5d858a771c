"""How good a network is: exact passes, and estimates that stream until they are exact."""

from __future__ import annotations

from nnwidgets.engine.evaluation._evaluate import evaluate
from nnwidgets.engine.evaluation._passes import passes
from nnwidgets.engine.evaluation._stream import Tally, stream, stream_accuracy
from nnwidgets.engine.evaluation.checks import check_model

__all__ = ["Tally", "check_model", "evaluate", "passes", "stream", "stream_accuracy"]
