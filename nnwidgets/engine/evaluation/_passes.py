"""A pass over a sample in batches that take about 20 ms: the unit of progress and of cancellation."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.evaluation._memory import half_after
from nnwidgets.engine.evaluation._prepared import Frozen, Prepared
from nnwidgets.engine.evaluation.checks import check_finite, check_logits
from nnwidgets.engine.trace import preserved
from nnwidgets.engine.values.split import Split

__all__ = ["Draw", "in_batches", "in_order", "passes", "prepared"]

T = TypeVar("T")

Draw = Callable[[int], npt.NDArray[np.int64]]
"""``draw(size)`` gives the next positions to look at, at most ``size``; none at the end."""

_FIRST, _FEWEST, _LARGEST = 16, 8, 1024
_LARGE = 256 * 2**20  # bytes; a network beyond that is not copied for a pass
_LONGEST, _GAIN, _TIMES = 0.5, 0.03, 2  # seconds of a batch; share that a larger one has to gain; measurements of each size
_PROBE = 8
_MOST_NUMBERS = 2**20  # in the images of a batch
_FIRST_NUMBERS = 2**18  # in the images that a pass begins with: sixteen for an EfficientNet would take 250 MB


def prepared(model: nn.Module, split: Split) -> Prepared | nn.Module:
    """Return a quick copy of a network for passes, or the network itself where it is large or cannot be copied."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))
    if size > _LARGE:
        return model
    try:
        return Prepared(model, split.sample_shape, split.inputs(slice(0, _PROBE)))
    except ModelError:  # a pass can use the network where it is, only slower
        return model


def in_order(order: Tensor | npt.NDArray[np.int64]) -> Draw:
    """Hand out positions in a given order."""
    positions = np.asarray(order, np.int64)
    start = 0

    def draw(size: int) -> npt.NDArray[np.int64]:
        nonlocal start
        found = positions[start : start + size]
        start += size
        return found

    return draw


def passes(
    network: nn.Module | Prepared | Frozen,
    split: Split,
    draw: Draw | None = None,
    target_s: float | None = 0.02,
    dtype: torch.dtype = torch.float32,
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield (positions (B,), logits (B, K)) until every image was seen once.

    The batch grows or shrinks to take ``target_s`` seconds; with None it grows as long as that makes an image cheaper.
    The network is in eval mode, and in inference mode, only while a batch runs: between two batches everything is as it was.

    Args:
        network: a network, which is left as it was; or a prepared copy, or a frozen one, which is the caller's own: random states
            are then not guarded (a guard in a background thread would take back what the user's own code draws meanwhile).
        draw: which images to take next, by default all as stored.

    Raises:
        ModelError: the answer is not logits (B, K), or holds NaN. OutOfMemoryError: not even one image fits; before, the batch is
            halved as often as it takes.
    """
    own = None if isinstance(network, nn.Module) else network
    model = network if isinstance(network, nn.Module) else network.network

    def answer(index: Tensor) -> Tensor:
        with contextlib.nullcontext() if own else preserved(model), torch.inference_mode():
            model.eval()
            images = split.inputs(index.to(split.device)).to(dtype)
            return check_logits(model(own.inputs(images) if own else images), len(index)).float()

    order = in_order(np.arange(len(split))) if draw is None else draw
    largest = max(1, min(_LARGEST, _MOST_NUMBERS // math.prod(split.sample_shape)))
    for index, logits in in_batches(answer, _gently(order, split), target_s, largest=_power_of_two(largest)):
        check_finite(logits)
        yield index, logits


def in_batches(
    work: Callable[[Tensor], T],
    draw: Draw,
    target_s: float | None = 0.02,
    image_s: float | None = None,
    largest: int = _LARGEST,
) -> Generator[tuple[Tensor, T], None, None]:
    """Yield (positions (B,), what ``work`` makes of them) until ``draw`` hands out none; each batch takes about ``target_s``, or,
    with None, has the size at which an image is cheapest here, as far as a batch takes no longer than half a second.

    Args:
        work: is called with int64 positions (B,) on the CPU; where memory runs out in it, once more with fewer.
        image_s: how long an image takes, where that is known: the first batch is then not larger than it should be.
        largest: no batch is larger.

    Raises:
        OutOfMemoryError: not even one image fits. And whatever ``work`` raises.
    """
    first = _FIRST if image_s is None else min(_FIRST, max(1, int((target_s or _LONGEST) / max(image_s, 1e-6))))
    size, waiting = _power_of_two(min(first, largest)), np.zeros(0, np.int64)
    cheapest = _Cheapest() if target_s is None else None
    while len(waiting) or len(waiting := draw(size)):
        index = torch.from_numpy(np.ascontiguousarray(waiting[:size]))
        began = time.perf_counter()
        try:
            made = work(index)
        except (RuntimeError, MemoryError) as error:
            size = largest = _power_of_two(half_after(error, len(index)))
            continue
        spent = time.perf_counter() - began
        yield index, made
        waiting = waiting[len(index) :]
        wanted = (
            _next_size(len(index), spent, target_s or 0.0) if cheapest is None else cheapest.next_size(size, len(index), spent)
        )
        size = min(wanted, largest)


class _Cheapest:
    """Doubles the batch as long as an image gets cheaper by it. Each size is measured twice: at first libraries build kernels."""

    def __init__(self) -> None:
        self._size, self._image_s, self._times = 0, math.inf, list[float]()
        self._settled = False

    def next_size(self, size: int, count: int, spent: float) -> int:
        """The size of the next batch, after one of ``count`` images (``size`` were wanted) took so many seconds."""
        if self._settled:
            return self._size
        if count == size:
            self._times.append(spent / size)
        if len(self._times) < _TIMES:
            return size
        image_s, self._times = min(self._times), []
        if image_s < (1 - _GAIN) * self._image_s:
            self._size, self._image_s = size, image_s
            self._settled = 2 * size * image_s > _LONGEST
        else:
            self._settled = True
        return self._size if self._settled else 2 * size


def _next_size(size: int, spent: float, target_s: float) -> int:
    """The batch that takes ``target_s`` if ``size`` images took ``spent``, a power of two; at most half or twice as large.

    Each new size makes the libraries below build and keep kernels for it: a few sizes save 100 MB against many.

    Few images are only worth it where each of them is slow: else a batch takes long for what is paid once (on two cores, waking
    threads), and a smaller one would take as long.
    """
    fewest = _FEWEST if spent / size < target_s / 2 else 1
    wanted = size * target_s / max(spent, 1e-6)
    return _power_of_two(min(max(wanted, size / 2, fewest), max(2 * size, fewest), _LARGEST))


def _power_of_two(size: float) -> int:
    """The largest power of two that is not above ``size``."""
    return 1 << (max(int(size), 1).bit_length() - 1)


def _gently(draw: Draw, split: Split) -> Draw:
    """The same images, of large ones only a few at first: what a batch takes is not known before the first one."""
    most = max(1, _FIRST_NUMBERS // max(1, math.prod(split.sample_shape)))
    is_first = True

    def drawn(size: int) -> npt.NDArray[np.int64]:
        nonlocal is_first
        size, is_first = min(size, most) if is_first else size, False
        return draw(size)

    return drawn
