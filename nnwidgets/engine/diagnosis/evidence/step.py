"""One's own training step, looked at from outside."""

from __future__ import annotations

import torch

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.trace import unvisited_copy
from nnwidgets.engine.training._optimizers import optimizer_for
from nnwidgets.engine.values.setup import TrainingSetup

__all__ = ["Step"]


class Step(EvidenceTest):
    """The same step twice on the same batch, at rate zero, has the same gradient: unless the first one was not cleared."""

    name = "step"
    title = "The training step"
    causes = ("implementation",)
    method = "gradient after a second step / after the first one, with the same weights and the same batch"

    def why_not(self, ctx: Context) -> str:
        if "train" not in ctx.splits:
            return "it needs S_train"
        return "" if ctx.exp.train_step is not None else "it needs your own train_step=: Experiment(..., train_step=...)"

    def steps(self, ctx: Context) -> Steps:
        step = ctx.exp.train_step
        assert step is not None
        network = unvisited_copy(ctx.network).train()
        for parameter in network.parameters():
            parameter.requires_grad_(True)
        optimizer = optimizer_for(list(network.parameters()), TrainingSetup(optimizer="sgd"))
        for group in optimizer.param_groups:
            group["lr"] = 0.0  # the weights stay as they are
        images = ctx.inputs("train", 32)
        labels = ctx.labels("train")[: len(images)].to(images.device)
        norms = []
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            for _ in range(2):
                torch.manual_seed(0)  # the same dropout
                step(network, optimizer, images, labels)
                kept = [p.grad for p in network.parameters() if p.grad is not None]
                norms.append(float(torch.stack([g.norm() for g in kept]).norm()) if kept else 0.0)
                yield
        if not norms[0]:
            return {"implementation": 4.0}, "the training step leaves no gradient at the weights", {"gradient": norms[0]}
        ratio = norms[1] / norms[0]
        if ratio > 1.5:
            text = f"gradients are not cleared: after a second step they are {ratio:.1f} times as large"
            return {"implementation": 7.0}, text, {"ratio": ratio}
        return {}, "", {"ratio": ratio}
