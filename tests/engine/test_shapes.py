"""The shapes: each knob changes what it is named after and nothing else, so that experiments with them are controlled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nnwidgets.engine.zoo import shapes


def test_fewer_images_are_the_first_of_more() -> None:
    many, few = shapes(700, seed=5, noise=0.1, label_errors=0.3), shapes(300, seed=5, noise=0.1, label_errors=0.3)
    assert many.labels is not None and few.labels is not None
    assert torch.equal(many.images[:300], few.images) and torch.equal(many.labels[:300], few.labels)


def test_noise_is_added_to_the_same_pictures_and_has_the_size_that_was_asked_for() -> None:
    clean, noisy = shapes(1500, seed=5), shapes(1500, seed=5, noise=0.05)
    assert clean.labels is not None and noisy.labels is not None and torch.equal(clean.labels, noisy.labels)
    apart = (noisy.images.float() - clean.images.float()) / 255
    inside = (clean.images > 60) & (clean.images < 195)  # where nothing is cut off
    assert float(apart[inside].std()) == pytest.approx(0.05, rel=0.05)
    twice = (shapes(1500, seed=5, noise=0.1).images.float() - clean.images.float())[inside] / 255
    assert float(np.corrcoef(twice, apart[inside])[0, 1]) > 0.95, "the same noise, stronger"


def test_wrong_labels_stand_under_the_same_pictures_and_more_of_them_hold_the_fewer() -> None:
    clean, some, more = (shapes(4000, seed=5, label_errors=share) for share in (0.0, 0.1, 0.3))
    assert clean.labels is not None and some.labels is not None and more.labels is not None
    assert torch.equal(clean.images, some.images)
    first, second = some.labels != clean.labels, more.labels != clean.labels
    assert float(first.float().mean()) == pytest.approx(0.1, abs=0.02)
    assert float(second.float().mean()) == pytest.approx(0.3, abs=0.03)
    assert bool(second[first].all()) and torch.equal(some.labels[first], more.labels[first])
    turns = ((more.labels - clean.labels)[second] % 10).bincount(minlength=10)
    assert turns[0] == 0 and int(turns[1:].min()) > 0.6 * float(turns[1:].float().mean()), "every other class is as likely"


@pytest.mark.parametrize("imbalance", [0.0, 0.5, 0.9])
def test_the_last_five_classes_become_rare_by_the_share_that_was_asked_for(imbalance: float) -> None:
    labels = shapes(6000, seed=5, imbalance=imbalance).labels
    assert labels is not None
    counts = labels.bincount(minlength=10).float()
    assert float(counts[5:].mean() / counts[:5].mean()) == pytest.approx(1 - imbalance, abs=0.08)


def test_a_shift_moves_shapes_and_leaves_textures_and_colours() -> None:
    still, moved = shapes(600, seed=5), shapes(600, seed=5, shift=0.2)
    assert still.labels is not None
    assert int((still.images[still.labels < 7] != moved.images[still.labels < 7]).flatten(1).any(1).sum()) > 100
    corners = [split.images[:, :, 0, 0].float() for split in (still, moved)]
    assert float((corners[0] - corners[1])[still.labels < 7].abs().median()) <= 1, "the background stays"


def test_seeds_share_nothing_and_sizes_show_the_same_things() -> None:
    first, second = shapes(200, seed=1), shapes(200, seed=2)
    assert not bool((first.images == second.images).flatten(1).all(1).any())
    large = shapes(200, seed=1, size=64)
    assert first.labels is not None and large.labels is not None and torch.equal(first.labels, large.labels)
    halved = torch.nn.functional.avg_pool2d(large.images.float(), 2)
    assert float((halved - first.images.float()).abs().mean()) < 8  # of 255; the grain is drawn anew


def test_ten_classes_are_told_apart_by_a_plain_look_at_their_coverage() -> None:
    """Each class covers another share of the picture, with another number of edges: not one drawing under two names."""
    split = shapes(3000, seed=3)
    assert split.labels is not None
    images = split.images.float().mean(1)
    edges = (images.diff(dim=2).abs().mean((1, 2)) + images.diff(dim=1).abs().mean((1, 2))) / images.std((1, 2))
    means = torch.stack([edges[split.labels == label].mean() for label in range(10)])
    assert bool((means[7:] > means[:7].max()).all()), "textures have more edges than shapes"
    assert means[1] > means[0] and means[3] > means[2], "a ring has more edges than a disc, a frame than a square"
