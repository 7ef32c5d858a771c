"""S_test beside S_val, which comes from S_train's source and was not trained on."""

from __future__ import annotations

import math

import torch

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps

__all__ = ["Drift"]


class Drift(EvidenceTest):
    """Variance makes both errors high, another source E_test alone."""

    name = "drift"
    title = "E_test beside E_val"
    causes = ("mismatch", "labels")
    method = "difference of the two errors / its standard error, S_test weighted to the classes of S_val"
    source = "Ng, Machine Learning Yearning, chapter 40 (train-dev set)"

    def why_not(self, ctx: Context) -> str:
        return "" if {"val", "test"} <= set(ctx.splits) else "it needs S_train (S_val is carved out of it) and S_test"

    def steps(self, ctx: Context) -> Steps:
        test, val = (yield from ctx.logits("test")), (yield from ctx.logits("val"))
        labels, val_labels, k = ctx.labels("test"), ctx.labels("val"), test.shape[1]
        wrong = (test.argmax(1) != labels).double()
        e_val = float((val.argmax(1) != val_labels).double().mean())
        weight = torch.bincount(val_labels, minlength=k).double() / torch.bincount(labels, minlength=k).double().clamp_min(1)
        of_image = weight[labels] / weight[labels].sum().clamp_min(1e-12)
        e_test = float((of_image * wrong).sum())
        size = float(of_image.square().sum())
        error = math.sqrt(e_test * (1 - e_test) * size + e_val * (1 - e_val) / len(val_labels) + 1e-6)
        z = (e_test - e_val) / error
        numbers = {"E_val": e_val, "E_test, classes as in S_val": e_test, "z": z}
        if z > 3.0 and e_test > e_val + 0.03:
            text = f"E_test is {100 * e_test:.1f} % where E_val, of S_train's source, is {100 * e_val:.1f} % (z = {z:.1f})"
            return {"mismatch": min(5.0, z)}, text, numbers
        if z < -2.5:
            text = f"E_val is {100 * e_val:.1f} %, E_test {100 * e_test:.1f} %: what S_train calls right S_test does not"
            return {"mismatch": -2.0, "labels": 3.0}, text, numbers
        return {"mismatch": -2.0}, "", numbers
