"""Does the gradient reach the first layers?"""

from __future__ import annotations

import math

import torch

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.trace import weight_layers, weight_of

__all__ = ["Gradients"]


class Gradients(EvidenceTest):
    """In deep nets of sigmoids the gradient shrinks at each layer: the first ones do not learn."""

    name = "gradients"
    title = "Gradient at the first and the last layer"
    causes = ("training_algorithm",)
    method = "‖gradient‖ / ‖weight‖ at the start of training, first layer / last layer"
    source = "Glorot and Bengio 2010"

    def why_not(self, ctx: Context) -> str:
        return ctx.why_untrainable()

    def steps(self, ctx: Context) -> Steps:
        fresh = ctx.fresh(seed=2).train()
        images = ctx.inputs("train", 64)
        labels = ctx.labels("train")[: len(images)].to(images.device)
        yield
        layers = weight_layers(fresh)
        weights = [weight_of(fresh, layer) for layer in layers]
        with torch.enable_grad():
            gradients = torch.autograd.grad(ctx.loss(fresh, images, labels), weights, allow_unused=True)
        yield
        ratios = [
            float(gradient.norm() / weight.detach().norm().clamp_min(1e-12))
            for gradient, weight in zip(gradients, weights, strict=True)
            if gradient is not None
        ]
        if len(ratios) < 3:
            return {}, "", {}
        ratio = ratios[0] / max(ratios[-1], 1e-30)
        numbers = {"first / last": ratio}
        weight = max(-1.5, min(5.0, -2.0 * (math.log10(max(ratio, 1e-30)) + 1.5)))
        if weight < 1:
            return {"training_algorithm": weight}, "", numbers
        text = f"the gradient of the first layer is {ratio:.0e} of that of the last one, for the size of their weights"
        return {"training_algorithm": weight}, text, numbers
