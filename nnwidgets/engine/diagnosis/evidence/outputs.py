"""Are the answers logits?"""

from __future__ import annotations

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps

__all__ = ["Outputs"]


class Outputs(EvidenceTest):
    """Answers that add up to one are probabilities already; cross entropy takes the softmax of them once more."""

    name = "outputs"
    title = "Answers of the network"
    causes = ("implementation",)
    method = "Do the answers of each image lie in [0, 1] and add up to 1?"
    source = "torch's documentation of cross_entropy: it expects unnormalised logits"

    def steps(self, ctx: Context) -> Steps:
        logits = yield from ctx.logits("test" if "test" in ctx.splits else "train")
        off = float((logits.sum(1) - 1).abs().max())
        are_probabilities = off < 1e-3 and float(logits.min()) >= -1e-6
        text = "its answers add up to 1: a softmax stands before the loss, which takes another one" if are_probabilities else ""
        return {"implementation": 6.0} if are_probabilities else {}, text, {"largest |sum - 1|": off}
