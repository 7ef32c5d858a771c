"""Which images are looked at, and what is said of those that were not."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.evaluation import Strata, Tally
from nnwidgets.engine.evaluation import strata_of as strata_or_none


def sample(n: int, classes: int, seed: int = 0) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    draw = np.random.default_rng(seed)
    return draw.integers(0, classes, n), draw.normal(2, 1, n).astype(np.float32)


def strata_of(labels: npt.NDArray[np.int64], margin: npt.NDArray[np.float32]) -> Strata:
    found = strata_or_none(labels, margin)
    assert found is not None
    return found


def test_a_network_that_is_mostly_wrong_gives_no_strata() -> None:
    labels, margin = sample(400, 4)
    assert strata_or_none(labels, margin - 4) is None and strata_or_none(labels, margin) is not None


@pytest.mark.parametrize(
    ("n", "classes", "most"), [(4000, 10, 30), (8500, 10, 30), (5000, 1000, 60), (100, 10, 5), (30, 2, 3), (1, 1, 3)]
)
def test_strata_are_a_partition_by_label_and_margin_and_few_enough(n: int, classes: int, most: int) -> None:
    labels, margin = sample(n, classes)
    strata = strata_of(labels, margin)
    sizes = np.bincount(strata.of)
    assert len(strata.of) == n and len(strata.band) == len(sizes) <= most and (sizes > 0).all()
    if 3 * classes <= min(60, n // 20):
        assert all(len(np.unique(labels[strata.of == stratum])) == 1 for stratum in range(len(sizes)))
    for label_strata in np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(strata.band) < 0) + 1):
        tops = [(margin[strata.of == a].max(), margin[strata.of == b].min()) for a, b in itertools.pairwise(label_strata)]
        assert all(top <= bottom for top, bottom in tops), "a higher band has larger margins"


@pytest.mark.parametrize("sizes", [[1] * 400, [64] * 7, [16, 400], [16, 1, 1, 40, 1, 400]])
def test_every_image_is_handed_out_once_whatever_the_batches(sizes: list[int]) -> None:
    labels, margin = sample(400, 4)
    draw = np.random.default_rng(5)
    tally, seen, turn = Tally(400, strata_of(labels, margin), seed=1), [], 0
    while len(index := tally.draw(sizes[turn % len(sizes)])):
        assert len(index) <= sizes[turn % len(sizes)]
        seen += index.tolist()
        estimate = tally.add(index, draw.random(len(index)) < 0.7)
        assert estimate.low - 1e-12 <= estimate.accuracy <= estimate.high + 1e-12
        assert estimate.n_seen == len(seen)
        turn += 1
    assert sorted(seen) == list(range(400)) and estimate.final
    assert estimate.accuracy == estimate.low == estimate.high == tally.right.mean()


def test_each_stratum_is_tried_before_the_interval_counts_and_doubtful_ones_are_looked_at_most() -> None:
    labels, margin = sample(4000, 10)
    strata = strata_of(labels, margin)
    doubtful = strata.band == 0
    draw = np.random.default_rng(2)
    right = np.where(doubtful[strata.of], draw.random(4000) < 0.5, True)
    tally = Tally(4000, strata)
    for _ in range(20):
        assert tally.settled == bool((np.bincount(strata.of[tally.seen], minlength=30) >= 6).all())
        index = tally.draw(40)
        tally.add(index, right[index])
    looked = np.bincount(strata.of[tally.seen], minlength=30) / np.bincount(strata.of)
    assert tally.settled and looked[doubtful].min() > 2 * looked[~doubtful].max()


def test_two_seeds_look_at_other_images_and_one_seed_at_the_same() -> None:
    labels, margin = sample(1000, 5)
    one, same, other = (Tally(1000, strata_of(labels, margin), seed=seed).draw(50) for seed in (0, 0, 1))
    assert (one == same).all() and set(one) != set(other)


def test_what_is_impossible_is_never_in_the_interval_and_the_difference_is_to_the_whole_sample() -> None:
    labels, margin = sample(400, 4)
    tally = Tally(400, strata_of(labels, margin), reference=0.9)
    index = tally.draw(390)
    estimate = tally.add(index, np.arange(390) >= 100)
    assert estimate.low >= 290 / 400 and estimate.high <= 300 / 400
    assert estimate.difference == pytest.approx(estimate.accuracy - 0.9)
    assert (estimate.difference_low, estimate.difference_high) == (estimate.low - 0.9, estimate.high - 0.9)


def test_margins_are_kept_and_those_not_seen_are_nan() -> None:
    tally = Tally(10)
    index = tally.draw(4)
    tally.add(index, np.ones(4, bool), np.arange(4, dtype=np.float32))
    assert tally.margin[index].tolist() == [0, 1, 2, 3] and np.isnan(tally.margin).sum() == 6


def test_answers_for_another_number_of_images_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(3,\)"):
        strata_of(np.zeros(5, np.int64), np.zeros(3, np.float32))
