"""Images of S_test in S_train."""

from __future__ import annotations

import hashlib

from torch import Tensor

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps

__all__ = ["Duplicates", "marks_of"]


class Duplicates(EvidenceTest):
    """What was learnt by heart tells nothing about new images."""

    name = "duplicates"
    title = "Images in both samples"
    causes = ("leakage",)
    method = "images of S_test that stand in S_train or S_val, equal in every pixel as stored"
    source = "Barz and Denzler 2020 (duplicates in CIFAR)"
    seconds = 0.2

    def why_not(self, ctx: Context) -> str:
        return "" if {"train", "test"} <= set(ctx.splits) else "it needs S_train and S_test"

    def steps(self, ctx: Context) -> Steps:
        exp = ctx.exp
        there = set()
        for split in (exp.train, exp.val):
            if split is not None:
                there |= set(marks_of(split.images))
                yield
        marks = marks_of(exp.test.images)  # type: ignore[union-attr]
        share = sum(mark in there for mark in marks) / len(marks)
        text = f"{100 * share:.1f} % of S_test stand in S_train too" if share >= 0.005 else ""
        return {"leakage": 7.0} if share >= 0.005 else {"leakage": -3.0}, text, {"share of S_test": share}


def marks_of(images: Tensor) -> list[bytes]:
    """A short mark of each image, equal for images that are equal in every number as stored."""
    rows = images.detach().cpu().contiguous().flatten(1).numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
