"""Suspect labels: against a slow twin, against planted errors, and on answers out of fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnwidgets.engine.diagnosis.label_errors import confident_joint, suspect_labels
from nnwidgets.engine.diagnosis.out_of_fold import folds_of, out_of_fold_steps, usual_setup
from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of
from nnwidgets.engine.zoo import digits
from nnwidgets.engine.zoo.nets import LeNet300


def sure_answers(n: int = 2000, k: int = 4, wrong: float = 0.2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities as networks give them that learnt pair flips i -> i + 1, labels with these flips, true classes."""
    draw = np.random.default_rng(seed)
    true = draw.integers(0, k, n)
    labels = np.where(draw.random(n) < wrong, (true + 1) % k, true)
    p = np.full((n, k), 0.01)
    p[np.arange(n), true] += 1 - wrong
    p[np.arange(n), (true + 1) % k] += wrong
    p *= np.exp(draw.normal(0, 0.3, (n, k)))
    return torch.from_numpy(p / p.sum(1, keepdims=True)), torch.from_numpy(labels), torch.from_numpy(true)


def slow_chances(p: Tensor, labels: Tensor, temperature: float) -> list[float]:
    """The same, image by image."""
    n, k = p.shape
    rows, y = p.tolist(), labels.tolist()
    limits = [float(np.mean([row[i] for row, label in zip(rows, y, strict=True) if label == i])) for i in range(k)]
    counts = [[0.0] * k for _ in range(k)]
    for row, label in zip(rows, y, strict=True):
        likely = [j for j in range(k) if row[j] >= limits[j]]
        if likely:
            counts[label][max(likely, key=lambda j: row[j])] += 1
    joint = [[counts[i][j] / sum(counts[i]) * y.count(i) / n for j in range(k)] for i in range(k)]
    t = [[joint[i][j] / sum(joint[m][j] for m in range(k)) for i in range(k)] for j in range(k)]
    found = []

    def heated(values: list[float]) -> list[float]:
        powers = [value ** (1 / temperature) for value in values]
        return [value / sum(powers) for value in powers]

    def behind(foretold: list[float]) -> list[float]:
        q = list(foretold)
        for _ in range(20):
            mixed = [sum(q[j] * t[j][i] for j in range(k)) for i in range(k)]
            q = [q[j] * sum(foretold[i] / mixed[i] * t[j][i] for i in range(k)) for j in range(k)]
            q = [value / sum(q) for value in q]
        return q

    for row, label in zip(rows, y, strict=True):
        chances = []
        for q in (behind(heated(row)), heated(behind(row))):
            both = [q[j] * t[j][label] for j in range(k)]
            chances.append(1 - both[label] / sum(both))
        found.append(sum(chances) / 2)
    return found


def test_chances_equal_those_of_the_slow_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnwidgets.engine.diagnosis.label_errors._TEMPERATURES", np.array([1.5]))
    p, labels, _ = sure_answers(300)
    np.testing.assert_allclose(suspect_labels(p, labels).chance, slow_chances(p, labels, 1.5), atol=1e-9)


def test_pair_flips_are_found_that_self_confidence_cannot_see() -> None:
    p, labels, true = sure_answers()
    said = suspect_labels(p, labels)
    wrong = (labels != true).numpy()
    assert wrong[said.found].mean() > 0.97 and said.found[wrong].mean() > 0.97
    assert (said.suggested == true.numpy()).mean() > 0.99
    assert said.expected == pytest.approx(wrong.sum(), rel=0.05)
    np.testing.assert_allclose(said.confusion[np.arange(4), (np.arange(4) + 1) % 4], 0.2, atol=0.04)


def test_the_ranking_its_precision_and_thresholds_belong_together() -> None:
    p, labels, true = sure_answers()
    said = suspect_labels(p, labels)
    ranked = said.chance[said.rows]
    assert sorted(said.rows) == list(range(2000)) and (np.diff(ranked) <= 0).all()
    assert said.precision[9] == pytest.approx(said.chance[said.rows[:10]].mean())
    assert said.precision[-1] == pytest.approx(said.expected / 2000)
    for least in (0.0, 0.5, 0.9, 1.0):
        taken = said.at_precision(least)
        assert len(taken) == 0 or said.precision[len(taken) - 1] >= least
        assert (said.precision[len(taken) :] < least).all()
    taken = said.above(0.3)
    assert set(taken) == set(np.flatnonzero(said.found)) and len(said.above(0.0)) == 2000
    assert abs(said.precision[len(taken) - 1] - (labels != true).numpy()[taken].mean()) < 0.05
    own = p[torch.arange(2000), labels].numpy()
    np.testing.assert_allclose(said.confidence, own)
    assert ((said.margin > 0) == (p.argmax(1) == labels).numpy()).all()


def test_labels_that_nothing_contradicts_are_left_alone() -> None:
    draw = np.random.default_rng(0)
    labels = torch.from_numpy(draw.integers(0, 5, 500))
    p = torch.full((500, 5), 0.01, dtype=torch.float64).scatter_(1, labels[:, None], 0.96)
    said = suspect_labels(p, labels)
    assert not said.found.any() and said.expected < 1 and (said.suggested == labels.numpy()).all()


def test_the_joint_adds_up_and_classes_without_labels_are_never_suggested() -> None:
    p, labels, _ = sure_answers(k=4)
    wider = torch.cat([p * 0.99, torch.full((2000, 1), 0.01, dtype=torch.float64)], 1)
    joint = confident_joint(wider, labels)
    assert float(joint.sum()) == pytest.approx(1) and float(joint[4].sum()) == 0 == float(joint[:, 4].sum())
    np.testing.assert_allclose(joint.sum(1)[:4], np.bincount(labels.numpy()) / 2000)
    assert (suspect_labels(wider, labels).suggested < 4).all()


@pytest.mark.parametrize(
    ("p", "labels", "message"),
    [
        (np.ones((3, 2)), [0, 1, 0], "add up to 1"),
        (np.full((3, 2), np.nan), [0, 1, 0], "add up to 1"),
        (np.full((3, 2), 0.5), [0, 1, 2], "expected 0 to 1"),
        (np.full((3, 2), 0.5), [0, 1], r"expected \(N, K\)"),
        (np.full((3, 2), 0.5), [0.0, 1.0, 0.0], "integers"),
        (np.full((0, 2), 0.5), np.zeros(0, np.int64), "expected"),
    ],
)
def test_what_is_no_probability_is_refused(p: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        suspect_labels(p, labels)


def test_one_image_and_one_class() -> None:
    assert not suspect_labels([[1.0]], [0]).found[0]
    said = suspect_labels([[0.5, 0.5]], [1])
    assert said.rows.tolist() == [0] and 0 <= said.chance[0] <= 1
    for wrong in (-0.1, 1.1, float("nan"), True, "0.5"):
        with pytest.raises(InputError, match="threshold"):
            said.above(wrong)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="least"):
            said.at_precision(wrong)  # type: ignore[arg-type]


# --- out of fold --------------------------------------------------------------------------------------------------------


def dense(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def test_folds_hold_each_label_alike() -> None:
    labels = torch.tensor([0] * 50 + [1] * 11 + [2] * 2)
    fold = folds_of(labels, 5, seed=3)
    for label, most in ((0, 10), (1, 3), (2, 1)):
        assert int(fold[labels == label].bincount(minlength=5).max()) <= most
    assert torch.equal(fold, folds_of(labels, 5, seed=3)) and not torch.equal(fold, folds_of(labels, 5, seed=4))
    assert set(fold.bincount().tolist()) <= {12, 13}


def test_answers_out_of_fold_come_from_networks_that_have_not_seen_the_image() -> None:
    """Each image is the only one that lights its pixel: a network that saw it would know its label."""
    images = torch.zeros(16, 1, 4, 4)
    images.flatten(1).fill_diagonal_(50.0)
    split = Split(images, torch.arange(16) % 3)
    setup = TrainingSetup(lr=0.1, epochs=30, batch_size=4)
    before = torch.get_rng_state()
    shares = []
    steps = out_of_fold_steps(dense, split, setup, folds=4)
    while True:
        try:
            shares.append(next(steps))
        except StopIteration as end:
            p = end.value
            break
    assert torch.equal(before, torch.get_rng_state())
    assert shares == sorted(shares) and shares[-1] <= 1 and len(shares) > 100
    assert torch.allclose(p.sum(1), torch.ones(16))
    own = p[torch.arange(16), torch.arange(16) % 3]
    assert float(own.mean()) < 0.6, "chance is 1/3"
    assert torch.equal(p, result_of(out_of_fold_steps(dense, split, setup, folds=4)))


def test_what_cannot_be_split_into_folds_is_said() -> None:
    split = Split(torch.zeros(3, 1, 4, 4), [0, 1, 2])
    with pytest.raises(DataError, match="3 images for 5 folds"):
        next(out_of_fold_steps(dense, split))
    with pytest.raises(InputError, match="folds"):
        next(out_of_fold_steps(dense, split, folds=1))
    with pytest.raises(DataError, match="without labels"):
        next(out_of_fold_steps(dense, Split(torch.zeros(3, 1, 4, 4)), folds=2))
    assert usual_setup(split).epochs == 60 and usual_setup(split).augmentation is None, "of 4 x 4 pixels"
    digit = usual_setup(Split(torch.zeros(5000, 1, 28, 28, dtype=torch.uint8)))
    assert (digit.epochs, digit.augmentation) == (8, "shift")


@pytest.mark.slow
def test_random_labels_among_digits_are_found() -> None:
    """10 % random labels: the aim is precision .90 and recall .87 on 5,000 digits; here are fewer."""
    train = digits()[0].take(range(2500))
    assert train.labels is not None
    draw = np.random.default_rng(0)
    wrong = draw.random(2500) < 0.1
    labels = np.where(wrong, (train.labels.numpy() + draw.integers(1, 10, 2500)) % 10, train.labels.numpy())

    def fresh(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return LeNet300()

    p = result_of(out_of_fold_steps(fresh, Split(train.images, labels, train.mean, train.std)))
    said = suspect_labels(p, labels)
    assert wrong[said.found].mean() > 0.85 and said.found[wrong].mean() > 0.85
    assert abs(said.precision[said.found.sum() - 1] - wrong[said.found].mean()) < 0.12
