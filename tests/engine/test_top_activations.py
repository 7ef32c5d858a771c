"""The strongest images of each channel: equal to sorting everything."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError, InputError, ModelError
from nnwidgets.engine.inspect import TopActivations, feature_maps, patch, receptive_field, top_activations, top_patches, top_steps
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.zoo.nets import LeNet5, ResNet20
from tests.engine.oracle_inspect import top_by_sorting
from tests.engine.oracle_trace import everything


def sample(n: int = 60, *shape: int, levels: int = 5) -> Split:
    """Images of a few whole levels, so that there are many ties and no rounding."""
    shape = shape or (1, 12, 12)
    return Split(torch.randint(0, levels, (n, *shape), generator=torch.Generator().manual_seed(0)).float())


def whole_numbers(net: nn.Module) -> nn.Module:
    """Small integers as weights: sums are exact in any order, so that a batch gives what single images give."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randint(-1, 2, parameter.shape, generator=draw).float())
    return net.eval()


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(True), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(36, 7))


def rows(top: TopActivations) -> list[list[tuple[float, int, int, int]]]:
    values, images, positions = top.values.tolist(), top.images.tolist(), top.positions.tolist()
    return [[(v, i, y, x) for v, i, (y, x) in zip(*row, strict=True)] for row in zip(values, images, positions, strict=True)]


@pytest.mark.parametrize("layer", ["0", "1", "3", "5", ""])
@pytest.mark.parametrize("k", [1, 9, 100])
def test_it_equals_sorting_all_maps(layer: str, k: int) -> None:
    """Values, images and places of all channels; ties by the earlier image and the first place; k beyond the sample is all."""
    net, split = whole_numbers(small()), sample()
    maps = [feature_maps(net, split.inputs([i]), layer)[0] for i in range(len(split))]
    top = top_activations(net, split, layer, k=k)
    assert rows(top) == top_by_sorting(maps, k)
    assert top.values.shape == (len(maps[0]), min(k, 60)) and top.n == 60
    assert top.channels.tolist() == list(range(len(maps[0])))
    assert not top.values.is_inference()


def test_one_channel_alone_gives_its_row() -> None:
    net, split = whole_numbers(small()), sample()
    everyone, alone = top_activations(net, split, "3"), top_activations(net, split, "3", channel=2)
    assert rows(alone) == rows(everyone)[2:3] and alone.channels.tolist() == [2]


def test_a_function_between_layers() -> None:
    """An addition, which is no module, is searched like a layer."""
    net, split = ResNet20().eval(), Split(torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    top = top_activations(net, split, "layer1.0.(add)", k=3)
    maps = feature_maps(net, split.inputs(slice(None)), "layer1.0.(add)")
    values, images = maps.flatten(2).amax(2).T.sort(1, descending=True)
    torch.testing.assert_close(top.values, values[:, :3])
    assert torch.equal(top.images[:, 0], images[:, 0])


def test_progress_is_told_after_each_batch_and_nothing_is_held_between() -> None:
    """Shares grow to 1; between two steps the user's network is as it was; a closed job leaves nothing."""
    net, split = LeNet5().train(), Split(torch.rand(300, 1, 28, 28), mean=[0.1], std=[0.3])
    before, seen = everything(net), []
    steps = top_steps(net, split, "conv2")
    try:
        while True:
            progress = next(steps)
            seen.append(progress.share)
            assert everything(net) == before
            assert not torch.is_inference_mode_enabled()
    except StopIteration as end:
        assert end.value.values.shape == (50, 9)
    assert seen == sorted(set(seen)) and seen[-1] == 1.0 and len(seen) > 1
    assert progress.text == "300 of 300 images"
    closed = top_steps(net, split, "conv2")
    next(closed)
    closed.close()
    assert everything(net) == before


def test_weights_changed_meanwhile_do_not_mix() -> None:
    """A job works on a copy of the moment it began."""
    net, split = whole_numbers(small()), sample(200)
    expected, steps = top_activations(net, split, "3"), top_steps(net, split, "3")
    next(steps)
    with torch.no_grad():
        net[0].weight.mul_(-1)  # type: ignore[index, operator, union-attr]
    try:
        while True:
            next(steps)
    except StopIteration as end:
        assert rows(end.value) == rows(expected)


def test_a_network_too_large_to_copy_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer, and its training flag, buffers and random states are as before."""
    net, split = whole_numbers(small()), sample()
    expected = rows(top_activations(net, split, "3"))
    monkeypatch.setattr("nnwidgets.engine.inspect._over._LARGE", 0)
    net.train()
    before, states = everything(net), torch.get_rng_state()
    assert rows(top_activations(net, split, "3")) == expected
    assert everything(net) == before and torch.equal(torch.get_rng_state(), states)


class OutOfMemory(nn.Module):
    """Takes four images at a time at most."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = whole_numbers(small())

    def forward(self, x: Tensor) -> Any:
        if len(x) > 4:
            raise torch.OutOfMemoryError("not enough memory")
        return self.inner(x)


def test_the_batch_is_halved_where_memory_runs_out() -> None:
    split = sample(30)
    assert rows(top_activations(OutOfMemory(), split, "inner.3")) == rows(top_activations(OutOfMemory().inner, split, "3"))


def test_patches_are_what_the_units_saw() -> None:
    """Each patch is cut from the image at the receptive field of the strongest place; fed alone it gives the same activation."""
    net, split = whole_numbers(small()), sample()
    top, field = top_activations(net, split, "3", k=5), receptive_field(net, (1, 12, 12), "3")
    patches = top_patches(split, top, field, 1)
    assert [tuple(each.shape) for each in patches] == [(1, 8, 8)] * 5
    for each, value, index, position in zip(patches, top.values[1], top.images[1], top.positions[1], strict=True):
        y, x = position.tolist()
        assert torch.equal(each, split.images[index, :, 2 * y : 2 * y + 8, 2 * x : 2 * x + 8])
        assert feature_maps(net, each[None], "3")[0, 1, 0, 0] == value
    assert patch(torch.arange(9), (0, 2, 1, 5)).tolist() == [2, 3, 4]


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no such layer": ({"layer": "convx"}, InputError, "there is no layer 'convx'"),
    "no such channel": ({"channel": 6}, InputError, "channel: got 6, expected None or a whole number from 0 to 5"),
    "k of zero": ({"k": 0}, InputError, "k: got 0"),
    "k with a fraction": ({"k": 1.5}, InputError, "k: got 1.5"),
    "images instead of a split": ({"split": torch.zeros(4, 1, 12, 12)}, DataError, "split: got Tensor"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_says_what_was_expected(name: str) -> None:
    changes, error, words = BAD[name]
    request: dict[str, Any] = {"split": sample(4), "layer": "0", **changes}
    with pytest.raises(error, match=words):
        top_activations(small(), **request)


def test_nan_is_refused_and_a_channel_that_was_not_looked_at() -> None:
    """NaN is no strongest value; patches of a channel need its row."""
    net = small()
    top, field = top_activations(net, sample(), "0", channel=1), receptive_field(net, (1, 12, 12), "0")
    with pytest.raises(InputError, match="channel: got 0, expected one of those"):
        top_patches(sample(), top, field, 0)
    with torch.no_grad():
        net[0].bias[0] = torch.nan  # type: ignore[index, operator, union-attr]
    with pytest.raises(ModelError, match="gives NaN"):
        top_activations(net, sample(), "0")
