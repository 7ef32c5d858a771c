"""The loss of a network that knows nothing yet."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps

__all__ = ["StartLoss"]

_FAR = 2.0
_PART = 16  # images of a step


class StartLoss(EvidenceTest):
    """Before training, K classes are equally likely: the loss is ln K, unless inputs or weights are out of scale."""

    name = "start_loss"
    title = "The loss before training"
    causes = ("preprocessing",)
    method = "mean cross entropy of a fresh network on S_train / ln K"
    source = "Karpathy, A recipe for training neural networks (2019)"
    seconds = 0.05

    def why_not(self, ctx: Context) -> str:
        return "your own loss need not start at ln K" if ctx.exp.loss is not None else ctx.why_untrainable()

    def steps(self, ctx: Context) -> Steps:
        network = ctx.fresh(seed=2).eval()
        images = ctx.inputs("train", 256)
        parts = []
        for at in range(0, len(images), _PART):
            with torch.inference_mode():
                parts.append(network(images[at : at + _PART]))
            yield
        logits = torch.cat(parts)
        k = logits.shape[1]
        loss = float(F.cross_entropy(logits, ctx.labels("train")[: len(images)].to(logits.device)))
        ratio = loss / math.log(max(k, 2))
        numbers = {"loss of a fresh network": loss, "ln K": math.log(max(k, 2)), "ratio": ratio}
        if ratio > _FAR or not math.isfinite(ratio):
            return {"preprocessing": 1.0}, f"a fresh network starts at a loss of {loss:.2g}, {ratio:.1f} times ln {k}", numbers
        return {}, "", numbers
