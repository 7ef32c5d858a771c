"""The learning rate that was used, beside ten times less and more."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.diagnosis.evidence.refit import blames_training
from nnwidgets.engine.diagnosis.records import Evidence
from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.values.setup import TrainingSetup

__all__ = ["Rate"]


class Rate(EvidenceTest):
    """A rate that is right is not beaten by far on either side."""

    name = "rate"
    title = "The learning rate"
    causes = ("learning_rate_high", "learning_rate_low", "regularization_too_strong")
    method = "E_train after short runs of the recipe that was used, at 0.01, 0.1, 1, 10 and 100 times its rate"
    source = "Smith 2017 (learning-rate range test)"
    seconds = 2.5

    def worth(self, branch: str, found: Mapping[str, Evidence]) -> float:
        return {None: 0.5, True: 3.0, False: 0.2}[blames_training(found)] if branch == "train_high" else 0.0

    def why_not(self, ctx: Context) -> str:
        if ctx.exp.training is None:
            return "it needs training=: how the network was trained"
        return ctx.why_untrainable()

    def steps(self, ctx: Context) -> Steps:
        setup = ctx.exp.training
        assert setup is not None
        setup = replace(setup, schedule=None)
        errors: dict[float, float] = {}
        for factor in (1.0, 0.1, 10.0, 0.01, 100.0):
            errors[factor] = yield from _error_with(ctx, replace(setup, lr=setup.lr * factor))
        light = 1.0
        if setup.weight_decay > 0:
            light = yield from _error_with(ctx, replace(setup, weight_decay=0.0))
        numbers = {f"E_train at {setup.lr * factor:.1e}": error for factor, error in errors.items()}
        lower, higher = min(errors[0.1], errors[0.01]), min(errors[10.0], errors[100.0])
        now = errors[1.0]
        if light < 0.6 * now and now - light > 0.1:
            text = f"without weight decay E_train is {100 * light:.0f} % after as long, not {100 * now:.0f} %"
            return {"regularization_too_strong": 5.0}, text, {**numbers, "E_train without weight decay": light}
        if lower < 0.6 * now and now - lower > 0.1 and lower < higher:
            text = f"at a lower rate E_train is {100 * lower:.0f} % after as long, not {100 * now:.0f} %"
            return {"learning_rate_high": 4.5}, text, numbers
        if higher < 0.6 * now and now - higher > 0.25 and higher < lower:
            text = f"at a higher rate E_train is {100 * higher:.0f} % after as long, not {100 * now:.0f} %"
            return {"learning_rate_low": 2.5}, text, numbers
        return {"learning_rate_high": -1.0, "learning_rate_low": -0.5}, "", numbers


def _error_with(ctx: Context, setup: TrainingSetup) -> Generator[None, None, float]:
    """E_train after a short run of a recipe, from the same weights each time; 1 where it diverges."""
    try:
        found = yield from ctx.refit(ctx.fresh(seed=4), setup, most_s=0.5)
    except ModelError:
        return 1.0
    return found.train.value
