"""Planted faults: the fault is really there, nothing tells of it, and it hurts; the healthy twin meets the goal."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.diagnosis.plants import FAULTS, Planted, _data, _plant, planted
from nnwidgets.engine.training._optimizers import optimizer_for

pytestmark = pytest.mark.slow  # each trains a network and its twin

NAMES = E.list_faults()
CAUSES = {
    "goal_met", "enlarge_network", "learning_rate_high", "learning_rate_low", "training_algorithm", "dead_units", "labels",
    "regularization_too_strong", "regularize", "shrink_network", "more_data", "preprocessing", "imbalance", "low_signal",
    "mismatch", "leakage", "implementation",
}  # fmt: skip
FEW = ("healthy", "test_swapped")  # of which the fast part of the tests trains the networks to the end
QUICK = 1  # a seed of digits and dense layers
CONVOLUTIONS = 4  # of digits
COLOURED = 0  # of shapes

made = functools.cache(planted)
drawn = functools.cache(_data.draw_samples)


@functools.cache
def briefly(name: str, seed: int = QUICK, severity: float = 1.0) -> Planted:
    """The same after one epoch of training: what is planted in data, settings and structure is there already."""
    with pytest.MonkeyPatch.context() as patch:
        for usual in ("_ADAM", "_SGD"):
            patch.setattr(_plant, usual, replace(getattr(_plant, usual), epochs=1))
        patch.setattr(_plant, "draw_samples", drawn)
        return planted(name, seed, severity)


def parts(name: str, severity: float = 1.0) -> tuple[E.Experiment, E.Experiment]:
    """An experiment with a fault and its healthy twin, trained briefly."""
    found = briefly(name, QUICK, severity)
    return found.experiment, found.twin


def images(split: E.Split | None) -> Tensor:
    assert split is not None
    return split.images


def labels(split: E.Split | None) -> Tensor:
    assert split is not None and split.labels is not None
    return split.labels


def error(experiment: E.Experiment, sample: str) -> float:
    return E.evaluate(experiment.model, getattr(experiment, sample)).error


def shared(experiment: E.Experiment) -> int:
    """Images of S_test that stand in S_train too."""
    there = {image.numpy().tobytes() for image in images(experiment.train)}
    return sum(image.numpy().tobytes() in there for image in images(experiment.test))


def test_the_faults_are_the_published_ones_with_answers_that_exist() -> None:
    assert len(NAMES) == 22 and NAMES[0] == "healthy" and tuple(FAULTS) == NAMES
    assert all(fault.answers and fault.answers <= CAUSES for fault in FAULTS.values())
    assert {fault.branch for fault in FAULTS.values()} == {"met", "train", "test", None}


def test_unknown_names_and_numbers_out_of_range_are_refused_in_words() -> None:
    with pytest.raises(E.InputError, match="dead_relu"):
        E.plant("dead_relus")
    for seed in (-1, 1.0, True, "0"):
        with pytest.raises(E.InputError, match="seed"):
            E.plant("healthy", seed)  # type: ignore[arg-type]
    for severity in (0, -1.0, float("inf"), float("nan"), True, "1"):
        with pytest.raises(E.InputError, match="severity"):
            E.plant("healthy", 0, severity)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_that_can_be_measured_and_does_not_name_its_fault(name: str) -> None:
    found = briefly(name)
    exp = found.experiment
    assert exp.test is not None and E.evaluate(exp.model, exp.test).error == found.error
    assert not exp.model.training and all(parameter.grad is None for parameter in exp.model.parameters())
    words = repr(vars(exp)) + repr(exp.train) + repr(exp.recipe) + repr(found.experiment)
    assert not any(hint in words.lower() for hint in (name, name.replace("_", " "), "plant", "fault", "healthy", "sick", "twin"))
    assert exp.title == f"a network on {found.data}" and exp.example is None
    assert exp.notices.keys() <= {"threads"} and exp.history == (E.State(),)
    for twin_way, way in ((found.twin.build, exp.build), (found.twin.train_step, exp.train_step)):
        if way is not None and twin_way is not None:
            assert way.__qualname__ == twin_way.__qualname__ and way.__doc__ == twin_way.__doc__
    assert {type(exp.build), type(exp.model)} == {type(found.twin.build), type(found.twin.model)}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FEW else [pytest.mark.slow]) for n in NAMES])
def test_the_twin_meets_the_goal_that_both_have(name: str) -> None:
    found = made(name, QUICK)
    assert found.twin.goal == found.experiment.goal > error(found.twin, "train")
    assert found.twin_error == error(found.twin, "test") < found.experiment.goal <= 0.5
    assert (found.twin is found.experiment) == (name == "healthy")
    train = found.experiment.train
    assert train is not None and len(train) <= 1500 and len(images(found.experiment.test)) == 1000


@pytest.mark.parametrize("name", ["healthy", pytest.param("rate_high", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_experiment_and_leaves_the_random_state_alone(name: str) -> None:
    first, before = made(name, QUICK).experiment, torch.get_rng_state()
    again = E.plant(name, QUICK)
    assert torch.equal(before, torch.get_rng_state())
    for sample in ("train", "val", "test"):
        one, two = (getattr(exp, sample) for exp in (first, again))
        assert torch.equal(one.images, two.images) and torch.equal(one.labels, two.labels)
    for key, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key])
    assert again.goal == first.goal and again.training == first.training


def test_training_may_be_unknown() -> None:
    found = planted("test_swapped", QUICK, training_known=False)
    assert found.experiment.training is None and found.twin.training is None and found.experiment.build is not None


# --- each fault, measured ---------------------------------------------------------------------------------------------


def widths(model: nn.Module) -> list[int]:
    return [len(layer.bias) for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][:-1]


def test_too_narrow() -> None:
    for severity, width in ((0.5, 4), (1.0, 2), (2.0, 1)):
        exp, twin = parts("too_narrow", severity)
        assert set(widths(exp.model)) == {width} and min(widths(twin.model)) >= 8
        assert exp.build is not None and set(widths(exp.build(8.0))) == {8 * width}


def _usual(setup: E.TrainingSetup) -> E.TrainingSetup:
    """What the healthy network is trained with by this optimizer: another one takes over where SGD ends in no numbers."""
    usual = _plant._SGD if setup.optimizer == "sgd" else _plant._ADAM
    return replace(usual, seed=setup.seed, epochs=setup.epochs)


@pytest.mark.parametrize(("name", "field", "factor"), [
    ("rate_high", "lr", 100), ("rate_low", "lr", 0.001), ("decay_high", "weight_decay", 1000),
])  # fmt: skip
def test_settings_are_off_by_a_factor_that_severity_moves(name: str, field: str, factor: float) -> None:
    for severity in (0.5, 1.0):
        exp, twin = (each.training for each in parts(name, severity))
        assert exp is not None and twin is not None
        assert getattr(exp, field) / getattr(_usual(exp), field) == pytest.approx(factor**severity)
        assert twin == _usual(twin)


def test_dead_relu() -> None:
    exp, twin = parts("dead_relu")
    shares = []
    for each in (exp, twin):
        assert each.train is not None
        hidden = each.train.inputs(slice(0, 300))
        dead = []
        with torch.inference_mode():
            for layer in each.model.children():
                hidden = layer(hidden)
                if isinstance(layer, nn.ReLU):
                    dead.append(float((hidden == 0).all(0).double().mean()))
        shares.append(max(dead))
    assert shares[0] > 0.9 and shares[1] < 0.5
    assert float(next(m for m in exp.model.modules() if isinstance(m, nn.Linear)).bias.detach().max()) < -5


def test_deep_sigmoid() -> None:
    exp, _ = parts("deep_sigmoid")
    assert sum(isinstance(layer, nn.Sigmoid) for layer in exp.model.modules()) == 8
    assert not any(isinstance(layer, nn.ReLU) for layer in exp.model.modules())


def test_double_softmax() -> None:
    for exp, off in zip(parts("double_softmax"), (0.0, 1.0), strict=True):
        assert exp.test is not None
        with torch.inference_mode():
            answers = exp.model(exp.test.inputs(slice(0, 50)))
        assert (float((answers.sum(1) - 1).abs().max()) > 1e-5) == bool(off)


@pytest.mark.parametrize("seed", [QUICK, pytest.param(CONVOLUTIONS, marks=pytest.mark.slow)])
def test_no_activation(seed: int) -> None:
    found = briefly("no_activation", seed)
    for exp, linear in ((found.experiment, True), (found.twin, False)):
        assert exp.test is not None
        a, b = exp.test.inputs(slice(0, 8)), exp.test.inputs(slice(8, 16))
        with torch.inference_mode():
            off = exp.model(a) + exp.model(b) - exp.model(a + b) - exp.model(0 * a)
        assert (float(off.abs().max()) < 1e-3) == linear


def test_no_zero_grad() -> None:
    for exp, ratio in zip(parts("no_zero_grad"), (2.0, 1.0), strict=True):
        model, step = exp.build, exp.train_step
        assert model is not None and step is not None and exp.train is not None
        network = model(1.0)
        optimizer = optimizer_for(list(network.parameters()), E.TrainingSetup("sgd", lr=1e-30))
        norms = []
        for _ in range(2):
            loss = step(network, optimizer, exp.train.inputs(slice(0, 16)), labels(exp.train)[:16])
            norms.append(float(next(network.parameters()).grad.norm()))  # type: ignore[union-attr]
        assert not loss.requires_grad and norms[1] / norms[0] == pytest.approx(ratio, rel=1e-4)


def test_not_normalized() -> None:
    exp, twin = parts("not_normalized")
    for sample in ("train", "val", "test"):
        there, other = (images(getattr(each, sample)) for each in (exp, twin))
        assert there.dtype == other.dtype == torch.float32
        assert float(there.min()) == 0 and float(there.max()) > 250
        assert abs(float(other.mean())) < 0.1 and abs(float(other.std()) - 1) < 0.1
        assert torch.equal(labels(getattr(exp, sample)), labels(getattr(twin, sample)))


def same_but_for_test(exp: E.Experiment, twin: E.Experiment) -> None:
    for sample in ("train", "val"):
        assert torch.equal(images(getattr(exp, sample)), images(getattr(twin, sample)))
    assert torch.equal(labels(exp.test), labels(twin.test)) and not torch.equal(images(exp.test), images(twin.test))
    for one, two in zip(exp.model.parameters(), twin.model.parameters(), strict=True):
        assert torch.equal(one, two)


def test_test_not_normalized() -> None:
    tops = set()
    for seed in (QUICK, 6, 9):  # dense nets
        found = briefly("test_not_normalized", seed)
        same_but_for_test(found.experiment, found.twin)
        assert float(images(found.experiment.test).min()) == 0
        tops.add(round(float(images(found.experiment.test).max()) / 255, 1))
    assert tops <= {0.0, 1.0}


def test_test_swapped() -> None:
    exp, twin = parts("test_swapped")
    same_but_for_test(exp, twin)
    assert torch.equal(images(exp.test).transpose(2, 3), images(twin.test))


def test_test_shifted() -> None:
    for severity in (1.0, 2.0):
        exp, twin = parts("test_shifted", severity)
        same_but_for_test(exp, twin)
        rolls = [images(twin.test).roll(by, axis) for by in (1, 2, 3) for axis in (2, 3)]
        assert any(torch.equal(images(exp.test), roll) for roll in rolls) or sigma(exp, twin) > 0.1 * severity


def sigma(exp: E.Experiment, twin: E.Experiment) -> float:
    """How far stored pixels are apart, in shares of the full range."""
    return float((images(exp.test).double() - images(twin.test).double()).std()) / 255


def test_labels_shifted() -> None:
    exp, twin = parts("labels_shifted")
    for sample in ("train", "val"):
        assert torch.equal(images(getattr(exp, sample)), images(getattr(twin, sample)))
        assert torch.equal(labels(getattr(exp, sample)), labels(getattr(twin, sample)).roll(1))
    assert torch.equal(labels(exp.test), labels(twin.test))


@pytest.mark.parametrize("severity", [0.5, 1.0])
def test_labels_random(severity: float) -> None:
    exp, twin = parts("labels_random", severity)
    for sample in ("train", "val"):
        wrong = float((labels(getattr(exp, sample)) != labels(getattr(twin, sample))).double().mean())
        assert abs(wrong - 0.3 * severity) < 0.08
    assert torch.equal(labels(exp.test), labels(twin.test)) and torch.equal(images(exp.train), images(twin.train))


def test_labels_pairs() -> None:
    exp, twin = parts("labels_pairs")
    told, true = labels(exp.train), labels(twin.train)
    wrong = told != true
    pairs = {frozenset(pair) for pair in zip(told[wrong].tolist(), true[wrong].tolist(), strict=True)}
    assert pairs == {frozenset({4, 9}), frozenset({3, 5})}
    mine = torch.isin(true, torch.tensor([3, 4, 5, 9]))
    assert 0.3 < float(wrong[mine].double().mean()) < 0.5
    assert torch.equal(labels(exp.test), labels(twin.test))


@pytest.mark.parametrize(("severity", "share"), [(0.5, 0.0447), (1.0, 0.02), (2.0, 0.004)])
def test_imbalance(severity: float, share: float) -> None:
    exp, twin = parts("imbalance", severity)
    both = torch.cat([labels(exp.train), labels(exp.val), labels(exp.reserve)])
    counts = both.bincount(minlength=10).sort().values / len(both)
    assert torch.allclose(counts[:5], torch.tensor(share), atol=0.003) and float(counts[5]) > 0.12
    assert torch.equal(images(exp.test), images(twin.test))
    assert len({image.numpy().tobytes() for image in images(exp.train)}) == len(images(exp.train)) and shared(exp) == 0


@pytest.mark.parametrize("severity", [0.5, 1.0])
def test_noise(severity: float) -> None:
    exp, twin = parts("noise", severity)
    assert images(exp.train).dtype == torch.uint8
    assert 0.4 * 0.6 * severity < sigma(exp, twin) < 0.6 * severity  # clipping takes a part of it
    assert torch.equal(labels(exp.train), labels(twin.train))


def test_few_data() -> None:
    for severity, n in ((0.5, 120), (1.0, 60), (2.0, 30)):
        exp, twin = parts("few_data", severity)
        assert len(images(exp.train)) == n and 900 <= len(images(twin.train)) <= 1250
        assert len(images(exp.val)) >= 10 and torch.equal(images(exp.test), images(twin.test))


def test_leak() -> None:
    for severity in (0.5, 1.0, 2.0):
        exp, twin = parts("leak", severity)
        assert shared(exp) == round(50 * severity) and shared(twin) == 0
        assert len(images(exp.train)) == len(images(twin.train)) and briefly("leak", QUICK, severity).hurts
        assert all(labels(exp.train)[row] == label for row, label in copies(exp))


def copies(exp: E.Experiment) -> list[tuple[int, int]]:
    """(row of S_train, label in S_test) of the images that stand in both."""
    rows = {image.numpy().tobytes(): row for row, image in enumerate(images(exp.train))}
    found = [
        (rows.get(image.numpy().tobytes()), int(label)) for image, label in zip(images(exp.test), labels(exp.test), strict=True)
    ]
    return [(row, label) for row, label in found if row is not None]


@pytest.mark.slow
def test_overfit() -> None:
    found = made("overfit", QUICK)
    exp, twin = found.experiment, found.twin
    assert error(exp, "train") < 0.01 and error(exp, "test") > exp.goal and len(images(exp.train)) == 250
    assert sum(widths(exp.model)) > 3 * sum(widths(twin.model))
    assert exp.training is not None and twin.training is not None and exp.training.weight_decay == 0
    assert exp.training.epochs > 3 * twin.training.epochs


# --- over seeds -------------------------------------------------------------------------------------------------------


def test_seeds_vary_all_that_may_vary() -> None:
    draws = [briefly("healthy", seed) for seed in (QUICK, 6, 9)]
    assert len({len(images(found.experiment.train)) for found in draws}) == 3
    assert len({bytes(images(found.experiment.test).numpy().data) for found in draws}) == 3


@pytest.mark.slow
def test_healthy_runs_meet_their_goals_with_all_nets_and_data() -> None:
    draws = [made("healthy", seed) for seed in range(12)]
    assert {found.net for found in draws} >= {"mlp1", "mlp2", "cnn"} and {found.data for found in draws} == {"digits", "shapes"}
    for found in draws:
        exp = found.experiment
        assert max(error(exp, sample) for sample in ("train", "test")) < exp.goal and found.error < 0.2
        assert not found.hurts and shared(exp) == 0
    rooms = {round((found.experiment.goal - found.error) / found.error, 1) for found in draws}
    assert rooms == {0.4, 0.8, 1.6}
    assert {exp.train_step is None for exp in (found.experiment for found in draws)} == {True, False}
    assert {images(found.experiment.train).dtype for found in draws} == {torch.uint8, torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "healthy"])
def test_each_fault_hurts_and_shows_on_its_branch(name: str) -> None:
    """At one of three seeds at least; where a branch is stated, it is the one that the errors show."""
    hurting = next(found for found in (made(name, seed) for seed in (QUICK, CONVOLUTIONS, COLOURED)) if found.hurts)
    exp = hurting.experiment
    assert hurting.error == error(exp, "test") and (hurting.error > exp.goal or name == "leak")
    assert hurting.branch in (None, "train" if error(exp, "train") > exp.goal else "test")


@pytest.mark.slow
def test_coloured_shapes_are_five_classes() -> None:
    found = briefly("labels_pairs", COLOURED)
    assert found.data == "shapes" and images(found.experiment.train).shape[1:] == (3, 16, 16)
    assert found.experiment.class_names == ("disc", "ring", "cross", "stripes", "dots")
    rare = briefly("imbalance", COLOURED).experiment
    both = torch.cat([labels(rare.train), labels(rare.val), labels(rare.reserve)])
    assert np.allclose(both.bincount().sort().values[:2] / len(both), 0.02, atol=0.003)
    assert torch.equal(labels(rare.test), labels(briefly("imbalance", COLOURED).twin.test))


def test_the_first_images_do_not_depend_on_how_many_are_drawn() -> None:
    few, more = (_data._shapes(3, n)[0] for n in (100, 200))
    assert np.array_equal(few.images, more.images[: len(few)])
