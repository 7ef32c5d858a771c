"""Do labels belong to their images?"""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from nnwidgets.engine.diagnosis._context import Context, first_of
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.values.split import Split

__all__ = ["Neighbours", "moved_by", "nearest_of"]

_K, _IMAGES, _ROWS = 5, 1500, 128


def nearest_of(x: Tensor, k: int) -> Generator[None, None, Tensor]:
    """(n, k) rows of the k nearest others of each row of x (n, d)."""
    found = []
    for at in range(0, len(x), _ROWS):
        distances = torch.cdist(x[at : at + _ROWS], x)
        distances[:, at:].fill_diagonal_(float("inf"))
        found.append(distances.topk(k, largest=False).indices)
        yield
    return torch.cat(found)


def moved_by(split: Split) -> Generator[None, None, tuple[int, float, float]]:
    """(places by which labels fit best, agreement of neighbours as labels are, and moved so), among moves of 1 to 3 places."""
    assert split.labels is not None
    x = first_of(split, _IMAGES).flatten(1)  # as stored: neighbours in the sample stand side by side
    n = len(x)
    near = yield from nearest_of(x, min(_K, n - 1))
    labels = split.labels[:n]

    def agreement(moved: torch.Tensor) -> float:
        return float((moved[near] == moved[:, None]).double().mean())

    now = agreement(labels)
    moved = {by: agreement(labels.roll(by)) for by in (-3, -2, -1, 1, 2, 3)}
    yield
    best = max(moved, key=lambda by: moved[by])
    return best, now, moved[best]


class Neighbours(EvidenceTest):
    """Images that look alike have one label, unless labels have moved against the images."""

    name = "neighbours"
    title = "Labels of similar images"
    causes = ("implementation",)
    method = "how often an image has the label of each of its 5 nearest ones, as labels are and moved by 1 to 3 places"
    seconds = 0.3

    def why_not(self, ctx: Context) -> str:
        return "" if "train" in ctx.splits else "it needs S_train"

    def steps(self, ctx: Context) -> Steps:
        split = ctx.exp.train
        assert split is not None and split.labels is not None
        best, now, moved = yield from moved_by(split)
        numbers = {"agreement": now, "chance": 1 / max(1, len(set(split.labels.tolist()))), f"moved by {best}": moved}
        if moved > now + 0.15 and moved > 1.5 * now:
            text = (
                f"labels fit the images once they are moved by {best}: neighbours then agree in {100 * moved:.0f} %, "
                f"as they are in {100 * now:.0f} %"
            )
            return {"implementation": 7.0}, text, numbers
        return {}, "", numbers
