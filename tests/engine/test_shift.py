"""Do two samples come from one source: exact p values, what is planted is seen, and the evidence that rests on it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis._features import answer_features, image_features
from nnwidgets.engine.diagnosis.evidence.shift import Shift, alike_in_classes
from nnwidgets.engine.diagnosis.shift import _classified, _p_of, _permutations, shift_steps, shift_tests
from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.trace import fingerprint
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of
from nnwidgets.engine.zoo import digits


@functools.cache
def all_digits() -> Split:
    return digits()[0]


def pictures(n: int, seed: int, noise: float = 0.0, moved: int = 0) -> Split:
    """Digits, perhaps noisy or moved to the right."""
    whole = all_digits()
    draw = np.random.default_rng(seed)
    few = whole.take(draw.permutation(len(whole))[:n])
    values = np.roll(few.images.numpy(), moved, 3) + 255 * noise * draw.standard_normal(few.images.shape)
    return Split(values.clip(0, 255).round().astype(np.uint8), few.labels, few.mean, few.std)


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.ReLU(), nn.Linear(20, 10)).eval()


def test_noise_and_a_moved_image_are_seen_by_the_detector_that_should() -> None:
    noisy = shift_tests(pictures(100, 0), pictures(100, 1, noise=0.3), network(), rounds=199)
    assert noisy.combined <= 0.01 and noisy.p["pixels"] <= 0.01 and noisy.strongest["pixels"] == "noise"
    assert noisy.sizes["pixels"] > 1 and noisy.sizes["classifier"] > 0.95 and noisy.n == (100, 100)
    moved = shift_tests(pictures(100, 0), pictures(100, 1, moved=2), network(), rounds=199)
    assert moved.combined <= 0.01 and "right" in moved.strongest["pixels"] and moved.sizes["pixels"] > 1
    assert set(noisy.p) == {"pixels", "answers", "classifier"} and noisy.p.keys() == noisy.sizes.keys()


def test_samples_of_one_source_are_told_apart_as_often_as_p_says() -> None:
    """p is at most a with a chance of at most a, for the combined one too."""
    said = [shift_tests(pictures(30, 2 * seed), pictures(40, 2 * seed + 1), rounds=39).combined for seed in range(100)]
    assert np.mean(np.array(said) <= 0.05) <= 0.12 and np.mean(np.array(said) <= 0.5) <= 0.65
    assert np.mean(said) > 0.4


def test_a_fit_without_one_image_equals_a_new_fit() -> None:
    """The classifier's short cut against ridge regression fitted once for every image."""
    draw = np.random.default_rng(0)
    blocks = [draw.standard_normal((20, 3)), draw.standard_normal((20, 5))]
    blocks = [block - block.mean(0) for block in blocks]
    signs = _permutations(8, 12, 5, draw)
    fast = result_of(_classified(blocks, signs))
    kernel = (sum(block @ block.T / np.mean((block**2).sum(1)) for block in blocks) + 1) / 2
    for which, mine in enumerate(signs):
        y = np.where(mine, 1 / 8, -1 / 12)
        right = []
        for i in range(20):
            rest = np.arange(20) != i
            weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + 0.3 * np.eye(19), y[rest])
            right.append((kernel[i, rest] @ weights > 0) == mine[i])
        hits = np.array(right)
        assert fast[which] == pytest.approx((hits[mine].mean() + hits[~mine].mean()) / 2)


def test_shares_of_values_at_least_as_large() -> None:
    values = np.array([3.0, 1.0, 2.0, 3.0])
    assert _p_of(values).tolist() == [0.5, 1.0, 0.75, 0.5]


def test_permutations_keep_the_sizes_and_begin_with_the_samples() -> None:
    signs = _permutations(3, 5, 50, np.random.default_rng(0))
    assert signs[0].tolist() == [True] * 3 + [False] * 5 and (signs.sum(1) == 3).all() and len(signs) == 51


def test_the_network_the_samples_and_the_random_state_are_left_alone() -> None:
    net, a, b = network(), pictures(30, 0), pictures(30, 1)
    before, state, images = fingerprint(net), torch.get_rng_state(), a.images.clone()
    first = shift_tests(a, b, net, rounds=19, seed=5)
    assert first == shift_tests(a, b, net, rounds=19, seed=5)
    steps = shift_steps(a, b, net, rounds=19)
    for _ in range(4):
        next(steps)
    steps.close()
    assert fingerprint(net) == before and torch.equal(torch.get_rng_state(), state) and torch.equal(a.images, images)
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_what_reaches_the_last_layer_is_kept() -> None:
    net, split = network(), pictures(12, 0)
    found = result_of(answer_features(net, [split]))
    below = net[:3](split.inputs(slice(None))).detach().double().numpy()  # type: ignore[index]
    np.testing.assert_allclose(found.raw, below - below.mean(0), atol=1e-5)
    assert found.values.shape == (12, 23) and len(found.names) == 23


def test_vectors_and_colours_have_figures_too() -> None:
    draw = torch.Generator().manual_seed(0)
    colours = result_of(image_features(torch.rand(6, 3, 9, 12, generator=draw)))
    assert len(set(colours.names)) == len(colours.names) == 3 * (10 + 64) and "noise of channel 2" in colours.names
    vectors = result_of(image_features(torch.rand(6, 1000, generator=draw)))
    assert vectors.names[0] == "mean" and len(vectors.names) == 258
    assert np.abs(colours.values.mean(0)).max() < 1e-9 and colours.raw.shape == (6, 3 * 9 * 12)
    a, b = (Split(torch.rand(40, 12, generator=draw) + add, torch.arange(40) % 2) for add in (0.0, 0.5))
    assert shift_tests(a, b, rounds=99).combined == 0.01


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rounds": 5}, InputError, "rounds"),
        ({"most": 3}, InputError, "most"),
        ({"other": pictures(9, 0)}, DataError, "at least 10"),
        ({"other": Split(torch.zeros(20, 1, 14, 14))}, DataError, "one shape"),
    ],
)
def test_what_cannot_be_compared_is_said(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        shift_tests(**{"reference": pictures(20, 1), "other": pictures(20, 2), **change})


# --- evidence -----------------------------------------------------------------------------------------------------------


def test_samples_are_drawn_alike_in_classes() -> None:
    reference, other = torch.tensor([0] * 20 + [1] * 2 + [3] * 4), torch.tensor([0] * 50 + [1] * 50 + [2] * 5)
    rows, others = alike_in_classes(reference, other)
    assert reference[rows].bincount().tolist() == [20, 2] and other[others].bincount().tolist() == [50, 5]
    none = alike_in_classes(torch.tensor([0, 0]), torch.tensor([1, 1]))
    assert [len(each) for each in none] == [0, 0]


def evidence_of(val: Split, test: Split) -> tuple[dict[str, float], str]:
    exp = Experiment(network(), train=pictures(50, 9), val=val, test=test)
    ctx = Context(exp, 10)
    assert Shift().why_not(ctx) == ""
    weights, text, numbers = result_of(Shift().steps(ctx))
    assert 0 < numbers["p"] <= 1
    exp.close()
    return dict(weights), text


def test_evidence_speaks_where_images_differ_and_not_where_classes_do() -> None:
    weights, text = evidence_of(pictures(200, 0), pictures(400, 1, noise=0.3))
    assert weights["mismatch"] > 0 and "noise" in text
    weights, text = evidence_of(pictures(200, 0), pictures(400, 1))
    assert weights["mismatch"] <= 0 and text == ""
    test = pictures(800, 1)
    assert test.labels is not None
    few = test.take((test.labels > 4).nonzero()[:, 0].tolist() + (test.labels <= 4).nonzero()[:30, 0].tolist())
    weights, text = evidence_of(pictures(200, 0), few)
    assert weights["mismatch"] <= 0, "imbalance is another cause"


def test_few_images_are_not_compared() -> None:
    exp = Experiment(network(), train=pictures(50, 9), val=pictures(12, 0), test=pictures(100, 1))
    assert "20 images" in Shift().why_not(Context(exp, 10))
    exp.close()
    exp = Experiment(network(), test=pictures(100, 1))
    assert "S_train" in Shift().why_not(Context(exp, 10))
    exp.close()
