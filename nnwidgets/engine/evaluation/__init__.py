"""How good a network is: exact passes, and estimates that stream until they are exact."""

from __future__ import annotations

from nnwidgets.engine.evaluation._evaluate import evaluate, fastest_dtype
from nnwidgets.engine.evaluation._passes import in_batches, in_order, passes, prepared
from nnwidgets.engine.evaluation._prepared import Frozen, Prepared
from nnwidgets.engine.evaluation._stream import answers, stream, stream_accuracy
from nnwidgets.engine.evaluation._tally import Tally
from nnwidgets.engine.evaluation.checks import check_model
from nnwidgets.engine.evaluation.sample import batch_of, batches_of, looked_over, sample_of
from nnwidgets.engine.evaluation.strata import Strata, strata_of

__all__ = [
    "Frozen",
    "Prepared",
    "Strata",
    "Tally",
    "answers",
    "batch_of",
    "batches_of",
    "check_model",
    "evaluate",
    "fastest_dtype",
    "in_batches",
    "in_order",
    "looked_over",
    "passes",
    "prepared",
    "sample_of",
    "strata_of",
    "stream",
    "stream_accuracy",
]
