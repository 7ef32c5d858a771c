"""The slow twin of switching off: forward passes written out by hand, in which every result may lose channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Off = Mapping[tuple[str, int], tuple[int, ...]]
"""(name, call) -> channels."""


class Zeros:
    """``zeros(name, tensor)`` counts the calls of a name and sets the channels of axis 1 to zero, in the very memory."""

    def __init__(self, off: Off) -> None:
        self.off, self.calls = off, dict[str, int]()
        self.met: set[tuple[str, int]] = set()
        self.seen: dict[tuple[str, int], Tensor] = {}

    def __call__(self, name: str, tensor: Tensor, axis: int = 1) -> Tensor:
        key = name, self.calls.get(name, 0)
        self.calls[name] = key[1] + 1
        for channel in self.off.get(key, ()):
            self.met.add(key)
            tensor.select(axis, channel).zero_()
        self.seen[key] = tensor.clone()
        return tensor


def by_hand(net: nn.Module, images: Tensor, off: Off) -> Tensor:
    """Logits (B, K) of one of the networks below with channels at zero."""
    zeros = Zeros(off)
    with torch.no_grad():
        answer = _FORWARDS[type(net).__name__](net, images.clone(), zeros)
    assert zeros.met == set(off), "a place that this twin does not have"
    return answer


def all_by_hand(net: nn.Module, images: Tensor) -> dict[tuple[str, int], Tensor]:
    """(name, call) -> a copy of what that place gives, of one of the networks below."""
    zeros = Zeros({})
    with torch.no_grad():
        _FORWARDS[type(net).__name__](net, images.clone(), zeros)
    return zeros.seen


def _lenet5(net: Any, x: Tensor, z: Zeros) -> Tensor:
    x = z("pool1", net.pool1(z("conv1", net.conv1(x))))
    x = z("pool2", net.pool2(z("conv2", net.conv2(x))))
    x = z("relu", net.relu(z("fc1", net.fc1(x.flatten(1)))))
    return z("fc2", net.fc2(x))


def _resnet20(net: Any, x: Tensor, z: Zeros) -> Tensor:
    x = z("(relu)", F.relu(z("bn1", net.bn1(z("conv1", net.conv1(x))))))
    for number in (1, 2, 3):
        for i, block in enumerate(getattr(net, f"layer{number}")):
            name = f"layer{number}.{i}"
            short = x
            if block.stride > 1 or block.added:
                half = block.added // 2
                short = F.pad(x[:, :, :: block.stride, :: block.stride], (0, 0, 0, 0, half, block.added - half))
            y = z(f"{name}.bn1", block.bn1(z(f"{name}.conv1", block.conv1(x))))
            y = z(f"{name}.(relu)", F.relu(y))
            y = z(f"{name}.bn2", block.bn2(z(f"{name}.conv2", block.conv2(y))))
            x = z(name, z(f"{name}.(relu)", F.relu(z(f"{name}.(add)", y + short))))
        x = z(f"layer{number}", x)
    return z("fc", net.fc(z("(mean)", x.mean((2, 3)))))


def _vgg_small(net: Any, x: Tensor, z: Zeros) -> Tensor:
    for number in range(1, 7):
        x = z(f"conv{number}", getattr(net, f"conv{number}")(x))
        x = z("(relu)", F.relu(z(f"bn{number}", getattr(net, f"bn{number}")(x))))
        if number % 2 == 0:
            x = z("(max_pool2d)", F.max_pool2d(x, 2))
    return z("fc", net.fc(z("(mean)", x.mean((2, 3)))))


def _functional(net: Any, x: Tensor, z: Zeros) -> Tensor:
    batch = len(x)
    x = z("(conv2d)", F.conv2d(x, net.first.weight, net.first.bias, padding=1))
    short = x.view(batch, 8, -1)
    x = z("(relu)", F.relu_(x))
    maps = z("(conv2d)", F.conv2d(x, net.second.weight, net.second.bias, padding=1))
    maps = z("(mul)", maps * net.scale)
    maps += x
    z("(add)", maps)
    left, right = z("side", net.side(maps)).chunk(2, dim=1)
    product = z("(mul)", left * right)
    z("(add)", maps[:, :4].add_(product))
    x += maps
    z("(add)", x)
    x = z("(add)", z("(cat)", torch.cat([left, right], 1)) + x)
    x = z("(add)", x + z("(mean)", short.mean(2)).view(batch, 8, 1, 1))
    return z("out", net.out(z("(adaptive_avg_pool2d)", F.adaptive_avg_pool2d(z("(relu)", F.relu(x)), 4)).flatten(1)))


def _in_place(net: Any, x: Tensor, z: Zeros) -> Tensor:
    x = z("bn", net.bn(z("stem", net.stem(x))))
    identity = x
    x = z("relu", net.relu(x))
    x = z("a", net.a(x))
    x += identity
    z("(add)", x)
    net.relu(x)
    z("relu", x)
    y = z("b", net.b(x))
    y += x
    z("(add)", y)
    return z("out", net.out(z("(mean)", z("relu", net.relu(y)).mean((2, 3)))))


_FORWARDS: dict[str, Callable[[Any, Tensor, Zeros], Tensor]] = {
    "LeNet5": _lenet5,
    "ResNet20": _resnet20,
    "VggSmall": _vgg_small,
    "Functional": _functional,
    "InPlace": _in_place,
}
