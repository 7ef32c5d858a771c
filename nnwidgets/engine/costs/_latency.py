"""Measured time of a forward pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from nnwidgets.engine.errors import InputError, ModelError
from nnwidgets.engine.trace import checked_shape, preserved
from nnwidgets.engine.values.records import Latency

__all__ = ["latency", "latency_of", "latency_runs"]

_FEWEST = 5


def latency(
    model: nn.Module, input_shape: Sequence[int], batch: int = 1, runs: int | None = None, seconds: float = 0.5
) -> Latency:
    """Measure a forward pass where the network is, in eval mode, on noise, after a warm-up.

    Args:
        input_shape: of one sample; batch: samples a pass.
        runs: how many passes are timed; where not given, as many as fit into ``seconds``, and at least 5.

    Returns:
        Median with the 10th and 90th percentile, in milliseconds a batch, with the number of threads torch uses.

    Raises:
        InputError: a malformed shape or number. ModelError: the network is on the meta device or fails on the input.
    """
    return latency_of(list(latency_runs(model, input_shape, batch, runs, seconds)), batch)


def latency_of(times_ms: Sequence[float], batch: int = 1) -> Latency:
    """Sum up the times that `latency_runs` gave, so far or all of them."""
    if not times_ms:
        raise InputError("There are no runs to sum up; take at least one from latency_runs().")
    low, median, high = np.percentile(np.asarray(times_ms), [10, 50, 90])
    return Latency(
        median_ms=float(median),
        low_ms=float(low),
        high_ms=float(high),
        runs=len(times_ms),
        batch=batch,
        threads=torch.get_num_threads(),
    )


def latency_runs(
    model: nn.Module, input_shape: Sequence[int], batch: int = 1, runs: int | None = None, seconds: float = 0.5
) -> Iterator[float]:
    """Yield the time of each pass in milliseconds as it is measured; for jobs, which may stop between two.

    The network is as it was between the passes too: eval mode lasts only as long as a pass. Arguments and errors are those of
    `latency`; they are checked at once, not at the first pass.
    """
    shape = checked_shape(input_shape)
    for name, value in (("batch", batch), ("runs", runs)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"{name} is {value!r}; expected a whole number from 1.")
    if not 0 < seconds < float("inf"):
        raise InputError(f"seconds is {seconds!r}; expected a positive number of seconds.")
    device = _device_of(model)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((batch, *shape), generator=generator)
    dtype = next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), torch.float32)
    return _runs(model, noise.to(device, dtype), runs, seconds)


def _runs(model: nn.Module, x: torch.Tensor, runs: int | None, seconds: float) -> Iterator[float]:
    wait = _barrier(x.device)
    _warm_up(model, x, wait, seconds)
    done, spent = 0, 0.0
    while done < runs if runs is not None else done < _FEWEST or spent < seconds:
        took = _timed(model, x, wait)
        done, spent = done + 1, spent + took
        yield 1000 * took


def _warm_up(model: nn.Module, x: torch.Tensor, wait: Callable[[], None], seconds: float) -> None:
    """The first passes allocate memory and choose kernels: two at least, a fifth of the time at most."""
    try:
        spent, left = _timed(model, x, wait), 4
    except Exception as error:
        raise ModelError(
            f"The network failed on a batch of shape {tuple(x.shape)} on {x.device}: {type(error).__name__}: {error} "
            "input_shape is that of one sample and never includes the batch."
        ) from error
    while left and (left == 4 or spent < 0.2 * seconds):
        spent, left = spent + _timed(model, x, wait), left - 1


def _timed(model: nn.Module, x: torch.Tensor, wait: Callable[[], None]) -> float:
    with preserved(model), torch.inference_mode():
        model.eval()
        wait()
        start = time.perf_counter()
        model(x)
        wait()
        return time.perf_counter() - start


def _device_of(model: nn.Module) -> torch.device:
    devices = {tensor.device for tensors in (model.parameters(), model.buffers()) for tensor in tensors}
    if any(device.type == "meta" for device in devices):
        raise ModelError("The network is on the meta device and has no numbers to compute with. Load its weights first.")
    if len(devices) > 1:
        names = ", ".join(sorted(map(str, devices)))
        raise ModelError(f"The network is spread over several devices ({names}); move it to one, e.g. model.to('cpu').")
    return devices.pop() if devices else torch.device("cpu")


def _barrier(device: torch.device) -> Callable[[], None]:
    """Accelerators work in the background: wait for them before reading the clock."""
    if device.type == "cuda":
        return torch.cuda.synchronize
    if device.type == "mps":
        return torch.mps.synchronize
    return lambda: None
