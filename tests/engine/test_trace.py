"""A trace of any network: what is called, in which order, by whom it is used, at which cost, without touching the network."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle_trace import everything
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

from nnwidgets.engine.errors import InputError, ModelError, UnsupportedError
from nnwidgets.engine.trace import INPUT, Trace, _copy, _trace, fingerprint, trace
from nnwidgets.engine.zoo.efficientnet import EfficientNetLite0
from nnwidgets.engine.zoo.examples import RECIPES


@pytest.fixture(autouse=True, params=["on the meta device", "with blank weights", "for real"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small networks with small inputs are run for real, large ones with zeros for weights, all others on the meta device: each
    test here holds for all of them.
    """
    if request.param == "on the meta device":
        monkeypatch.setattr(_trace, "_SMALL_INPUT", 0)
    if request.param == "with blank weights":
        monkeypatch.setattr(_trace, "_SMALL", -1)
        monkeypatch.setattr(_copy, "_LARGE", 0)
    return str(request.param)


def rows(found: Trace) -> list[tuple[str, int, str]]:
    """What a table shows: (name, call, kind), views left out."""
    return [(call.name, call.call, call.kind) for call in found.calls if not call.moves]


class Small(nn.Module):
    """Convolution, batch-norm, functional pieces and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(36, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(torch.relu(self.bn(self.conv(x))), 2)
        return self.fc(torch.flatten(x, 1))


class Wrap(nn.Module):
    """A network from a function of its parts."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.run = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> Any:
        return self.run(self, x)


def test_layers_and_functions_come_in_order_of_execution() -> None:
    """Functions have their name in brackets; shapes are without the batch, params and macs as by hand."""
    found = trace(Small(), (1, 8, 8))
    assert rows(found) == [
        ("conv", 0, "Conv2d"),
        ("bn", 0, "BatchNorm2d"),
        ("(relu)", 0, "relu"),
        ("(max_pool2d)", 0, "max_pool2d"),
        ("fc", 0, "Linear"),
    ]
    conv, fc = found.calls_of("conv")[0], found.calls_of("fc")[0]
    assert (conv.input_shape, conv.output_shape, conv.params, conv.macs) == ((1, 8, 8), (4, 6, 6), 40, 4 * 9 * 36)
    assert (fc.input_shape, fc.output_shape, fc.params, fc.macs) == ((36,), (10,), 370, 360)
    assert found.macs == 4 * 9 * 36 + 360
    assert (found.output_shape, found.output_layer, found.params, found.notes) == ((10,), "fc", 418, ())


def test_producers_lead_from_the_answer_to_the_input() -> None:
    """Each call names the calls whose outputs it used; the first one uses the input."""
    found = trace(Small(), (1, 8, 8))
    kinds = {call.index: call.kind for call in found.calls}
    chain, call = [], found.calls_of("fc")[0]
    while call.producers != (INPUT,):
        call = found.calls[call.producers[0]]
        chain.append(kinds[call.index])
    assert chain == ["flatten", "max_pool2d", "relu", "BatchNorm2d", "Conv2d"]
    assert found.followed_by("conv") == ["bn"]
    assert found.norm_after("conv") == "bn"
    assert found.norm_after("fc") is None


def test_residual_addition_has_two_producers_and_one_name_per_block() -> None:
    """``x + y`` and ``x += y`` are both "add", inside the module that adds; repeated, they are further calls of it."""

    def forward(net: Wrap, x: torch.Tensor) -> torch.Tensor:
        y = net.a(x) + x
        y += net.b(y)
        return y

    found = trace(Wrap(forward, a=nn.Linear(6, 6), b=nn.Linear(6, 6)), (6,))
    assert rows(found) == [("a", 0, "Linear"), ("(add)", 0, "add"), ("b", 0, "Linear"), ("(add)", 1, "add")]
    first, second = found.calls_of("(add)")
    assert first.producers == (INPUT, found.calls_of("a")[0].index)
    assert second.producers == (first.index, found.calls_of("b")[0].index)
    assert found.output_layers == ("a", "b")


def test_in_place_activation_becomes_the_producer() -> None:
    """After ``relu_`` the tensor is the relu's, also for a view of the same memory."""

    def forward(net: Wrap, x: torch.Tensor) -> torch.Tensor:
        y = net.conv(x)
        view = y.view(y.shape[0], -1)
        net.act(y)
        return net.fc(view)

    found = trace(Wrap(forward, conv=nn.Conv2d(1, 2, 3), act=nn.ReLU(inplace=True), fc=nn.Linear(2 * 4, 3)), (1, 4, 4))
    assert found.followed_by("conv") == ["(view)", "act"]
    assert found.calls_of("act")[0].index in found.calls_of("fc")[0].producers


def test_a_write_into_a_slice_is_not_lost() -> None:
    """``y[:, 0] = x`` on a fresh tensor makes that tensor depend on the input."""

    def forward(net: Wrap, x: torch.Tensor) -> torch.Tensor:
        y = torch.zeros(x.shape[0], 2, 5)
        y[:, 0] = net.a(x)
        return net.b(y.flatten(1))

    found = trace(Wrap(forward, a=nn.Linear(5, 5), b=nn.Linear(10, 2)), (5,))
    flat = found.calls[found.calls_of("b")[0].producers[0]]
    writers = {found.calls[index].kind for index in flat.producers}
    assert "setitem" in writers
    assert found.output_layers == ("b",)


def test_a_write_into_a_slice_within_a_layer_is_not_lost() -> None:
    """A layer that pads by hand: what it returns was allocated without the input and then written."""

    class Pad(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.new_full((x.shape[0], 6), 0.0)
            y[:, :5].copy_(x)
            return y

    found = trace(nn.Sequential(Pad(), nn.Linear(6, 4), nn.Linear(4, 2)), (5,))
    assert [call.producers for call in found.calls] == [(INPUT,), (0,), (1,)]
    assert found.output_layers == ("2",)


@pytest.mark.slow
def test_detection_net_is_followed_to_its_boxes(way: str) -> None:
    """Padding, anchors and non-maximum suppression need real numbers; the answer still leads back to the heads."""
    torchvision = pytest.importorskip("torchvision")
    model = torchvision.models.get_model("ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None)
    found = trace(model, (3, 96, 96))
    assert bool(found.notes) == (way == "on the meta device")
    heads = {name.split(".")[1] for name in found.output_layers}
    assert heads == {"classification_head", "regression_head"}


def test_shared_module_is_called_twice_under_one_name() -> None:
    """(name, call) stays unique; parameters count once, macs each time."""
    shared = nn.Linear(5, 5)
    found = trace(nn.Sequential(shared, nn.ReLU(), shared), (5,))
    assert rows(found) == [("0", 0, "Linear"), ("1", 0, "ReLU"), ("0", 1, "Linear")]
    assert [call.params for call in found.calls_of("0")] == [30, 0]
    assert [call.macs for call in found.calls_of("0")] == [25, 25]
    assert found.params == 30


def test_batch_norm_shared_by_two_layers_belongs_to_neither() -> None:
    """Its channels cannot be removed with one of them."""

    def forward(net: Wrap, x: torch.Tensor) -> torch.Tensor:
        return net.bn(net.a(x)) + net.bn(net.b(x))

    found = trace(Wrap(forward, a=nn.Conv2d(1, 3, 1), b=nn.Conv2d(1, 3, 1), bn=nn.BatchNorm2d(3)), (1, 4, 4))
    assert found.followed_by("a") == ["bn"]
    assert found.norm_after("a") is None


def test_batch_norm_behind_an_identity_is_found() -> None:
    """Layers that do nothing (identity, dropout in eval mode) stand in the table and do not hide what follows."""
    found = trace(nn.Sequential(nn.Conv2d(1, 2, 1), nn.Identity(), nn.Dropout(), nn.BatchNorm2d(2)), (1, 4, 4))
    assert [name for name, _, _ in rows(found)] == ["0", "1", "2", "3"]
    assert found.norm_after("0") == "3"


def test_batch_norm_behind_a_permutation_is_not_taken_for_its_own() -> None:
    """Channels were moved in between."""

    def forward(net: Wrap, x: torch.Tensor) -> torch.Tensor:
        return net.bn(net.conv(x).transpose(1, 2))

    found = trace(Wrap(forward, conv=nn.Conv2d(1, 4, 1), bn=nn.BatchNorm2d(4)), (1, 4, 4))
    assert found.followed_by("conv") == ["(transpose)"]
    assert found.norm_after("conv") is None


@pytest.mark.parametrize(
    ("forward", "shapes"),
    [
        (lambda net, x: (net.a(x), net.b(x)), ((3,), (4,))),
        (lambda net, x: {"a": net.a(x), "b": [net.b(x)]}, ((3,), (4,))),
        (lambda net, x: (net.b(net.a.forward(x)[:, :1].expand(-1, 5)), None, 7), ((4,),)),
    ],
)
def test_tuple_and_dict_outputs(forward: Callable[..., Any], shapes: tuple[tuple[int, ...], ...]) -> None:
    """All tensors in the result are named; a layer called through ``.forward`` is still charged for its macs."""
    found = trace(Wrap(forward, a=nn.Linear(5, 3), b=nn.Linear(5, 4)), (5,))
    assert found.output_shapes == shapes
    assert dict(pair for call in found.calls for pair in call.weights) == {"a": 15, "b": 20}


def test_lstm_is_one_layer_with_all_its_products() -> None:
    """Each gate matrix is used once a step: 4 h (inputs + h) a step and layer."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(5, 6, num_layers=2, batch_first=True)
            self.fc = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.lstm(x)[0][:, -1])

    found = trace(Net(), (7, 5))
    lstm = found.calls_of("lstm")[0]
    assert lstm.macs == 7 * (4 * 6 * (5 + 6) + 4 * 6 * (6 + 6))
    assert (lstm.output_shape, lstm.params) == ((7, 6), sum(p.numel() for p in Net().lstm.parameters()))
    assert (lstm.weights, found.output_layer) == ((), "fc")


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_encoder_shows_its_layers(norm_first: bool) -> None:
    """The fused kernel of torch is not taken, so that each layer is seen."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    net = nn.Sequential(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Flatten(), nn.Linear(56, 3))
    found = trace(net, (7, 8))
    assert found.calls_of("0.layers.1.self_attn")[0].macs == 4 * 7 * 64 + 2 * 49 * 8
    assert found.calls_of("0.layers.1.linear1")[0].macs == 7 * 8 * 16
    used = {name for call in found.calls for name, _ in call.weights}
    assert used == {layer.name for layer in found.layers}


def test_attention_alone_is_charged_to_its_projections() -> None:
    """in_proj and out_proj by weight; the two products of attention belong to no weight."""
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    found = trace(Wrap(lambda net, x: net.attn(x, x, x, need_weights=False)[0], attn=attention), (7, 8))
    call = found.calls_of("attn")[0]
    assert dict(call.weights) == {"attn.in_proj_weight": 3 * 7 * 64, "attn.out_proj": 7 * 64}
    assert call.macs - sum(macs for _, macs in call.weights) == 2 * 49 * 8
    assert found.calls_of("attn.in_proj_weight") == (call,)


def test_function_with_a_layers_weight_is_charged_to_that_layer() -> None:
    """torchvision's Swin calls ``functional.linear`` with the weight of a module that it never calls."""
    found = trace(Wrap(lambda net, x: functional.linear(x, net.fc.weight, net.fc.bias), fc=nn.Linear(5, 3)), (5,))
    assert rows(found) == [("(linear)", 0, "linear")]
    assert found.calls[0].weights == (("fc", 15),)
    assert found.calls[0].params == 18


def test_two_weights_joined_before_use_share_the_macs_by_size() -> None:
    """A fused projection made with ``torch.cat``."""
    joined = Wrap(
        lambda net, x: functional.linear(x, torch.cat([net.q.weight, net.k.weight])), q=nn.Linear(5, 3), k=nn.Linear(5, 2)
    )
    assert dict(trace(joined, (5,)).calls[-1].weights) == {"q": 15, "k": 10}


def test_tied_weights_are_charged_to_the_first_name() -> None:
    """One tensor, one entry; the second module has its own row."""
    net = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    net[1].weight = net[0].weight
    found = trace(net, (5,))
    assert [call.weights for call in found.calls] == [(("0", 25),), (("0", 25),)]
    assert [layer.aliases for layer in found.layers] == [("1",)]


class _Half(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight @ torch.eye(weight.shape[1], device=weight.device) * 0.5


def test_parametrized_layers_are_one_row() -> None:
    """The arithmetic that makes a weight is not charged (it can be baked in), the layer's own is, under its name."""
    net = Small()
    parametrize.register_parametrization(net.fc, "weight", _Half())
    parametrizations.weight_norm(net.conv)
    found, plain = trace(net, (1, 8, 8)), trace(Small(), (1, 8, 8))
    assert rows(found) == rows(plain)
    assert [call.weights for call in found.calls] == [call.weights for call in plain.calls]
    assert [layer.kind for layer in found.layers] == ["Conv2d", "Linear"]


def test_old_style_pruning_is_traced() -> None:
    """``torch.nn.utils.prune`` computes the weight in a hook from a tensor with a gradient history, which cannot be copied."""
    net = Small()
    prune.l1_unstructured(net.fc, "weight", amount=0.5)
    found = trace(net, (1, 8, 8))
    assert found.macs == trace(Small(), (1, 8, 8)).macs
    assert found.notes == ("1 forward hooks of the network were not run",)


def test_data_dependent_network_falls_back_to_real_numbers(way: str) -> None:
    """``if x.sum() > 0`` has no answer on the meta device; the note says what was done."""

    def forward(net: Wrap, x: torch.Tensor) -> torch.Tensor:
        x = net.a(x)
        return net.b(x) if x.isfinite().all() else x

    net = Wrap(forward, a=nn.Linear(5, 5), b=nn.Linear(5, 3))
    before = everything(net)
    found = trace(net, (5,))
    assert [call.name for call in found.calls_of("b")] == ["b"]
    assert found.output_layer == "b"
    assert ["real numbers" in note for note in found.notes] == [True] * (way == "on the meta device")
    assert everything(net) == before


def test_attention_on_real_numbers_keeps_its_macs(way: str) -> None:
    """The fallback does not take the fused kernel either."""

    def forward(net: Wrap, x: torch.Tensor) -> torch.Tensor:
        x = net.block(x)
        return x if float(x.sum()) == 0 else 2 * x

    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = trace(Wrap(forward, block=block), (7, 8))
    assert bool(found.notes) == (way == "on the meta device")
    assert found.macs == 4 * 7 * 64 + 2 * 49 * 8 + 2 * 7 * 8 * 16


def test_lstm_on_real_numbers_keeps_its_macs(way: str) -> None:
    """The fused recurrent kernel of the CPU is counted by its matrices."""
    lstm = nn.LSTM(5, 6, batch_first=True, bidirectional=True)
    found = trace(Wrap(lambda net, x: net.lstm(x)[0] * float(x.sum() == 0), lstm=lstm), (7, 5))
    assert bool(found.notes) == (way == "on the meta device")
    assert found.macs == 2 * 7 * 4 * 6 * (5 + 6)


def test_tensors_made_on_the_way_follow_the_copy() -> None:
    """``torch.arange`` without a device, a plain tensor attribute, and masks from ``zeros_like`` stay off the CPU."""

    def forward(net: Wrap, x: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(x.shape[1]).float() * net.scale
        return net.fc(x + positions * torch.ones_like(x))

    net = Wrap(forward, fc=nn.Linear(5, 2))
    net.scale = torch.tensor([2.0, 1.0, 1.0, 1.0, 1.0])
    found = trace(net, (5,))
    assert found.notes == ()
    assert rows(found) == [("(add)", 0, "add"), ("fc", 0, "Linear")]


def test_network_that_squeezes_the_batch_away() -> None:
    """``x.squeeze()`` on one sample leaves batch-norm without a batch; two samples are tried, and macs are still of one."""
    net = Wrap(lambda net, x: net.fc(net.bn(x.squeeze())), bn=nn.BatchNorm1d(5), fc=nn.Linear(5, 3))
    found = trace(net, (5, 1))
    assert (found.macs, found.output_shape, found.notes) == (15, (3,), ())


def test_exception_of_a_layer_that_the_network_catches() -> None:
    """The trace goes on at the right place."""

    def forward(net: Wrap, x: torch.Tensor) -> torch.Tensor:
        try:
            x = net.bad(x)
        except RuntimeError:
            x = net.good(x)
        return torch.relu(x)

    found = trace(Wrap(forward, bad=nn.Sequential(nn.Linear(7, 2)), good=nn.Linear(5, 3)), (5,))
    assert [(call.name, call.output_shape) for call in found.calls] == [("bad.0", ()), ("good", (3,)), ("(relu)", (3,))]
    assert found.macs == 15


@pytest.mark.parametrize("where", ["meta", "real"])
def test_exception_in_the_middle_leaves_the_network_as_it_was(where: str) -> None:
    """Hooks, flags, numbers and random states before are those after; the message names the layer."""

    class Boom(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if where == "real":
                torch.rand(3, device="cpu").tolist()
                x.tolist()
            raise KeyError("fell over")

    calls: list[int] = []
    net = nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), Boom()).train()
    net[0].register_forward_hook(lambda *_: calls.append(1))
    before, printed, rng = everything(net), fingerprint(net), torch.get_rng_state()
    with pytest.raises(ModelError, match=r"KeyError in layer '2' \(Boom\).*fell over.*input_shape"):
        trace(net, (5,))
    assert everything(net) == before
    assert fingerprint(net) == printed
    assert torch.equal(torch.get_rng_state(), rng)
    assert calls == []


def test_successful_trace_leaves_the_network_as_it_was() -> None:
    """Train mode, gradients, hooks and batch-norm statistics too; hooks of the user are not run."""
    calls: list[int] = []
    net = Small().train()
    net(torch.rand(4, 1, 8, 8)).sum().backward()
    net.conv.register_forward_pre_hook(lambda *_: calls.append(1))
    gradients = [p.grad for p in net.parameters()]
    before = everything(net)
    assert trace(net, (1, 8, 8)).notes == ("1 forward hooks of the network were not run",)
    assert everything(net) == before
    assert all(p.grad is g for p, g in zip(net.parameters(), gradients, strict=True))
    assert calls == []


def test_inside_inference_mode_the_trace_is_the_same() -> None:
    """There torch hides composite operations from a dispatch mode unless the trace leaves it."""
    net = Small()
    with torch.inference_mode():
        inside = trace(net, (1, 8, 8))
    assert inside == trace(net, (1, 8, 8))


def test_two_threads_trace_one_network() -> None:
    """Copies and modes are of the thread; neither sees the other's calls."""
    net, found = Small(), []
    threads = [threading.Thread(target=lambda: found.append(trace(net, (1, 8, 8)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [trace(net, (1, 8, 8))] * 2


@pytest.mark.parametrize(
    ("net", "shape", "message"),
    [
        (Small(), (8, 8), r"got samples of shape \(8, 8\); expected 3 axes.*\(1, 8, 8\)"),
        (Small(), (3, 8, 8), r"failed on one sample of shape \(3, 8, 8\).*RuntimeError in layer 'conv' \(Conv2d\).*1 channels"),
        (Small(), (1, 1, 8, 8), r"RuntimeError in layer 'conv'.*after the batch axis"),
        (nn.Sequential(nn.Embedding(5, 3)), (4,), r"layer '0' \(Embedding\).*whole numbers"),
        (nn.Bilinear(2, 2, 2), (2,), r"takes 2 inputs \(input1, input2\)"),
        (Wrap(lambda net, x: "text"), (2,), r"returned a str without a tensor"),
        (nn.LazyLinear(3), (2,), r"lazy layer"),
    ],
)
def test_what_does_not_fit_is_a_sentence(net: nn.Module, shape: tuple[int, ...], message: str) -> None:
    """What was got, what was expected, what to do."""
    with pytest.raises(ModelError, match=message):
        trace(net, shape)


@pytest.mark.parametrize("shape", [(), (0, 3), (3.0,), (True, 2), 784, "12", None, (-1, 8, 8)])
def test_malformed_shapes_are_refused(shape: Any) -> None:
    """The message shows a good one."""
    with pytest.raises(InputError, match=r"e\.g\. \(1, 28, 28\)"):
        trace(Small(), shape)


def test_integer_input_is_refused() -> None:
    """Tokens are not supported in this version."""
    with pytest.raises(InputError, match="floating"):
        trace(Small(), (1, 8, 8), dtype=torch.int64)


def test_torchscript_is_refused_by_name() -> None:
    """Its layers cannot be watched."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        script = torch.jit.script(nn.Linear(3, 3))
    with pytest.raises(UnsupportedError, match="TorchScript"):
        trace(nn.Sequential(script), (3,))


def test_network_that_cannot_be_copied_is_refused() -> None:
    """A lock in the module."""
    net = Small()
    net.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(ModelError, match="cannot be copied"):
        trace(net, (1, 8, 8))


def test_network_on_the_meta_device_that_needs_numbers_is_refused() -> None:
    """There is nothing to fall back to."""
    with torch.device("meta"):
        net = Wrap(lambda net, x: x * float(net.a(x).sum()), a=nn.Linear(3, 3))
    with pytest.raises(ModelError, match="meta"):
        trace(net, (3,))


def test_half_precision_network_gets_its_own_dtype() -> None:
    """The input has the type of the first parameter unless told otherwise."""
    assert trace(Small().bfloat16(), (1, 8, 8)).dtype == torch.bfloat16
    assert trace(Small().double(), (1, 8, 8), dtype=torch.float64).dtype == torch.float64


def test_unknown_name_is_refused() -> None:
    """The message lists the names there are."""
    with pytest.raises(InputError, match=r"called 'cnov'.*conv, bn"):
        trace(Small(), (1, 8, 8)).followed_by("cnov")


def test_layer_that_is_never_called_has_no_calls() -> None:
    """It is a layer of the network nevertheless."""
    found = trace(Wrap(lambda net, x: net.a(x), a=nn.Linear(2, 2), aux=nn.Linear(2, 2)), (2,))
    assert found.calls_of("aux") == ()
    assert found.followed_by("aux") == []
    assert [layer.name for layer in found.layers] == ["a", "aux"]
    assert found.params == 12


@pytest.mark.slow
def test_compiled_network_is_traced_without_compiling() -> None:
    """``torch.compile`` wraps the network; its layers are seen under the wrapper's name for it."""
    found = trace(torch.compile(Small()), (1, 8, 8))
    assert found.macs == trace(Small(), (1, 8, 8)).macs


def test_large_network_is_not_copied_for_a_wrong_shape(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Only where the meta device is to blame does a second try copy the weights."""
    devices: list[str] = []
    from nnwidgets.engine.trace import _trace

    copy = _trace.copy_for_trace

    def noting(model: nn.Module, device: torch.device, blank: bool) -> tuple[nn.Module, list[str]]:
        devices.append("blank" if blank else device.type)
        return copy(model, device, blank)

    monkeypatch.setattr(_trace, "copy_for_trace", noting)
    net = nn.Sequential(nn.Linear(4100, 4100))
    with pytest.raises(ModelError, match=r"RuntimeError in layer '0' \(Linear\)"):
        trace(net, (12,))
    assert devices == ["blank", "blank"] * (way != "on the meta device") + ["meta", "meta"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet300", "lenet5", "resnet20", "vgg_small", "efficientnet_lite0"])
def test_both_ways_find_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls, shapes, producers and macs of the bundled nets, field by field."""
    net = RECIPES[name].build(1.0) if name in RECIPES else EfficientNetLite0()
    shape = {"vgg_small": (3, 32, 32), "efficientnet_lite0": (3, 224, 224)}.get(name, (1, 28, 28))
    found = trace(net, shape)
    monkeypatch.setattr(_trace, "_SMALL_INPUT", 0)
    assert found == trace(net, shape)


LIGHT = """
import sys, torch
from nnwidgets.engine.trace import trace
from nnwidgets.engine.zoo.efficientnet import EfficientNetLite0
from nnwidgets.engine.zoo.examples import RECIPES
nets = (RECIPES["resnet20"].build(1.0), (1, 28, 28)), (EfficientNetLite0(), (3, 224, 224))
print(*(trace(*net).macs for net in nets), "sympy" in sys.modules, "torch._dynamo" in sys.modules)
import torch._dynamo
print(*(trace(*net).macs for net in nets))
"""


@pytest.mark.slow
def test_a_small_network_is_traced_without_loading_the_compiler_of_torch() -> None:
    """It takes 150 MB and seconds, of a kernel that may be killed at 1 GB."""
    ran = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2]
    )
    assert ran.returncode == 0, ran.stderr
    first, second = ran.stdout.splitlines()
    assert first == f"{second} False False"
