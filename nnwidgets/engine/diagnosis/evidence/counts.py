"""Classes that are rare in S_train."""

from __future__ import annotations

import torch

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps

__all__ = ["Counts"]

_BEYOND = 3.0  # standard deviations of a count, where all classes are alike


class Counts(EvidenceTest):
    """Few images of a class, and does it harm: are they the classes that S_test is wrong about?"""

    name = "counts"
    title = "Images of each class"
    causes = ("imbalance",)
    method = "rarest / most frequent class of S_train; recall on S_test of those below half of an equal share, and of the others"
    source = "Buda, Maki and Mazurowski 2018"

    def why_not(self, ctx: Context) -> str:
        return "" if {"train", "test"} <= set(ctx.splits) else "it needs S_train and S_test"

    def steps(self, ctx: Context) -> Steps:
        logits = yield from ctx.logits("test")
        labels, k = ctx.labels("test"), logits.shape[1]
        counts = torch.bincount(ctx.labels("train"), minlength=k).float()
        equal = counts.sum() / k
        rare = (counts < 0.5 * equal) & (equal - counts > _BEYOND * equal.sqrt())  # small samples are uneven by chance
        ratio = float(counts.min() / counts.max().clamp_min(1))
        is_rare = rare[labels]
        right = (logits.argmax(1) == labels).double()
        if not bool(is_rare.any()) or bool(is_rare.all()):
            return {"imbalance": -3.0}, "", {"rarest / most frequent": ratio}
        recalls = float(right[is_rare].mean()), float(right[~is_rare].mean())
        numbers = {"rarest / most frequent": ratio, "recall of the rare": recalls[0], "recall of the others": recalls[1]}
        text = (
            f"{int(rare.sum())} classes have less than half of their share; {100 * recalls[0]:.0f} % of them are recognised, "
            f"of the others {100 * recalls[1]:.0f} %"
        )
        harm = recalls[1] - recalls[0]
        return {"imbalance": 6.0 if harm > 0.08 else 1.0}, text, numbers
