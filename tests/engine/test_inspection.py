"""What an inspection keeps of a network's passes: the right maps, within a budget, under the state that they are of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment import inspection as module
from nnwidgets.engine.experiment.inspection import Inspection
from nnwidgets.engine.experiment.pictures import picture_of
from nnwidgets.engine.inspect import Site, capture, feature_maps, statistics


class Net(nn.Module):
    """Two convolutions, functions between them, a residual sum, a module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.fc = nn.Tanh(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.conv1(x))
        y = torch.relu(self.act(self.conv2(y)) + y)
        logits: Tensor = self.fc(y.mean((2, 3)))
        return logits


def experiment(size: int = 8, n: int = 12) -> E.Experiment:
    torch.manual_seed(0)
    images = torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(0))
    return E.Experiment(Net().eval(), test=E.Split(images, torch.arange(n) % 3))


@pytest.fixture
def made() -> Iterator[tuple[Any, Inspection]]:
    exp = experiment()
    yield exp, Inspection(exp)
    exp.close()


def hooks_of(network: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in network.modules())


# --- one pass ---------------------------------------------------------------------------------------------------------


def test_a_pass_keeps_the_layers_and_once_a_function_is_wanted_the_functions_too(made: Any) -> None:
    exp, inspection = made
    picture = picture_of(exp.test, "test", 3)
    find = inspection.structure.find
    functions = {row.site for row in inspection.structure.rows if row.function}
    assert functions >= {Site("(relu)"), Site("(add)")} and Site("act", 1) in {row.site for row in inspection.structure.rows}
    for layer, also in (("conv1", set()), ("(add)", functions)):
        forward = inspection.look(picture, find(layer))
        assert forward is inspection.known(picture, find(layer).site)
        layers = {row.site for row in inspection.structure.rows if not row.function}
        assert set(forward.maps) == layers | also and forward.refused == {}
        for site, maps in forward.maps.items():
            wanted = feature_maps(exp.model, picture.inputs, site.name, site.call)
            assert torch.allclose(maps.values, wanted, atol=1e-6), site
    assert torch.allclose(forward.answer, exp.model(picture.inputs)[0], atol=1e-5)
    assert hooks_of(inspection.network) == hooks_of(exp.model) == 0


def test_the_wanted_layer_is_told_while_the_rest_still_runs(made: Any) -> None:
    exp, inspection = made
    order: list[str] = []
    inspection.network.fc.register_forward_hook(lambda *_: order.append("fc ran"))
    picture, row = picture_of(exp.test, "test", 0), inspection.structure.find("act")
    inspection.look(picture, row, seen=lambda site, maps: order.append(f"{site} seen {tuple(maps.values.shape)}"))
    assert order == ["act seen (1, 4, 8, 8)", "fc ran"]


@pytest.mark.parametrize("layer", ["conv1", "(relu)"])
def test_a_pass_that_nobody_waits_for_is_given_up_in_the_middle(made: Any, layer: str) -> None:
    """Nothing is kept of it, no hook stays, and the next pass is whole."""
    exp, inspection = made
    picture, row = picture_of(exp.test, "test", 0), inspection.structure.find(layer)
    asked: list[int] = []

    def stale() -> bool:
        asked.append(1)
        return len(asked) == 3

    ran: list[int] = []
    hook = inspection.network.fc.register_forward_hook(lambda *_: ran.append(1))
    assert inspection.look(picture, row, stale=stale) is None
    assert len(asked) == 3 and not ran and inspection.known(picture) is None
    hook.remove()
    assert hooks_of(inspection.network) == 0
    assert inspection.look(picture, row) is not None and inspection.known(picture, row.site) is not None


class Stubborn(nn.Module):
    """Catches whatever its layer raises."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        try:
            y = self.conv(x)
        except Exception:
            y = x.new_zeros(len(x), 4, 1, 1)
        logits: Tensor = self.fc(y.mean((2, 3)))
        return logits


def test_a_networks_own_except_does_not_keep_a_stale_pass_going() -> None:
    net = Stubborn().eval()
    ran: list[int] = []
    net.fc.register_forward_hook(lambda *_: ran.append(1))
    assert capture(net, torch.zeros(1, 1, 6, 6), {Site("conv"): None}, stale=lambda: True) is None and not ran


def test_a_place_that_cannot_be_shown_is_refused_by_name_and_the_others_are_there() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Unflatten(1, (1, 2)), nn.Flatten(), nn.Linear(72, 3)).eval()
    found = capture(net, torch.zeros(2, 1, 8, 8), {Site("0"): None, Site("1"): None})
    assert found is not None and set(found.maps) == {Site("0")} and "5 axes" not in found.refused[Site("1")]
    assert "gives shape (2, 1, 2, 6, 6)" in found.refused[Site("1")] and found.answer.shape == (2, 3)


def test_a_capture_leaves_a_network_that_is_not_its_own_as_it_was() -> None:
    net = Net().train()
    net.fc.weight.grad = torch.ones(3, 4)
    before = E.fingerprint(net), hooks_of(net), torch.get_rng_state()
    with pytest.raises(E.ModelError, match="the network failed on images"):
        capture(net, torch.zeros(1, 2, 8, 8), {Site("(relu)"): None, Site("conv1"): None})
    with pytest.raises(E.InputError, match="there is no layer 'conv9'"):
        capture(net, torch.zeros(1, 1, 8, 8), {Site("conv9"): None})
    assert capture(net, torch.zeros(1, 1, 8, 8), {Site("(relu)"): None}) is not None
    assert (E.fingerprint(net), hooks_of(net)) == before[:2] and net.training and torch.equal(torch.get_rng_state(), before[2])
    assert torch.equal(net.fc.weight.grad, torch.ones(3, 4))


def test_what_runs_in_place_afterwards_does_not_show_in_what_was_kept() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(72, 3)).eval()
    images = torch.randn(1, 1, 8, 8)
    found = capture(net, images, {Site("0"): None, Site("1"): None})
    assert (
        found is not None
        and torch.allclose(found.maps[Site("0")].values, net[0](images))
        and found.maps[Site("0")].values.min() < 0
    )


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_activations_are_kept_within_a_budget(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wanted layer always, others as they fit; of pictures the last few."""
    exp, inspection = made
    one = 4 * 4 * 8 * 8  # bytes of one convolution's maps
    monkeypatch.setattr(module, "_BUDGET", 3 * one)
    find = inspection.structure.find
    pictures = [picture_of(exp.test, "test", index) for index in range(8)]
    forward = inspection.look(pictures[0], find("conv2"))
    assert Site("conv2") in forward.maps and sum(maps.values.nbytes for maps in forward.maps.values()) <= 3 * one
    for picture in pictures[1:]:
        inspection.look(picture, find("conv2"))
        assert inspection.known(picture, Site("conv2")) is not None
    assert inspection._held() <= 3 * one and inspection.known(pictures[0]) is None
    monkeypatch.setattr(module, "_BUDGET", one // 2)
    inspection.look(pictures[3], find("conv1"))
    assert set(inspection.known(pictures[3]).maps) >= {Site("conv1")}, "a layer above the budget is shown all the same"
    assert [inspection.known(picture) for picture in pictures[4:]] == [None] * 4


def test_work_that_needs_room_leaves_the_layer_that_is_looked_at(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exp, inspection = made
    first, second, row = picture_of(exp.test, "test", 0), picture_of(exp.test, "test", 1), inspection.structure.find("conv2")
    for picture in (first, second):
        inspection.look(picture, row)
    inspection.make_room(second, row)
    assert inspection.known(first, Site("conv1")) is not None, "little is kept: it stays"
    monkeypatch.setattr(module, "_SPARE", 100)
    answer = inspection.known(second).answer
    inspection.make_room(second, row)
    assert inspection.known(first) is None and set(inspection.known(second).maps) == {Site("conv2")}
    assert inspection.known(second).answer is answer
    list(inspection.measure("test"))
    assert inspection.known(second) is None, "a pass over a sample looks at no picture"


def test_of_pictures_no_more_than_four_passes_are_kept(made: Any) -> None:
    exp, inspection = made
    for index in range(12):
        inspection.look(picture_of(exp.test, "test", index), inspection.structure.find("fc"))
    assert [inspection.known(picture_of(exp.test, "test", index)) is not None for index in range(12)] == [False] * 8 + [True] * 4


def test_the_picture_that_is_looked_at_is_not_the_one_that_is_forgotten(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it was the first, and its functions between layers come to what is kept of it."""
    exp, inspection = made
    first, second = picture_of(exp.test, "test", 0), picture_of(exp.test, "test", 1)
    inspection.look(first, inspection.structure.find("conv1"))
    inspection.look(second, inspection.structure.find("conv1"))
    monkeypatch.setattr(module, "_BUDGET", inspection._held() + 4 * 4 * 8 * 8)
    inspection.look(first, inspection.structure.find("(relu)"))
    assert inspection.known(first, Site("(relu)")) is not None and inspection.known(second) is None


def test_large_layers_have_to_be_asked_for_until_they_are_allowed(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exp, inspection = made
    conv, fc = inspection.structure.find("conv1"), inspection.structure.find("fc")
    assert inspection.bytes_of(conv) == 1024 and inspection.bytes_of(fc) == 12 and not inspection.has_to_ask(conv)
    inspection._allowed = 100
    assert inspection.has_to_ask(conv) and not inspection.has_to_ask(fc)
    forward = inspection.look(picture_of(exp.test, "test", 0), fc)
    assert all(maps.values.nbytes <= 100 for maps in forward.maps.values()), "nor is it captured along with others"
    inspection.allow(conv)
    assert not inspection.has_to_ask(conv)
    inspection.allow(fc)
    assert not inspection.has_to_ask(conv), "allowing a smaller one takes nothing back"


# --- another network, another state -----------------------------------------------------------------------------------


def test_a_changed_network_is_inspected_anew(made: Any) -> None:
    exp, inspection = made
    picture, row = picture_of(exp.test, "test", 0), inspection.structure.find("conv2")
    inspection.look(picture, row)
    list(inspection.measure("test"))
    list(inspection.answer_all("test"))
    assert inspection.dead("test")["conv2"] == (0, 4) and not inspection.refresh()
    with torch.no_grad():
        exp.model.conv2.weight.mul_(-3)
        exp.model.fc = nn.Linear(4, 5)
    exp.notice_changes()
    assert inspection.refresh() and not inspection.refresh()
    assert (
        inspection.known(picture) is None and inspection.dead("test") == {} and inspection.statistics_of(row.site, "test") is None
    )
    assert inspection.answers_of("test") is None and inspection.structure.find("fc").shape == (5,)
    forward = inspection.look(picture, row)
    assert torch.allclose(forward.maps[row.site].values, feature_maps(exp.model, picture.inputs, "conv2"), atol=1e-6)


def test_the_compressed_network_is_that_of_the_present_state(made: Any) -> None:
    exp, inspection = made
    picture, row = picture_of(exp.test, "test", 0), inspection.structure.find("conv2")
    for amount in (0.5, 0.9):
        exp.apply(E.Recipe(E.Pruning(amount)))
        assert inspection.known(picture, row.site, compressed=True) is None
        forward = inspection.look(picture, row, compressed=True)
        wanted = feature_maps(exp.compressed, picture.inputs, "conv2")
        assert torch.allclose(forward.maps[row.site].values, wanted, atol=1e-6) and set(forward.maps) == {row.site}
    exp.undo()
    known = inspection.known(picture, row.site, compressed=True)
    assert known is not None
    assert torch.allclose(known.maps[row.site].values, feature_maps(exp.compressed, picture.inputs, "conv2"), atol=1e-6)


def test_a_recipe_that_is_applied_during_a_pass_does_not_get_its_maps(made: Any) -> None:
    exp, inspection = made
    picture, row = picture_of(exp.test, "test", 0), inspection.structure.find("conv2")
    first, second = E.Recipe(E.Pruning(0.5)), E.Recipe(E.Pruning(0.9))
    exp.apply(first)
    inspection.look(picture, row, compressed=True, seen=lambda site, maps: exp.apply(second))
    assert exp.recipe == second and inspection.known(picture, row.site, compressed=True) is None
    exp.undo()
    known = inspection.known(picture, row.site, compressed=True)
    assert known is not None
    assert torch.allclose(known.maps[row.site].values, feature_maps(exp.compressed, picture.inputs, "conv2"), atol=1e-6)


def test_known_can_be_asked_from_another_thread_at_any_time(made: Any) -> None:
    """It never raises, and what it gives has the place that was asked for, with the numbers of that picture."""
    exp, inspection = made
    pictures = [picture_of(exp.test, "test", index) for index in range(6)]
    row = inspection.structure.find("conv1")
    wanted = [feature_maps(exp.model, picture.inputs, "conv1") for picture in pictures]
    stop, wrong, met = threading.Event(), [], [0]

    def ask() -> None:
        try:
            while not stop.is_set():
                for picture, maps in zip(pictures, wanted, strict=True):
                    forward = inspection.known(picture, row.site)
                    inspection.channels_of(row)
                    if forward is not None:
                        met[0] += 1
                        if not torch.allclose(forward.maps[row.site].values, maps, atol=1e-6):
                            wrong.append("other numbers")
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        inspection.look(pictures[turn % 6], inspection.structure.find(("conv1", "(relu)", "fc")[turn % 3]))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == [] and met[0] > 0


# --- around a place ---------------------------------------------------------------------------------------------------


def test_before_and_after_an_activation_is_said(made: Any) -> None:
    _, inspection = made
    words = {row.id: inspection.around(row) for row in inspection.structure.rows}
    assert words["conv1"] == "before Tanh" and words["act"] == words["act#1"] == "after Tanh"
    assert words["(add)"] == "before relu" and words["(relu)"] == "after relu" and words["fc"] == ""


def test_the_filter_of_a_channel_is_that_of_its_convolution(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through what treats each channel by itself, not through a sum; a weight matrix is not even copied."""
    exp, inspection = made
    find = inspection.structure.find
    for layer, source in (("conv1", "conv1"), ("act", "conv1"), ("conv2", "conv2"), ("act#1", "conv2")):
        found = inspection.filter_of(find(layer), 2)
        assert found is not None and torch.equal(found, exp.model.get_submodule(source).weight[2])
    assert inspection.filter_of(find("conv1"), 99) is None
    monkeypatch.setattr(module, "filters", lambda *_: pytest.fail("copied"))
    assert inspection.filter_of(find("(add)"), 0) is None and inspection.filter_of(find("fc"), 0) is None


def test_channels_are_known_once_a_layer_was_seen_or_measured(made: Any) -> None:
    exp, inspection = made
    row = inspection.structure.find("(add)")
    assert inspection.channels_of(row) is None
    list(inspection.measure("test"))
    assert inspection.channels_of(row) == 4
    unit = inspection.statistics_of(row.site, "test")
    expected = statistics(exp.model, exp.test, "(add)").units[0].mean.tolist()
    assert unit is not None and unit.mean.tolist() == pytest.approx(expected, rel=1e-9)


def test_measuring_can_be_closed_at_any_step_and_keeps_nothing(made: Any) -> None:
    _, inspection = made
    steps = inspection.measure("test")
    next(steps)
    steps.close()
    assert inspection.dead("test") == {} and hooks_of(inspection.network) == 0


class Roots(nn.Module):
    """One layer that cannot be measured among others that can, inside a container."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh()), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(torch.log(self.body(x)).nan_to_num(0.0, 0.0, 0.0).mean((2, 3)))
        return logits


def test_what_cannot_be_measured_says_why() -> None:
    exp = E.Experiment(Roots().eval(), test=E.Split(torch.randn(8, 1, 6, 6), torch.arange(8) % 3))
    inspection = Inspection(exp)
    find = inspection.structure.find
    assert "container" in inspection.unmeasured(find("body"), "test") and inspection.unmeasured(find("(log)"), "test") == ""
    list(inspection.measure("test"))
    assert (
        "NaN or infinity" in inspection.unmeasured(find("(log)"), "test")
        and inspection.statistics_of(Site("(log)"), "test") is None
    )
    assert inspection.unmeasured(find("body.0"), "test") == "" and inspection.statistics_of(Site("body.0"), "test") is not None
    exp.close()
