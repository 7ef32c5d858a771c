"""A pass over a sample in batches that take about 20 ms: the unit of progress and of cancellation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.evaluation.checks import check_logits
from nnwidgets.engine.trace import preserved
from nnwidgets.engine.values.split import Split

__all__ = ["passes"]

_FIRST, _FEWEST, _LARGEST = 16, 8, 1024


def passes(
    model: nn.Module,
    split: Split,
    order: Tensor | None = None,
    target_s: float = 0.02,
    dtype: torch.dtype = torch.float32,
    own: bool = False,
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield (positions (B,), logits (B, K)) until every image was seen once.

    The batch grows or shrinks to take ``target_s`` seconds (batches far beyond that are slower by page faults). The network is in
    eval mode, and in inference mode, only while a batch runs: between two batches everything is as it was.

    Args:
        order: positions in the order to take them, by default as stored.
        own: the network is the caller's own copy: it is put into eval mode once, and random states are not guarded (a guard in a
            background thread would take back what the user's own code draws meanwhile).

    Raises:
        ModelError: the answer is not logits (B, K), or holds NaN.
    """
    if own:
        model.eval()
    n = len(split) if order is None else len(order)
    start, size = 0, _FIRST
    while start < n:
        stop = min(start + size, n)
        index = torch.arange(start, stop) if order is None else order[start:stop]
        began = time.perf_counter()
        with contextlib.nullcontext() if own else preserved(model), torch.inference_mode():
            if not own:
                model.eval()
            images = split.inputs(index.to(split.device))
            logits = check_logits(model(images.to(dtype)), len(index)).float()
        spent = time.perf_counter() - began
        bad = int((~torch.isfinite(logits)).any(1).sum())
        if bad:
            raise ModelError(
                f"the network answers NaN or infinity for {bad} of {len(index)} images; "
                "its accuracy means nothing. Look at its weights and inputs."
            )
        yield index, logits
        start = stop
        size = _next_size(len(index), spent, target_s)


def _next_size(size: int, spent: float, target_s: float) -> int:
    """The batch that takes ``target_s`` if ``size`` images took ``spent``; at most half or twice as large.

    Few images are only worth it where each of them is slow: else a batch takes long for what is paid once (on two cores, waking
    threads), and a smaller one would take as long.
    """
    fewest = _FEWEST if spent / size < target_s / 2 else 1
    wanted = size * target_s / max(spent, 1e-6)
    return int(min(max(wanted, size / 2, fewest), max(2 * size, fewest), _LARGEST))
