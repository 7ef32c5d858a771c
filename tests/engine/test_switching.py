"""Switching channels of a layer from the middle of a pass: answers are those of ``ablate``, and what comes before runs once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from oracle_ablate import all_by_hand, by_hand
from oracle_scan import Functional, InPlace
from test_ablate import Turns, images, network
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import nnwidgets.engine as engine
from nnwidgets.engine.errors import DataError, InputError, ModelError, UnsupportedError
from nnwidgets.engine.evaluation import Tally, evaluate, strata_of
from nnwidgets.engine.inspect import Switching, ablate
from nnwidgets.engine.trace import fingerprint
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.zoo import example_parts

SHORT = {
    "ResNet20": ["conv1", "layer1.1", "layer2.0.(relu)", "layer2.0.(add)"],
    "VggSmall": ["conv1", "bn3", "(max_pool2d)", "fc"],
}


def close(found: Tensor, wanted: Tensor) -> bool:
    """Equal up to the rounding of batch-norm that was folded."""
    return bool(((found - wanted).abs() <= 1e-4 * wanted.abs().max()).all())


def agree(model: nn.Module, x: Tensor, switching: Switching, key: tuple[str, int]) -> None:
    switching.choose(*key)
    every = tuple(range(switching.count))
    for off in ((), (0,), every[::2], every, ()):
        wanted = by_hand(model, x, {key: off} if off else {})
        assert close(switching.logits(x, off), wanted), (key, len(off))
        assert close(switching.logits(x[:2].clone(), off), wanted[:2]), (key, len(off))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LeNet5", "ResNet20", "VggSmall", "Functional", "InPlace"])
def test_answers_are_those_of_a_pass_by_hand(name: str) -> None:
    model, x = network(name), images(name, 5)
    before, switching = fingerprint(model), Switching(model, tuple(x.shape[1:]), x)
    for key in all_by_hand(model, x):
        if key[0] in SHORT.get(name, [key[0]]):
            agree(model, x, switching, key)
            # What is written into a part of a tensor cannot be found in the graph.
            assert switching.method == ("whole" if (name, *key) == ("Functional", "(add)", 1) else "graph"), key
    assert fingerprint(model) == before


@pytest.mark.slow
def test_answers_are_those_of_a_pass_by_hand_at_every_place_of_resnet20() -> None:
    model, x = network("ResNet20"), images("ResNet20", 5)
    switching = Switching(model, (1, 28, 28), x)
    for key in all_by_hand(model, x):
        agree(model, x, switching, key)
        assert switching.method == "graph"


class Batched(nn.Module):
    """Keeps the size of the batch for later."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.out = nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 3)."""
        batch = x.size(0)
        return self.out(self.relu(self.conv(x)).view(batch, -1))


class Attending(nn.Module):
    """Tokens, and a layer that gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.attention, self.out = nn.Linear(8, 12), nn.MultiheadAttention(12, 3, batch_first=True), nn.Linear(12, 3)
        self.norm, self.constant = nn.LayerNorm(12), nn.Parameter(torch.ones(12))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 3)."""
        x = self.into(x.squeeze(1))
        shift = self.constant * 2
        return self.out((self.norm(x + self.attention(x, x, x)[0]) + shift).mean(1))


class ByNumbers(nn.Module):
    """Looks at numbers on its way: it has no graph."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)
        self.pool = nn.Sequential(nn.MaxPool2d(2), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 3)."""
        x = self.a(x)
        if float(x.abs().max()) > 100:
            x = x / 100
        return self.c(F.relu(self.b(self.pool(x)[:, :, :, :].repeat(1, 1, 2, 2))).mean((2, 3)))


CASES: list[tuple[type[nn.Module], str, str]] = [
    (Batched, "conv", "graph"),
    (Batched, "relu", "graph"),
    (Attending, "into", "graph"),
    (Attending, "attention", "graph"),
    (Attending, "(add)", "graph"),
    (ByNumbers, "a", "layers"),
    (ByNumbers, "pool", "layers"),
    (ByNumbers, "b", "layers"),
    (ByNumbers, "(relu)", "whole"),
    (Turns, "(relu)", "whole"),
    (Functional, "(relu)", "graph"),
    (Functional, "(conv2d)", "graph"),
    (InPlace, "stem", "graph"),
    (InPlace, "relu", "graph"),
]


@pytest.mark.parametrize(("kind", "layer", "method"), CASES)
def test_networks_of_other_kinds_are_right_too_and_what_is_slower_is_said(kind: Any, layer: str, method: str) -> None:
    torch.manual_seed(0)
    model, x = kind().eval(), torch.randn(70, 1, 8, 8)
    switching = Switching(model, (1, 8, 8), x[:4])
    switching.choose(layer)
    assert switching.method == method
    words = {"graph": "Only what comes behind", "layers": "answer from memory", "whole": "The whole network is run for each set"}
    assert words[method] in switching.note and (
        method == "graph" or "no graph to go by: its forward pass needs" in switching.note
    )
    split = Split(x, torch.randint(0, 3, (70,)))
    for off in ([], [1], [0, 2]):
        made = ablate(model, layer, off)
        with torch.no_grad():
            assert close(switching.logits(x, off), made(x))
        last = list(switching.stream(split, Tally(70), off))[-1]
        assert last.final and last.accuracy == evaluate(made, split).accuracy
    # Where memory is shared under two names, copying one by one would part them.
    assert ("cannot be kept image by image" in switching.note) == (kind in (Functional, InPlace) and "relu" in layer)


def counted(switching: Switching, name: str) -> list[int]:
    """Sizes of the batches that a layer of the copy is given from now on."""
    quick: Any = switching._quick
    sizes: list[int] = []
    quick.network.get_submodule(name).register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    return sizes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "budget", "again"),
    [("layer2.0.(relu)", 2**27, 0), ("layer2.0.(relu)", 30 * 32 * 14 * 14 * 4 * 2, 10), ("bn1", 10, 40)],
)
def test_the_second_stream_on_a_layer_runs_only_what_was_not_kept(layer: str, budget: int, again: int) -> None:
    """The relu within a block keeps two tensors of its size for each image: its own and the shortcut."""
    model = network("ResNet20")
    split = Split(images("ResNet20", 40), torch.arange(40) % 10)
    switching = Switching(model, (1, 28, 28), split.inputs(slice(0, 8)), budget_bytes=budget)
    switching.choose(layer)
    sizes = counted(switching, "conv1")
    for number, off in enumerate(([1, 2], range(10))):
        sizes.clear()
        estimates = list(switching.stream(split, Tally(40, seed=number), off))
        ran = sum(sizes) - (3 if number == 0 else 0)  # two images and one, to see how points are made
        assert ran == (40 if number == 0 else again)
        assert estimates[-1].accuracy == evaluate(ablate(model, layer, off), split).accuracy


def test_a_part_of_the_images_that_is_kept_is_joined_with_the_others() -> None:
    parts = example_parts("digits/resnet20")
    split = parts.val.take(range(120))
    reference = evaluate(parts.model, split)
    assert split.labels is not None
    strata = strata_of(split.labels.numpy(), reference.margins)
    switching = Switching(parts.model, split.sample_shape, split.inputs(slice(0, 8)))
    switching.choose("layer2.0", 0)
    off = list(range(10))
    first = switching.stream(split, Tally(120, strata, reference.accuracy, seed=1), off)
    next(first)
    first.close()
    tally = Tally(120, strata, reference.accuracy, seed=2)
    *rest, last = switching.stream(split, tally, off)
    wanted = evaluate(ablate(parts.model, "layer2.0", off), split)
    assert (tally.right == wanted.correct).all() and np.allclose(tally.margin, wanted.margins, atol=1e-2)
    assert last.final and last.difference == wanted.accuracy - reference.accuracy and rest[0].difference_low is not None


def test_another_sample_is_not_mixed_up_with_the_one_before() -> None:
    model = network("LeNet5")
    switching = Switching(model, (1, 28, 28), images("LeNet5"))
    switching.choose("pool2")
    for seed in (0, 1):
        x = torch.randn(60, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
        split = Split(x, torch.arange(60) % 10)
        tally = Tally(60)
        list(switching.stream(split, tally, [3, 4]))
        wanted = evaluate(ablate(model, "pool2", [3, 4]), split)
        assert (tally.right == wanted.correct).all() and np.allclose(tally.margin, wanted.margins, atol=1e-5)


def test_a_compressed_network_and_a_large_one_are_switched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from nnwidgets.engine.inspect import _switching

    model, x = network("VggSmall"), images("VggSmall")
    pruned = engine.compress(model, Recipe(Pruning(0.5)))
    switching = Switching(pruned, (3, 32, 32), x)
    switching.choose("bn2")
    with torch.no_grad():
        assert close(switching.logits(x, [0, 1]), ablate(pruned, "bn2", [0, 1])(x))
    monkeypatch.setattr(_switching, "_LARGE", 0)
    shared = Switching(model, (3, 32, 32), x)
    shared.choose("conv4")
    assert shared.method == "graph" and close(shared.logits(x, [0, 1]), by_hand(model, x, {("conv4", 0): (0, 1)}))
    own, given = dict(shared._plain.named_parameters()), dict(model.named_parameters())
    assert all(own[name] is given[name] for name in given), "no weight is copied"


def everything(model: nn.Module) -> tuple[Any, ...]:
    grads = [(id(p.grad), p.requires_grad) for p in model.parameters()]
    hooks = [[len(getattr(module, name)) for name in vars(module) if name.endswith("_hooks")] for module in model.modules()]
    forwards = ["forward" in vars(module) for module in model.modules()]
    flags = [module.training for module in model.modules()]
    return fingerprint(model), flags, grads, hooks, forwards, torch.get_rng_state().tolist()


@pytest.mark.parametrize("kind", [Batched, ByNumbers, Turns])
def test_rows_29_30_and_32_at_every_step_the_network_given_is_as_before(kind: Any) -> None:
    torch.manual_seed(0)
    model, x = kind().train(), torch.randn(40, 1, 8, 8)
    model.register_forward_hook(lambda *_: None)
    next(model.parameters()).requires_grad_(False)
    before = everything(model)
    layer = "(relu)" if kind is Turns else next(name for name, _ in model.named_children())
    switching = Switching(model, (1, 8, 8), x[:4])
    for stop in range(1, 9):
        steps = switching.choosing(layer)
        for _ in zip(range(stop), steps, strict=False):
            assert everything(model) == before
        steps.close()
        assert everything(model) == before
        switching.forget()
    switching.choose(layer)
    for _ in switching.stream(Split(x, [0] * 40), Tally(40), [0]):
        assert everything(model) == before


@pytest.mark.parametrize("calls", (0, 1, 2, 4, 8, 99))
def test_row_29_a_forward_that_raises_leaves_nothing_behind(calls: int) -> None:
    class Late(Batched):
        left = calls

        def forward(self, x: Tensor) -> Tensor:
            made = super().forward(x)
            Late.left -= 1
            if Late.left < 0:
                raise RuntimeError("blown")
            return made

    torch.manual_seed(0)
    model, x = Late().eval(), torch.randn(40, 1, 8, 8)
    before = everything(model)
    try:
        switching = Switching(model, (1, 8, 8), x[:4])
        switching.choose("conv")
        switching.logits(x, [1])
        list(switching.stream(Split(x, [0] * 40), Tally(40), [0]))
    except (RuntimeError, ModelError):
        assert calls != 99
    assert everything(model) == before


def refused(call: Any, words: str, kind: type[Exception] = InputError) -> None:
    with pytest.raises(kind, match=words):
        call()


def test_what_does_not_fit_is_told() -> None:
    model, x = network("LeNet5"), images("LeNet5")
    switching = Switching(model, (1, 28, 28), x)
    refused(lambda: switching.logits(x, [0]), r"no layer is chosen; call choose\(layer\) first")
    refused(lambda: switching.choose("conv9"), "there is no layer 'conv9'; did you mean")
    refused(lambda: switching.choose("(gelu)"), r"there is no layer '\(gelu\)'")
    refused(lambda: switching.choose("conv1", 1), r"layer 'conv1' has 1 call\(s\)")
    switching.choose("conv1")
    refused(lambda: switching.logits(x, [20]), "conv1 has 20 channels, 0 to 19; got channel 20")
    refused(lambda: list(switching.stream(Split(x), Tally(6), [0])), "images without labels", DataError)
    refused(lambda: list(switching.stream(Split(x, [0] * 6), Tally(6), 20)), "got channel 20")
    refused(lambda: Switching(model, (3, 28, 28), x), r"probe: got shape \(6, 1, 28, 28\)")
    refused(
        lambda: Switching(nn.Sequential(nn.Unflatten(1, (1, 1, 1, 28))), (28,), x[:, 0, 0]).choose("0"),
        "as maps",
        UnsupportedError,
    )
    assert close(switching.logits(x, iter([3])), by_hand(model, x, {("conv1", 0): (3,)})), "it lives on"


def test_answers_with_nan_are_told() -> None:
    model, x = network("LeNet5"), images("LeNet5", 20)
    switching = Switching(model, (1, 28, 28), x[:4])
    switching.choose("conv1")
    with torch.no_grad():
        switching._quick.network.fc2.bias[3] = torch.nan  # type: ignore[union-attr]
    refused(lambda: next(switching.stream(Split(x, [0] * 20), Tally(20), [0])), r"NaN or infinity for \d+ of", ModelError)
