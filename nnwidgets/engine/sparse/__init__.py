"""Sparse networks made by training: schedules, regrowth, lottery tickets."""

from __future__ import annotations

from nnwidgets.engine.sparse._lottery import lottery_steps, lottery_ticket
from nnwidgets.engine.sparse.lottery_records import LotteryProgress, LotteryResult, LotteryRun

__all__ = ["LotteryProgress", "LotteryResult", "LotteryRun", "lottery_steps", "lottery_ticket"]
