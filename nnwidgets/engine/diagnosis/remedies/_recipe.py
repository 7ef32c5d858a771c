"""Remedies that change the recipe of training."""

from __future__ import annotations

import math
from dataclasses import replace

from nnwidgets.engine.diagnosis._arms import Arm
from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.remedies._base import Changed, Remedy
from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.values.setup import TrainingSetup

__all__ = ["AnotherOptimizer", "Augment", "Decay", "Longer", "NoDecay", "Rate", "RateByTest", "Schedule"]

_HIGHEST = 10.0


class _OfSetup(Remedy):
    """A remedy that changes the setup alone."""

    def setup(self, ctx: Context, setup: TrainingSetup) -> tuple[TrainingSetup, str]:
        """The changed setup, and the change in words."""
        raise NotImplementedError

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        return ctx.why_untrainable() or ("your own fit decides that" if ctx.exp.fit is not None else "")

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        setup, words = self.setup(ctx, arm.setup)
        yield
        return replace(arm, setup=setup), words

    @staticmethod
    def _present(ctx: Context) -> TrainingSetup:
        return ctx.exp.training or ctx.usual


class Rate(_OfSetup):
    """Another learning rate, by a factor."""

    def __init__(self, factor: float, cause: str) -> None:
        self.factor = factor
        times = f"{factor:g} times the rate" if factor > 1 else f"a rate {1 / factor:g} times lower"
        self.name = f"rate_x{factor:g}"  # type: ignore[misc]
        self.title = times[0].upper() + times[1:]  # type: ignore[misc]
        self.text = "The learning rate is changed, everything else stays."  # type: ignore[misc]
        self.causes = (cause,)  # type: ignore[misc]

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        if self.factor > 1 and not super().why_not(ctx) and self._present(ctx).lr * self.factor > _HIGHEST:
            return f"the rate would be {self._present(ctx).lr * self.factor:g}"
        return super().why_not(ctx)

    def setup(self, ctx: Context, setup: TrainingSetup) -> tuple[TrainingSetup, str]:
        """See _OfSetup."""
        lr = setup.lr * self.factor
        return replace(setup, lr=lr), f"learning rate {setup.lr:g} to {lr:g}"


class RateByTest(_OfSetup):
    """The rate at which short runs fell furthest."""

    name = "rate_by_test"
    title = "The rate that short runs like best"
    text = "Short runs at rates from 1e-5 to 1, half a decade apart; the one with the smallest E_val is taken."
    causes = ("learning_rate_high", "learning_rate_low")

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        errors: dict[float, float] = {}
        plain = replace(arm.setup, schedule=None)
        for place in range(-10, 1):
            lr = 10 ** (place / 2)
            try:
                run = yield from ctx.refit(ctx.fresh(seed=11), replace(plain, lr=lr), most_s=0.4)
            except ModelError:
                continue
            errors[lr] = run.val.value
        best = min(errors, key=lambda lr: (errors[lr], abs(math.log10(lr) + 3)), default=1e-3)
        return replace(arm, setup=replace(arm.setup, lr=best)), f"learning rate {arm.setup.lr:g} to {best:g}"


class Longer(_OfSetup):
    """More epochs."""

    name = "longer"
    title = "Three times as long"
    text = "Three times as many epochs; a schedule is stretched with them."
    causes = ("learning_rate_low",)

    def setup(self, ctx: Context, setup: TrainingSetup) -> tuple[TrainingSetup, str]:
        """See _OfSetup."""
        return replace(setup, epochs=3 * setup.epochs), f"{setup.epochs} to {3 * setup.epochs} epochs"


class AnotherOptimizer(_OfSetup):
    """Adam for SGD, SGD for Adam."""

    name = "optimizer"
    title = "Another optimiser"
    text = "Adam at 1e-3 where it was SGD; SGD with momentum 0.9 at 0.05 where it was Adam."
    causes = ("training_algorithm",)

    def setup(self, ctx: Context, setup: TrainingSetup) -> tuple[TrainingSetup, str]:
        """See _OfSetup."""
        if setup.optimizer == "sgd":
            return replace(setup, optimizer="adam", lr=1e-3, momentum=0.0), f"SGD at {setup.lr:g} to Adam at 0.001"
        return replace(setup, optimizer="sgd", lr=0.05, momentum=0.9), f"Adam at {setup.lr:g} to SGD at 0.05"


class Schedule(_OfSetup):
    """A rate that falls."""

    name = "schedule"
    title = "A cosine schedule"
    text = "The rate falls to zero along a cosine over all steps."
    causes = ("training_algorithm", "learning_rate_high")

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        why = super().why_not(ctx)
        return why or ("it has one already" if self._present(ctx).schedule == "cosine" else "")

    def setup(self, ctx: Context, setup: TrainingSetup) -> tuple[TrainingSetup, str]:
        """See _OfSetup."""
        return replace(setup, schedule="cosine"), f"schedule {setup.schedule or 'none'} to cosine"


class NoDecay(_OfSetup):
    """No weight decay."""

    name = "no_decay"
    title = "Without weight decay"
    text = "Weight decay is set to zero."
    causes = ("regularization_too_strong",)

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        why = super().why_not(ctx)
        if not why and ctx.exp.training is None:
            return "it needs training=: how the network was trained"
        return why or ("" if self._present(ctx).weight_decay else "weight decay is 0 already")

    def setup(self, ctx: Context, setup: TrainingSetup) -> tuple[TrainingSetup, str]:
        """See _OfSetup."""
        return replace(setup, weight_decay=0.0), f"weight decay {setup.weight_decay:g} to 0"


class Decay(_OfSetup):
    """More weight decay."""

    name = "decay"
    title = "Ten times the weight decay"
    text = "Weight decay times ten, at least 1e-3."
    causes = ("regularize",)

    def setup(self, ctx: Context, setup: TrainingSetup) -> tuple[TrainingSetup, str]:
        """See _OfSetup."""
        decay = max(1e-3, 10 * setup.weight_decay)
        return replace(setup, weight_decay=decay), f"weight decay {setup.weight_decay:g} to {decay:g}"


class Augment(_OfSetup):
    """Moved or mirrored copies."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        what = {"shift": "Shifted by up to two pixels", "flip": "Mirrored by chance"}[kind]
        self.name = f"augment_{kind}"  # type: ignore[misc]
        self.title = f"Augmentation: {what.lower()}"  # type: ignore[misc]
        self.text = f"{what}, each image in each epoch anew."  # type: ignore[misc]
        self.causes = ("regularize", "more_data", *(("mismatch",) if kind == "shift" else ()))  # type: ignore[misc]
        if kind == "flip":
            self.text += " Digits and text do not stay what they are when mirrored."  # type: ignore[misc]

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        if len(ctx.exp.input_shape) != 3:
            return "it needs images"
        why = super().why_not(ctx)
        return why or (f"{self.kind} is on already" if self.kind in (self._present(ctx).augmentation or "") else "")

    def setup(self, ctx: Context, setup: TrainingSetup) -> tuple[TrainingSetup, str]:
        """See _OfSetup."""
        kind = self.kind if setup.augmentation is None else "shift+flip"
        return replace(setup, augmentation=kind), f"augmentation {setup.augmentation or 'none'} to {kind}"
