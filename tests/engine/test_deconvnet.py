"""Projections back to the pixels: equal to a deconvolution network written out by hand, or refused, never silently a gradient."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import InputError, ModelError, UnsupportedError
from nnwidgets.engine.inspect import deconvnet, projection_steps, projections
from nnwidgets.engine.inspect._rules import RULES
from tests.engine.oracle_inspect import Signal, Tape, difference
from tests.engine.oracle_trace import everything

Taped = Callable[[Tape, Signal], Signal]


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights, and batch-norm statistics that do something, in eval mode."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
            elif tensor.is_floating_point():
                scale = (2 / max(tensor[0].numel(), 1)) ** 0.5 if tensor.dim() > 1 else 0.3
                tensor.copy_(torch.randn(tensor.shape, generator=draw) * scale)
    return model.eval()


def images(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Functional(nn.Module):
    """ReLUs without a module: as functions, as methods, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.d(torch.relu_(self.c(self.b(F.relu(self.a(x))).relu())))

    def taped(self, tape: Tape, x: Signal) -> Signal:
        for layer in (self.a, self.b, self.c):
            x = tape.relu(tape.conv(x, layer))
        return tape.conv(x, self.d)


class Reused(nn.Module):
    """One ReLU module for all, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.relu = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), nn.Conv2d(6, 6, 3), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.c(self.relu(self.b(self.relu(self.a(x))))))

    def taped(self, tape: Tape, x: Signal) -> Signal:
        return tape.layers(x, [self.a, self.relu, self.b, self.relu, self.c, self.relu])


class Residual(nn.Module):
    """Two blocks with a shortcut, added in place, batch-norm in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(True), nn.Conv2d(8, 8, 3, padding=1)
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            out = block(x)
            out += x
            x = F.relu(out, inplace=True)
        return x

    def taped(self, tape: Tape, x: Signal) -> Signal:
        x = tape.conv(x, self.stem)
        for block in self.blocks:
            x = tape.relu(tape.add(tape.layer(x, block), x))
        return x


class Pools(nn.Module):
    """Overlapping max-pooling, average pooling, adaptive average pooling to sizes that do not divide, then dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3), nn.Linear(8 * 9, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.a(x)), 3, 2)
        x = F.avg_pool2d(x, 2, 1)
        return self.c(F.adaptive_avg_pool2d(F.relu(self.b(x)), 3).flatten(1)).relu()

    def taped(self, tape: Tape, x: Signal) -> Signal:
        x = tape.avg_pool(tape.max_pool(tape.relu(tape.conv(x, self.a)), 3, 2), 2, 1)
        return tape.relu(tape.linear(tape.flatten(tape.adaptive_avg_pool(tape.relu(tape.conv(x, self.b)), (3, 3))), self.c))


class Branches(nn.Module):
    """Joined branches with strides, dilation, groups and a depthwise convolution of multiplier two."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(3, 4, 5, 2, 4, 2)
        self.deep, self.point = nn.Conv2d(12, 24, 3, 2, 1, groups=12), nn.Conv2d(24, 6, 1, groups=3)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([F.relu(self.a(x)), self.b(x)], 1)
        return self.point(F.relu(self.deep(joined)))

    def taped(self, tape: Tape, x: Signal) -> Signal:
        joined = tape.cat(tape.relu(tape.conv(x, self.a)), tape.conv(x, self.b))
        return tape.conv(tape.relu(tape.conv(joined, self.deep)), self.point)


class InPlace(nn.Sequential):
    """What VGG is made of."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2, 2), nn.Conv2d(8, 8, 3), nn.ReLU(True)),
            *(nn.Flatten(), nn.Linear(8 * 36, 12), nn.ReLU(True), nn.Dropout(), nn.Linear(12, 4)),
        )

    def taped(self, tape: Tape, x: Signal) -> Signal:
        return tape.layers(x, list(self))


NETS: list[type[nn.Module]] = [InPlace, Functional, Reused, Residual, Pools, Branches]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_a_projection_equals_the_deconvolution_network_written_out(net: type[nn.Module], rule: str) -> None:
    """Relative difference at most 1e-6 for three channels, and every ReLU is counted."""
    model: Any = randomized(net())
    x = images(2, 3, 16, 16)
    for channel in range(3):
        tape = Tape(rule)
        start = Signal(x)
        with torch.no_grad():
            expected = tape.project(start, model.taped(tape, start), channel)
        if not expected.any():
            continue
        made = deconvnet(model, x, "", channel, rule=rule)
        assert difference(made.pixels, expected) <= 1e-6
        assert (made.rewritten, made.activations) == (0 if rule == "gradient" else tape.relus, tape.relus)
        assert made.label == {"deconvnet": "Deconvnet", "guided": "guided backpropagation", "gradient": "gradient"}[rule]


def test_a_convolution_before_a_relu_in_place_is_seen_as_it_was() -> None:
    """Its own negative activations are projected, not what the ReLU left of them; a given position is taken."""
    model: Any = randomized(InPlace())
    x = images(2, 3, 16, 16)
    with torch.no_grad():
        maps = nn.Sequential(*list(model)[:4])(x)
        tape, start = Tape(), Signal(x)
        expected = tape.project(start, tape.layers(start, list(model)[:4]), 5, (2, 4))
    made = deconvnet(model, x, "3", 5, (2, 4))
    torch.testing.assert_close(made.values, maps[:, 5, 2, 4])
    assert made.positions.tolist() == [[2, 4], [2, 4]]
    assert (made.values < 0).any()
    assert difference(made.pixels, expected) <= 1e-6
    each = deconvnet(model, x, "3", 5, torch.tensor([[2, 4], [0, 1]]))
    torch.testing.assert_close(each.pixels[0], made.pixels[0])
    assert each.positions.tolist() == [[2, 4], [0, 1]]


def test_one_forward_pass_gives_all_rules() -> None:
    """They are those that each rule gives alone, and the network ran once."""
    model = randomized(InPlace())
    runs: list[int] = []
    model[0].register_forward_hook(lambda *_: runs.append(1))  # type: ignore[index, operator, union-attr]
    made = projections(model, images(2, 3, 16, 16), "7", 3)
    assert len(runs) == 1
    assert set(made.found) == set(RULES) and not made.refused
    for rule, found in made.found.items():
        torch.testing.assert_close(found.pixels, deconvnet(model, images(2, 3, 16, 16), "7", 3, rule=rule).pixels)
    assert not torch.equal(made.found["deconvnet"].pixels, made.found["guided"].pixels)


def test_in_front_of_the_first_activation_all_rules_are_the_gradient() -> None:
    """k = n = 0 is no reason to refuse: a first convolution and a linear net are projected exactly."""
    model: Any = randomized(Reused())
    made = projections(model, images(1, 3, 16, 16), "a", 2)
    assert [(found.rewritten, found.activations) for found in made.found.values()] == [(0, 0)] * 3
    y, x = made.found["deconvnet"].positions[0].tolist()
    expected = torch.zeros(1, 3, 16, 16)
    expected[0, :, y : y + 3, x : x + 3] = model.a.weight[2].detach() * made.found["deconvnet"].values
    for found in made.found.values():
        torch.testing.assert_close(found.pixels, expected)


class Between(nn.Module):
    """A convolution, some function, a convolution."""

    def __init__(self, function: Callable[[Tensor], Tensor], relu: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), nn.Conv2d(6, 4, 3)
        self.function, self.relu = function, relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.function(self.a(x)))
        return self.c(F.relu(x) if self.relu else x)


class OwnFunction(torch.autograd.Function):
    """A ReLU whose derivative somebody has written down."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * (ctx.saved_tensors[0] > 0)


def zeroed(x: Tensor) -> Tensor:
    x = x.clone()
    x[x < 0] = 0
    return x


def half_sigmoid(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, :3].sigmoid_()
    return x


ODD: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "silu": (F.silu, "silu"),
    "gelu": (F.gelu, "gelu"),
    "hardswish": (F.hardswish, "hardswish"),
    "hardsigmoid": (F.hardsigmoid, "hardsigmoid"),
    "sigmoid": (torch.sigmoid, "sigmoid"),
    "tanh": (torch.tanh, "tanh"),
    "elu": (F.elu, "elu"),
    "selu": (F.selu, "elu"),
    "leaky_relu": (F.leaky_relu, "leaky_relu"),
    "softplus": (F.softplus, "softplus"),
    "mish": (F.mish, "mish"),
    "softmax": (lambda x: x.softmax(1), "softmax"),
    "prelu": (lambda x: F.prelu(x, torch.full((1,), 0.1)), "prelu"),
    "hardtanh around zero": (F.hardtanh, "hardtanh"),
    "threshold to a value": (lambda x: F.threshold(x, 0.0, -1.0), "relu"),
    "threshold above zero": (lambda x: F.threshold(x, 0.5, 0.0), "relu"),
    "clamp": (lambda x: x.clamp(min=0), "clamp"),
    "maximum": (lambda x: torch.maximum(x, torch.zeros(())), "maximum"),
    "where": (lambda x: torch.where(x > 0, x, torch.zeros(())), "mask"),
    "times its sign": (lambda x: x * (x > 0), "mask"),
    "times a detached gate": (lambda x: x * x.detach().sigmoid(), "mask"),
    "masked_fill": (lambda x: x.masked_fill(x < 0, 0.0), "mask"),
    "indexed": (zeroed, "mask"),
    "square": (lambda x: x * x, "product"),
    "abs": (torch.abs, "abs"),
    "quotient": (lambda x: x / (1 + x.abs()), "abs"),
    "own function": (OwnFunction.apply, "own_function"),
    "sigmoid of a part, in place": (half_sigmoid, "copy_slices"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_relu_is_refused_alone_and_counted_beside_one(name: str) -> None:
    """Alone: refused by both rules, with its name and what to do, and the gradient is torch's. With a ReLU: k < n, told."""
    function, word = ODD[name]
    model, x = randomized(Between(function)), images(1, 3, 12, 12)
    made = projections(model, x, "", 0)
    assert set(made.refused) == {"deconvnet", "guided"}
    assert word in made.refused["deconvnet"] and word in made.refused["guided"]
    gradient = made.found["gradient"]
    assert (gradient.label, gradient.rewritten) == ("gradient", 0)
    assert gradient.activations >= 1
    torch.testing.assert_close(gradient.pixels, torchs_gradient(model, x, 0) * gradient.values[:, None, None, None])
    with pytest.raises(UnsupportedError, match=word):
        deconvnet(model, x, "", 0)
    both = deconvnet(randomized(Between(function, relu=True)), x, "", 0)
    assert both.rewritten == 1 and both.activations == gradient.activations + 1
    assert f"1 of {both.activations} activations follow the rule" in " ".join(both.notes)


def torchs_gradient(model: nn.Module, x: Tensor, channel: int) -> Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(model(leaf)[:, channel].flatten(1).amax(1).sum(), leaf)[0]


def part(function: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    def apply(x: Tensor) -> Tensor:
        x = x * 1
        function(x)
        return x

    return apply


def assigned(x: Tensor) -> Tensor:
    filled = torch.zeros_like(x)
    filled[:, :3] = x[:, 3:]
    return filled


LINEAR: dict[str, Callable[[Tensor], Tensor]] = {
    "constant factor": lambda x: x * torch.full((6, 1, 1), 0.5) / torch.full((6, 1, 1), 3.0) + 1 - torch.ones(6, 1, 1),
    "constant mask": lambda x: torch.where(torch.arange(6).view(6, 1, 1) > 2, x, torch.zeros(())),
    "part assigned": assigned,
    "part scaled in place": part(lambda x: x[:, :3].zero_()),
    "moved about": lambda x: (
        x.flip(1).roll(1, 2).permute(0, 2, 3, 1).contiguous().transpose(1, 3).transpose(2, 3)[:, [1, 0, 2, 5, 4, 3]]
    ),
    "matrix": lambda x: torch.einsum("bchw,cd->bdhw", x, torch.ones(6, 6)),
    "attention mask": lambda x: x.masked_fill(torch.arange(6).view(6, 1, 1) > 2, 0.0),
}


@pytest.mark.parametrize("name", LINEAR)
def test_what_is_linear_is_no_activation(name: str) -> None:
    """Constants, masks that do not depend on the image, and moving things about: n stays 0, and both rules are the gradient."""
    model, x = randomized(Between(LINEAR[name])), images(1, 3, 12, 12)
    made = projections(model, x, "", 1)
    assert {rule: (found.rewritten, found.activations) for rule, found in made.found.items()} == dict.fromkeys(RULES, (0, 0))
    torch.testing.assert_close(made.found["deconvnet"].pixels, made.found["gradient"].pixels)


def test_a_relu_on_a_part_in_place_follows_the_rule() -> None:
    """Autograd hides it in a write to a part of a tensor; the rule meets it none the less."""
    made = deconvnet(randomized(Between(part(lambda x: x[:, :6].relu_()))), images(1, 3, 12, 12), "", 0)
    plain = deconvnet(randomized(Between(F.relu)), images(1, 3, 12, 12), "", 0)
    assert (made.rewritten, made.activations) == (1, 1)
    torch.testing.assert_close(made.pixels, plain.pixels)


def test_relu6_gets_the_rule_as_an_extension_that_the_label_names() -> None:
    """The backward signal is clamped as at a ReLU; guided also needs the unit to be between 0 and 6."""
    model: Any = randomized(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU6(inplace=True), nn.Conv2d(6, 4, 3)))
    x = 4 * images(2, 3, 12, 12)
    for rule, label in {"deconvnet": "Deconvnet", "guided": "guided backpropagation"}.items():
        tape, start = Tape(rule), Signal(x)
        with torch.no_grad():
            expected = tape.project(start, tape.layers(start, list(model)), 1)
        made = deconvnet(model, x, "", 1, rule=rule)
        assert (made.label, made.rewritten, made.activations) == (f"{label} (ReLU6: extension)", 1, 1)
        assert difference(made.pixels, expected) <= 1e-6
    assert deconvnet(model, x, "", 1, rule="gradient").label == "gradient"


def test_only_what_lies_on_the_way_is_counted() -> None:
    """A branch beside the unit, and what comes after it, do not change k of n."""

    class Beside(Between):
        def forward(self, x: Tensor) -> Tensor:
            beside = F.silu(self.a(x))
            return F.gelu(self.c(F.relu(self.b(F.relu(self.a(x))))) + beside.mean())

    made = deconvnet(randomized(Beside(F.relu)), images(1, 3, 12, 12), "c", 0)
    assert (made.rewritten, made.activations, made.notes) == (2, 2, ())


def test_gates_and_norms_are_told() -> None:
    """A squeeze-and-excitation gate counts as what does not follow; a layer norm is named, as it has no rule."""

    class Gated(Between):
        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.a(x))
            x = x * torch.sigmoid(x.mean((2, 3), keepdim=True))
            return F.layer_norm(self.b(x), (8, 8))

    made = deconvnet(randomized(Gated(F.relu)), images(1, 3, 12, 12), "", 0)
    assert (made.rewritten, made.activations) == (1, 3)
    assert made.notes[0].endswith("pass the gradient: product (1), sigmoid (1)")
    assert made.notes[1] == "passed as the gradient passes them: layer_norm (1)"


class Tokens(nn.Module):
    """Patches as tokens behind a class token, one dense layer for each."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.mlp = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 5)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        return F.relu(self.mlp(torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)))


def test_tokens_are_projected_by_their_place_in_the_grid() -> None:
    """Row 1, column 2 of the grid is the patch at rows 4 to 7 and columns 8 to 11, and nothing else."""
    made = deconvnet(randomized(Tokens()), images(2, 3, 16, 16), "mlp", 3, (1, 2))
    inside = made.pixels[:, :, 4:8, 8:12]
    assert inside.abs().amin((1, 2, 3)).gt(0).all()
    assert made.pixels.count_nonzero() == inside.numel()
    assert made.notes == ("16 tokens as 4 x 4, without the class token",)


def test_dense_units_and_vectors() -> None:
    """A unit of a dense layer has no place: a position is ignored; a net of vectors gives vectors."""
    model: Any = randomized(nn.Sequential(nn.Linear(10, 6), nn.ReLU(), nn.Linear(6, 3)))
    x = images(4, 10)
    made = deconvnet(model, x, "", 1, (5, 5))
    with torch.no_grad():
        hidden, top = model[0](x), model(x)[:, 1:2]
        # What comes from above is clamped, whatever the hidden unit was.
        expected = (top * model[2].weight[1]).clamp(min=0) @ model[0].weight
        assert (hidden < 0).any()
    torch.testing.assert_close(made.pixels, expected)
    assert made.positions.tolist() == [[0, 0]] * 4


def test_the_call_of_a_reused_layer_is_chosen() -> None:
    """The second call of the one ReLU has two on the way, the first has one."""
    model = randomized(Reused())
    assert [deconvnet(model, images(1, 3, 16, 16), "relu", 1, call=call).activations for call in (0, 1, 2)] == [1, 2, 3]


def test_a_function_between_layers_is_projected() -> None:
    """A residual addition by its name in the table of layers."""
    model: Any = randomized(Residual())
    made = deconvnet(model, images(1, 3, 16, 16), "(add)", 2)
    tape, start = Tape(), Signal(images(1, 3, 16, 16))
    with torch.no_grad():
        stem = tape.conv(start, model.stem)
        expected = tape.project(start, tape.add(tape.layer(stem, model.blocks[0]), stem), 2)
    assert difference(made.pixels, expected) <= 1e-6


def test_a_unit_that_is_off_projects_to_nothing_and_says_so() -> None:
    """The seed is the activation."""
    model: Any = randomized(Reused())
    with torch.no_grad():
        model.c.bias.fill_(-100.0)
    made = deconvnet(model, images(2, 3, 16, 16), "", 0)
    assert not made.pixels.any()
    assert made.notes == ("the unit is off (0) for 2 of 2 images: there is nothing to project",)


# The network stays as it was


class Raising(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        torch.rand(3)
        np.random.rand()
        x = F.relu(self.norm(self.a(x)))
        if x.shape[-1] == 7:
            raise ValueError("a sudden stop")
        return self.b(x)


@pytest.mark.parametrize("layer", ["b", "(relu)", ""])
@pytest.mark.parametrize("size", [9, 12])
def test_nothing_is_left_behind(layer: str, size: int) -> None:
    """Flags, gradients, buffers, hooks, modes and random states are as before; in the middle of a pass too (9 pixels raise)."""
    model: Any = Raising().train()
    model.a.weight.requires_grad_(False)
    model.b.weight.grad = torch.ones_like(model.b.weight)
    hook = model.b.register_forward_hook(lambda *_: None)
    before, gradient = everything(model), model.b.weight.grad
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    for rule in RULES:
        if size == 9 and layer != "(relu)":
            with pytest.raises(ValueError, match="a sudden stop"):
                deconvnet(model, images(1, 3, size, size), layer, 1, rule=rule)
        else:
            deconvnet(model, images(1, 3, size, size), layer, 1, rule=rule)
    assert everything(model) == before
    assert model.b.weight.grad is gradient and all(p.grad is None for p in (model.a.weight, model.a.bias, model.b.bias))
    assert torch.equal(torch.get_rng_state(), states[0]) and np.random.get_state()[1].tolist() == states[1]  # type: ignore[index, union-attr]
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
    hook.remove()


def test_an_exception_in_the_backward_pass_leaves_nothing() -> None:
    """An autograd function of the user's that raises: the error is told, modes are gone."""

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
            raise RuntimeError("no way back")

    model = randomized(Between(Broken.apply, relu=True)).train()
    before = everything(model)
    with pytest.raises(UnsupportedError, match="no way back"):
        deconvnet(model, images(1, 3, 12, 12), "", 0)
    assert everything(model) == before
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


def test_a_job_can_be_closed_at_any_yield() -> None:
    """Between two steps nothing of the network is held in another state."""
    model = randomized(InPlace()).train()
    before = everything(model)
    for steps in range(1, 4):
        job = projection_steps(model, images(1, 3, 16, 16), "7", 3)
        for _ in range(steps):
            next(job)
            assert everything(model) == before
        job.close()
    assert everything(model) == before


@pytest.mark.parametrize("where", ["inference mode", "no_grad", "thread"])
def test_the_callers_mode_and_thread_do_not_matter(where: str) -> None:
    """The same numbers from inference mode (with images made there), under no_grad, and in a background thread."""
    model, expected = randomized(InPlace()), deconvnet(randomized(InPlace()), images(2, 3, 16, 16), "9", 1)
    if where == "thread":
        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(deconvnet, model, images(2, 3, 16, 16), "9", 1).result()
        assert threading.active_count() >= 1
    else:
        with torch.inference_mode() if where == "inference mode" else torch.no_grad():
            made = deconvnet(model, images(2, 3, 16, 16), "9", 1)
            assert torch.is_inference_mode_enabled() == (where == "inference mode")
            assert not torch.is_grad_enabled()
    torch.testing.assert_close(made.pixels, expected.pixels)
    assert not made.pixels.is_inference() and not made.pixels.requires_grad


def test_a_network_made_in_inference_mode_is_projected_from_a_copy() -> None:
    """Autograd refuses its weights; a copy made outside has the same numbers, and the network stays as it is."""
    with torch.inference_mode():
        model = randomized(Residual())
    made = deconvnet(model, images(1, 3, 16, 16), "", 2)
    assert all(tensor.is_inference() for tensor in model.parameters())
    torch.testing.assert_close(made.pixels, deconvnet(randomized(Residual()), images(1, 3, 16, 16), "", 2).pixels)


def test_weights_changed_between_two_steps_are_told() -> None:
    """A training step between two backward passes: the second one cannot be right, and says so."""
    model: Any = randomized(InPlace())
    job = projection_steps(model, images(1, 3, 16, 16), "7", 3)
    next(job)
    with torch.no_grad():
        model[3].weight.mul_(2)
    with pytest.raises(UnsupportedError, match="changed meanwhile, ask again"):
        list(job)


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no such layer": ({"layer": "convx"}, InputError, "there is no layer 'convx'"),
    "no such channel": ({"channel": 6}, InputError, "channel: got 6, expected a whole number from 0 to 5"),
    "negative channel": ({"channel": -1}, InputError, "channel: got -1"),
    "channel of another type": ({"channel": 1.5}, InputError, "channel: got 1.5"),
    "outside of the map": ({"position": (0, 14)}, InputError, "within 14 x 14"),
    "half a position": ({"position": (1,)}, InputError, r"expected \(y, x\)"),
    "position in words": ({"position": "middle"}, InputError, r"expected \(y, x\)"),
    "position with a fraction": ({"position": (0.5, 1.0)}, InputError, "in whole numbers"),
    "no such rule": ({"rule": "deconv"}, InputError, "did you mean 'deconvnet'"),
    "no such call": ({"call": 1}, InputError, "expected 0 to 0"),
    "images of another type": ({"images": torch.zeros(1, 3, 16, 16, dtype=torch.uint8)}, InputError, "images: got torch.uint8"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_says_what_was_expected(name: str) -> None:
    changes, error, words = BAD[name]
    request: dict[str, Any] = {"images": images(1, 3, 16, 16), "layer": "a", "channel": 0, **changes}
    with pytest.raises(error, match=words):
        deconvnet(randomized(Reused()), **request)


def test_nan_and_detached_units_are_refused() -> None:
    """A unit that is NaN is nothing to project; behind detach() or no_grad() no gradient gets back."""
    model: Any = randomized(Reused())
    with torch.no_grad():
        model.a.bias[0] = torch.nan
    with pytest.raises(ModelError, match="NaN"):
        deconvnet(model, images(1, 3, 16, 16), "b", 0)
    with pytest.raises(UnsupportedError, match="no gradient gets"):
        deconvnet(randomized(Between(Tensor.detach)), images(1, 3, 16, 16), "", 0)


@pytest.mark.slow
def test_the_compiler_is_not_loaded() -> None:
    """Neither torch's compiler nor sympy, which is 150 MB; and where it is loaded the result is the same."""
    code = """
import sys, torch
from nnwidgets.engine.inspect import projections
from nnwidgets.engine.zoo.nets import ResNet20
torch.manual_seed(0)
net, image = ResNet20().eval(), torch.randn(1, 1, 28, 28)
made = projections(net, image, "layer3", 3).found["deconvnet"].pixels
between = projections(net, image, "layer3.0.(add)", 3)
print("sympy" in sys.modules, "torch._dynamo" in sys.modules)
import torch._dynamo
again = projections(net, image, "layer3", 3).found["deconvnet"].pixels
print(torch.equal(made, again), made.any().item())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["False", "False", "True", "True"], done.stderr
