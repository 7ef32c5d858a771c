"""Sparse networks made by training: schedules, regrowth, lottery tickets, and by which criterion."""

from __future__ import annotations

from nnwidgets.engine.sparse._bits import compare_bits, compare_bits_steps
from nnwidgets.engine.sparse._compare import compare_criteria, compare_criteria_steps
from nnwidgets.engine.sparse._lottery import lottery_steps, lottery_ticket
from nnwidgets.engine.sparse._prune import prune_and_tune, prune_steps
from nnwidgets.engine.sparse.bits_records import BitsCell, BitsProgress
from nnwidgets.engine.sparse.criteria_records import CriteriaProgress, CriterionCell
from nnwidgets.engine.sparse.lottery_records import LotteryProgress, LotteryResult, LotteryRun
from nnwidgets.engine.sparse.recorded import recorded_lottery
from nnwidgets.engine.sparse.records import RoundRecord, TuneStep

__all__ = [
    "BitsCell",
    "BitsProgress",
    "CriteriaProgress",
    "CriterionCell",
    "LotteryProgress",
    "LotteryResult",
    "LotteryRun",
    "RoundRecord",
    "TuneStep",
    "compare_bits",
    "compare_bits_steps",
    "compare_criteria",
    "compare_criteria_steps",
    "lottery_steps",
    "lottery_ticket",
    "prune_and_tune",
    "prune_steps",
    "recorded_lottery",
]
