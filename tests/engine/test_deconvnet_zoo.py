"""Projections on the nets of torchvision: against a deconvolution network written out, and against captum where it is right."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.inspect import deconvnet, projections
from nnwidgets.engine.inspect._rules import RULES
from nnwidgets.engine.zoo import torchvision_net
from tests.engine.oracle_inspect import Signal, Tape, difference
from tests.engine.oracle_trace import everything

pytestmark = pytest.mark.slow


def net_of(name: str) -> Any:
    """Random weights, and batch-norm statistics that do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = torchvision_net(name, None)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
                nn.init.normal_(module.running_mean, 0, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.1)
    return net


def image(side: int) -> Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))


def taped_chain(net: Any, tape: Tape, x: Signal, layer: str) -> Signal:
    """VGG, AlexNet: features, pooling and classifier are chains."""
    part, _, index = layer.partition(".")
    if part == "features":
        return tape.layers(x, list(net.features)[: int(index) + 1])
    x = tape.flatten(tape.layers(x, [*net.features, net.avgpool]))
    return tape.layers(x, list(net.classifier)[: int(index) + 1])


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
@pytest.mark.parametrize(
    ("name", "side", "layers", "dtype"),
    [
        ("vgg16", 224, ("features.28", "classifier.6"), torch.float32),
        # In float32 rounding alone comes to 1e-6, more or less by the number of threads.
        ("vgg16_bn", 96, ("features.40", "classifier.6"), torch.float64),
        ("alexnet", 224, ("features.8", "features.12", "classifier.6"), torch.float32),
    ],
)
def test_vgg_and_alexnet_equal_the_network_written_out(
    name: str, side: int, layers: tuple[str, ...], dtype: torch.dtype, rule: str
) -> None:
    """Before a ReLU in place, behind the last (with AlexNet overlapping) pooling, and a class; relative difference <= 1e-6."""
    net, x = net_of(name).to(dtype), image(side).to(dtype)
    for layer in layers:
        tape, start = Tape(rule), Signal(x)
        with torch.no_grad():
            end = taped_chain(net, tape, start, layer)
            channel = int(end.value.flatten(2).amax(2).argmax()) if end.value.dim() > 2 else int(end.value.argmax())
            expected = tape.project(start, end, channel)
        made = deconvnet(net, x, layer, channel, rule=rule)
        assert difference(made.pixels, expected) <= 1e-6, layer
        assert made.rewritten == made.activations == tape.relus
        assert made.label == ("Deconvnet" if rule == "deconvnet" else "guided backpropagation")


class Taped:
    """GoogLeNet and MobileNetV2, whose ReLUs captum does not find, written out on a tape."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def basic(self, x: Signal, module: Any) -> Signal:
        return self.tape.relu(self.tape.norm(self.tape.conv(x, module.conv), module.bn))

    def inception(self, x: Signal, module: Any) -> Signal:
        branches = [self.basic(x, module.branch1)]
        for branch in (module.branch2, module.branch3):
            branches.append(self.basic(self.basic(x, branch[0]), branch[1]))
        branches.append(self.basic(self.tape.layer(x, module.branch4[0]), module.branch4[1]))
        return self.tape.cat(*branches)

    def googlenet(self, x: Signal, net: Any) -> Signal:
        x = self.tape.layer(self.basic(x, net.conv1), net.maxpool1)
        x = self.tape.layer(self.basic(self.basic(x, net.conv2), net.conv3), net.maxpool2)
        for name in ("3a", "3b", "pool3", "4a", "4b", "4c", "4d", "4e", "pool4", "5a", "5b"):
            whole = f"max{name}" if name.startswith("pool") else f"inception{name}"
            x = self.tape.layer(x, getattr(net, whole)) if name.startswith("pool") else self.inception(x, getattr(net, whole))
        return x

    def mobilenet_v2(self, x: Signal, net: Any) -> Signal:
        x = self.tape.layer(x, net.features[0])
        for block in list(net.features)[1:-1]:
            out = x
            for part in block.conv:
                out = self.tape.layer(out, part)
            x = self.tape.add(x, out) if block.use_res_connect else out
        return self.tape.layer(x, net.features[-1])


@pytest.mark.parametrize(("name", "layer"), [("googlenet", "inception5b"), ("mobilenet_v2", "features")])
@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_googlenet_and_mobilenet_follow_the_rule(name: str, layer: str, rule: str) -> None:
    """All 57 functional ReLUs of GoogLeNet; all 35 ReLU6 of MobileNetV2, by the extension that the label names."""
    net, x = net_of(name).double(), image(96).double()
    tape, start = Tape(rule), Signal(x)
    with torch.no_grad():
        end = getattr(Taped(tape), name)(start, net)
        channel = int(end.value.flatten(2).amax(2).argmax())
        expected = tape.project(start, end, channel)
    made = deconvnet(net, x, layer, channel, rule=rule)
    assert difference(made.pixels, expected) <= 1e-6
    assert made.rewritten == made.activations == tape.relus == {"googlenet": 57, "mobilenet_v2": 35}[name]
    assert made.label.endswith("(ReLU6: extension)") == (name == "mobilenet_v2")
    assert difference(deconvnet(net, x, layer, channel, rule="gradient").pixels, expected) > 0.01


def by_captum(net: nn.Module, x: Tensor, channel: int, rule: str) -> Tensor:
    attr = pytest.importorskip("captum.attr")
    method = {"deconvnet": attr.Deconvolution, "guided": attr.GuidedBackprop}[rule]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells that it sets hooks
        found: Tensor = method(net).attribute(x.clone(), target=channel).detach()
    return found


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
@pytest.mark.parametrize("name", ["alexnet", "vgg11", "squeezenet1_1", "resnet18"])
def test_captum_agrees_where_each_relu_is_a_module(name: str, rule: str) -> None:
    """Per unit of activation; it starts from 1, and the rules are homogeneous for what is positive."""
    net, x = net_of(name).double(), image(96).double()
    with torch.no_grad():
        channel = int(net(x).argmax())
    made = deconvnet(net, x, "", channel, rule=rule)
    assert made.values > 0
    assert difference(made.pixels / made.values, by_captum(net, x, channel, rule)) <= 1e-6


@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v2"])
def test_captum_gives_the_plain_gradient_where_relus_are_functions_or_relu6(name: str) -> None:
    """What the issue says of it, so that the difference from it is known to be its own."""
    net, x = net_of(name).double(), image(96).double()
    with torch.no_grad():
        channel = int(net(x).argmax())
    theirs = by_captum(net, x, channel, "deconvnet")
    made = projections(net, x, "", channel).found
    assert difference(made["gradient"].pixels / made["gradient"].values, theirs) <= 1e-6
    assert difference(made["deconvnet"].pixels / made["deconvnet"].values, theirs) > 0.01


@pytest.mark.parametrize(
    ("name", "side", "layer", "words"),
    [
        ("efficientnet_b0", 64, "features", ("silu (49)", "sigmoid (16)")),
        ("convnext_tiny", 64, "features", ("gelu (18)",)),
        ("vit_b_32", 224, "encoder.layers.encoder_layer_1", ("gelu (2)", "attention (2)")),
        ("swin_t", 64, "features.1", ("gelu (2)", "softmax (2)")),
    ],
)
def test_nets_without_a_relu_are_refused_and_labelled_gradient(name: str, side: int, layer: str, words: tuple[str, ...]) -> None:
    """SiLU, GELU and attention: never "Deconvnet"; the network is as it was after the refusal."""
    net, x = net_of(name), image(side)
    flags = [module.training for module in net.modules()], [parameter.requires_grad for parameter in net.parameters()]
    for rule in ("deconvnet", "guided"):
        with pytest.raises(UnsupportedError, match='Use rule="gradient"') as refusal:
            deconvnet(net, x, layer, 3, rule=rule)
        assert all(word in str(refusal.value) for word in words)
    made = deconvnet(net, x, layer, 3, rule="gradient")
    assert (made.label, made.rewritten) == ("gradient", 0) and made.pixels.any()
    assert flags == ([module.training for module in net.modules()], [parameter.requires_grad for parameter in net.parameters()])
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


MIXED = {
    "resnet18": ("layer4", 17, 17),
    "densenet121": ("features", 120, 120),
    "inception_v3": ("Mixed_7c", 94, 94),
    "shufflenet_v2_x0_5": ("conv5", 37, 37),
    "squeezenet1_1": ("features", 25, 25),
    "mnasnet0_5": ("layers", 35, 35),
    "regnet_x_400mf": ("trunk_output", 67, 67),
    "regnet_y_400mf": ("trunk_output", 65, 97),
    "mobilenet_v3_small": ("features", 14, 50),
}


@pytest.mark.parametrize("name", MIXED)
def test_how_many_activations_follow_is_told(name: str) -> None:
    """k of n on nets with functional, reused and in-place ReLUs, gates and hardswish; all three rules from one forward pass."""
    layer, k, n = MIXED[name]
    net, x = net_of(name), image(128 if name == "inception_v3" else 64)
    before = everything(net) if name == "mobilenet_v3_small" else None
    made = projections(net, x, layer, 5)
    assert set(made.found) == set(RULES) and not made.refused
    assert {rule: (found.rewritten, found.activations) for rule, found in made.found.items()} == {
        "deconvnet": (k, n),
        "guided": (k, n),
        "gradient": (0, n),
    }
    told = " ".join(made.found["deconvnet"].notes)
    assert (f"{k} of {n} activations follow the rule" in told) == (k < n)
    assert before is None or everything(net) == before
