"""Remedies that change the network, or the code around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from nnwidgets.engine.diagnosis._arms import Arm
from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.remedies._base import Changed, Remedy
from nnwidgets.engine.diagnosis.remedies._layers import (
    activated,
    dropouts,
    ends_in_softmax,
    lacks_activations,
    saturating,
    with_dropout,
    with_relus,
    without_dropout,
    without_softmax,
)

__all__ = ["Anew", "Dropout", "NoDropout", "PutActivations", "Relus", "TakeSoftmax", "UsualStep", "Width"]

_DROPOUT = 0.3


class Width(Remedy):
    """Another width, by a factor."""

    def __init__(self, factor: float, title: str, cause: str) -> None:
        self.factor = factor
        self.name, self.title = f"width_x{factor:g}", title  # type: ignore[misc]
        self.text = "Every hidden layer is made by build(width); the recipe stays."  # type: ignore[misc]
        self.causes = (cause,)  # type: ignore[misc]

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        return ctx.why_untrainable() or ctx.why_untrainable(self.factor)

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        yield
        width = arm.width * self.factor
        return replace(arm, width=width), f"width {arm.width:g} to {width:g}"


class Anew(Remedy):
    """The same once more, from new weights."""

    name = "anew"
    title = "Train anew"
    text = "The same network and recipe from new random weights, compared with the weights as they are."
    causes = ("dead_units", "implementation", "learning_rate_low")
    beside_given = True

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        yield
        return arm, "new weights, everything else the same"


class UsualStep(Remedy):
    """The engine's own training step."""

    name = "usual_step"
    title = "The usual training step"
    text = "Instead of your own step, loop or loss: zero the gradients, cross entropy, backward, one update."
    causes = ("implementation",)

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        if ctx.exp.train_step is None and ctx.exp.loss is None and ctx.exp.fit is None:
            return "no step, loop or loss of your own was given"
        return ctx.why_untrainable()

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        yield
        return replace(arm, step=None, loss=None, fit=None), "own training to the usual step"


class _Rebuilt(Remedy):
    """A remedy that changes each new network."""

    words = ""

    def rebuilt(self, network: nn.Module) -> nn.Module:
        """The changed network."""
        raise NotImplementedError

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        make: Callable[[int, float], nn.Module] = arm.make

        def changed(seed: int, width: float) -> nn.Module:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return self.rebuilt(make(seed, width))

        yield
        return replace(arm, make=changed), self.words


class Relus(_Rebuilt):
    """ReLU for sigmoids and tangents."""

    name = "relus"
    title = "ReLU with He initialisation"
    text = "Sigmoids and tangents become ReLU, weights are drawn as He et al. 2015 do."
    words = "sigmoids to ReLU, He initialisation"
    causes = ("training_algorithm",)

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        return ctx.why_untrainable() or ("" if saturating(ctx.network) else "the network has no sigmoid or tangent modules")

    def rebuilt(self, network: nn.Module) -> nn.Module:
        """See _Rebuilt."""
        return with_relus(network)


class TakeSoftmax(_Rebuilt):
    """No softmax before the loss."""

    name = "no_softmax"
    title = "Without the softmax at its end"
    text = "The last module, a softmax, is taken out: cross entropy takes it itself."
    words = "softmax at the end taken out"
    causes = ("implementation",)

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        return ctx.why_untrainable() or ("" if ends_in_softmax(ctx.network) else "no softmax module stands at its end")

    def rebuilt(self, network: nn.Module) -> nn.Module:
        """See _Rebuilt."""
        return without_softmax(network)


class PutActivations(_Rebuilt):
    """ReLU where none was."""

    name = "activations"
    title = "ReLU between the layers"
    text = "A ReLU behind each layer of an nn.Sequential that another one follows without an activation."
    words = "ReLU put between the layers"
    causes = ("implementation",)

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        return ctx.why_untrainable() or ("" if lacks_activations(ctx.network) else "no nn.Sequential lacks an activation")

    def rebuilt(self, network: nn.Module) -> nn.Module:
        """See _Rebuilt."""
        return activated(network)


class Dropout(_Rebuilt):
    """Dropout before the last layer."""

    name = "dropout"
    title = "Dropout"
    text = f"Dropout of {_DROPOUT:g} before the last linear layer; layers of dropout that are there are set to it."
    words = f"dropout {_DROPOUT:g}"
    causes = ("regularize",)

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        why = ctx.why_untrainable()
        if why or dropouts(ctx.network) or any(isinstance(each, nn.Linear) for each in ctx.network.modules()):
            return why
        return "the network has no linear layer"

    def rebuilt(self, network: nn.Module) -> nn.Module:
        """See _Rebuilt."""
        return with_dropout(network, _DROPOUT)


class NoDropout(_Rebuilt):
    """No dropout."""

    name = "no_dropout"
    title = "Without dropout"
    text = "All layers of dropout are set to zero."
    words = "dropout off"
    causes = ("regularization_too_strong",)

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        why = ctx.why_untrainable()
        return why or ("" if any(each.p for each in dropouts(ctx.network)) else "the network has no dropout")

    def rebuilt(self, network: nn.Module) -> nn.Module:
        """See _Rebuilt."""
        return without_dropout(network)
