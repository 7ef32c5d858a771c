"""Suspect labels of a whole S_train, for those who want to look at them or to act on them."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nnwidgets.engine.diagnosis._arms import seconds_an_epoch, start_of
from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.label_errors import SuspectLabels, suspect_labels
from nnwidgets.engine.diagnosis.out_of_fold import out_of_fold_steps, usual_setup
from nnwidgets.engine.values.steps import retold

__all__ = ["KEPT", "Suspected", "suspected_labels", "taken"]

KEPT = "suspect labels"
_FOLDS, _LONGEST_S = 5, 45.0

Suspected = tuple[Tensor, SuspectLabels]
"""(int64 (N,) rows of S_train that were looked at, what speaks against their labels)."""


def suspected_labels(ctx: Context) -> Generator[None, None, Suspected]:
    """All of S_train, or the 2,000 images that a diagnosis looks at where all would take long; found once for a context."""
    found: Suspected = yield from ctx.kept(KEPT, lambda: _suspected(ctx))
    return found


def _suspected(ctx: Context) -> Generator[None, None, Suspected]:
    exp = ctx.exp
    assert exp.train is not None and exp.train.labels is not None
    rows = torch.arange(len(exp.train))
    if exp.pred_probs is not None:
        return rows, suspect_labels(exp.pred_probs, exp.train.labels)
    split, setup = exp.train, usual_setup(exp.train)
    epoch_s = yield from seconds_an_epoch(replace(start_of(exp, ctx), setup=setup, step=None))
    if epoch_s * setup.epochs * (_FOLDS - 1) > _LONGEST_S and len(rows) > len(ctx.rows["train"]):
        rows, split = ctx.rows["train"], ctx.splits["train"]
        epoch_s *= len(rows) / len(exp.train)
    most = max(1, int(_LONGEST_S / max(1e-9, epoch_s * (_FOLDS - 1))))
    setup = replace(setup, epochs=min(setup.epochs, most))
    probabilities = yield from retold(
        out_of_fold_steps(lambda seed: ctx.fresh(seed=seed), split, setup, _FOLDS, loss=exp.loss), _nothing
    )
    return rows, suspect_labels(probabilities, split.labels)


def _nothing() -> None:
    return None


def taken(ctx: Context, suspected: Suspected) -> tuple[Tensor, Tensor]:
    """(rows of S_train to act on, their suggested labels): the surest of what was found, but a person's decisions come first."""
    rows, found = suspected
    there = [int(i) for i in found.rows if found.found[i]]
    surest = there[: math.ceil(ctx.threshold * len(there))]
    chosen = {int(rows[i]): int(found.suggested[i]) for i in surest}
    chosen = {row: label for row, label in chosen.items() if ctx.decisions.get(row) != "keep"}
    place = {int(row): i for i, row in enumerate(rows)}
    for row, what in ctx.decisions.items():
        if what in ("drop", "relabel") and row in place:
            chosen[row] = int(found.suggested[place[row]])
    order = np.array(sorted(chosen), dtype=np.int64)
    return torch.from_numpy(order), torch.tensor([chosen[int(row)] for row in order], dtype=torch.int64)
