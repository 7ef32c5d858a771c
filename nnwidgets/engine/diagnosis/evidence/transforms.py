"""Would S_test be recognised if it were prepared in another way?"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from functools import partial

from torch import Tensor

from nnwidgets.engine.diagnosis._context import Context, answers_of
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.values.split import Split

__all__ = ["Transforms", "ways_of"]

_IMAGES = 400


def ways_of(x: Tensor, train: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Images (n, C, H, W) prepared in other ways, by name; ``train``: what they should be like."""
    mean, std = train.mean((0, 2, 3), keepdim=True), train.std((0, 2, 3), keepdim=True)
    own = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True).clamp_min(1e-9)
    ways: dict[str, Callable[[], Tensor]] = {
        "mirrored": lambda: x.flip(3),
        "upside down": lambda: x.flip(2),
        "inverted": lambda: 2 * mean - x,
        "scaled as S_train": lambda: own * std + mean,
    }
    for by in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (0, 2), (0, -2), (2, 0), (-2, 0)):
        ways[f"shifted by {by[0]}, {by[1]}"] = partial(x.roll, by, (2, 3))
    if x.shape[2] == x.shape[3]:
        ways["transposed"] = lambda: x.transpose(2, 3)
    if x.shape[1] > 1:
        ways["with channels reversed"] = lambda: x.flip(1)
    return ways


class Transforms(EvidenceTest):
    """Axes or channels swapped, inverted, shifted or scaled in one sample only: undoing it makes the error fall."""

    name = "transforms"
    title = "S_test, prepared in other ways"
    causes = ("mismatch", "preprocessing")
    method = "error on S_test transposed, mirrored, channels reversed, inverted, shifted by 1 or 2 pixels, or scaled as S_train"
    seconds = 0.6

    def why_not(self, ctx: Context) -> str:
        if not {"train", "test"} <= set(ctx.splits):
            return "it needs S_train and S_test"
        return "" if len(ctx.exp.input_shape) == 3 else "it needs images"

    def steps(self, ctx: Context) -> Steps:
        x = ctx.inputs("test", _IMAGES)
        labels = ctx.labels("test")[: len(x)]
        ways = ways_of(x, ctx.inputs("train", _IMAGES))

        def error(images: Tensor) -> Generator[None, None, float]:
            logits = yield from answers_of(ctx.network, Split(images, labels))  # floats are fed as they are
            return float((logits.argmax(1) != labels).double().mean())

        now = yield from error(x)
        found = {}
        for name, make in ways.items():
            found[name] = yield from error(make())
        best = min(found, key=lambda name: found[name])
        gain, n = now - found[best], len(labels)
        z = gain / math.sqrt((now * (1 - now) + found[best] * (1 - found[best])) / n + 1e-9)
        numbers = {"E_test as it is": now, **{f"E_test {name}": value for name, value in found.items()}}
        if z < 4 or gain < 0.05:
            return {}, "", numbers
        text = f"E_test falls from {100 * now:.0f} % to {100 * found[best]:.0f} % once S_test is {best}"
        return {"mismatch": 6.0, "preprocessing": 5.0}, text, numbers
