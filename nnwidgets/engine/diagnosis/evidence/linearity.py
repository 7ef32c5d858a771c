"""Is the network a linear one?"""

from __future__ import annotations

import torch

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.trace import weight_layers

__all__ = ["Linearity"]


class Linearity(EvidenceTest):
    """Without activations, several layers are one matrix."""

    name = "linearity"
    title = "Activations between the layers"
    causes = ("implementation",)
    method = "f(a) + f(b) - f(a + b) - f(0) is 0 for every a and b only where f is affine"

    def why_not(self, ctx: Context) -> str:
        return "" if len(weight_layers(ctx.network)) > 1 else "the network has one layer"

    def steps(self, ctx: Context) -> Steps:
        a = ctx.inputs("test" if "test" in ctx.splits else "train", 8)
        b = a.roll(1, 0)  # of a single image: itself
        with torch.inference_mode():
            parts = [ctx.network(x).double() for x in (a, b, a + b, torch.zeros_like(a))]
        yield
        off = parts[0] + parts[1] - parts[2] - parts[3]
        moved = max(float((part - parts[3]).abs().max()) for part in parts[:3])
        if moved < 1e-6 * max(1.0, float(parts[3].abs().max())):
            return {}, "", {"largest change of an answer": moved}  # it answers one thing to everything
        share = float(off.abs().max()) / moved
        text = "the network is linear: there is no activation between its layers" if share < 1e-4 else ""
        return {"implementation": 5.0} if share < 1e-4 else {}, text, {"departure from a linear map": share}
