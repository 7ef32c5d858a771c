"""What hangs together in a network, and what cannot be removed from it."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from oracle_channels import (
    Answers,
    Attention,
    Depthwise,
    Fixed,
    Functional,
    Grouped,
    PixelShuffle,
    Recurrent,
    Shared,
    Sliced,
    SqueezeExcite,
    Tokens,
    Transposed,
    UNet,
    Unknown,
    Written,
    components_by_search,
    reshaped_in_full,
    stirred,
    wrong_units,
)
from torch import Tensor, nn

from nnwidgets.engine.compression import compress
from nnwidgets.engine.errors import InputError, ModelError, RecipeError, UnsupportedError
from nnwidgets.engine.pruning.channels import ChannelGroups, channel_groups
from nnwidgets.engine.pruning.channels._components import components
from nnwidgets.engine.pruning.channels._labels import reshaped
from nnwidgets.engine.trace import fingerprint, rng_states, same_rng, weight_layers
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.zoo.nets import LeNet5, LeNet300, ResNet20, VggSmall

S = (3, 8, 8)
STREAM = ("filter", 16, "patch proj fc2")
HIDDEN = ("neuron", 24, "fc1", "fc2")

# Network, input shape, its bundles as (structure, n, producers, consumers), and what is refused beside the last layer.
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], list[tuple[str, int, str, str]], str]] = {
    "functional": (Functional, S, [("filter", 8, "a b", "b fc")], ""),
    "u-net": (
        UNet,
        S,
        [
            ("filter", 6, "down1", "down2 last"),
            ("filter", 10, "down2", "up"),
            ("filter", 5, "up", "last"),
            ("filter", 4, "last", "fc"),
        ],
        "",
    ),
    "depthwise x 2": (Depthwise, S, [("filter", 6, "a deep", "b"), ("filter", 5, "b", "fc")], ""),
    "depthwise x 3": (lambda: Depthwise(3), S, [("filter", 6, "a deep", "b"), ("filter", 5, "b", "fc")], ""),
    "grouped": (Grouped, S, [("filter", 6, "a", "b"), ("filter", 2, "b", "c"), ("filter", 6, "c", "fc")], ""),
    "grouped, torch's shuffle": (
        lambda: Grouped(own_shuffle=False),
        S,
        [("filter", 6, "a", "b"), ("filter", 2, "b", "c"), ("filter", 6, "c", "fc")],
        "",
    ),
    "transposed": (Transposed, (3, 4, 4), [("filter", 4, "a", "b"), ("filter", 6, "b c", "fc")], ""),
    "squeeze and excite": (SqueezeExcite, S, [("filter", 8, "a up", "down fc"), ("neuron", 4, "down", "up")], ""),
    "attention": (Attention, S, [(*STREAM, "qkv fc1 head"), ("head", 4, "qkv", "proj"), HIDDEN], ""),
    "attention, normed heads": (
        lambda: Attention("normed"),
        S,
        [(*STREAM, "qkv fc1 head"), ("head", 4, "qkv", "proj"), HIDDEN],
        "",
    ),
    "attention, torch's function": (
        lambda: Attention("fused"),
        S,
        [(*STREAM, "qkv fc1 head"), ("head", 4, "qkv", "proj"), HIDDEN],
        "",
    ),
    "attention, three layers": (
        lambda: Attention("separate"),
        S,
        [(*STREAM, "q k v fc1 head"), ("head", 4, "q k v", "proj"), HIDDEN],
        "",
    ),
    "attention by the width": (lambda: Attention("width"), S, [HIDDEN], "patch proj fc2 qkv"),
    "torch's attention": (
        Tokens,
        S,
        [
            ("filter", 12, "patch attention.out_proj", "attention.in_proj_weight head"),
            ("head", 3, "attention.in_proj_weight", "attention.out_proj"),
        ],
        "",
    ),
    "torch's encoder": (
        lambda: Tokens(encoder=True),
        S,
        [
            ("head", 3, "encoder.self_attn.in_proj_weight", "encoder.self_attn.out_proj"),
            ("neuron", 20, "encoder.linear1", "encoder.linear2"),
        ],
        "patch encoder.self_attn.out_proj encoder.linear2",
    ),
    "shared": (Shared, S, [("filter", 6, "a twice b", "twice b fc")], ""),
    "size in the code": (Fixed, (3, 32, 32), [("filter", 6, "conv1", "conv2"), ("neuron", 20, "fc1", "fc2")], "conv2"),
    "recurrent": (Recurrent, S, [("neuron", 7, "fc", "out")], "conv"),
    "dict": (Answers, S, [("filter", 6, "a", "b")], "b"),
    "tuple": (lambda: Answers(as_dict=False), S, [("filter", 5, "b", "fc")], "a"),
    "unknown operation": (Unknown, S, [("filter", 6, "a", "b")], "b"),
    "written into another": (Written, S, [("filter", 6, "a", "b")], "b"),
    "uneven slices": (lambda: Sliced(4), S, [("filter", 5, "b c", "fc")], "a"),
    "halves by fixed bounds": (lambda: Sliced(5), S, [("filter", 5, "b c", "fc")], "a"),
    "pixel shuffle": (PixelShuffle, S, [("filter", 6, "a", "b"), ("filter", 5, "b", "fc")], ""),
    "lenet5": (
        LeNet5,
        (1, 28, 28),
        [("filter", 20, "conv1", "conv2"), ("filter", 50, "conv2", "fc1"), ("neuron", 500, "fc1", "fc2")],
        "",
    ),
    "lenet300": (LeNet300, (784,), [("neuron", 300, "fc1", "fc2"), ("neuron", 100, "fc2", "fc3")], ""),
    "vgg_small": (
        VggSmall,
        (3, 32, 32),
        [("filter", n, f"conv{i}", f"conv{i + 1}" if i < 6 else "fc") for i, n in enumerate((32, 32, 64, 64, 128, 128), 1)],
        "",
    ),
}


def found(name: str) -> tuple[nn.Module, ChannelGroups]:
    torch.manual_seed(0)
    model = stirred(NETS[name][0]())
    return model, channel_groups(model, NETS[name][1])


@pytest.mark.parametrize("name", NETS)
def test_bundles_are_those_that_a_person_would_find(name: str) -> None:
    model, groups = found(name)
    got = [(b.structure, b.n, " ".join(b.producers), " ".join(b.consumers)) for b in groups.bundles]
    assert got == NETS[name][2]
    assert set(groups.refused) == {*NETS[name][3].split(), weight_layers(model)[-1].name}
    assert all(groups.refused.values()) and not groups.partly


@pytest.mark.parametrize("name", [name for name in NETS if name not in ("dict", "tuple", "lenet300")])
def test_a_unit_has_effect_through_its_readers_and_through_each_of_them(name: str) -> None:
    model, groups = found(name)
    x = torch.randn(8, *NETS[name][1], generator=torch.Generator().manual_seed(3))
    for bundle in groups.bundles:
        few = sum(len(member.index) for member in bundle.members) < 250
        assert [*wrong_units(model, bundle, bundle.n // 2, x, needed=few)] == []


def test_the_twin_sees_a_reader_that_is_left_out_and_one_too_many() -> None:
    model, groups = found("u-net")
    down, up = groups["down1"], groups["up"]
    x = torch.randn(4, *S)
    without = type(down)(down.name, down.structure, down.n, tuple(m for m in down.members if m.layer != "last"))
    assert any("read by more" in text for text in wrong_units(model, without, 1, x))
    more = type(up)(up.name, up.structure, up.n, (*up.members, *(m for m in down.members if m.layer == "down2")))
    assert any("is not read by down2" in text for text in wrong_units(model, more, 1, x))


def test_resnet20_keeps_the_channels_that_meet_padding_and_says_so() -> None:
    groups = channel_groups(ResNet20(), (1, 28, 28))
    stream = groups["conv1"]
    assert stream.n == 16 and len(stream.producers) == 10
    assert stream.channels("layer3.2.conv2").tolist() == [-1] * 24 + list(range(16)) + [-1] * 24
    assert set(groups.refused) == {"fc"} and len(groups.partly) == 6
    assert all("padding" in reason for reason in groups.partly.values())
    assert [b.n for b in groups.bundles if b.name != "conv1"] == [16, 16, 16, 32, 32, 32, 64, 64, 64]


@pytest.mark.parametrize(
    ("name", "layer", "words"),
    [
        ("size in the code", "conv2", r"\[-1, 400\]"),
        ("recurrent", "conv", "LSTM"),
        ("unknown operation", "b", "_fft_r2c"),
        ("dict", "b", "among the network's answers"),
        ("torch's encoder", "patch", "layer norm takes mean and variance"),
        ("uneven slices", "a", "slice with fixed bounds"),
        ("written into another", "b", "size is fixed"),
        ("attention by the width", "qkv", "counts on all of them"),
    ],
)
def test_a_refusal_has_its_reason(name: str, layer: str, words: str) -> None:
    _, groups = found(name)
    assert re.search(words, groups.refused[layer])
    assert groups.explain(layer) == (f"No output of {layer} can be removed: {groups.refused[layer]}.",)


def test_explanations_name_the_operation_that_ties() -> None:
    _, groups = found("functional")
    said = groups.explain("b")
    assert said[0] == "removed together with a because it is added to b in (add)"
    assert "removed together with fc because it reads them" in said and len(said) == len(set(said))
    with pytest.raises(RecipeError, match="no weight layer 'x'"):
        groups.explain("x")
    with pytest.raises(RecipeError, match="expected one of a"):
        groups["b"]


class Odd(nn.Module):
    """Layers that nothing can be removed from: one output only, never called, all channels tied together."""

    def __init__(self, scale: bool = False) -> None:
        super().__init__()
        self.a, self.one, self.never = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 1, 1), nn.Conv2d(3, 6, 1)
        self.b, self.fc, self.scale = nn.Conv2d(6, 6, 1, groups=3), nn.Linear(6, 10), scale

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        x = self.b(x * torch.sigmoid(self.one(x)))
        if self.scale:
            x = x * x.shape[1] ** -0.5
        return self.fc(x.mean((2, 3)))


def test_layers_that_have_nothing_to_remove_say_why() -> None:
    refused = channel_groups(Odd(), S).refused
    assert refused["one"] == "it has only one output"
    assert refused["never"] == "the forward pass in eval mode does not use it"
    assert set(refused) == {"one", "never", "fc"}


def test_a_scale_made_of_the_number_of_channels_is_noticed() -> None:
    groups = channel_groups(Odd(scale=True), S)
    assert "a number computed from sizes changes from" in groups.refused["b"]
    assert groups.of("a")


@pytest.mark.parametrize("make", [UNet, lambda: Tokens(encoder=True), Recurrent, Fixed])
def test_the_network_and_the_random_state_stay_as_they_were(make: Callable[[], nn.Module]) -> None:
    model = make().train()
    shape = (3, 32, 32) if isinstance(model, Fixed) else S
    next(model.parameters()).requires_grad_(False)
    called: list[int] = []
    model.register_forward_hook(lambda *_: called.append(1))
    before, state, plain = fingerprint(model), rng_states(), {n: set(vars(m)) for n, m in model.named_modules()}
    eval_groups = channel_groups(make().eval(), shape)
    groups = channel_groups(model, shape)
    assert fingerprint(model) == before and not called
    assert {n: set(vars(m)) for n, m in model.named_modules()} == plain
    assert [(b.name, b.n) for b in groups.bundles] == [(b.name, b.n) for b in eval_groups.bundles]
    torch.manual_seed(0)
    state = rng_states()
    channel_groups(model, shape)
    assert same_rng(state, rng_states())


@pytest.mark.parametrize("make", [UNet, lambda: Attention("fused"), Depthwise])
def test_a_network_on_the_meta_device_has_the_same_groups(make: Callable[[], nn.Module]) -> None:
    real, meta = channel_groups(make(), S), channel_groups(make().to("meta"), S)
    assert [(b.name, b.n, b.producers, b.consumers) for b in meta.bundles] == [
        (b.name, b.n, b.producers, b.consumers) for b in real.bundles
    ]
    assert meta.refused == real.refused


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_of_numbers(dtype: torch.dtype) -> None:
    assert len(channel_groups(UNet().to(dtype), S).bundles) == 4


def test_what_cannot_be_followed_is_refused_by_an_error() -> None:
    class TwoInputs(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(InputError, match="input_shape"):
        channel_groups(UNet(), "3x8x8")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="failed on one sample of shape"):
        channel_groups(UNet(), (5, 8, 8))
    with pytest.raises(ModelError, match="takes 2 inputs"):
        channel_groups(TwoInputs(), S)
    with pytest.raises(ModelError, match="lazy"):
        channel_groups(nn.Sequential(nn.LazyLinear(3)), (4,))
    with pytest.raises(UnsupportedError, match="bake"):
        channel_groups(compress(VggSmall(), Recipe(Pruning(0.5))), (3, 32, 32))
    with pytest.raises(ModelError, match=r"expected a torch\.nn\.Module"):
        channel_groups(3, S)  # type: ignore[arg-type]


def test_components_are_those_of_a_search() -> None:
    draw = np.random.default_rng(0)
    for n, edges in itertools.product((1, 7, 40), (0, 3, 30, 100)):
        a, b = draw.integers(0, n, (2, edges))
        assert components(n, a, b).tolist() == components_by_search(n, a.tolist(), b.tolist())
    chain = np.arange(3000)
    assert not components(3001, chain[::-1] + 1, chain[::-1]).any()


def test_views_of_labels_are_those_of_full_arrays() -> None:
    draw = np.random.default_rng(0)
    shapes = [(2, 6, 4), (12, 4), (2, 2, 3, 4), (48,), (2, 24), (1, 2, 6, 2, 2), (4, 12), (2, 6, 1, 4), (3, 4, 4), (8, 6)]
    for old, new in itertools.product(shapes, repeat=2):
        axis = int(draw.integers(len(old)))
        factor = np.arange(old[axis]).reshape([-1 if each == axis else 1 for each in range(len(old))])
        kept, _, lost = reshaped([factor], old, new)
        assert not lost
        wide = kept[0] if kept else np.zeros([1] * len(new), dtype=np.int64)
        assert np.array_equal(np.broadcast_to(wide, new), reshaped_in_full(factor, old, new))


def test_two_kinds_of_channels_in_one_axis_are_lost_not_mixed_up() -> None:
    rows, columns = np.arange(4).reshape(4, 1), np.arange(6).reshape(1, 6)
    kept, split, lost = reshaped([rows, columns], (4, 6), (24,))
    assert not kept and not split and len(lost) == 2


@pytest.mark.slow
def test_the_compiler_of_torch_is_not_loaded() -> None:
    code = (
        "import sys\nfrom nnwidgets.engine.pruning.channels import channel_groups\n"
        "from nnwidgets.engine.zoo.nets import ResNet20\n"
        "print(len(channel_groups(ResNet20(), (1, 28, 28)).bundles), 'torch._dynamo' in sys.modules, 'sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["10", "False", "False"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "mobilenet_v2", "densenet121", "efficientnet_b0", "mnasnet1_0"])
def test_units_are_those_of_torch_pruning_where_it_is_right(name: str) -> None:
    torch_pruning = pytest.importorskip("torch_pruning")
    torchvision = pytest.importorskip("torchvision")
    model = getattr(torchvision.models, name)(weights=None).eval()
    groups = channel_groups(model, (3, 64, 64))
    graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=torch.randn(1, 3, 64, 64))
    names = {module: at for at, module in model.named_modules()}
    for bundle in groups.bundles:
        unit = bundle.n // 3
        ours = {
            (member.module_name, member.role == "in", int(index))
            for member in bundle.members
            if member.role in ("out", "in", "norm")
            for index in np.flatnonzero(member.index == unit)
        }
        first = bundle.members[0]
        layer = model.get_submodule(first.module_name)
        prune = torch_pruning.prune_linear_out_channels if isinstance(layer, nn.Linear) else torch_pruning.prune_conv_out_channels
        theirs = {
            (
                names[part.target.module],
                "in_channels" in part.handler.__name__ and "depthwise" not in part.handler.__name__,
                int(index),
            )
            for part, indexes in graph.get_pruning_group(layer, prune, idxs=[int(np.flatnonzero(first.index == unit)[0])])
            if part.target.module in names
            for index in indexes
        }
        assert ours == theirs, bundle.name
