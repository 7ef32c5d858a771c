"""Helpers of the layer explorer's tests: rasters as the front end reads them, small experiments."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812


def show(widget: Any, **traits: Any) -> Any:
    """Set traits, wait for the work and give the panel."""
    for name, value in traits.items():
        setattr(widget, name, value)
    assert widget.wait(120)
    assert widget.error is None, widget.error["traceback"]
    assert widget.status == "idle"
    return widget.panel


def pixels_of(raster: Any) -> npt.NDArray[np.uint8]:
    """(n, h, w), or (n, h, w, 3) for colours."""
    shape = (raster["count"], raster["height"], raster["width"], *([3] if raster["channels"] == 3 else []))
    return np.frombuffer(raster["data"], np.uint8).reshape(shape)


def decoded(raster: Any) -> npt.NDArray[np.float64]:
    """What each byte stands for, as frontend/src/explorer/raster.ts reads it."""
    levels = pixels_of(raster).astype(np.float64)
    ends = np.array(raster.get("ranges", [[raster["low"], raster["high"]]]), np.float64).T
    low, high = (end.reshape(-1, *(1,) * (levels.ndim - 1)) for end in ends)
    if raster["kind"] == "diverging":
        return np.where(levels <= 128, low * (1 - levels / 128), high * (levels - 128) / 127)
    return low + (high - low) * levels / 255


def half_step(raster: Any) -> npt.NDArray[np.float64]:
    """(n or 1, 1, 1) half of what two neighbouring bytes differ by, and what float32 adds to it."""
    ranges = np.array(raster.get("ranges", [[raster["low"], raster["high"]]]), np.float64)
    largest = np.abs(ranges).max(1)
    steps = largest / 127 if raster["kind"] == "diverging" else (ranges[:, 1] - ranges[:, 0]) / 255
    return (0.5 * steps + 1e-5 * largest).reshape(-1, 1, 1)


def stands_for(raster: Any, numbers: Tensor) -> bool:
    """True where a raster holds these numbers (n, h, w) within half a step of its bytes.

    Beyond the ends of a clipped one, which may be those of two networks, are few numbers, and they are drawn as the end.
    """
    found, held = decoded(raster), numbers.double()
    if raster.get("clipped"):
        if int(((held < raster["low"]) | (held > raster["high"])).sum()) > held.numel() / 100:
            return False
        held = held.clamp(raster["low"], raster["high"])
    return found.shape == tuple(held.shape) and bool((np.abs(found - held.numpy()) <= half_step(raster)).all())


def exact(raster: Any) -> npt.NDArray[np.float32]:
    """(h, w), the exact numbers that a raster of one tile brings."""
    return np.frombuffer(raster["values"], "<f4").reshape(raster["height"], raster["width"])


def hooks_of(network: nn.Module) -> int:
    """Hooks on all modules of a network."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_forward_hooks_always_called")
    return sum(len(getattr(module, kind)) for module in network.modules() for kind in kinds)


def random_split(shape: tuple[int, ...], n: int = 40, classes: int = 3) -> E.Split:
    """Normal numbers with labels in turn."""
    images = torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))
    return E.Split(images, torch.arange(n) % classes)


class Small(nn.Module):
    """Convolutions, functions between them and a residual sum. It fails, before its last layer, while ``broken``."""

    broken = False  # of the class: the explorer's own copy fails too

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv1(x))
        y = torch.relu(self.conv2(y) + y)
        if type(self).broken:
            raise RuntimeError("broken on purpose")
        logits: Tensor = self.fc(y.mean((2, 3)))
        return logits


def small_experiment(model: nn.Module | None = None, shape: tuple[int, ...] = (1, 9, 9), **given: Any) -> E.Experiment:
    """A network of a few thousand operations with 40 random samples, 7 of them S_val."""
    if model is None:
        torch.manual_seed(0)
        model = Small().eval()
    return E.Experiment(model, **{"train": random_split(shape), "test": random_split(shape), **given})
