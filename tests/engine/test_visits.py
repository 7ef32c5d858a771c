"""A cell looks into a network while a widget's worker takes it up: the hooks of the one are no change, and are not copied."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.evaluation import Prepared
from nnwidgets.engine.inspect import feature_maps
from nnwidgets.engine.inspect._own import own_copy
from nnwidgets.engine.inspect._sites import Site, run, unwatched
from nnwidgets.engine.trace import plain_copy, unvisited_copy, visited


class Gated(nn.Module):
    """Waits in the middle of a forward pass of the thread that is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)
        self.waits: dict[int, tuple[threading.Event, threading.Event]] = {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = F.relu(self.first(images))
        if threading.get_ident() in self.waits:
            reached, go_on = self.waits[threading.get_ident()]
            reached.set()
            assert go_on.wait(30)
        return self.last(F.relu(maps))

    def __deepcopy__(self, memo: dict[int, object]) -> Gated:
        """The locks stay behind; the rest is copied as torch does it."""
        twin = Gated.__new__(Gated)
        memo[id(self)] = twin
        twin.__dict__.update({name: value for name, value in self.__dict__.items() if name != "waits"})
        for name in [name for name in self.__dict__ if name != "waits"]:
            twin.__dict__[name] = copy.deepcopy(self.__dict__[name], memo)
        twin.waits = {}
        return twin


@contextmanager
def half_way(net: Gated, layer: str, call: int = 0) -> Iterator[None]:
    """In this block another thread is in the middle of ``feature_maps``."""
    reached, go_on, wrong = threading.Event(), threading.Event(), list[BaseException]()

    def look() -> None:
        net.waits[threading.get_ident()] = (reached, go_on)
        try:
            feature_maps(net, torch.ones(1, 4), layer, call)
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    assert reached.wait(30)
    try:
        yield
    finally:
        go_on.set()
        thread.join(30)
        net.waits.clear()
        assert wrong == []


@pytest.fixture
def net() -> Gated:
    torch.manual_seed(0)
    return Gated().eval()


@pytest.mark.parametrize(("layer", "call"), [("last", 0), ("(relu)", 1)])
def test_a_look_from_a_cell_is_no_change_of_the_network(net: Gated, layer: str, call: int) -> None:
    """Neither is said, nor is anything measured anew; a change that is one is still found afterwards."""
    exp = E.Experiment(net, test=E.Split(torch.randn(20, 4), torch.arange(20) % 3))
    bench = exp.bench(None)
    with half_way(net, layer, call):
        assert visited(net)
        exp.notice_changes()
    assert not visited(net)
    exp.notice_changes()
    assert exp.notices == {} and exp.bench(None) is bench
    with torch.no_grad():
        net.last.weight.mul_(2)
    exp.notice_changes()
    assert "model_changed" in exp.notices and exp.bench(None) is not bench


@pytest.mark.parametrize(("layer", "call"), [("last", 0), ("(relu)", 1)])
def test_a_copy_taken_meanwhile_has_the_users_hooks_and_no_other(net: Gated, layer: str, call: int) -> None:
    """The copy answers as the network does, in peace."""
    seen: list[int] = []
    net.first.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    images = torch.randn(5, 4)
    wanted = net(images)
    exp = E.Experiment(net, test=E.Split(torch.randn(20, 4), torch.arange(20) % 3))
    with half_way(net, layer, call):
        twin, base = unvisited_copy(net), exp.bench(None).base
        assert visited(net) and not visited(twin) and not visited(base)
        assert len(twin.first._forward_hooks) == 1 and len(twin.last._forward_hooks) == 0
        seen.clear()
        assert torch.equal(twin(images), wanted) and torch.equal(base(images), wanted)
        assert seen == [5, 5]


def test_what_cannot_be_copied_still_says_so(net: Gated) -> None:
    """The error of the copy is not lost."""
    net.first.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(TypeError, match="pickle"):
        unvisited_copy(net)


def test_whoever_copies_a_network_while_it_is_looked_at_gets_none_of_the_hooks() -> None:
    """A pass is at the second layer, as of an explorer in its thread; meanwhile somebody makes a lab, a recipe, a run."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval(), torch.randn(2, 1, 8, 8)
    expected, made = net(x).detach(), []

    def copies() -> list[nn.Module]:
        recipe = E.Recipe(E.Pruning(0.0))
        return [
            plain_copy(net),
            own_copy(net),
            Prepared(net, (1, 8, 8), x).network,
            E.compress(net, recipe, input_shape=(1, 8, 8)),
        ]

    def at_the_place(result: Any) -> None:
        with unwatched():
            made.extend(copies())

    run(net, x, {Site("1"): at_the_place}, stop=True)
    assert len(made) == 4
    for twin in made:
        assert not visited(twin)
        torch.testing.assert_close(twin(x).detach(), expected)
