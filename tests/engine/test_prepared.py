"""A prepared copy answers as the network does, whatever batch-norm was folded, and takes new weights as often as wanted."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.evaluation import Prepared
from nnwidgets.engine.trace import fingerprint


def lively(model: nn.Module) -> nn.Module:
    """Give batch-norm statistics and scales that matter."""
    draw = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in (
                (module.running_mean, -0.5),
                (module.running_var, 0.5),
                (module.weight, 0.5),
                (module.bias, -0.5),
            ):
                if tensor is not None:
                    tensor.data.copy_(torch.rand(tensor.shape, generator=draw) + low)
    return model.eval()


class Functional(nn.Module):
    """Conv, batch-norm, residual add: the first pair can be folded, the second conv is read by two."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.na = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.b, self.nb = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.na(self.a(x)))
        y = self.b(x)
        return self.fc((F.relu(self.nb(y)) + y).mean((2, 3)))  # type: ignore[no-any-return]


class Shared(nn.Module):
    """One convolution called twice with a norm each: nothing can be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 1)
        self.conv, self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.conv(self.one(self.conv(self.stem(x)))))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


class Peeks(nn.Module):
    """Looks at its convolution's bias: folding would change what it sees, and only the check on inputs finds out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        assert self.conv.bias is not None
        return self.fc(self.norm(self.conv(x)).mean((2, 3)) + 100 * self.conv.bias)  # type: ignore[no-any-return]


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    model[0].register_forward_hook(lambda *args: args[2] * 2)
    return model


CASES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "a chain": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                                      nn.Linear(144, 3)), ("0",)),
    "without scales": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Flatten(),
                                             nn.Linear(144, 3)), ("0",)),
    "grouped": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3)), ("0",)),
    "read by two": (Functional, ("a",)),
    "two norms": (Shared, ()),
    "batch statistics": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(),
                                               nn.Linear(144, 3)), ()),
    "a hook sees it": (hooked, ()),
    "the forward looks at the bias": (Peeks, ()),
    "not followed": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(),
                                           nn.Linear(144, 3)), ()),
}  # fmt: skip


@pytest.mark.parametrize(("make", "folded"), CASES.values(), ids=CASES.keys())
def test_it_answers_as_the_network_and_folds_what_can_be_folded(make: Any, folded: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    model, x = lively(make()), torch.randn(40, 2, 8, 8)
    before = fingerprint(model)
    prepared = Prepared(model, (2, 8, 8), x[:8])
    with torch.no_grad():
        torch.testing.assert_close(prepared.network(prepared.inputs(x)), model(x), rtol=1e-4, atol=1e-4)
    assert prepared.folded == folded and prepared.channels_last and fingerprint(model) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits/resnet20", "shapes/vgg_small", "digits/lenet5", "digits/lenet300"])
def test_recipes_are_written_again_and_again_as_if_nothing_were_folded(name: str) -> None:
    exp = nw.load_example(name)
    assert exp.test is not None
    x, plan = exp.test.inputs(slice(0, 64)), CompressionPlan(exp.model, exp.input_shape)
    prepared = Prepared(exp.model, exp.input_shape, x[:8], plan.trace)
    convolutions = [layer.name for layer in plan.layers if layer.is_conv]
    has_norm = any(isinstance(module, nn.BatchNorm2d) for module in exp.model.modules())
    assert prepared.folded == (tuple(convolutions) if has_norm else ())
    recipes = [E.Recipe(), E.Recipe(E.Pruning(0.8)), E.Recipe(E.Pruning(0.3), E.Quantization(weight_bits=3))]
    if plan.layers_with("filter"):
        recipes.append(E.Recipe(E.Pruning(0.3, structure="filter")))
    for recipe in [*recipes, *recipes[::-1]]:
        prepared.write(lambda network, recipe=recipe: plan.load(recipe, network))  # type: ignore[misc]
        with torch.no_grad():
            plain = E.bake(E.compress(exp.model, recipe, input_shape=exp.input_shape)).eval()(x)
            torch.testing.assert_close(prepared.network(prepared.inputs(x)), plain, rtol=1e-4, atol=1e-4)


def test_one_layer_can_be_written_alone() -> None:
    exp = nw.load_example("shapes")
    assert exp.test is not None
    x = exp.test.inputs(slice(0, 32))
    prepared = Prepared(exp.model, exp.input_shape, x[:8])
    weight = exp.model.get_submodule("conv2").weight * 0.5

    def load(network: nn.Module) -> None:
        network.get_submodule("conv2").weight.copy_(weight)  # type: ignore[operator,union-attr]

    prepared.write(load, only=["conv2"])
    twin = copy.deepcopy(exp.model).eval()
    with torch.no_grad():
        twin.get_submodule("conv2").weight.copy_(weight)  # type: ignore[operator,union-attr]
        torch.testing.assert_close(prepared.network(prepared.inputs(x)), twin(x), rtol=1e-4, atol=1e-4)


def test_parametrizations_are_computed_once_and_stay_on_the_original() -> None:
    exp = nw.load_example("digits/resnet20")
    assert exp.test is not None
    small = E.compress(exp.model, E.Recipe(E.Pruning(0.5), E.Quantization(weight_bits=4)), input_shape=exp.input_shape)
    before, x = fingerprint(small), exp.test.inputs(slice(0, 16))
    prepared = Prepared(small, exp.input_shape, x[:8])
    assert len(prepared.folded) == 19 and not any(hasattr(module, "parametrizations") for module in prepared.network.modules())
    with torch.no_grad():
        torch.testing.assert_close(prepared.network(prepared.inputs(x)), small.eval()(x), rtol=1e-4, atol=1e-4)
    assert fingerprint(small) == before


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.Identity()], ids=["batch-norm", "no batch-norm"])
def test_a_forward_that_needs_the_usual_layout_gets_it(norm: nn.Module) -> None:
    """``x.view(len(x), -1)`` behind a convolution fails on channels-last maps."""

    class Viewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.fc = nn.Conv2d(2, 4, 3), norm, nn.Linear(4 * 36, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(self.conv(x)).relu()
            return self.fc(x.view(len(x), -1))  # type: ignore[no-any-return]

    model, images = lively(Viewing()), torch.randn(6, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    prepared = Prepared(model, (2, 8, 8), images)
    assert not prepared.channels_last
    assert torch.allclose(prepared.network(prepared.inputs(images)), model(images), atol=1e-5)
