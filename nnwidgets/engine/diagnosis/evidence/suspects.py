"""Labels that a network which has not seen them contradicts."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import numpy as np
import torch
from torch import Tensor

from nnwidgets.engine.diagnosis._context import Context, answers_of
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.diagnosis.evidence.refit import blames_training
from nnwidgets.engine.diagnosis.label_errors import confident_errors
from nnwidgets.engine.diagnosis.records import Evidence

__all__ = ["Suspects", "confident_errors", "out_of_fold"]

_FOLDS = 3
_CHANCE, _USUAL, _STEEP, _ENOUGH = 0.75, 0.42, 12.0, 500  # set on planted faults


def out_of_fold(ctx: Context) -> Generator[None, None, Tensor]:
    """(N, K) probabilities for S_train of networks that have not seen the image: those that were given, or of three folds."""
    given = ctx.exp.pred_probs
    if given is not None:
        return torch.as_tensor(given[ctx.rows["train"].numpy()], dtype=torch.float32)
    split = ctx.splits["train"]
    n = len(split)
    fold = torch.from_numpy(np.random.default_rng(0).permutation(n) % _FOLDS)
    logits = yield from ctx.logits("train")
    found = torch.zeros(n, logits.shape[1])
    for k in range(_FOLDS):
        rest, held = (fold != k).nonzero()[:, 0], (fold == k).nonzero()[:, 0]
        run = yield from ctx.refit(ctx.fresh(seed=5 + k), ctx.usual, split.take(rest), most_s=0.9)
        answers = yield from answers_of(run.network, split.take(held))
        found[held] = answers.softmax(1)[:, : found.shape[1]]
    return found


class Suspects(EvidenceTest):
    """Wrong labels are contradicted by networks that have not seen them, in more cases than those are unsure."""

    name = "suspects"
    title = "Suspect labels"
    causes = ("labels",)
    method = "confident learning on out-of-fold probabilities of S_train; share contradicted beside share missed"
    source = "Northcutt, Jiang and Chuang 2021"
    seconds = 3.0

    def worth(self, branch: str, found: Mapping[str, Evidence]) -> float:
        if branch == "train_high":
            return {None: 0.5, True: 0.2, False: 3.2}[blames_training(found)]
        return 2.0 if branch == "test_high" else 0.0

    def why_not(self, ctx: Context) -> str:
        if "train" in ctx.splits and len(ctx.splits["train"]) < 100:
            return "it needs 100 images or more"
        return "" if ctx.exp.pred_probs is not None else ctx.why_untrainable()

    def steps(self, ctx: Context) -> Steps:
        labels = ctx.labels("train")
        probabilities = yield from ctx.kept("out of fold", lambda: out_of_fold(ctx))
        suspects = confident_errors(probabilities, labels)
        share = float(suspects.double().mean())
        answers = probabilities.argmax(1)
        error = float((answers != labels).double().mean())
        numbers = {"suspect": share, "error out of fold": error}
        if error > _CHANCE * (1 - 1 / probabilities.shape[1]):
            return {}, "", numbers  # networks that know nothing contradict nobody
        # Unsure answers make few confident contradictions, wrong labels make many.
        weight = max(-1.5, min(3.0, _STEEP * (share / max(error, 1e-9) - _USUAL))) * min(1.0, len(labels) / _ENOUGH)
        text = f"{100 * share:.0f} % of the labels of S_train are contradicted with confidence, of {100 * error:.0f} % missed"
        return {"labels": weight}, text if weight > 0 else "", numbers
