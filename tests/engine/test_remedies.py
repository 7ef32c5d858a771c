"""Equalized networks answer the same and bear one scale for a tensor; corrected biases take the mean error back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.errors import DataError, ModelError, RecipeError
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe


class Depthwise(nn.Module):
    """Expand, depthwise, project, with ReLU6 and a residual, as in MobileNetV2."""

    def __init__(self, act: type[nn.Module] = nn.ReLU6) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), act())
        self.expand = nn.Sequential(nn.Conv2d(8, 24, 1, bias=False), nn.BatchNorm2d(24), act())
        self.deep = nn.Sequential(nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False), nn.BatchNorm2d(24), act())
        self.project = nn.Sequential(nn.Conv2d(24, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.project(self.deep(self.expand(x)))
        found: Tensor = self.head(x.mean((2, 3)))
        return found


def trained(model: nn.Module, shape: tuple[int, ...] = (3, 8, 8)) -> Any:
    """Batch-norm has seen something; in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
                module.reset_parameters()
        for _ in range(20):
            model(torch.randn(32, *shape) + 0.3)
    return model.eval()


def unequal(model: Any) -> Any:
    """The same function with ranges of channels that differ up to 10,000 times in front of each batch-norm."""
    twin = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for part in twin.modules():
            if isinstance(part, nn.Sequential) and isinstance(part[0], nn.Conv2d):
                factor = 10 ** (4 * torch.rand(len(part[0].weight), generator=draw))
                part[0].weight.mul_(factor.reshape(-1, 1, 1, 1))
                part[1].running_mean.mul_(factor)
                part[1].running_var.copy_((part[1].running_var + part[1].eps) * factor**2 - part[1].eps)
    return twin


def images(n: int = 200, shape: tuple[int, ...] = (3, 8, 8)) -> E.Split:
    return E.Split(torch.randn(n, *shape, generator=torch.Generator().manual_seed(1)) + 0.3)


def same(a: nn.Module, b: nn.Module, x: Tensor) -> float:
    """Share of images with the same prediction."""
    with torch.no_grad():
        return float((a(x).argmax(1) == b(x).argmax(1)).double().mean())


@pytest.mark.parametrize("act", [nn.ReLU6, nn.ReLU])
def test_equalized_depthwise_networks_bear_one_scale_a_tensor(act: type[nn.Module]) -> None:
    """The function stays; predictions with int8 weights, one scale a tensor, come back."""
    model, x = unequal(trained(Depthwise(act))), images().images
    before = copy.deepcopy(model.state_dict())
    equal = E.equalize(model, (3, 8, 8))
    with torch.no_grad():
        torch.testing.assert_close(equal(x), model(x), rtol=1e-4, atol=1e-5)
    recipe = Recipe(None, Quantization(8, granularity="tensor"))
    lost, kept = (same(E.compress(net, recipe), net, x) for net in (model, equal))
    assert kept >= 0.97 and lost < kept - 0.1
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    for part in (equal.deep, equal.expand):
        ranges = part[0].weight.detach().abs().flatten(1).amax(1)
        assert float(ranges.max() / ranges.min()) < 1.01 or act is nn.ReLU
    asked = E.compress(model, Recipe(None, Quantization(8, granularity="tensor", equalize=True)), input_shape=(3, 8, 8))
    with torch.no_grad():
        assert torch.equal(asked(x), E.compress(equal, recipe)(x))


def test_ranges_are_shared_between_two_layers_where_the_function_allows_it() -> None:
    """s = sqrt(r_out / r_in): afterwards both weights have the same range in each channel; not through a Tanh."""
    for act, allowed in ((nn.ReLU, True), (nn.Tanh, False)):
        model = trained(nn.Sequential(nn.Linear(6, 10), act(), nn.Linear(10, 3)), (6,))
        with torch.no_grad():
            model[0].weight.mul_(torch.logspace(0, 2, 10)[:, None])
        equal = E.equalize(model, (6,))
        out, into = equal[0].weight.abs().amax(1), equal[2].weight.abs().amax(0)
        if allowed:
            torch.testing.assert_close(out, into, rtol=1e-4, atol=1e-6)
            product = model[0].weight.abs().amax(1) * model[2].weight.abs().amax(0)
            torch.testing.assert_close(out * into, product, rtol=1e-4, atol=1e-6)
        else:
            assert torch.equal(equal[0].weight, model[0].weight) and torch.equal(equal[2].weight, model[2].weight)


def test_a_corrected_bias_takes_the_mean_error_back() -> None:
    """By hand for one layer: the mean of each output on the very images is that of the float layer, padding included."""
    torch.manual_seed(0)
    for layer in (nn.Conv2d(3, 6, 3, padding=1), nn.Linear(5, 4)):
        shape = (3, 8, 8) if isinstance(layer, nn.Conv2d) else (5,)
        model, split = nn.Sequential(layer).eval(), images(100, shape)
        recipe = Recipe(Pruning(0.3), Quantization(2, calibration_images=100))
        pruned = E.compress(model, Recipe(Pruning(0.3)))
        rounded = E.compress(E.correct_bias(model, recipe, split), recipe)
        plain = E.compress(model, recipe)
        axes = (0, 2, 3) if len(shape) == 3 else (0,)
        with torch.no_grad():
            aim, found, before = (net(split.images).mean(axes) for net in (pruned, rounded, plain))
        torch.testing.assert_close(found, aim, rtol=1e-4, atol=1e-5)
        assert (before - aim).abs().max() > 0.01


def test_the_norm_takes_it_where_there_is_no_bias() -> None:
    """Its running mean moves; a layer with neither stays; inputs of later layers are those of the float network."""
    model, split = trained(Depthwise()), images(64)
    recipe = Recipe(None, Quantization(3))
    fixed = E.correct_bias(model, recipe, split)
    assert torch.equal(fixed.stem[0].weight, model.stem[0].weight)
    assert not torch.equal(fixed.stem[1].running_mean, model.stem[1].running_mean)
    assert torch.equal(fixed.stem[1].bias, model.stem[1].bias) and not torch.equal(fixed.head.bias, model.head.bias)
    bare = nn.Sequential(nn.Flatten(), nn.Linear(192, 3, bias=False)).eval()
    assert torch.equal(E.correct_bias(bare, recipe, split)[1].weight, bare[1].weight)
    asked = E.compress(model, Recipe(None, Quantization(3, bias_correction=True)), split)
    with torch.no_grad():
        assert torch.equal(asked(split.images), E.compress(fixed, recipe)(split.images))
        assert torch.equal(
            E.materialize(model, Recipe(None, Quantization(3, bias_correction=True)), (3, 8, 8), split)(split.images),
            asked(split.images),
        )


@pytest.mark.slow
def test_the_small_vgg_bears_three_bits_with_one_scale() -> None:
    """Each remedy gains, both together most; no image of S_test is looked at for it."""
    exp = nw.load_example("shapes/vgg_small")
    recipe = Recipe(None, Quantization(3, granularity="tensor"))
    equal = E.equalize(exp.model, exp.input_shape)
    nets = {"plain": exp.model, "equal": equal, "bias": E.correct_bias(exp.model, recipe, exp.train)}
    nets["both"] = E.correct_bias(equal, recipe, exp.train)
    right = {name: E.evaluate(E.compress(net, recipe), exp.test).accuracy for name, net in nets.items()}
    assert right["plain"] < right["equal"] < right["both"] and right["plain"] < right["bias"] < right["both"]
    assert right["both"] > 0.94
    exp.close()


def test_bad_input_is_refused_in_words() -> None:
    """In words, with what to do next."""
    model, split = trained(Depthwise()), images(20)
    with pytest.raises(RecipeError, match="rounds no weights"):
        E.correct_bias(model, Recipe(None, Quantization(activation_bits=8)), split)
    with pytest.raises(DataError, match="Split"):
        E.correct_bias(model, Recipe(None, Quantization(3)), None)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="bias_correction=True needs images"):
        E.compress(model, Recipe(None, Quantization(3, bias_correction=True)), input_shape=(3, 8, 8))
    compressed = E.compress(model, Recipe(Pruning(0.5)))
    three = Recipe(None, Quantization(3))
    for call in (lambda: E.equalize(compressed, (3, 8, 8)), lambda: E.correct_bias(compressed, three, split)):
        with pytest.raises(ModelError, match="masks or grids"):
            call()
