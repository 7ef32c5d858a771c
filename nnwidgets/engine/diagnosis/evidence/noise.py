"""Noise in the pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps

__all__ = ["Noise", "sigma_of"]

_MASK = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
_MUCH, _MORE = 0.62, 1.4


class Noise(EvidenceTest):
    """Noise has no neighbours: what a pixel differs from its surroundings by, beside what images differ by altogether."""

    name = "noise"
    title = "Noise in the images"
    causes = ("low_signal", "mismatch")
    method = "sigma = sqrt(pi / 2) mean |image * M| / 6 with the second-difference mask M; share of the whole deviation"
    source = "Immerkær 1996, Fast noise variance estimation"

    def why_not(self, ctx: Context) -> str:
        shape = ctx.exp.input_shape
        return "" if len(shape) == 3 and min(shape[1:]) >= 5 else "it needs images of 5 x 5 pixels or more"

    def steps(self, ctx: Context) -> Steps:
        found: dict[str, float] = {}
        spread: dict[str, float] = {}
        for name in ("train", "test"):
            if name in ctx.splits:
                images = ctx.inputs(name, 300)
                spread[name] = float(images.std())
                found[name] = sigma_of(images)
                yield
        first = "train" if "train" in found else "test"
        share = found[first] / max(spread[first], 1e-9)
        numbers = {f"noise of S_{name}": value for name, value in found.items()} | {"noise / deviation": share}
        weights, text = {}, ""
        if share > _MUCH:
            weights = {"low_signal": min(5.0, 3.0 + 8 * (share - _MUCH))}
            text = f"noise makes up {100 * share:.0f} % of what the pixels differ by"
        if len(found) == 2 and found["test"] > _MORE * found["train"] and found["test"] > 0.1 * spread["train"]:
            weights = {**weights, "mismatch": 5.0}
            more = f"S_test holds {found['test'] / max(found['train'], 1e-9):.1f} times the noise of S_train"
            text = f"{text}; {more}" if text else more
        return weights or {"low_signal": -1.5}, text, numbers


def sigma_of(images: Tensor) -> float:
    """Standard deviation of the noise in images (n, C, H, W), in their own unit."""
    mask = _MASK.to(images).expand(images.shape[1], 1, 3, 3)
    return math.sqrt(math.pi / 2) / 6 * float(F.conv2d(images, mask, groups=images.shape[1]).abs().mean())
