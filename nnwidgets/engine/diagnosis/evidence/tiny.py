"""Can the code learn a handful of images by heart?"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace

from torch import nn

from nnwidgets.engine.diagnosis._arms import Arm, train_arm
from nnwidgets.engine.diagnosis._context import Context, answers_of
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.values.split import Split

__all__ = ["Tiny"]

_IMAGES, _EPOCHS, _ROUNDS = 24, 40, 4
_LONGEST_S = 1.2  # of each way


class Tiny(EvidenceTest):
    """Twenty-four images are learnt by heart by any code that works; where only the usual step does it, one's own is wrong."""

    name = "tiny"
    title = "A tiny subset"
    causes = ("implementation", "training_algorithm")
    method = "error on 24 images after training on them alone, without augmentation, dropout and weight decay"
    source = "the lecture, L18"
    seconds = 1.5

    def worth(self, branch: str, found: object) -> float:
        return 1.5 if branch == "train_high" else 0.3

    def why_not(self, ctx: Context) -> str:
        return ctx.why_untrainable()

    def steps(self, ctx: Context) -> Steps:
        few, left_out = _few(ctx.splits["train"])
        own = yield from _error_after(ctx, few, usual=False)
        numbers = {"error, own way": own, "images": float(len(few))}
        if left_out:
            numbers["contradictory images left out"] = float(left_out)
        if own == 0:
            return {"implementation": -0.5}, "", numbers
        if ctx.exp.train_step is not None or ctx.exp.loss is not None:
            usual = yield from _error_after(ctx, few, usual=True)
            numbers["error, usual way"] = usual
            if usual < 0.5 * own:
                text = f"your own step leaves {100 * own:.0f} % of {len(few)} images wrong, the usual one {100 * usual:.0f} %"
                return {"implementation": 5.0}, text, numbers
        text = f"not even {len(few)} images are learnt by heart: {100 * own:.0f} % of them stay wrong"
        return {"implementation": 1.0, "training_algorithm": 1.0, "enlarge_network": 0.5}, text, numbers


def _few(split: Split) -> tuple[Split, int]:
    """(a few images, how many were left out as another label stands beside the same image)."""
    assert split.labels is not None
    chosen: dict[bytes, int] = {}
    labels = split.labels.tolist()
    twice = 0
    for row in range(len(split)):
        mark = split.images[row].cpu().contiguous().numpy().tobytes()
        if mark in chosen:
            twice += labels[chosen[mark]] != labels[row]
            continue
        chosen[mark] = row
        if len(chosen) == _IMAGES:
            break
    return split.take(sorted(chosen.values())), twice


def _error_after(ctx: Context, few: Split, usual: bool) -> Generator[None, None, float]:
    """Error on them after up to 160 passes; 1 where it diverged."""
    setup = ctx.usual if usual or ctx.exp.training is None else ctx.exp.training
    setup = replace(setup, epochs=_EPOCHS, batch_size=8, augmentation=None, schedule=None, weight_decay=0.0, lr=ctx.usual.lr)
    setup = replace(setup, optimizer="adam", momentum=0.0)
    network = _without_dropout(ctx.fresh(seed=9))
    step, loss = (None, None) if usual else (ctx.exp.train_step, ctx.exp.loss)
    arm = Arm(lambda seed, width: network, few, None, None, setup, loss=loss, step=step)
    began, error = time.monotonic(), 1.0
    for round_ in range(_ROUNDS):
        try:
            yield from train_arm(arm, round_, ctx.exp.input_shape)
        except ModelError:
            return 1.0
        logits = yield from answers_of(network, few)
        assert few.labels is not None
        error = float((logits.argmax(1) != few.labels.cpu()).double().mean())
        if error == 0 or time.monotonic() - began > _LONGEST_S:
            break
    return error


def _without_dropout(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d | nn.AlphaDropout):
            module.p = 0.0
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network
