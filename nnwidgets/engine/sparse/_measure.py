"""Loss and accuracy on a sample in batches whose size depends on nothing but the network: the same bits on every run."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import DataError, ModelError, UnsupportedError
from nnwidgets.engine.evaluation.checks import check_logits
from nnwidgets.engine.trace import trace
from nnwidgets.engine.values.split import Split

__all__ = ["Measured", "batch_for", "measuring"]

_MACS = 150_000_000  # of a batch: about 10 ms of one core
_FEWEST, _LARGEST, _UNKNOWN = 8, 512, 32

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Measured:
    """Mean loss and share of right answers on all images of a sample."""

    loss: float
    accuracy: float


def batch_for(model: nn.Module, split: Split) -> int:
    """Images of a batch: by the work of the network, not by the clock, which would change sums in their last bits."""
    try:
        macs = trace(model, split.sample_shape).macs
    except (ModelError, UnsupportedError):
        return _UNKNOWN
    return max(_FEWEST, min(_LARGEST, _MACS // max(macs, 1)))


def measuring(model: nn.Module, split: Split, batch: int, loss: Loss = F.cross_entropy) -> Generator[None, None, Measured]:
    """Yield after each batch, return the figures of a network in eval mode; ``loss`` is taken to be a mean over images."""
    if split.labels is None:
        raise DataError("got images without labels; accuracy needs Split(images, labels).")
    total, right = 0.0, 0
    for start in range(0, len(split), batch):
        part = slice(start, min(start + batch, len(split)))
        labels, n = split.labels[part], part.stop - part.start
        with torch.inference_mode():
            logits = check_logits(model(split.inputs(part)), n)
            total += float(loss(logits, labels)) * n
            right += int((logits.argmax(1) == labels).sum())
        yield
    return Measured(total / len(split), right / len(split))
