"""Scores of channels, neurons and heads: slopes of the loss in a gate, and sums and means written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.compression import CompressionPlan, compress
from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.pruning import unit_scores
from nnwidgets.engine.pruning.channels import Bundle, channel_groups
from nnwidgets.engine.pruning.criteria import CRITERIA, Importance, importance
from nnwidgets.engine.trace import weight_layers, weight_of
from nnwidgets.engine.values.recipe import Criterion, Pruning, Recipe
from nnwidgets.engine.values.split import Split

SHAPE = (1, 8, 8)
LOOKING = [name for name, facts in CRITERIA.items() if facts.needs != "weights"]


class Adds(nn.Module):
    """Two convolutions whose channels are added, a third that reads the sum, and neurons behind a flattening."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.norm = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4)
        self.second, self.other = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.third, self.hidden, self.out = nn.Conv2d(4, 3, 2, stride=2), nn.Linear(12, 6), nn.Linear(6, 3)
        for norm in (self.norm, self.other):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
            norm.running_var.uniform_(0.5, 1.5)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.norm(self.first(x.double())))
        x = x + F.softplus(self.other(self.second(x)))
        x = F.softplus(self.third(x)).flatten(1)
        return self.out(torch.tanh(self.hidden(x)))


def sample() -> Split:
    draw = torch.Generator().manual_seed(2)
    return Split(torch.randn(9, *SHAPE, generator=draw), torch.randint(0, 3, (9,), generator=draw))


def bundles(net: nn.Module) -> tuple[Bundle, ...]:
    return channel_groups(net, SHAPE).bundles


def scores(net: nn.Module, criterion: str, norm: int = 1, found: Importance | None = None) -> dict[str, Tensor]:
    names = {(layer.module_name, layer.parameter): layer.name for layer in weight_layers(net)}
    if found is None and criterion in LOOKING:
        found = importance(net, criterion, sample())
    with torch.no_grad():
        return unit_scores(net, bundles(net), names, criterion, norm, 0, found)


def test_the_network_has_the_units_that_the_tests_speak_of() -> None:
    """Channels that are added are one bundle; a channel of the third is read by four columns."""
    net = Adds()
    told = {bundle.name: (bundle.structure, bundle.n, bundle.producers, bundle.consumers) for bundle in bundles(net)}
    assert told == {
        "first": ("filter", 4, ("first", "second"), ("second", "third")),
        "third": ("filter", 3, ("third",), ("hidden",)),
        "hidden": ("neuron", 6, ("hidden",), ("out",)),
    }


@pytest.mark.parametrize("criterion", ["taylor", "obd"])
def test_slopes_of_single_images_in_the_gate_of_a_unit(criterion: str) -> None:
    """The gate multiplies all that reads the unit; central differences of the loss of each image: amounts, half the squares."""
    net, split = Adds(), sample()
    found = scores(net, criterion)

    def losses() -> Tensor:
        with torch.no_grad():
            return F.cross_entropy(net(split.images), split.labels, reduction="none")

    step = 1e-5
    for bundle in bundles(net):
        for unit in range(bundle.n):
            values = []
            for gate in (1 + step, 1 - step):
                before = {name: value.clone() for name, value in net.state_dict().items()}
                with torch.no_grad():
                    for member in bundle.members:
                        if member.role == "in":
                            weight = net.get_submodule(member.module_name).weight
                            own = torch.from_numpy((member.index == unit).nonzero()[0])
                            weight.index_copy_(member.axis, own, gate * weight.index_select(member.axis, own))
                values.append(losses())
                net.load_state_dict(before)
            slopes = (values[0] - values[1]) / (2 * step)
            wanted = slopes.abs().mean() if criterion == "taylor" else slopes.square().mean() / 2
            assert float(found[bundle.name][unit]) == pytest.approx(float(wanted), rel=1e-4, abs=1e-9), (bundle.name, unit)


@pytest.mark.parametrize("criterion", [name for name in LOOKING if name not in ("taylor", "obd", "activation", "apoz")])
def test_other_scores_are_summed_over_what_reads_the_unit(criterion: str) -> None:
    """Number by number; the mean of them where the criterion says mean."""
    net = Adds()
    told = importance(net, criterion, sample())
    found = scores(net, criterion, found=told)
    for bundle in bundles(net):
        for unit in range(bundle.n):
            numbers: list[float] = []
            for member in bundle.members:
                if member.role == "in":
                    columns = told.entries[member.layer].movedim(member.axis, 0)
                    numbers += [float(v) for i, row in enumerate(columns) if member.index[i] == unit for v in row.reshape(-1)]
            wanted = sum(numbers) / (len(numbers) if CRITERIA[criterion].total == "mean" else 1)
            assert float(found[bundle.name][unit]) == pytest.approx(wanted, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("norm", [1, 2])
def test_magnitude_is_that_of_what_makes_the_unit(norm: int) -> None:
    """Mean |w| or root mean square over the filters of all layers that are added."""
    net = Adds()
    found = scores(net, "magnitude", norm)
    for unit in range(4):
        rows = torch.cat([net.first.weight[unit].reshape(-1), net.second.weight[unit].reshape(-1)]).detach()
        wanted = rows.abs().pow(norm).mean().pow(1 / norm)
        assert float(found["first"][unit]) == pytest.approx(float(wanted))


def test_batch_norm_scale_is_the_mean_of_all_that_normalise_the_unit() -> None:
    """Bundles without a batch-norm are left out."""
    net = Adds()
    found = scores(net, "bn_scale")
    assert set(found) == {"first"}
    assert torch.allclose(found["first"], (net.norm.weight.abs() + net.other.weight.abs()).detach() / 2)


@pytest.mark.parametrize("criterion", ["activation", "apoz"])
def test_activations_are_those_that_are_read(criterion: str) -> None:
    """Of a channel behind a ReLU: over all images and places."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, 3, 3), nn.Flatten(), nn.Linear(48, 3)).eval()
    maps = net[:2](sample().images).detach()
    wanted = (maps.abs() if criterion == "activation" else (maps != 0).float()).mean((0, 2, 3)).double()
    assert torch.allclose(scores(net, criterion)["0"], wanted, rtol=1e-5)


def test_what_is_silent_already_goes_first() -> None:
    """Even where its score is not the smallest."""
    net = Adds()
    with torch.no_grad():
        for layer in weight_layers(net):
            if layer.name in ("first", "second"):
                weight_of(net, layer)[2] = 0
    for criterion in LOOKING:
        kept = CompressionPlan(net, SHAPE, split=sample()).compressed(Recipe(Pruning(0.25, "filter", criterion, {"first": 0.25})))
        assert not kept.first.weight[2].any() and int((kept.first.weight.flatten(1).abs().sum(1) == 0).sum()) == 1, criterion


def test_every_criterion_of_a_recipe_is_there() -> None:
    """And none besides."""
    assert set(CRITERIA) == {criterion.value for criterion in Criterion}


def test_structures_that_a_network_lacks_are_refused_with_the_reason() -> None:
    """What it has instead is named."""
    with pytest.raises(RecipeError, match=r"no attention heads to prune.*network's answer.*Use structure='filter' or 'neuron'"):
        compress(Adds(), Recipe(Pruning(0.5, "head")), input_shape=SHAPE)
