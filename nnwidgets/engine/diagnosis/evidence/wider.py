"""A wider network, trained alike."""

from __future__ import annotations

from collections.abc import Mapping

from nnwidgets.engine.diagnosis._context import Context, Refit, apart
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.diagnosis.evidence.refit import blames_training, retrained
from nnwidgets.engine.diagnosis.records import Evidence

__all__ = ["Wider"]

_WIDTH = 4.0


class Wider(EvidenceTest):
    """Where four times the width learns S_train and this one does not, the network is too small."""

    name = "wider"
    title = "Four times as wide"
    causes = ("enlarge_network",)
    method = "E_train after a short run of the same recipe, at width 1 and at width 4"
    source = "the lecture, L4"
    seconds = 2.5

    def worth(self, branch: str, found: Mapping[str, Evidence]) -> float:
        return {None: 0.5, True: 0.2, False: 3.0}[blames_training(found)] if branch == "train_high" else 0.0

    def why_not(self, ctx: Context) -> str:
        return ctx.why_untrainable(_WIDTH)

    def steps(self, ctx: Context) -> Steps:
        same: Refit = yield from ctx.kept("retrain", lambda: retrained(ctx))
        wide: Refit = yield from ctx.refit(ctx.fresh(_WIDTH, seed=3), ctx.usual, most_s=2.2)
        a, b = same.train, wide.train
        z = apart(a, b)
        numbers = {"E_train at width 1": a.value, "E_train at width 4": b.value, "z": z}
        # What is only learnt by heart says nothing about the size that the task needs.
        better = same.val.value - wide.val.value > 0.3 * (a.value - b.value)
        if z > 4 and a.value - b.value > 0.08 and a.value > 0.1 and better:
            text = f"four times as wide, it reaches E_train {100 * b.value:.1f} % where this width reaches {100 * a.value:.1f} %"
            return {"enlarge_network": min(6.0, 2.0 + 10 * (a.value - b.value))}, text, numbers
        return {"enlarge_network": -2.0}, "", numbers
