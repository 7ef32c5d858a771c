"""Every criterion against a slow twin: finite differences of the loss, or sums written out, on a small network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import DataError, InputError, ModelError
from nnwidgets.engine.pruning.criteria import CRITERIA, Importance, importance
from nnwidgets.engine.trace import fingerprint, weight_layers, weight_of
from nnwidgets.engine.values.split import Split

LOOKING = [name for name in CRITERIA if name not in ("magnitude", "random", "bn_scale")]


class Double(nn.Module):
    """A Split holds float32; the network computes in float64."""

    def forward(self, x: Tensor) -> Tensor:
        return x.double()


def small_net(seed: int = 0) -> nn.Sequential:
    """Convolutions (one grouped), batch-norm with statistics of its own, a dense end; smooth, so that differences converge."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        Double(),
        nn.Conv2d(1, 4, 3, stride=2),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Conv2d(4, 4, 2, groups=2),
        nn.Softplus(),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).double()
    for buffer in net.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return net.eval()


def single() -> nn.Sequential:
    """The same in float32."""
    net = small_net().float()
    net[0] = nn.Identity()
    return net


def sample(n: int = 10, seed: int = 1) -> Split:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, 6, 6, generator=draw)
    return Split(images, torch.randint(0, 3, (n,), generator=draw))


def loss_of(net: nn.Module, split: Split) -> float:
    with torch.no_grad():
        return float(F.cross_entropy(net(split.images), split.labels))


def each_weight(net: nn.Module) -> Iterator[tuple[str, tuple[int, ...], Tensor]]:
    """Name, place and tensor of every single weight."""
    for layer in weight_layers(net):
        weight = weight_of(net, layer)
        for place in torch.cartesian_prod(*(torch.arange(size) for size in weight.shape)).reshape(-1, weight.dim()).tolist():
            yield layer.name, tuple(place), weight


def moved(net: nn.Module, split: Split, moves: list[tuple[Tensor, tuple[int, ...] | None, Tensor | float]]) -> float:
    """The loss with some weights moved; they are put back."""
    before = [(weight, weight.detach().clone()) for weight, _, _ in moves]
    with torch.no_grad():
        for weight, place, by in moves:
            if place is None:
                weight.add_(by)
            else:
                weight[place] += by
        value = loss_of(net, split)
        for weight, old in reversed(before):
            weight.copy_(old)
    return value


def slopes(net: nn.Module, split: Split, step: float = 1e-5) -> dict[str, Tensor]:
    """The gradient by central differences."""
    found = {layer.name: torch.zeros(layer.shape, dtype=torch.float64) for layer in weight_layers(net)}
    for name, place, weight in each_weight(net):
        up, down = (moved(net, split, [(weight, place, by)]) for by in (step, -step))
        found[name][place] = (up - down) / (2 * step)
    return found


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {layer.name: weight_of(net, layer).detach() for layer in weight_layers(net)}


def close(found: Importance, wanted: dict[str, Tensor], tolerance: float) -> None:
    assert found.entries.keys() == wanted.keys()
    largest = max(float(value.abs().max()) for value in wanted.values())
    for name, value in wanted.items():
        assert found.entries[name].shape == value.shape
        assert float((found.entries[name].double() - value).abs().max()) <= tolerance * largest, name


def test_taylor_is_the_slope_of_the_loss_times_the_weight() -> None:
    """g w, by differences of the loss; the amount is taken when weights are ranked."""
    net, split = small_net(), sample()
    wanted = {name: slope * weights(net)[name] for name, slope in slopes(net, split).items()}
    close(importance(net, "taylor", split), wanted, 1e-6)


def test_snip_is_its_share_of_all_slopes() -> None:
    """|g w| over the sum of all."""
    net, split = small_net(), sample()
    sizes = {name: (slope * weights(net)[name]).abs() for name, slope in slopes(net, split).items()}
    total = sum(float(size.sum()) for size in sizes.values())
    close(importance(net, "snip", split), {name: size / total for name, size in sizes.items()}, 1e-6)


def test_obd_squares_the_slopes_of_single_images() -> None:
    """w² / 2 times the mean of g² over images, each by differences."""
    net, split = small_net(), sample(6)
    alone = [slopes(net, split.take(torch.tensor([i]))) for i in range(len(split))]
    wanted = {
        name: 0.5 * weight.square() * torch.stack([each[name].square() for each in alone]).mean(0)
        for name, weight in weights(net).items()
    }
    close(importance(net, "obd", split), wanted, 1e-6)


@pytest.mark.slow
def test_hutchinson_finds_the_second_derivatives() -> None:
    """The mean over many seeds is H w² / 2 by second differences, within what chance allows."""
    net, split = small_net(), sample(8)
    names = [layer.name for layer in weight_layers(net)]
    step, middle = 1e-4, loss_of(net, split)
    wanted = {layer.name: torch.zeros(layer.shape, dtype=torch.float64) for layer in weight_layers(net)}
    for name, place, weight in each_weight(net):
        up, down = (moved(net, split, [(weight, place, by)]) for by in (step, -step))
        wanted[name][place] = 0.5 * (up - 2 * middle + down) / step**2 * weight[place].item() ** 2
    draws = [importance(net, "obd_hutchinson", split, seed=seed).entries for seed in range(200)]
    for name in names:
        values = torch.stack([draw[name].double() for draw in draws])
        error = (values.mean(0) - wanted[name]).abs()
        assert bool((error <= 5 * values.std(0) / 200**0.5 + 1e-7).all()), name


def test_grasp_is_the_weight_times_curvature_along_the_gradient() -> None:
    """w (Hg), by mixed second differences of the loss."""
    net, split = small_net(), sample()
    slope, layers = slopes(net, split), {layer.name: layer for layer in weight_layers(net)}
    step = 1e-3
    wanted = {name: torch.zeros_like(value) for name, value in slope.items()}
    along = [(weight_of(net, layers[name]), None, value) for name, value in slope.items()]
    for name, place, weight in each_weight(net):
        signs = {
            (a, b): moved(net, split, [*((w, p, b * step * v) for w, p, v in along), (weight, place, a * step)])  # type: ignore[operator]
            for a in (1, -1)
            for b in (1, -1)
        }
        product = (signs[1, 1] - signs[1, -1] - signs[-1, 1] + signs[-1, -1]) / (4 * step**2)
        wanted[name][place] = product * weight[place].item()
    close(importance(net, "grasp", split), wanted, 1e-4)


def inputs(net: nn.Sequential, split: Split) -> dict[str, Tensor]:
    """What each weight layer is given, as (numbers, I): I the inputs of a group."""
    found, x = {}, split.images
    with torch.no_grad():
        for i, layer in enumerate(net):
            if isinstance(layer, nn.Conv2d):
                per_group = x.reshape(len(x), layer.groups, -1, *x.shape[2:])
                found[str(i)] = torch.cat(
                    [per_group[:, g].movedim(1, -1).reshape(-1, per_group.shape[2]) for g in range(layer.groups)]
                )
            elif isinstance(layer, nn.Linear):
                found[str(i)] = x
            x = layer(x)
    return found


def test_wanda_multiplies_with_the_size_of_the_inputs() -> None:
    """|w| sqrt(mean x²)."""
    net, split = small_net(), sample()
    wanted = {}
    for name, weight in weights(net).items():
        norm = inputs(net, split)[name].square().mean(0).sqrt()
        wanted[name] = weight.abs() * norm.reshape(1, -1, *[1] * (weight.dim() - 2))
    close(importance(net, "wanda", split), wanted, 1e-6)


@pytest.mark.parametrize(
    ("criterion", "of"),
    [("activation", lambda x: x.abs().double().mean(0)), ("apoz", lambda x: (x != 0).double().mean(0))],
    ids=["activation", "apoz"],
)
def test_activations_are_judged_where_they_are_read(criterion: str, of: Callable[[Tensor], Tensor]) -> None:
    """(I,) for each layer."""
    net, split = small_net(), sample()
    net[3] = nn.ReLU()
    close(importance(net, criterion, split), {name: of(x) for name, x in inputs(net, split).items()}, 1e-6)


def test_movement_follows_training() -> None:
    """-w g of the one step that ten images make, with batch-norm in train mode."""
    net, split = single(), sample()
    twin = copy.deepcopy(net).train()
    F.cross_entropy(twin(split.images), split.labels).backward()
    wanted = {layer.name: -(weight_of(twin, layer) * weight_of(twin, layer).grad).detach() for layer in weight_layers(twin)}  # type: ignore[operator]
    close(importance(net, "movement", split), wanted, 1e-5)


def test_transposed_and_attention_weights_are_followed() -> None:
    """Inputs along their own axis; the packed projection and the one behind the attention too."""

    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose1d(4, 6, 2, stride=2, groups=2)
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
            self.out = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.up(x).transpose(1, 2)
            return self.out(self.attention(x, x, x)[0].mean(1))

    torch.manual_seed(0)
    net, x = Attends().eval(), torch.randn(5, 4, 3)
    found = importance(net, "wanda", Split(x, torch.arange(5) % 3))
    assert not found.missing and set(found.entries) == {"up", "attention.in_proj_weight", "attention.out_proj", "out"}
    norm = torch.cat([x[:, :2], x[:, 2:]]).square().mean((0, 2)).sqrt().repeat(2)
    assert torch.allclose(found.entries["up"], net.up.weight.abs() * norm.reshape(4, 1, 1), rtol=1e-5)
    seen = net.up(x).transpose(1, 2).reshape(-1, 6).square().mean(0).sqrt()
    assert torch.allclose(found.entries["attention.in_proj_weight"], net.attention.in_proj_weight.abs() * seen, rtol=1e-5)


@pytest.mark.parametrize("criterion", LOOKING)
def test_looking_leaves_everything_as_it_was(criterion: str) -> None:
    """The network in train mode with frozen parts, gradients of its own and hooks; the random states; the same seed, the same."""
    net, split = single(), sample()
    net.train()
    net[1].weight.requires_grad_(False)
    net[7].weight.grad = torch.ones_like(net[7].weight)
    before, rng = fingerprint(net), torch.get_rng_state()
    first, second = (importance(net, criterion, split, seed=3) for _ in range(2))
    assert fingerprint(net) == before and torch.equal(torch.get_rng_state(), rng)
    assert net.training and not net[1].weight.requires_grad and torch.equal(net[7].weight.grad, torch.ones_like(net[7].weight))
    assert all(torch.equal(first.entries[name], second.entries[name]) for name in first.entries)
    assert not first.missing and all(not entry.requires_grad for entry in first.entries.values())
    assert float(first.entries["1"].abs().sum()) > 0  # a frozen layer has a score too


def test_what_a_criterion_lacks_is_said_in_words() -> None:
    """Labels, images, a pass at all; images that do not fit; weights without a sensible loss."""
    net, split = small_net(), sample()
    bare = Split(split.images, None)
    with pytest.raises(DataError, match=r"criterion='taylor' looks at the loss; the 10 images have no labels\. Give"):
        importance(net, "taylor", bare)
    with pytest.raises(DataError, match=r"criterion='obd' looks at the loss and needs images with labels; got none"):
        importance(net, "obd")
    with pytest.raises(DataError, match=r"criterion='wanda' looks at activations and needs images; got none"):
        importance(net, "wanda")
    assert importance(net, "wanda", bare).n_images == 10
    with pytest.raises(InputError, match=r"got 'magnitude', which needs no pass; expected one of taylor, obd,"):
        importance(net, "magnitude", split)
    with pytest.raises(ModelError, match=r"gave NaN or infinite scores in '1'.*Look for"):
        importance(net, "taylor", split, loss=lambda answers, labels: answers.sum() * float("nan"))


def test_large_samples_are_drawn_from_with_the_seed() -> None:
    """512 of them, 256 where each image has a pass of its own; others with another seed."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    split = Split(torch.randn(600, 1, 2, 2), torch.arange(600) % 2)
    one, other = importance(net, "taylor", split, seed=0), importance(net, "taylor", split, seed=1)
    assert one.n_images == importance(net, "obd", split).n_images == 256 and importance(net, "wanda", split).n_images == 512
    assert not torch.equal(one.entries["1"], other.entries["1"])


def test_one_s_own_loss_is_asked() -> None:
    """Mean squares of the answers: g = 2/n sum y x."""
    net = nn.Sequential(nn.Linear(3, 2, bias=False))
    x = torch.randn(7, 3)
    found = importance(net, "taylor", Split(x, torch.zeros(7, dtype=torch.long)), loss=lambda y, _: y.square().sum(1).mean())
    slope = 2 * (net(x).T @ x) / 7
    assert torch.allclose(found.entries["0"], (net[0].weight * slope).detach(), rtol=1e-4, atol=1e-6)


def test_every_criterion_tells_formula_and_source() -> None:
    """One click away in the lab."""
    for name, facts in CRITERIA.items():
        assert facts.name == name and facts.what.endswith(".") and (facts.formula or facts.unit_formula)
        assert (facts.source != "") == (name != "random") and facts.needs in ("weights", "images", "labels")
        assert facts.single == bool(facts.formula)
