"""Statistics of units equal a twin that keeps all activations; partial results are whole; nothing is changed or kept."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle_ablate import all_by_hand
from oracle_scan import Reused
from oracle_statistics import assert_equal, edges_of
from test_ablate import Turns, images, network
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import InputError, ModelError, UnsupportedError
from nnwidgets.engine.inspect import Site, Statistics, StatisticsStep, statistics, statistics_steps
from nnwidgets.engine.inspect._grid import Grid
from nnwidgets.engine.trace import fingerprint
from nnwidgets.engine.values.split import Split


def labelled(x: Tensor, classes: int = 4) -> Split:
    return Split(x, torch.randint(0, classes, (len(x),), generator=torch.Generator().manual_seed(3)))


def taken(steps: Any) -> tuple[list[StatisticsStep], Statistics]:
    """All steps and the result."""
    found = []
    while True:
        try:
            found.append(next(steps))
        except StopIteration as end:
            return found, end.value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("LeNet5", None),
        ("ResNet20", ["conv1", "bn1", "(relu)", "layer2.0.(add)", Site("layer2.0.(relu)", 1), "layer3", "(mean)", "fc"]),
        ("VggSmall", ["conv1", Site("(max_pool2d)", 2), Site("(relu)", 5)]),
        ("Functional", None),
        ("InPlace", None),
    ],
)
def test_all_figures_equal_those_of_a_twin_that_keeps_everything(name: str, layers: Any) -> None:
    """Also of what is written over in place afterwards, and of each call of a layer that is called again."""
    model, split = network(name), labelled(images(name, 41))
    found = statistics(model, split, layers)
    wanted = all_by_hand(model, split.inputs(slice(None)))
    assert len(found.units) == (len(layers) if layers else len(found.units)) and found.final and found.n == 41
    assert not found.skipped
    for unit in found.units:
        assert split.labels is not None
        values = wanted[unit.site.name, unit.site.call]
        # Kernels round differently for another number of images.
        x = values.double().transpose(0, 1).flatten(1)
        assert np.allclose(unit.mean, x.mean(1), rtol=1e-3, atol=1e-5)
        assert np.allclose(unit.variance, x.var(1, correction=0), rtol=1e-3, atol=1e-5)
        assert np.allclose(unit.maximum, x.amax(1), rtol=1e-4, atol=1e-5) and unit.histogram.sum() == x.numel()
    exact = statistics_of_one_batch(model, split, [unit.site for unit in found.units])
    for unit in exact.units:
        assert_equal(unit, wanted[unit.site.name, unit.site.call], split.labels)


def statistics_of_one_batch(model: nn.Module, split: Split, sites: list[Site]) -> Statistics:
    """The same in two unequal batches of what one pass over all images gave, so that each number is the twin's."""
    from nnwidgets.engine.inspect._gather import Classes, Gathering

    whole = all_by_hand(model, split.inputs(slice(None)))
    assert split.labels is not None
    labels, units = split.labels.numpy(), []
    counts = np.bincount(labels, minlength=split.n_classes)
    for site in sites:
        gathering = Gathering(site, dict(model.named_modules()).get(site.name), 64, split.n_classes)
        values = whole[site.name, site.call]
        for part in (slice(0, 3), slice(3, 30), slice(30, None)):
            gathering.add(gathering.look(values[part], len(values[part])), Classes.of(labels[part]))
        record = gathering.record(counts)
        assert record is not None
        units.append(record)
    return Statistics(len(split), len(split), tuple(units))


class Bounded(nn.Module):
    """Layers with bounds, a dead channel, a constant one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        with torch.no_grad():
            self.conv.weight.mul_(20)
            self.conv.weight[1] = 0
            self.conv.bias[:] = torch.tensor([0.0, -1.0, 3.0, 1.0])
        self.relu, self.relu6, self.tanh, self.hard = nn.ReLU(), nn.ReLU6(), nn.Tanh(), nn.Hardtanh(-2, 2)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 3)."""
        x = self.conv(x)
        y = self.relu(x) + self.relu6(x) + self.tanh(x) + self.hard(x) + torch.sigmoid(x) + F.relu6(x) + F.silu(x)
        return self.out(y.mean((2, 3)))


def test_dead_and_saturated_units_are_found() -> None:
    torch.manual_seed(0)
    model, x = Bounded().eval(), torch.randn(30, 1, 8, 8)
    found = statistics(model, Split(x))
    with torch.no_grad():
        y = model.conv(x).transpose(0, 1).flatten(1)
    assert found.of("relu").dead.tolist() == found.of("conv").dead.tolist() == [False, True, False, False]
    assert found.of("relu").zeros[1] == 1 and found.of("relu").alive[1] == 0 and found.of("conv").maximum[1] == -1
    assert found.of("relu").dead_share == 0.25 and 0 < found.of("relu").sparse_share < 1
    for layer, made, low, high in (
        ("relu6", F.relu6, -np.inf, 5.94),
        ("(relu6)", F.relu6, -np.inf, 5.94),
        ("tanh", torch.tanh, -0.98, 0.98),
        ("hard", lambda v: v.clamp(-2, 2), -1.96, 1.96),
        ("(sigmoid)", torch.sigmoid, 0.01, 0.99),
    ):
        values = made(y).numpy()
        share = ((values <= low) | (values >= high)).mean(1)
        unit = found.of(layer)
        assert unit.saturated is not None and np.allclose(unit.saturated, share, atol=2e-3) and 0 < share[0] < 1, layer
        assert unit.saturated_share == unit.saturated.mean()
    assert found.of("conv").saturated is None and found.of("(silu)").saturated_share is None
    assert found.of("conv").class_means is None and found.of("conv").selectivity is None


@given(st.data(), st.sampled_from([2, 8, 64]))
def test_bins_grow_exactly_and_nothing_is_lost(data: st.DataObject, bins: int) -> None:
    """Whatever the batches: the same counts as with all numbers at once."""
    from nnwidgets.engine.inspect._gather import Gathering

    sizes = st.floats(-30, 30).map(lambda e: 2.0**e)
    batches = []
    for _ in range(data.draw(st.integers(1, 5))):
        scale, shift = data.draw(sizes), data.draw(st.sampled_from([0.0, 1.0, -3.0]))
        draw = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
        batches.append((torch.randn(2, 3, 5, 1, generator=draw) * data.draw(st.sampled_from([0.0, 1.0])) + shift) * scale)
    gathering = Gathering(Site("x"), None, bins, 0)
    for batch in batches:
        gathering.add(gathering.look(batch, 2), None)
    found = gathering.record(np.zeros(0, np.int64))
    assert found is not None and found.histogram.sum() == 30 * len(batches)
    x = torch.cat(batches).double().numpy()
    if x.min() < x.max() and np.abs(x).max() / (x.max() - x.min()) < 1e4:
        assert found.edges.tolist() == edges_of(x.min(), x.max(), bins)
    for c in range(3):
        assert found.histogram[c].tolist() == np.histogram(x[:, c], [*found.edges[:-1], np.inf])[0].tolist()
        assert found.edges[0] <= x.min() and x.max() < found.edges[-1]


def test_at_least_half_of_the_bins_are_used_and_extreme_ranges_are_held() -> None:
    for low, high in ((0.0, 1.0), (-1e-30, 1e30), (5.0, 5.0), (0.0, 0.0), (-1e-42, 0.0), (3e38, 3.4e38), (1.0, 1.0 + 2**-23)):
        grid = Grid.over(low, high, 64)
        assert grid.edges[0] <= low and high < grid.edges[-1] and len(grid.edges) == 65
        assert (np.diff(grid.edges) == 2.0**grid.exponent).all()
        values = torch.tensor([low, high]).view(1, 1, 2)
        assert grid.count(values).sum() == 2
    grid = Grid.over(0.0, 1.0, 64)
    assert grid.number(1.0) >= 32


def test_bins_become_finer_only_where_all_that_was_counted_is_one_number() -> None:
    from nnwidgets.engine.inspect._gather import Gathering

    gathering = Gathering(Site("x"), None, 64, 0)
    near = torch.linspace(5, 5.01, 40).view(10, 2, 2, 1)
    for batch in (torch.full((3, 2, 2, 1), 5.0), torch.full((3, 2, 2, 1), 5.0), near, near * 3):
        gathering.add(gathering.look(batch, len(batch)), None)
        found = gathering.record(np.zeros(0, np.int64))
        assert found is not None and found.histogram.sum() == found.n * 4
        if found.n == 16:
            assert found.edges[1] - found.edges[0] < 0.001
            assert found.histogram[0, 0] >= 12 and found.edges[0] <= 5 < found.edges[1]
            assert found.edges.tolist() == edges_of(5.0, float(near.max()), 64)


def test_a_network_that_takes_another_turn_than_on_its_first_images_is_summed_up_at_the_right_call() -> None:
    torch.manual_seed(0)
    model, x = Turns().eval(), torch.rand(60, 1, 8, 8) + 3
    x[:2] = -1  # the places are found on these
    unit = statistics(model, Split(x), Site("(relu)", 1)).of("(relu)", 1)
    with torch.no_grad():
        values = F.relu(F.relu(model.conv(x)) * 2)
    assert np.allclose(unit.mean, values.double().mean((0, 2, 3)), rtol=1e-5) and unit.n == 60


def test_what_is_known_at_each_step_is_whole_and_ends_as_the_record() -> None:
    model, split = network("LeNet5"), labelled(images("LeNet5", 300))
    seen = []
    steps = statistics_steps(model, split, [Site("conv1"), Site("relu")])
    for step in steps:
        part = step.so_far(Site("relu"))
        seen.append(part.n)
        assert step.share == part.n / 300 and part.total == 300
        assert [unit.site.name for unit in part.units] == (["relu"] if part.n else [])
        for unit in step.so_far().units:
            assert unit.n == part.n and unit.histogram.sum() == part.n * unit.channels * unit.positions
            assert unit.class_counts is not None and unit.class_counts.sum() == part.n
    assert seen[:2] == [0, 0] and seen[1:] == sorted(set(seen))
    assert seen[-1] == 300 and len(seen) > 3 and step.text == "300 of 300 images"
    first = step.so_far(Site("relu")).units[0]
    again = statistics(model, split, "relu").of("relu")
    assert np.allclose(again.mean, first.mean, rtol=1e-4) and np.array_equal(again.dead, first.dead)


def test_a_record_taken_earlier_does_not_change_later() -> None:
    steps = statistics_steps(network("LeNet5"), labelled(images("LeNet5", 200)), [Site("conv1")])
    early = next(step for step in steps if step.so_far().n).so_far().units[0]
    kept = early.histogram.copy(), early.mean.copy(), early.maximum.copy()
    taken(steps)
    assert all(np.array_equal(a, b) for a, b in zip(kept, (early.histogram, early.mean, early.maximum), strict=True))


def test_no_activation_is_kept_beyond_its_batch() -> None:
    kept: list[weakref.ref[Tensor]] = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            made = x * 2
            kept.append(weakref.ref(made))
            return made

    model = nn.Sequential(nn.Conv2d(1, 3, 3), Watched(), nn.Flatten(), nn.Linear(3 * 36, 3)).eval()
    for step in statistics_steps(model, Split(torch.randn(80, 1, 8, 8))):
        assert [ref for ref in kept if ref() is not None] == [], step.text
    assert len(kept) > 3


def test_of_a_thousand_classes_only_those_that_were_met_take_room() -> None:
    """Classes come up in any order, batch after batch; figures are those of the slow twin."""
    torch.manual_seed(0)
    model, labels = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU()).eval(), torch.tensor([970, 3, 500, 3, 7, 970, 500, 12] * 6)
    split = Split(torch.randn(48, 1, 9, 9), labels)
    found = statistics(model, split, ["0", "1"])
    for unit in found.units:
        with torch.no_grad():
            assert_equal(unit, (model[:1] if unit.site.name == "0" else model)(split.images), labels)
        assert unit.seen_classes is not None and unit.seen_classes.tolist() == [3, 7, 12, 500, 970]
        assert unit.seen_means is not None and unit.seen_means.shape == (5, 5)
        assert unit.class_means is not None and unit.class_means.shape == (971, 5)
        assert np.isnan(unit.class_means).all(1).sum() == 966


def test_each_call_of_a_layer_is_a_place_of_its_own() -> None:
    torch.manual_seed(0)
    model, x = Reused().eval(), torch.randn(50, 1, 8, 8)
    found = statistics(model, labelled(x), [Site("again", call) for call in range(3)])
    with torch.no_grad():
        y = model.first(x.flatten(1)).relu()
        for call in range(3):
            made = model.again(y)
            assert np.allclose(found.of("again", call).mean, made.double().mean(0), atol=1e-6)
            y = y + made.relu()


def test_one_image_vectors_and_a_single_class_are_no_special_case() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).eval()
    one = statistics(model, Split(torch.randn(1, 5), [1])).of("0")
    assert one.n == 1 and not one.dead.any() and one.selectivity is None and one.class_means is not None
    assert np.isnan(one.class_means[0]).all() and (one.class_means[1] == one.mean).all() and (one.variance == 0).all()
    assert statistics(model, Split(torch.randn(9, 5), [0] * 9)).of("0").preferred is None


def test_where_memory_runs_out_a_batch_is_counted_once() -> None:
    class Small(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 5:
                raise RuntimeError("DefaultCPUAllocator: not enough memory")
            return x

    torch.manual_seed(0)
    model, split = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), Small()).eval(), Split(torch.randn(23, 1, 8, 8))
    unit = statistics(model, split, "1").of("1")
    assert unit.n == 23 and unit.histogram.sum() == 23 * 3


class Odd(nn.Module):
    """What has no channels, what gives NaN for some images, a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.log, self.lstm, self.out = nn.Conv2d(1, 2, 3), nn.Identity(), nn.LSTM(6, 4), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 2)."""
        x = self.conv(x)
        self.log(torch.log(x[:, :, 0, 0] + 3))
        self.lstm(x.flatten(0, 1))
        return self.out(x.mean((2, 3)))


def test_places_that_cannot_be_summed_up_are_named_and_the_others_are_there() -> None:
    torch.manual_seed(0)
    model, x = Odd().eval(), torch.randn(40, 1, 8, 8)
    x[20] = 90
    found = statistics(model, Split(x))
    reasons = {site.name: reason for site, reason in found.skipped}
    assert {"(log)", "log"} <= reasons.keys() and "NaN or infinity for 1 of" in reasons["log"]
    assert "lstm" in reasons and "cannot be shown as maps" in reasons["lstm"]
    assert {unit.site.name for unit in found.units} >= {"conv", "out", "(mean)"} and found.of("conv").n == 40
    with pytest.raises(InputError, match="log has no statistics: log gives NaN"):
        found.of("log")
    with pytest.raises(InputError, match=r"no statistics of 'conv1'; did you mean 'conv'"):
        found.of("conv1")
    with pytest.raises(UnsupportedError, match="lstm gives"):
        statistics(model, Split(x), ["conv", "lstm"])


def test_what_does_not_fit_is_told() -> None:
    model, split = network("LeNet5"), Split(images("LeNet5", 4))
    with pytest.raises(InputError, match="there is no layer 'conv9'; did you mean"):
        statistics(model, split, ["conv1", "conv9"])
    with pytest.raises(InputError, match=r"layer 'conv1' has 1 call\(s\)"):
        statistics(model, split, Site("conv1", 2))
    with pytest.raises(InputError, match="bins: got 7, expected an even number"):
        statistics(model, split, "conv1", bins=7)
    with pytest.raises(ModelError, match=r"the network failed on images of shape \(2, 3, 28, 28\)"):
        statistics(model, Split(torch.randn(4, 3, 28, 28)), "conv1")


def everything(model: nn.Module) -> tuple[Any, ...]:
    grads = [(id(p.grad), p.requires_grad) for p in model.parameters()]
    hooks = [[len(getattr(module, name)) for name in vars(module) if name.endswith("_hooks")] for module in model.modules()]
    flags = [module.training for module in model.modules()]
    return fingerprint(model), flags, grads, hooks, torch.get_rng_state().tolist()


class Fuse(nn.Module):
    """Raises from the n-th call on. With a child it is a container, whose functions are seen."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls, self.child = calls, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        self.calls -= 1
        if self.calls < 0:
            raise RuntimeError("blown")
        return F.relu(x)


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 10**6])
def test_rows_29_30_and_32_whatever_happens_the_network_is_as_before(calls: int) -> None:
    """An exception in the middle, a pass that is left early, one that ends: flags, buffers, gradients, hooks, random states."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), Fuse(calls), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 36, 3))
    model[0].bias.requires_grad_(False)
    model[5].weight.grad = torch.ones_like(model[5].weight)
    model[3].eval()
    ran: list[int] = []
    model[0].register_forward_hook(lambda *_: ran.append(1))
    before, split = everything(model), labelled(torch.randn(90, 1, 8, 8))
    before = (*before[:-1], torch.get_rng_state().tolist())

    def sites() -> Iterator[Site]:
        return iter([Site("0"), Site("1"), Site("2.(relu)"), Site("5")])

    try:
        statistics(model, split, list(sites()))
        assert calls == 10**6
    except (RuntimeError, ModelError) as error:
        assert "blown" in str(error)
    assert everything(model) == before and ran
    model[2].calls = 10**6
    for stop in (1, 2, 3, 4):
        steps = statistics_steps(model, split, sites())
        for _ in range(stop):
            next(steps)
            assert everything(model) == before, "also at each yield"
        steps.close()
        assert everything(model) == before
