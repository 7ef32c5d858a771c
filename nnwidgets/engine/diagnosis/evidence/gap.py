"""E_val beside E_train."""

from __future__ import annotations

import math

from nnwidgets.engine.diagnosis._context import Context, apart, share_of
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps

__all__ = ["Gap"]

_ENOUGH, _TOLD = 100, 0.15


class Gap(EvidenceTest):
    """What is learnt by heart is right on S_train alone."""

    name = "gap"
    title = "E_val beside E_train"
    causes = ("more_data", "regularize", "shrink_network")
    method = "difference of the two errors / its standard error; images a class. Of fewer than 100 in S_val, S_test is added"
    source = "the lecture, L11 to L13"

    def why_not(self, ctx: Context) -> str:
        return "" if {"train", "val"} <= set(ctx.splits) else "it needs S_train, out of which S_val is carved"

    def steps(self, ctx: Context) -> Steps:
        train, val = (yield from ctx.error("train")), (yield from ctx.error("val"))
        if val.n < _ENOUGH and "test" in ctx.splits:  # too few to tell: S_test helps
            test = yield from ctx.error("test")
            val = share_of(round(val.value * val.n) + round(test.value * test.n), val.n + test.n)
        gap, z = val.value - train.value, apart(val, train)
        size = len(ctx.exp.train) if ctx.exp.train is not None else 0
        a_class = size / max(ctx.classes, 1)
        numbers = {"E_train": train.value, "E_val": val.value, "z": z, "images a class": a_class}
        if z < 3 or gap < 0.03:
            against = -1.5 if val.high - train.value < _TOLD else 0.0  # a gap that could not be seen is none that is not there
            return dict.fromkeys(("more_data", "regularize", "shrink_network"), against), "", numbers
        few = max(0.0, min(2.5, math.log(60 / max(a_class, 1))))
        text = f"E_val is {100 * val.value:.1f} %, E_train {100 * train.value:.1f} %, with {a_class:.0f} images of each class"
        return {"more_data": 1.5 + few, "regularize": 1.2, "shrink_network": 0.4}, text, numbers
