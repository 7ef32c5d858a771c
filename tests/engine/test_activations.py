"""Rounded inputs: ranges against loops, the rounding against torch's own, and that nothing else changes."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.compression.parametrizations import is_compressed
from nnwidgets.engine.errors import DataError, InputError, ModelError, RecipeError
from nnwidgets.engine.evaluation import Prepared
from nnwidgets.engine.quantization import InputGrid, SeenInputs, quantize, rounded_inputs
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe


def images(n: int = 40, seed: int = 0, shape: tuple[int, ...] = (1, 8, 8)) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    return E.Split(torch.randn(n, *shape, generator=draw), torch.randint(0, 3, (n,), generator=draw))


def small_conv() -> nn.Sequential:
    """Convolution, batch-norm that has seen something, pooling, linear; in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            nn.Linear(6, 3),
        )
        model(torch.randn(50, 1, 8, 8) * 2 + 1)
    return model.eval()


def activations(bits: int = 8, **settings: Any) -> Recipe:
    return Recipe(None, Quantization(activation_bits=bits, **settings))


def inputs_by_hand(model: Any, x: Tensor) -> list[Tensor]:
    """What goes into the two layers with weights of ``small_conv``, without hooks."""
    with torch.no_grad():
        return [x, F.relu(model[1](model[0](x))).mean((2, 3))]


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_ranges_and_answers_by_hand(bits: int, symmetric: bool) -> None:
    """Ends from the smallest and largest input of each layer; then the whole forward pass with torch's own function."""
    model, data = small_conv(), images()
    found = E.calibrate(model, data)
    assert found.images == 40 and found.unseen == () and list(found.inputs) == ["0", "4"]
    first, last = inputs_by_hand(model, data.images)
    for seen, values in zip(found.inputs.values(), (first, last), strict=True):
        assert seen.low == pytest.approx(float(values.min()), abs=1e-6) and seen.high == pytest.approx(float(values.max()))
        assert seen.n == values.numel() and seen.zeros == pytest.approx(float((values == 0).double().mean()))
    network = E.compress(model, activations(bits, activation_symmetric=symmetric), data)

    def rounded(values: Tensor, seen: SeenInputs) -> Tensor:
        low, high = min(seen.low, 0.0), max(seen.high, 0.0)
        most = 2 ** (bits - 1) - 1
        if symmetric:
            return torch.fake_quantize_per_tensor_affine(values, float(torch.tensor(max(-low, high)) / most), 0, -most, most)
        scale = (torch.tensor(high) - torch.tensor(low)) / (2**bits - 1)
        zero = int((-torch.tensor(low) / scale).round().clamp(0, 2**bits - 1))
        return torch.fake_quantize_per_tensor_affine(values, float(scale), zero, 0, 2**bits - 1)

    x = images(7, 1).images
    maps = F.relu(model[1](model[0](rounded(x, found.inputs["0"])))).mean((2, 3))
    expected = model[4](rounded(maps, found.inputs["4"]))
    with torch.no_grad():
        assert torch.equal(network(x), expected)
    assert (network(x) - model(x)).abs().max() > 0


def test_the_grid_is_that_of_weights() -> None:
    """The same scale, zero point and values as a tensor that is quantized as a weight."""
    values = torch.randn(500, generator=torch.Generator().manual_seed(3)) * 2 + 1
    seen = SeenInputs("x", float(values.min()), float(values.max()), 500, 0.0, values)
    for bits in (2, 4, 8):
        for symmetric in (False, True):
            for observer in ("minmax", "percentile", "mse", "kl"):
                settings = Quantization(
                    activation_bits=bits, activation_symmetric=symmetric, activation_observer=observer, percentile=97.0
                )
                grid = seen.grid(settings)
                on_grid = quantize(values, bits, "tensor", symmetric, observer=observer, percentile=97.0)
                assert grid.scale == float(on_grid.scale) and grid.zero_point == int(on_grid.zero_point)
                assert torch.equal(grid.rounded(values), on_grid.dequantized), (bits, symmetric, observer)


def test_one_sided_inputs_use_all_levels() -> None:
    """After a ReLU nothing is negative: no level is spent on it, by any observer, and outliers are clipped by all but one."""
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(3)).relu()
    values[0] = 40.0
    seen = SeenInputs("x", 0.0, 40.0, len(values), 0.5, values)
    for observer in ("minmax", "percentile", "mse", "kl"):
        low, high = seen.ends(4, observer=observer, percentile=99.0)
        assert low == 0.0
        assert high == 40.0 if observer == "minmax" else 1.0 < high < 30.0, (observer, high)
    assert InputGrid.between(0.0, 4.0, 4).ends == (0.0, pytest.approx(4.0))


def test_gradients_pass_straight_through() -> None:
    """1 inside the range, 0 outside."""
    x = torch.tensor([-3.0, -1.0, 0.3, 0.9, 5.0], requires_grad=True)
    InputGrid.between(-1.0, 1.0, 4).rounded(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_a_constant_input_stays_exact() -> None:
    """All zeros, and all the same."""
    for value in (0.0, 0.7, -1.3):
        grid = InputGrid.between(min(value, 0.0), max(value, 0.0), 3)
        assert torch.equal(grid.rounded(torch.full((5,), value)), torch.full((5,), value))


def test_load_is_compress_and_goes_away_again() -> None:
    """A quick copy rounds as the compressed one does, and without a recipe no longer; the network never does."""
    model, data = small_conv(), images(300)
    plan = CompressionPlan(model, (1, 8, 8), split=data)
    state = copy.deepcopy(model.state_dict())
    quick = Prepared(model, (1, 8, 8), data.inputs(slice(0, 8)))
    recipe = Recipe(Pruning(0.5), Quantization(weight_bits=4, activation_bits=3))
    x = images(9, 2).images
    with torch.no_grad():
        before = quick.network(quick.inputs(x)).clone()
        for _ in plan.making(recipe):
            pass
        quick.write(lambda network: plan.load(recipe, network))
        expected = E.compress(model, recipe, data)(x)
        torch.testing.assert_close(quick.network(quick.inputs(x)), expected)
        torch.testing.assert_close(plan.compressed(recipe)(x), expected, rtol=0, atol=0)
        torch.testing.assert_close(E.materialize(model, recipe, (1, 8, 8), data)(x), expected)
        quick.write(lambda network: plan.load(Recipe(), network))
        assert torch.equal(quick.network(quick.inputs(x)), before) and not rounded_inputs(quick.network)
    assert not rounded_inputs(model) and all(torch.equal(model.state_dict()[name], value) for name, value in state.items())


def test_ranges_are_of_the_network_as_it_will_be_and_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its weights pruned and rounded; settings of the grid of inputs ask for no other pass."""
    model, data = small_conv(), images(100)
    plan = CompressionPlan(model, (1, 8, 8), split=data)
    pruned = Recipe(Pruning(0.8), Quantization(weight_bits=2, activation_bits=8))
    seen = plan.calibration(pruned)
    alone = E.compress(model, Recipe(Pruning(0.8), Quantization(weight_bits=2)))
    expected = inputs_by_hand(alone, data.images)[1]
    assert seen is not None and seen.inputs["4"].high == pytest.approx(float(expected.max()))
    assert seen.inputs["4"].high != E.calibrate(model, data).inputs["4"].high
    for bits, observer in ((4, "mse"), (2, "minmax"), (8, "kl")):
        other = Recipe(Pruning(0.8), Quantization(weight_bits=2, activation_bits=bits, activation_observer=observer))
        assert plan.calibration(other) is seen
    assert plan.calibration(Recipe(Pruning(0.8), Quantization(weight_bits=3, activation_bits=8))) is not seen
    assert plan.calibration(Recipe(Pruning(0.8))) is None


def test_as_many_images_as_asked_for() -> None:
    """The same ones each time, drawn from all."""
    model, data = small_conv(), images(300)
    few = E.calibrate(model, data, activations(calibration_images=10))
    again = E.calibrate(model, data, activations(calibration_images=10))
    assert few.images == 10 and E.calibrate(model, data).images == 256
    assert few.inputs["4"].high == again.inputs["4"].high and torch.equal(few.inputs["0"].sample, again.inputs["0"].sample)
    assert few.inputs["0"].n == 640


def test_structures_keep_their_rounding() -> None:
    """A really smaller network rounds the inputs that it still has, by the ranges of the masked one."""
    model, data = small_conv(), images(60)
    recipe = Recipe(Pruning(0.5, "filter"), Quantization(activation_bits=4))
    small = E.materialize(model, recipe, (1, 8, 8), data)
    assert small[0].weight.shape[0] < model[0].weight.shape[0]
    x = images(9, 2).images
    with torch.no_grad():
        torch.testing.assert_close(small(x), E.compress(model, recipe, data)(x), rtol=1e-4, atol=1e-4)
    assert rounded_inputs(small) == rounded_inputs(E.compress(model, recipe, data))


def test_copies_files_and_training_keep_it() -> None:
    """Deep copies, torch.save, bake and fit; all of them say what they are."""
    model, data = small_conv(), images(60)
    network = E.compress(model, Recipe(Pruning(0.5), Quantization(weight_bits=4, activation_bits=4)), data)
    grids = rounded_inputs(network)
    assert list(grids) == ["0", "4"] and is_compressed(network)
    file = io.BytesIO()
    baked = E.bake(network)
    torch.save(baked, file)
    file.seek(0)
    for twin in (copy.deepcopy(network), baked, torch.load(file, weights_only=False)):
        assert rounded_inputs(twin) == grids
        with torch.no_grad():
            assert torch.equal(twin(data.images), network(data.images))
    for _ in E.fit(network, data, setup=E.TrainingSetup(epochs=1, batch_size=20)):
        pass
    assert rounded_inputs(network) == grids


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        found, _ = self.attention(x, x, value=x, need_weights=False)
        return self.head(found.mean(1))


def test_what_cannot_be_rounded_is_named() -> None:
    """The second projection of torch's attention is no call of a module; the first one's inputs are, keywords too."""
    model, data = Attention().eval(), E.Split(torch.randn(20, 5, 8), torch.zeros(20, dtype=torch.int64))
    found = E.calibrate(model, data)
    assert found.unseen == ("attention.out_proj",) and list(found.inputs) == ["attention", "head"]
    network, x = E.compress(model, activations(2), data), data.images
    grid = rounded_inputs(network)["attention"]
    own = grid.rounded(x)
    maps, _ = model.attention(own, own, own, need_weights=False)
    with torch.no_grad():
        expected = model.head(rounded_inputs(network)["head"].rounded(maps.mean(1)))
        torch.testing.assert_close(network(x), expected)


def overflowing(model: nn.Module) -> nn.Module:
    """A copy whose first layer gives more than float32 holds."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[0].weight.fill_(3e38)
    return twin


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m, d: E.compress(m, activations(8)), DataError, "calibration=Split"),
        (lambda m, d: CompressionPlan(m, (1, 8, 8)).compressed(activations(8)), DataError, "activation_bits=8 needs images"),
        (lambda m, d: E.compress(m, activations(8), images(5, shape=(3, 8, 8))), ModelError, "failed on"),
        (lambda m, d: E.compress(overflowing(m), activations(8), d), DataError, "inputs of '4' are not all finite"),
        (lambda m, d: E.compress(m, activations(8), E.Split(d.images[:0], d.labels[:0])), DataError, "no "),
        (lambda m, d: activations(1), RecipeError, "activation_bits"),
        (lambda m, d: activations(9), RecipeError, "activation_bits"),
        (lambda m, d: activations(8, calibration_images=0), RecipeError, "calibration_images is 0"),
        (lambda m, d: activations(8, calibration_images=2.5), RecipeError, "calibration_images"),
        (lambda m, d: InputGrid.between(1.0, 2.0, 8), InputError, "zero between them"),
        (lambda m, d: InputGrid.between(-1.0, float("inf"), 8), InputError, "finite"),
        (lambda m, d: InputGrid.between(-1.0, 1.0, 1), InputError, "2 to 8"),
        (lambda m, d: E.calibrate(m, None), DataError, "Split"),
    ],
)
def test_bad_input_is_refused(call: Callable[[Any, Any], object], error: type[Exception], words: str) -> None:
    """In words, and nothing has changed."""
    model, data = small_conv(), images()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=words):
        call(model, data)
    assert not rounded_inputs(model) and all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_grids_are_found_once_and_a_layer_a_step() -> None:
    """Least squares takes tens of milliseconds a layer: the next move of a slider does not find them again."""
    seen = E.calibrate(small_conv(), images())
    settings = Quantization(activation_bits=4, activation_observer="mse")
    assert sum(1 for _ in seen.gridding(settings)) == 2 and sum(1 for _ in seen.gridding(settings)) == 0
    first = seen.grids(settings)
    assert all(seen.grids(settings)[name] is grid for name, grid in first.items())
    assert seen.grids(Quantization(activation_bits=3, activation_observer="mse")) != first


class Full(nn.Module):
    """Passes on what it is given; has no memory for more images than ``room``, and none at all after ``calls``."""

    room, calls = 10**9, 10**9

    def forward(self, x: Tensor) -> Tensor:
        Full.calls -= 1
        if len(x) > Full.room or Full.calls < 0:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")
        return x


def test_row_43_fewer_images_at_a_time_where_memory_runs_out_and_none_is_seen_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a layer behind one that has looked already: as if the failed try had not been."""
    model, data, rounding = small_conv(), images(), Recipe(None, Quantization(weight_bits=2))
    model.insert(3, Full())
    whole, moved = E.calibrate(model, data), E.correct_bias(model, rounding, data)
    monkeypatch.setattr(Full, "room", 5)
    found, again = E.calibrate(model, data), E.correct_bias(model, rounding, data)
    assert list(found.inputs) == list(whole.inputs) == ["0", "5"] and found.images == 40
    for name, seen in found.inputs.items():
        wanted = whole.inputs[name]
        assert (seen.n, seen.zeros) == (wanted.n, wanted.zeros) and len(seen.sample) == len(wanted.sample) == seen.n
        torch.testing.assert_close(torch.tensor([seen.low, seen.high]), torch.tensor([wanted.low, wanted.high]))
        torch.testing.assert_close(seen.sample.sort().values, wanted.sample.sort().values)
    for key, value in again.state_dict().items():
        torch.testing.assert_close(value, moved.state_dict()[key])


@pytest.mark.parametrize("name", ["calibrate", "correct_bias"])
def test_row_43_where_not_even_one_image_fits_it_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the network is as it was."""
    model, data = small_conv(), images(1)
    model.insert(3, Full())
    before = copy.deepcopy(model.state_dict())
    calls: dict[str, Callable[[nn.Module, E.Split], object]] = {
        "calibrate": E.calibrate,
        "correct_bias": lambda model, data: E.correct_bias(model, Recipe(None, Quantization(2)), data),
    }
    call = calls[name]
    monkeypatch.setattr(Full, "calls", 10**9)
    call(model, data)
    monkeypatch.setattr(Full, "calls", 10**9 - Full.calls - 1)  # all but the last call, that with the image
    with pytest.raises(E.OutOfMemoryError, match="single image"):
        call(model, data)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert not any(module._forward_pre_hooks for module in model.modules())
