"""Whatever looks at channels finds them on the same axis, also where a shape cannot tell it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.inspect import Switching, ablate, feature_maps, projections, statistics, top_activations


class Signal(nn.Module):
    """A function after Conv1d: (B, C, L), which a shape does not tell from tokens."""

    shape, axis, layer = (1, 12), 1, "(relu)"

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv1d(1, 5, 3, bias=False), nn.Linear(5, 3)

    def head(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))

    def tail(self, h: Tensor) -> Tensor:
        return self.fc(h.amax(2))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.head(x))


class Turned(Signal):
    """Channels last, as many as rows and columns."""

    shape, axis = (1, 7, 7), 3

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 5, 3, bias=False)  # type: ignore[assignment]

    def head(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x).permute(0, 2, 3, 1))

    def tail(self, h: Tensor) -> Tensor:
        return self.fc(h.amax((1, 2)))  # type: ignore[no-any-return]


class Places(Signal):
    """Places stand before the batch, and there are as many of them as images in a batch."""

    shape, axis = (8, 4), 2

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Linear(4, 5)  # type: ignore[assignment]

    def head(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x.transpose(0, 1)))

    def tail(self, h: Tensor) -> Tensor:
        return self.fc(h.amax(0))  # type: ignore[no-any-return]


@pytest.fixture(params=[Signal, Turned, Places])
def made(request: pytest.FixtureRequest) -> tuple[Signal, E.Split]:
    torch.manual_seed(1)
    net = request.param().eval()
    return net, E.Split(torch.randn(8, *net.shape), torch.arange(8) % 3)


def channels_first(net: Signal, x: Tensor) -> Tensor:
    """(B, C, places) by the network's own layout."""
    with torch.no_grad():
        h = net.head(x)
    return h.permute(1, 2, 0) if isinstance(net, Places) else h.movedim(net.axis, 1).flatten(2)


def without(net: Signal, x: Tensor, channels: list[int]) -> Tensor:
    with torch.no_grad():
        h = net.head(x).movedim(net.axis, -1)
        h[..., channels] = 0
        return net.tail(h.movedim(-1, net.axis))


def test_maps_statistics_and_strongest_images(made: tuple[Signal, E.Split]) -> None:
    net, split = made
    x = split.inputs(slice(0, 8))
    expected = channels_first(net, x)
    assert torch.equal(feature_maps(net, x, net.layer).flatten(2), expected)
    unit = statistics(net, split, net.layer).units[0]
    torch.testing.assert_close(torch.from_numpy(unit.mean).float(), expected.mean((0, 2)))
    of_all = statistics(net, split).of(net.layer)
    assert of_all.mean.tolist() == pytest.approx(unit.mean.tolist(), rel=1e-9)
    top = top_activations(net, split, net.layer, k=2)
    assert torch.equal(top.values, expected.amax(2).T.sort(dim=1, descending=True).values[:, :2])


@pytest.mark.parametrize("watched", [False, True])
def test_channels_off(made: tuple[Signal, E.Split], watched: bool) -> None:
    net, split = made
    x, off = split.inputs(slice(0, 8)), [1, 4]
    network = ablate(net, net.layer, off)
    assert not torch.allclose(without(net, x, off), net(x))
    if watched:  # the first pass finds the axis out, whoever looks on
        with FlopCounterMode(display=False):
            assert torch.equal(network(x), without(net, x, off))
    assert torch.equal(network(x), without(net, x, off))
    assert torch.equal(ablate(network, net.layer, [0])(x), without(net, x, [0, *off]))
    assert abs(E.evaluate(network, split).accuracy - float((without(net, x, off).argmax(1) == split.labels).float().mean())) == 0
    switching = Switching(net, net.shape, x[:2])
    switching.choose(net.layer)
    torch.testing.assert_close(switching.logits(x, off), without(net, x, off))


def test_a_unit_taken_back(made: tuple[Signal, E.Split]) -> None:
    net, split = made
    x = split.inputs(slice(0, 8)).requires_grad_()
    h = net.head(x)
    first = h.permute(1, 2, 0) if isinstance(net, Places) else h.movedim(net.axis, 1).flatten(2)
    values = first[:, 3].amax(1)
    (gradient,) = torch.autograd.grad((values * values.detach()).sum(), x)
    found = projections(net, x.detach(), net.layer, 3, rules=("gradient",)).found["gradient"]
    torch.testing.assert_close(found.values, values.detach())
    torch.testing.assert_close(found.pixels, gradient)
