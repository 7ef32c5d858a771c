"""Sparse networks made by training: schedules, regrowth, lottery tickets."""

from __future__ import annotations

from nnwidgets.engine.sparse._lottery import lottery_steps, lottery_ticket
from nnwidgets.engine.sparse._prune import prune_and_tune, prune_steps
from nnwidgets.engine.sparse.lottery_records import LotteryProgress, LotteryResult, LotteryRun
from nnwidgets.engine.sparse.recorded import recorded_lottery
from nnwidgets.engine.sparse.records import RoundRecord, TuneStep

__all__ = [
    "LotteryProgress",
    "LotteryResult",
    "LotteryRun",
    "RoundRecord",
    "TuneStep",
    "lottery_steps",
    "lottery_ticket",
    "prune_and_tune",
    "prune_steps",
    "recorded_lottery",
]
