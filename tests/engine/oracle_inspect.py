"""Slow, obvious twins of what the layer explorer computes. None of them differentiates anything."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Signal:
    """A tensor on a tape."""

    def __init__(self, value: Tensor) -> None:
        self.value = value


Back = Callable[[Tensor], Sequence[Tensor]]


class Tape:
    """A deconvolution network written out: each step of the forward pass has its own way back, by its own formula.

    Args:
        rule: what a ReLU does to the signal that comes from above: "deconvnet", "guided" or "gradient".
    """

    def __init__(self, rule: str = "deconvnet") -> None:
        self.rule = rule
        self.relus = 0
        self._steps: list[tuple[list[Signal], Signal, Back]] = []

    def project(self, start: Signal, end: Signal, channel: int, position: tuple[int, int] | None = None) -> Tensor:
        """Zero all of ``end`` but one unit of each image (None: the strongest place), and send it back to ``start``."""
        seed = torch.zeros_like(end.value)
        for image, maps in enumerate(end.value):
            plane = maps[channel].reshape(-1)
            place = int(plane.argmax())
            if position is not None and plane.numel() > 1:
                place = position[0] * maps.shape[-1] + position[1]
            seed[image, channel].view(-1)[place] = plane[place]
        return self.back(start, end, seed)

    def back(self, start: Signal, end: Signal, seed: Tensor) -> Tensor:
        """Send a signal back; where ways part on the way up, signals are summed on the way down."""
        coming: dict[Signal, Tensor] = {end: seed}
        for inputs, output, back in reversed(self._steps):
            if output in coming:
                for source, signal in zip(inputs, back(coming[output]), strict=True):
                    coming[source] = coming[source] + signal if source in coming else signal
        return coming[start]

    def _step(self, inputs: list[Signal], value: Tensor, back: Back) -> Signal:
        output = Signal(value.detach().clone())
        self._steps.append((inputs, output, back))
        return output

    def conv(self, x: Signal, layer: nn.Conv2d) -> Signal:
        """Transposed convolution without the bias, to exactly the size that came in."""
        pad, stride, spread = (list(map(int, each)) for each in (layer.padding, layer.stride, layer.dilation))
        value = F.conv2d(x.value, layer.weight, layer.bias, stride, pad, spread, layer.groups)
        extra = [
            x.value.shape[2 + i]
            - ((value.shape[2 + i] - 1) * stride[i] - 2 * pad[i] + spread[i] * (layer.kernel_size[i] - 1) + 1)
            for i in (0, 1)
        ]
        return self._step(
            [x],
            value,
            lambda s: [
                F.pad(
                    F.conv_transpose2d(s, layer.weight, None, stride, 0, 0, layer.groups, spread),
                    [-pad[1], extra[1] - pad[1], -pad[0], extra[0] - pad[0]],
                )
            ],
        )

    def linear(self, x: Signal, layer: nn.Linear) -> Signal:
        return self._step([x], x.value @ layer.weight.T + layer.bias, lambda s: [s @ layer.weight])

    def norm(self, x: Signal, layer: nn.BatchNorm2d) -> Signal:
        """Batch-norm in eval mode is a scale and a shift; the scale goes back."""
        shape = (1, -1, 1, 1)
        scale = (layer.weight * (1 / torch.sqrt(layer.running_var + layer.eps))).view(shape)
        value = (x.value - layer.running_mean.view(shape)) * scale + layer.bias.view(shape)
        return self._step([x], value, lambda s: [s * scale])

    def relu(self, x: Signal, high: float = math.inf) -> Signal:
        self.relus += 1
        on = (x.value > 0) & (x.value < high)
        rules: dict[str, Back] = {
            "deconvnet": lambda s: [s.clamp(min=0)],
            "guided": lambda s: [s.clamp(min=0) * on],
            "gradient": lambda s: [s * on],
        }
        return self._step([x], x.value.clamp(0, high), rules[self.rule])

    def max_pool(self, x: Signal, kernel: int, stride: int, padding: int = 0, ceil: bool = False) -> Signal:
        """Unpooling by switches; what comes to one place from several windows is summed."""
        value, switches = F.max_pool2d(x.value, kernel, stride, padding, ceil_mode=ceil, return_indices=True)

        def back(s: Tensor) -> list[Tensor]:
            flat = torch.zeros_like(x.value).flatten(2)
            return [flat.scatter_add(2, switches.flatten(2), s.flatten(2)).view_as(x.value)]

        return self._step([x], value, back)

    def avg_pool(self, x: Signal, kernel: int, stride: int) -> Signal:
        rows, columns = ((size - kernel) // stride + 1 for size in x.value.shape[2:])
        windows = [[(i * stride, i * stride + kernel) for i in range(count)] for count in (rows, columns)]
        return self._means(x, windows)

    def adaptive_avg_pool(self, x: Signal, sizes: tuple[int, int]) -> Signal:
        windows = [
            [(i * size // wanted, -(-(i + 1) * size // wanted)) for i in range(wanted)]
            for size, wanted in zip(x.value.shape[2:], sizes, strict=True)
        ]
        return self._means(x, windows)

    def _means(self, x: Signal, windows: list[list[tuple[int, int]]]) -> Signal:
        value = x.value.new_zeros((*x.value.shape[:2], len(windows[0]), len(windows[1])))
        places = list(itertools.product(enumerate(windows[0]), enumerate(windows[1])))
        for (i, (top, bottom)), (j, (left, right)) in places:
            value[:, :, i, j] = x.value[:, :, top:bottom, left:right].mean((2, 3))

        def back(s: Tensor) -> list[Tensor]:
            spread = torch.zeros_like(x.value)
            for (i, (top, bottom)), (j, (left, right)) in places:
                area = (bottom - top) * (right - left)
                spread[:, :, top:bottom, left:right] += s[:, :, i, j, None, None] / area
            return [spread]

        return self._step([x], value, back)

    def add(self, a: Signal, b: Signal) -> Signal:
        return self._step([a, b], a.value + b.value, lambda s: [s, s])

    def cat(self, *parts: Signal) -> Signal:
        sizes = [part.value.shape[1] for part in parts]
        return self._step(list(parts), torch.cat([part.value for part in parts], 1), lambda s: list(s.split(sizes, 1)))

    def flatten(self, x: Signal) -> Signal:
        return self._step([x], x.value.flatten(1), lambda s: [s.view_as(x.value)])

    def layers(self, x: Signal, modules: Sequence[nn.Module]) -> Signal:
        """A chain of plain layers."""
        for module in modules:
            x = self.layer(x, module)
        return x

    def layer(self, x: Signal, module: Any) -> Signal:
        if isinstance(module, nn.Sequential):
            return self.layers(x, list(module))
        if isinstance(module, nn.Conv2d):
            return self.conv(x, module)
        if isinstance(module, nn.BatchNorm2d):
            return self.norm(x, module)
        if isinstance(module, nn.Linear):
            return self.linear(x, module)
        if isinstance(module, nn.ReLU):
            return self.relu(x)
        if isinstance(module, nn.ReLU6):
            return self.relu(x, 6.0)
        if isinstance(module, nn.MaxPool2d):
            return self.max_pool(x, module.kernel_size, module.stride, module.padding, module.ceil_mode)
        if isinstance(module, nn.AdaptiveAvgPool2d):
            sizes = module.output_size
            return self.adaptive_avg_pool(x, (sizes, sizes) if isinstance(sizes, int) else sizes)
        if isinstance(module, nn.Flatten):
            return self.flatten(x)
        if isinstance(module, nn.Dropout | nn.Identity):
            return x
        raise TypeError(f"no formula for {type(module).__name__}")


def difference(got: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value that is expected."""
    assert got.shape == expected.shape
    assert expected.abs().max() > 0
    return float((got - expected).abs().max() / expected.abs().max())


def boxes_by_changing_pixels(net: nn.Module, shape: tuple[int, int, int]) -> list[list[tuple[int, int, int, int]]]:
    """For each unit of a net's answer (any channel), the box around the pixels that change it when made larger.

    All weights are made positive first, so that nothing cancels out, and no maximum hides a change.
    """
    net = copy.deepcopy(net).double().eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=draw, dtype=torch.float64) + 0.5)
        _, height, width = shape
        plain = torch.rand(1, *shape, generator=draw, dtype=torch.float64)
        changed = plain.repeat(height * width, 1, 1, 1)
        for pixel in range(height * width):
            changed[pixel, :, pixel // width, pixel % width] += 1000
        # By far more than the last digits, in which batches of two sizes differ: a change of 1000 is passed on by 0.5 or more
        difference = ((net(changed) - net(plain)).abs() > 1e-3).any(1)  # (pixels, h, w)
    return [[_around(each.view(height, width)) for each in row.unbind(1)] for row in difference.unbind(1)]


def _around(mask: Tensor) -> tuple[int, int, int, int]:
    rows, columns = mask.any(1).nonzero().flatten().tolist(), mask.any(0).nonzero().flatten().tolist()
    return (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) if rows else (0, 0, 0, 0)


def top_by_sorting(maps: list[Tensor], k: int) -> list[list[tuple[float, int, int, int]]]:
    """For each channel the k best (value, image, y, x) of a list of (C, H, W), one an image: everything is sorted.

    Of equal values the earlier image, and within it the place that is read first.
    """
    best: list[list[tuple[float, int, int, int]]] = []
    for channel in range(len(maps[0])):
        strongest = []
        for image, each in enumerate(maps):
            places = [(float(value), -y, -x) for y, row in enumerate(each[channel]) for x, value in enumerate(row)]
            value, y, x = max(places)
            strongest.append((-value, image, -y, -x))
        best.append([(-value, image, y, x) for value, image, y, x in sorted(strongest)[:k]])
    return best
