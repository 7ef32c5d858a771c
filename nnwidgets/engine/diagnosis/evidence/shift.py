"""Do the images of S_test come from where those of S_val do?"""

from __future__ import annotations

import torch
from torch import Tensor

from nnwidgets.engine.diagnosis._context import Context, apart
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.diagnosis.shift import shift_steps

__all__ = ["Shift", "alike_in_classes"]

_LEAST = 20  # images of each sample
_SURE, _NONE = 0.01, 0.05
_SCALES = ("mean of", "deviation", "least value", "largest value")


class Shift(EvidenceTest):
    """Images from another source differ in their pixels, or in what the network makes of them; labels need not be known."""

    name = "shift"
    title = "Images of S_test beside those of S_val"
    causes = ("mismatch", "preprocessing")
    method = (
        "permutation tests of pixel figures, of the network's answers, and of a classifier that tells the samples apart, "
        "corrected for being three; S_test drawn with the classes of S_val"
    )
    source = "Rabanser, Günnemann and Lipton 2019, Failing Loudly; Westfall and Young 1993"
    seconds = 0.4

    def why_not(self, ctx: Context) -> str:
        if not {"val", "test"} <= set(ctx.splits):
            return "it needs S_train (S_val is carved out of it) and S_test"
        sizes = [len(rows) for rows in alike_in_classes(ctx.labels("val"), ctx.labels("test"))]
        return "" if min(sizes) >= _LEAST else f"it needs {_LEAST} images of each sample, of the same classes"

    def steps(self, ctx: Context) -> Steps:
        rows = alike_in_classes(ctx.labels("val"), ctx.labels("test"))
        val, test = (ctx.splits[name].take(chosen) for name, chosen in zip(("val", "test"), rows, strict=True))
        said = yield from shift_steps(val, test, ctx.network)
        e_val, e_test = (yield from ctx.error("val")), (yield from ctx.error("test"))
        numbers = {"p": said.combined, **{f"p of the {name}": p for name, p in said.p.items()}}
        numbers["images told apart"] = said.sizes["classifier"]
        if said.combined > _SURE:
            return {"mismatch": -1.5 if said.combined > _NONE else 0.0}, "", numbers
        first = min((name for name in said.p if name != "classifier"), key=lambda name: (said.p[name], -abs(said.sizes[name])))
        what, size = said.strongest[first], said.sizes[first]
        text = (
            f"a classifier tells {100 * said.sizes['classifier']:.0f} % of the images of S_test and S_val apart (p = "
            f"{said.combined:.3f}); most different: {what}, by {abs(size):.1f} deviations"
        )
        harm = apart(e_test, e_val) > 2
        weights = {"mismatch": 2.0 if harm else 0.5}
        if harm and first == "pixels" and what.startswith(_SCALES) and abs(size) > 1:
            weights["preprocessing"] = 1.0
        return weights, text, numbers


def alike_in_classes(reference: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of two samples with labels (N,) and (M,) in which each class has the same share; as many as there can be of the first.

    Classes of one sample alone are left out. Imbalance is another cause than a shift of the images, and has a test of its own.
    """
    k = int(max(reference.max(), other.max())) + 1
    counts = [labels.bincount(minlength=k) for labels in (reference, other)]
    both = (counts[0] > 0) & (counts[1] > 0)
    if not bool(both.any()):
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    mine = counts[0] * both
    theirs = (mine * (counts[1][both] / counts[0][both]).min() + 1e-4).floor().long().clamp_min(1) * both
    return _first_of(reference, mine), _first_of(other, theirs)


def _first_of(labels: Tensor, counts: Tensor) -> Tensor:
    """Positions of the first images of each class, in order."""
    rows = [(labels == k).nonzero()[:count, 0] for k, count in enumerate(counts.tolist())]
    return torch.cat(rows).sort().values
