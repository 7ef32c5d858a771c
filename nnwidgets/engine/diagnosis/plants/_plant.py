"""Experiments with one planted fault, each beside its healthy twin."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from nnwidgets.engine.diagnosis.plants._data import CONFUSED, Sample, Samples, draw_samples, noisy, scale_of, stored
from nnwidgets.engine.diagnosis.plants._faults import FAULTS
from nnwidgets.engine.diagnosis.plants._networks import (
    NetPlan,
    biases_before_activations,
    factory,
    own_step,
    started,
    train,
)
from nnwidgets.engine.errors import InputError
from nnwidgets.engine.evaluation import evaluate
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.training._own_steps import OwnStep
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["Planted", "plant", "planted"]

_Z = 2.0  # a difference of two errors beyond it is more than noise
_NETS = {"mlp1": NetPlan(dense=(128,)), "mlp2": NetPlan(dense=(128, 64)), "cnn": NetPlan(convs=(12, 32))}
_CHOICES = (("digits", "mlp1"), ("digits", "mlp2"), ("digits", "cnn"), ("shapes", "cnn"))
_ROOM = (0.4, 0.8, 1.6)  # of a goal above the healthy E_test, in shares of that
_LEAST_ROOM = 0.02
_ADAM = TrainingSetup(lr=8e-3, batch_size=64, epochs=15, weight_decay=1e-4)
_SGD = replace(_ADAM, optimizer="sgd", lr=0.05, momentum=0.9)
_LEAST, _MOST = 900, 1250  # images in S_train
_ON_DIGITS = frozenset({"test_swapped"})  # shapes look alike with axes swapped
_FLOATS = frozenset({"not_normalized", "test_not_normalized"})  # the healthy twin is stored so too
_SAME_WEIGHTS = frozenset({"test_not_normalized", "test_swapped", "test_shifted"})  # only S_test differs from the twin's


@dataclass(frozen=True)
class Planted:
    """An experiment with a fault, and what it is compared with.

    Attributes:
        name, seed, severity: of the fault. experiment: that has it. twin: the same without it (the very same for "healthy").
        answers: causes that are right. branch: as in `FAULTS`. net, data: "mlp1", "mlp2" or "cnn"; "digits" or "shapes".
        error, twin_error: E_test of both. hurts: whether the fault makes E_test worse beyond noise (z > 2) and the goal is
            missed, without which there is nothing to find; a leak, which makes E_test better, counts when there are copies.
    """

    name: str
    seed: int
    severity: float
    experiment: Experiment
    twin: Experiment
    answers: frozenset[str]
    branch: str | None
    net: str
    data: str
    error: float
    twin_error: float
    hurts: bool


@dataclass
class _Plan:
    """All that an experiment is made of; a plant changes some of it."""

    data: str
    net: NetPlan
    setup: TrainingSetup
    samples: Samples
    form: str
    test_form: str
    step: OwnStep | None
    bias: float = 0.0  # added to biases before activations, at the start


def plant(name: str, seed: int = 0, severity: float = 1.0) -> Experiment:
    """Build an experiment with one known fault, to try a diagnosis on. It takes about a second: a small network is trained.

    Args:
        name: one of ``list_faults()``; "healthy" plants nothing, and the goal is met.
        seed: draws the data (digits or shapes), the network (dense or convolutional), its training and its goal.
        severity: 1 is the usual strength, 0.5 halves its distance from healthy, 2 doubles it; all or nothing faults ignore it.

    Raises:
        InputError: an unknown name (the nearest are offered), a negative seed, a severity that is not above 0.
    """
    return planted(name, seed, severity).experiment


def planted(name: str, seed: int = 0, severity: float = 1.0, training_known: bool = True) -> Planted:
    """As `plant`, with the healthy twin and the right answers.

    Args:
        training_known: False leaves ``training`` of the experiment at None.

    Raises:
        InputError: as for `plant`.
    """
    _check(name, seed, severity)
    fault = FAULTS[name]
    draw = np.random.default_rng([seed, 0])
    choice, size, optimizer, as_floats, with_step, room = (
        int(value) for value in draw.integers(0, [4, _MOST - _LEAST + 1, 2, 3, 3, 3])
    )
    data, net = ("digits", _CHOICES[choice % 3][1]) if name in _ON_DIGITS else _CHOICES[choice]
    form = "floats" if as_floats == 0 or name in _FLOATS else "bytes"
    setup = replace((_ADAM, _SGD)[optimizer], seed=seed)
    n = _LEAST + size
    step = own_step(True) if with_step == 0 or name == "no_zero_grad" else None
    healthy = _Plan(data, _NETS[net], setup, draw_samples(data, seed, n), form, form, step)
    well = _trained(healthy, seed)
    share = _ROOM[room] if name == "healthy" else _ROOM[0]
    goal = min(0.5, max(0.01, well.error + max(_LEAST_ROOM, share * well.error)))
    twin = _experiment(healthy, well, goal, training_known)
    experiment, error, hurts = twin, well.error, False
    if name != "healthy":
        sick = replace(healthy)
        _PLANTS[name](sick, seed, severity)
        ill = _trained(sick, seed, copy.deepcopy(well) if name in _SAME_WEIGHTS else None)
        experiment, error = _experiment(sick, ill, goal, training_known), ill.error
        hurts = error > goal and _worse(error, well.error, len(sick.samples.test))
        hurts = _copies(sick.samples) > 0 if name == "leak" else hurts
    return Planted(name, seed, severity, experiment, twin, fault.answers, fault.branch, net, data, error, well.error, hurts)


def _check(name: str, seed: int, severity: float) -> None:
    if name not in FAULTS:
        raise InputError(f"there is no fault {name!r}; {nearest(name, FAULTS)} See list_faults().")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed: got {seed!r}, expected an integer of at least 0.")
    number = isinstance(severity, int | float) and not isinstance(severity, bool) and math.isfinite(severity)
    if not number or severity <= 0:
        raise InputError(f"severity: got {severity!r}, expected a finite number above 0; 1 is the usual strength.")


# --- from plan to experiment ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Trained:
    """A trained network, what builds others like it, the setup that was used, and its E_test."""

    model: nn.Module
    build: Callable[[float], nn.Module]
    setup: TrainingSetup
    error: float


def _trained(plan: _Plan, seed: int, ready: _Trained | None = None) -> _Trained:
    """Train as planned, or measure a network that is ready. Where SGD ends in no numbers, Adam does the work."""
    train_split, val, test, _ = _splits(plan)
    if ready is not None:
        return replace(ready, error=evaluate(ready.model, test).error)
    build = factory(plan.net, train_split.sample_shape, len(plan.samples.names))
    for setup in (plan.setup, _with_adam(plan.setup)):
        model = started(build, seed)
        for bias in biases_before_activations(model):
            bias.data.add_(plan.bias)
        if train(model, train_split, setup, plan.step, (val, test)):
            return _Trained(model, build, setup, evaluate(model, test).error)
    raise AssertionError("Adam keeps the weights of these networks finite")


def _with_adam(setup: TrainingSetup) -> TrainingSetup:
    """The same by Adam, with its own usual rate and decay as many times too high or too low."""
    usual = _SGD if setup.optimizer == "sgd" else _ADAM
    rate, decay = setup.lr / usual.lr, setup.weight_decay / usual.weight_decay
    return replace(setup, optimizer="adam", momentum=0.0, lr=_ADAM.lr * rate, weight_decay=_ADAM.weight_decay * decay)


def _splits(plan: _Plan) -> tuple[Split, Split, Split, Split]:
    """S_train, S_val, S_test and what is held back."""
    samples = plan.samples
    scale, names = scale_of(samples.train), samples.names
    return (
        stored(samples.train, plan.form, scale, names),
        stored(samples.val, plan.form, scale, names),
        stored(samples.test, plan.test_form, scale, names),
        stored(samples.reserve, plan.form, scale, names),
    )


def _experiment(plan: _Plan, net: _Trained, goal: float, training_known: bool) -> Experiment:
    train_split, val, test, reserve = _splits(plan)
    setup = net.setup if training_known else None
    title = f"a network on {plan.data}"
    return Experiment(
        net.model, train_split, test, goal, build=net.build, training=setup, train_step=plan.step, val=val, reserve=reserve,
        title=title,
    )  # fmt: skip


def _worse(error: float, than: float, n: int) -> bool:
    """Whether one of two errors on ``n`` images each is larger beyond noise (two-proportion z)."""
    both = (error + than) / 2
    return error - than > _Z * math.sqrt(max(both * (1 - both), 1 / n) * 2 / n)


def _copies(samples: Samples) -> int:
    """Images of S_test that stand in S_train too."""
    there = {image.tobytes() for image in samples.train.images}
    return sum(image.tobytes() in there for image in samples.test.images)


# --- what is planted --------------------------------------------------------------------------------------------------

_Plant = Callable[[_Plan, int, float], None]


def _each(samples: Samples, change: Callable[[Sample], Sample]) -> Samples:
    """What comes from S_train's source changed: S_train, S_val and what is held back."""
    train_sample, val, reserve = (change(each) for each in (samples.train, samples.val, samples.reserve))
    return replace(samples, train=train_sample, val=val, reserve=reserve)


def _draws(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 2])


def _too_narrow(plan: _Plan, seed: int, severity: float) -> None:
    width = max(1, round(2 / severity))
    plan.net = replace(plan.net, convs=(width,) * len(plan.net.convs), dense=(width,) * len(plan.net.dense))


def _rate_high(plan: _Plan, seed: int, severity: float) -> None:
    plan.setup = replace(plan.setup, lr=plan.setup.lr * 100**severity)


def _rate_low(plan: _Plan, seed: int, severity: float) -> None:
    plan.setup = replace(plan.setup, lr=plan.setup.lr * 0.001**severity)


def _decay_high(plan: _Plan, seed: int, severity: float) -> None:
    plan.setup = replace(plan.setup, weight_decay=plan.setup.weight_decay * 1000**severity)


def _dead_relu(plan: _Plan, seed: int, severity: float) -> None:
    plan.bias = -10 * severity


def _deep_sigmoid(plan: _Plan, seed: int, severity: float) -> None:
    depth = max(2, round(8 * severity)) - len(plan.net.convs)
    plan.net = replace(plan.net, dense=(48,) * max(1, depth), activation=nn.Sigmoid)


def _double_softmax(plan: _Plan, seed: int, severity: float) -> None:
    plan.net = replace(plan.net, probabilities=True)


def _no_activation(plan: _Plan, seed: int, severity: float) -> None:
    plan.net = replace(plan.net, activation=None)


def _no_zero_grad(plan: _Plan, seed: int, severity: float) -> None:
    plan.step = own_step(False)


def _not_normalized(plan: _Plan, seed: int, severity: float) -> None:
    plan.form = plan.test_form = "raw"


def _test_not_normalized(plan: _Plan, seed: int, severity: float) -> None:
    plan.test_form = ("raw", "shares")[int(_draws(seed).integers(2))]


def _test_swapped(plan: _Plan, seed: int, severity: float) -> None:
    test = plan.samples.test
    plan.samples = replace(plan.samples, test=replace(test, images=np.ascontiguousarray(test.images.swapaxes(2, 3))))


def _labels_shifted(plan: _Plan, seed: int, severity: float) -> None:
    def rolled(sample: Sample) -> Sample:
        return sample.labelled(np.roll(sample.labels, 1))

    plan.samples = _each(plan.samples, rolled)


def _labels_random(plan: _Plan, seed: int, severity: float) -> None:
    draw, share, classes = _draws(seed), min(0.6, 0.3 * severity), len(plan.samples.names)

    def wrong(sample: Sample) -> Sample:
        chosen, by = draw.random(len(sample)) < share, draw.integers(1, classes, len(sample))
        return sample.labelled(np.where(chosen, (sample.labels + by) % classes, sample.labels))

    plan.samples = _each(plan.samples, wrong)


def _labels_pairs(plan: _Plan, seed: int, severity: float) -> None:
    draw, share = _draws(seed), min(0.48, 0.4 * severity)
    other = np.arange(len(plan.samples.names))
    for one, two in CONFUSED[plan.data]:
        other[[one, two]] = two, one

    def confused(sample: Sample) -> Sample:
        return sample.labelled(np.where(draw.random(len(sample)) < share, other[sample.labels], sample.labels))

    plan.samples = _each(plan.samples, confused)


def _imbalance(plan: _Plan, seed: int, severity: float) -> None:
    usual = 1 / len(plan.samples.names)
    plan.samples = draw_samples(plan.data, seed, len(plan.samples.train), rare=usual * (0.02 / usual) ** severity)


def _noise(plan: _Plan, seed: int, severity: float) -> None:
    draw, samples = _draws(seed), plan.samples
    parts = (samples.train, samples.val, samples.test, samples.reserve)
    train_sample, val, test, held = (noisy(each, 0.6 * severity, draw) for each in parts)
    plan.samples = Samples(train_sample, val, test, held, samples.names)


def _few_data(plan: _Plan, seed: int, severity: float) -> None:
    _fewer(plan, max(20, round(60 / severity)))


def _fewer(plan: _Plan, n: int, more_steps: float = 1) -> None:
    """A part of S_train and S_val, with as many training steps (or ``more_steps`` times as many)."""
    samples = plan.samples
    whole = len(samples.train)
    n = min(n, whole)
    rows, rows_val = np.arange(n), np.arange(min(len(samples.val), max(10, n // 5)))
    held = samples.train.take(np.arange(n, whole)) if n < whole else samples.reserve
    plan.samples = replace(samples, train=samples.train.take(rows), val=samples.val.take(rows_val), reserve=held)
    plan.setup = replace(plan.setup, epochs=round(more_steps * plan.setup.epochs * whole / n))


def _test_shifted(plan: _Plan, seed: int, severity: float) -> None:
    draw, test = _draws(seed), plan.samples.test
    if plan.data == "shapes" or draw.integers(2):  # shapes stand anywhere: moving them is no change
        test = noisy(test, 0.3 * severity, draw)
    else:
        by, axis = max(1, round(1.5 * severity)), int(draw.integers(2, 4))
        test = replace(test, images=np.roll(test.images, by, axis))
    plan.samples = replace(plan.samples, test=test)


def _leak(plan: _Plan, seed: int, severity: float) -> None:
    draw, samples = _draws(seed), plan.samples
    copies = max(1, round(min(0.5, 0.05 * severity) * len(samples.test)))
    there = draw.permutation(len(samples.train))[:copies]
    copied = samples.test.take(draw.permutation(len(samples.test))[: len(there)])
    images, labels = samples.train.images.copy(), samples.train.labels.copy()
    images[there], labels[there] = copied.images, copied.labels
    plan.samples = replace(samples, train=Sample(images, labels))


def _overfit(plan: _Plan, seed: int, severity: float) -> None:
    plan.net = replace(plan.net, dense=tuple(6 * size for size in plan.net.dense) or (512,))
    _fewer(plan, max(60, round(250 / severity)), more_steps=1.5)
    plan.setup = replace(plan.setup, weight_decay=0.0)


_PLANTS: dict[str, _Plant] = {
    "too_narrow": _too_narrow,
    "rate_high": _rate_high,
    "rate_low": _rate_low,
    "decay_high": _decay_high,
    "dead_relu": _dead_relu,
    "deep_sigmoid": _deep_sigmoid,
    "double_softmax": _double_softmax,
    "no_activation": _no_activation,
    "no_zero_grad": _no_zero_grad,
    "not_normalized": _not_normalized,
    "test_not_normalized": _test_not_normalized,
    "test_swapped": _test_swapped,
    "labels_shifted": _labels_shifted,
    "labels_random": _labels_random,
    "labels_pairs": _labels_pairs,
    "imbalance": _imbalance,
    "noise": _noise,
    "few_data": _few_data,
    "test_shifted": _test_shifted,
    "leak": _leak,
    "overfit": _overfit,
}
