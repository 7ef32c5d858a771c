"""A network without some channels answers as a forward pass written out by hand, and its network is as before."""

from __future__ import annotations

import copy
import pickle
import threading
from collections import OrderedDict
from typing import Any

import pytest
import torch
from oracle_ablate import Off, by_hand
from oracle_scan import Functional, InPlace
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import InputError, UnsupportedError
from nnwidgets.engine.evaluation import Prepared, evaluate, stream_accuracy
from nnwidgets.engine.inspect import Site, ablate, feature_maps
from nnwidgets.engine.trace import fingerprint, layers
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.zoo import example_parts, nets

CASES: list[tuple[str, Off]] = [
    ("LeNet5", {("conv1", 0): (0, 3)}),
    ("LeNet5", {("relu", 0): tuple(range(250))}),
    ("LeNet5", {("fc2", 0): (7,)}),
    ("ResNet20", {("conv1", 0): (1, 2)}),
    ("ResNet20", {("(relu)", 0): (1, 2)}),
    ("ResNet20", {("layer2.0.(relu)", 1): tuple(range(16))}),
    ("ResNet20", {("layer2.0.(add)", 0): (5,)}),
    ("ResNet20", {("layer2.1", 0): (5, 6)}),
    ("ResNet20", {("layer1", 0): (5, 6), ("layer3.2.bn2", 0): (63,), ("layer2.0.(relu)", 0): (0,)}),
    ("VggSmall", {("(max_pool2d)", 1): tuple(range(40))}),
    ("VggSmall", {("bn4", 0): (3,), ("conv4", 0): (4,)}),
    ("Functional", {("(conv2d)", 0): (3,)}),
    ("Functional", {("(relu)", 0): (3, 4)}),
    ("Functional", {("(add)", 0): (1,)}),
    ("Functional", {("(add)", 1): (1,)}),
    ("Functional", {("(add)", 2): (6,), ("(relu)", 1): (2,)}),
    ("InPlace", {("bn", 0): (2,)}),
    ("InPlace", {("relu", 0): (2,)}),
    ("InPlace", {("relu", 1): (2, 3)}),
    ("InPlace", {("(add)", 0): (2,), ("(add)", 1): (5,)}),
]
IDS = [f"{name} {', '.join(f'{place}#{call}' for place, call in off)}" for name, off in CASES]


def network(name: str) -> nn.Module:
    """Weights as drawn, batch-norm statistics as after some training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = {"Functional": Functional, "InPlace": InPlace}.get(name) or getattr(nets, name)
        model: nn.Module = made().eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, 0, 0.3)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
                nn.init.normal_(module.bias, 0, 0.3)
    return model


def images(name: str, n: int = 6) -> Tensor:
    shape = {"VggSmall": (3, 32, 32), "Functional": (1, 8, 8), "InPlace": (1, 8, 8)}.get(name, (1, 28, 28))
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))


def as_sites(off: Off) -> dict[str | Site, tuple[int, ...]]:
    return {Site(*key): channels for key, channels in off.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "off"), CASES, ids=IDS)
def test_it_answers_as_the_pass_by_hand_at_first_and_again_and_as_a_quick_copy(name: str, off: Off) -> None:
    model, x = network(name), images(name)
    wanted, before = by_hand(model, x, off), fingerprint(model)
    assert not torch.equal(wanted, model(x)), "the channels matter"
    made = ablate(model, as_sites(off))
    for batch in (x, x[:2], x):
        with torch.inference_mode():
            assert torch.equal(made(batch.clone()), by_hand(model, batch, off))
    quick = Prepared(made, tuple(x.shape[1:]), x)
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(ablate(model, as_sites(off)))), quick.network):
        with torch.inference_mode():
            assert torch.allclose(twin(x.clone()), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    assert fingerprint(model) == before and made.network is model  # type: ignore[union-attr]


def test_batch_norm_is_folded_elsewhere_and_never_over_the_ablated_place() -> None:
    model, x = network("VggSmall"), images("VggSmall", 8)
    everywhere = Prepared(model, (3, 32, 32), x).folded
    folded = Prepared(ablate(model, "conv3", [0]), (3, 32, 32), x).folded
    assert len(everywhere) == 6 and set(folded) == {f"network.{name}" for name in everywhere} - {"network.conv3"}
    assert len(Prepared(ablate(model, "bn3", [0]), (3, 32, 32), x).folded) == 6


def test_it_can_be_evaluated_and_streamed() -> None:
    parts = example_parts("digits/resnet20")
    model, x = parts.model, parts.val.inputs(slice(0, 80))
    off: Off = {("layer2.0.(relu)", 1): tuple(range(8)), ("conv1", 0): (5,)}
    labels = by_hand(model, x, {}).argmax(1)
    split, made = Split(x, labels), ablate(model, as_sites(off))
    wanted = (by_hand(model, x, off).argmax(1) == labels).numpy()
    assert 0 < wanted.sum() < len(x)
    assert (evaluate(made, split).correct == wanted).all()
    last = list(stream_accuracy(made, split, reference=evaluate(model, split), half_width=None))[-1]
    assert last.final and last.accuracy == wanted.mean() and last.difference == wanted.mean() - 1


def test_nesting_a_mapping_and_one_call_after_the_other_are_the_same() -> None:
    model, x = network("LeNet5"), images("LeNet5")
    nested = ablate(ablate(ablate(model, "conv1", 3), "relu", range(5)), "conv1", torch.tensor([4]))
    at_once = ablate(model, {"conv1": [4, 3, 3], Site("relu"): range(5)})
    assert torch.equal(nested(x), at_once(x)) and nested.network is model  # type: ignore[union-attr]
    assert nested.off == at_once.off == {Site("conv1"): (3, 4), Site("relu"): (0, 1, 2, 3, 4)}  # type: ignore[union-attr]
    assert torch.equal(ablate(model, "conv1")(x), model(x)), "no channel: nothing is off"


def test_the_training_flag_and_the_table_of_layers_are_those_of_the_network() -> None:
    model = network("ResNet20")
    assert ablate(model, "conv1", 0).training is False and ablate(model.train(), "conv1", 0).training is True
    plain, table = layers(model, (1, 28, 28)), layers(ablate(model, {"layer1.0.(add)": 0, "fc": 1}), (1, 28, 28))
    assert table.macs.sum() == plain.macs.sum() and table.params.sum() == plain.params.sum()


class Answers(nn.Module):
    """Axes and containers of several kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.sequence = nn.LayerNorm(6), nn.Conv1d(3, 4, 3, padding=1)
        self.lstm, self.attention = nn.LSTM(6, 5, batch_first=True), nn.MultiheadAttention(6, 2, batch_first=True)
        self.same = nn.Identity()

    def forward(self, x: Tensor) -> dict[str, Any]:
        """(B, 3, 6) -> results by name."""
        x = self.norm(x)
        kept = x
        same = self.same(x)
        attended, weights = self.attention(x, x, x)
        return {
            "kept": kept, "same": same, "attended": attended, "weights": weights, "sequence": self.sequence(x),
            "lstm": self.lstm(x)[0], "ordered": OrderedDict(x=x),
        }  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "result", "axis"),
    [("norm", "same", 2), ("same", "same", 2), ("attention", "attended", 2), ("sequence", "sequence", 1), ("lstm", "lstm", 2)],
)
def test_channels_are_those_of_feature_maps_and_what_shares_memory_keeps_its_numbers(layer: str, result: str, axis: int) -> None:
    model, x = Answers().eval(), torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain, found = model(x), ablate(model, layer, 1)(x)
    wanted = plain[result].clone()
    wanted.select(axis, 1).zero_()
    assert torch.equal(found[result], wanted)
    assert torch.equal(found["weights"], plain["weights"]) or layer in ("norm", "same")
    assert layer == "norm" or torch.equal(found["kept"], plain["kept"]), "Identity gives its input: that one is left alone"
    assert torch.equal(feature_maps(model, x, layer)[:, 1].flatten(), plain[result].select(axis, 1).flatten())


class Writes(nn.Module):
    """Results that are written over the input and never looked at as results."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.conv, self.out = way, nn.Conv2d(1, 4, 3), nn.Linear(4, 3)
        self.wrapped = nn.Sequential(nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 3)."""
        x = self.conv(x)
        if self.way == "relu_":
            F.relu_(x)
        elif self.way == "method":
            x.relu_()
        elif self.way == "inplace":
            F.relu(x, inplace=True)
        elif self.way == "positional":
            F.leaky_relu(x, 0.1, True)
        else:
            self.wrapped(x)
        return self.out(x.mean((2, 3)))


@pytest.mark.parametrize(
    ("way", "layer"),
    [("relu_", "(relu)"), ("method", "(relu)"), ("inplace", "(relu)"), ("positional", "(leaky_relu)"), ("wrapped", "wrapped")],
)
def test_row_39_zeros_are_seen_where_a_result_is_only_left_in_its_input(way: str, layer: str) -> None:
    model, x = Writes(way).eval(), torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    made = ablate(model, layer, [0, 2])
    with torch.no_grad():
        maps = F.leaky_relu(model.conv(x), 0.1 if way == "positional" else 0.0)
        maps[:, [0, 2]] = 0
        for _ in range(2):
            assert torch.allclose(made(x), model.out(maps.mean((2, 3))), atol=1e-6)


class Turns(nn.Module):
    """Takes another way where the images are dark."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 3)."""
        dark = bool(x.mean() < 0)
        x = F.relu(self.conv(x))
        if dark:
            x = F.relu(x - 0.1)
        return self.out(F.relu(x * 2).mean((2, 3)))


def test_a_network_that_takes_another_turn_is_met_at_the_right_call() -> None:
    model = Turns().eval()
    draw = torch.Generator().manual_seed(0)
    bright, dark = torch.rand(3, 1, 8, 8, generator=draw), -torch.rand(3, 1, 8, 8, generator=draw)
    made = ablate(model, "(relu)", 0, call=1)
    with torch.no_grad():
        for x in (bright, dark, bright, dark):
            maps = F.relu(model.conv(x))
            if x is dark:
                maps = F.relu(maps - 0.1)
                maps[:, 0] = 0
            maps = F.relu(maps * 2)
            maps[:, 0] = 0
            assert torch.equal(made(x), model.out(maps.mean((2, 3))))


@pytest.mark.parametrize(
    ("layer", "channels", "call", "words"),
    [
        ("conv9", 0, 0, "there is no layer 'conv9'; did you mean 'conv2' or 'conv1'"),
        ("nothing.(relu)", 0, 0, "there is no layer"),
        ("conv1", [0, 20], 0, "conv1 has 20 channels, 0 to 19; got channel 20"),
        ("conv1", -1, 0, "got -1 among them, expected whole numbers from 0"),
        ("conv1", "all", 0, "channels: got 'all', expected numbers from 0"),
        ("conv1", [True], 0, "got True"),
        ("conv1", 0, -1, "call: got -1"),
        (3, 0, 0, "layer: got int, expected a name"),
    ],
)
def test_what_does_not_exist_is_told_at_once_with_what_there_is(layer: Any, channels: Any, call: Any, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        ablate(network("LeNet5"), layer, channels, call)


def test_what_only_a_pass_can_tell_is_told_by_the_first_one() -> None:
    model, x = network("LeNet5"), images("LeNet5")
    with pytest.raises(InputError, match="pool1 has 20 channels, 0 to 19; got channel 25"):
        ablate(model, "pool1", 25)(x)
    with pytest.raises(InputError, match=r"layer 'conv1' has 1 call\(s\), got call=1"):
        ablate(model, "conv1", 0, call=1)(x)
    with pytest.raises(InputError, match=r"there is no layer '\(gelu\)'"):
        ablate(model, "(gelu)", 0)(x)
    with pytest.raises(UnsupportedError, match="cannot be shown as maps"):
        ablate(nn.Sequential(nn.Unflatten(1, (1, 1, 1, 28)), nn.Flatten()), "0", 0)(x[:, 0])
    with pytest.raises(InputError, match="pool1 has 20 channels"):
        evaluate(ablate(model, "pool1", 25), Split(x, [0] * len(x)))
    with pytest.raises(InputError, match="model: got str"):
        ablate("lenet5", "conv1", 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "key"), [("LeNet5", ("conv2", 0)), ("VggSmall", ("(relu)", 1)), ("VggSmall", ("bn3", 0))])
def test_row_31_what_another_thread_gets_from_the_same_network_is_never_a_mixture(name: str, key: tuple[str, int]) -> None:
    model, x = network(name), images(name, 2)
    plain, off = by_hand(model, x, {}), by_hand(model, x, {key: (0, 1, 2)})
    wrong: list[str] = []
    stop = threading.Event()

    def use_it() -> None:
        with torch.no_grad():
            while not stop.is_set():
                if not torch.equal(model(x), plain):
                    wrong.append("plain")

    other = threading.Thread(target=use_it)
    other.start()
    with torch.no_grad():
        for _ in range(15):
            if not torch.equal(ablate(model, key[0], [0, 1, 2], key[1])(x), off):
                wrong.append("off")
    stop.set()
    other.join()
    assert wrong == []


@pytest.mark.parametrize("layer", ["1", "(relu)"])
def test_row_29_a_forward_that_raises_in_the_middle_leaves_the_users_hooks_and_no_others(layer: str) -> None:
    class Late(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(super().forward(x))
            raise RuntimeError("blown")

    model = Late(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    seen: list[int] = []
    model[0].register_forward_hook(lambda *_: seen.append(1))
    hooks = [[dict(value) for key, value in vars(module).items() if key.endswith("_hooks")] for module in model.modules()]
    made = ablate(model, layer, 0)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="blown"):
            made(images("LeNet5"))
    now = [[dict(value) for key, value in vars(module).items() if key.endswith("_hooks")] for module in model.modules()]
    assert now == hooks and len(seen) == 2
