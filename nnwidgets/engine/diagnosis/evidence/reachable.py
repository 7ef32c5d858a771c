"""Which error can be reached with these images at all?"""

from __future__ import annotations

import math

import torch

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.diagnosis.evidence.neighbours import nearest_of

__all__ = ["Reachable"]

_IMAGES = 1500


class Reachable(EvidenceTest):
    """The error of the nearest neighbour is at most twice the smallest possible one, for samples that are large."""

    name = "reachable"
    title = "The error that can be reached"
    causes = ("low_signal", "labels")
    method = "(K - 1)/K (1 - √(1 - K/(K - 1) E_nn)), E_nn of the nearest other image, the smaller of pixels and answers"
    source = "Cover and Hart 1967"
    seconds = 0.2

    def why_not(self, ctx: Context) -> str:
        return "" if "val" in ctx.splits else "it needs S_train, out of which S_val is carved"

    def steps(self, ctx: Context) -> Steps:
        logits = yield from ctx.logits("val")
        labels, k = ctx.labels("val"), max(2, logits.shape[1])
        spaces = {"pixels": ctx.inputs("val", _IMAGES).flatten(1), "answers": logits[:_IMAGES].log_softmax(1)}
        floors: dict[str, float] = {}
        for name, x in spaces.items():
            near = (yield from nearest_of(x, 1))[:, 0] if len(x) > 1 else torch.zeros(1, dtype=torch.int64)
            error = float((labels[: len(x)][near] != labels[: len(x)]).double().mean())
            floors[name] = (k - 1) / k * (1 - math.sqrt(max(0.0, 1 - k / (k - 1) * error)))
            yield
        floor, goal = min(floors.values()), ctx.exp.goal
        numbers = {f"floor by {name}": value for name, value in floors.items()} | {"E_goal": goal}
        if floor > goal:  # of so few images it is an estimate from above: it is told, and votes for nothing
            text = f"nearest neighbours put the floor at {100 * floor:.1f} % at most, the goal is {100 * goal:.1f} %"
            return {}, text, numbers
        return {}, "", numbers
