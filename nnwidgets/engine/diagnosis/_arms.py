"""One arm of a comparison: how a network is made, on what it is trained and how, and what came of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from nnwidgets.engine.diagnosis._context import Context, answers_of, share_of
from nnwidgets.engine.diagnosis.flowchart import Share
from nnwidgets.engine.errors import InputError, ModelError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.trace import trace
from nnwidgets.engine.training import fit
from nnwidgets.engine.training._own_steps import OwnStep, own_steps
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["Arm", "Run", "Spent", "error_of", "seconds_an_epoch", "start_of", "train_arm"]

Loss = Callable[[Tensor, Tensor], Tensor]
Make = Callable[[int, float], nn.Module]

_PROBE_STEPS = 4
_PATIENCE_S = 0.01  # between two looks at one's own loop
_BACKWARD = 3  # a training step costs about three forward passes (Kaplan et al. 2020)


@dataclass(frozen=True)
class Arm:
    """What one arm differs in from another.

    Attributes:
        make: ``make(seed, width)``, a network with new random weights. width: of it, in shares of the present one.
        train, val, test: samples; val and test may be None. setup: the recipe. loss, step: one's own, or None.
        fit: one's own whole loop, which takes the place of both. given: a trained network instead of a new one.
    """

    make: Make
    train: Split
    val: Split | None
    test: Split | None
    setup: TrainingSetup
    width: float = 1.0
    loss: Loss | None = None
    step: OwnStep | None = None
    fit: Callable[[nn.Module, Split], object] | None = None
    given: nn.Module | None = None


@dataclass(frozen=True)
class Spent:
    """What training cost: seconds, images passed (each epoch anew), and floating-point operations (about 6 x MACs an image)."""

    seconds: float = 0.0
    samples: int = 0
    flops: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.seconds + other.seconds, self.samples + other.samples, self.flops + other.flops)


@dataclass(frozen=True)
class Run:
    """One trained network, what it cost, and the loss of its steps."""

    network: nn.Module
    spent: Spent
    losses: tuple[float, ...] = field(default=(), repr=False)


def start_of(exp: Experiment, ctx: Context) -> Arm:
    """The arm that does again what was done.

    Raises:
        ModelError: no S_train, or a network that cannot be made anew; says what is needed.
    """
    why = ctx.why_untrainable()
    if why:
        raise ModelError(f"this network cannot be trained anew: {why}.")
    assert exp.train is not None
    setup = exp.training or ctx.usual
    return Arm(
        lambda seed, width: ctx.fresh(width, seed), exp.train, exp.val, exp.test, setup, 1.0, exp.loss, exp.train_step, exp.fit
    )


def train_arm(arm: Arm, seed: int, input_shape: tuple[int, ...]) -> Generator[None, None, Run]:
    """Train one network of an arm, from the weights, the order of images and the dropout that a seed gives.

    Raises:
        ModelError: it diverged.
    """
    if arm.given is not None:
        return Run(arm.given, Spent())
    network = arm.make(seed, arm.width)
    setup = replace(arm.setup, seed=seed)
    began = time.perf_counter()
    losses: list[float] = []
    if arm.fit is not None:
        yield from _own_fit(arm.fit, network, arm.train)
    elif arm.step is None:
        for record in fit(network, arm.train, setup=setup, loss=arm.loss).in_parts():
            if record is not None:
                losses.append(record.loss)
            yield
    else:
        for loss in own_steps(network, arm.train, setup, arm.step):
            losses.append(loss)
            yield
    network.eval()
    for parameter in network.parameters():
        parameter.grad = None
    samples = setup.epochs * len(arm.train)
    flops = 2.0 * _BACKWARD * trace(network, input_shape).macs * samples
    return Run(network, Spent(time.perf_counter() - began, samples, flops), tuple(losses))


def _own_fit(loop: Callable[[nn.Module, Split], object], network: nn.Module, train: Split) -> Generator[None, None, None]:
    """One's own loop, in a thread of its own: it yields nothing, and what is cancelled here goes on there until it ends.

    It draws from the global random state, as it does elsewhere: only the first weights follow from the seed.

    Raises:
        InputError: it raised. ModelError: it left weights that are no numbers.
    """
    failed: list[Exception] = []

    def run() -> None:
        try:
            with torch.enable_grad():
                loop(network, train)
        except Exception as error:  # a user's own code
            failed.append(error)

    thread = threading.Thread(target=run, name="nnwidgets-own-fit", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_PATIENCE_S)
        yield
    if failed:
        raise InputError(f"your own fit raised {type(failed[0]).__name__}: {failed[0]}") from failed[0]
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
        raise ModelError("your own fit left weights that are no numbers.")


def seconds_an_epoch(arm: Arm) -> Generator[None, None, float]:
    """Measured on a few steps of a network that is thrown away."""
    if arm.given is not None or arm.fit is not None:
        return 0.0
    network, setup = arm.make(0, arm.width), replace(arm.setup, epochs=2)
    few = arm.train.take(range(min(len(arm.train), _PROBE_STEPS * setup.batch_size)))
    run: Iterator[object] = (
        fit(network, few, setup=setup, loss=arm.loss) if arm.step is None else own_steps(network, few, setup, arm.step)
    )
    times: list[float] = []
    began = time.perf_counter()
    for _ in run:
        times.append(time.perf_counter() - began)
        yield
        began = time.perf_counter()
    middle = sorted(times)[len(times) // 2]
    return middle * len(arm.train) / min(arm.setup.batch_size, len(few))


def error_of(network: nn.Module, split: Split, balanced: bool = False) -> Generator[None, None, tuple[Share, Tensor]]:
    """(error, wrong (N,) bool); ``balanced``: each class counts alike, the interval then as of so many images all the same."""
    logits = yield from answers_of(network, split)
    assert split.labels is not None
    labels = split.labels.cpu()
    wrong = logits.argmax(1) != labels
    if not balanced:
        return share_of(int(wrong.sum()), len(split)), wrong
    counts = torch.bincount(labels, minlength=logits.shape[1]).double()
    a_class = torch.zeros(logits.shape[1], dtype=torch.float64).index_add_(0, labels, wrong.double())
    there = counts > 0
    value = float((a_class[there] / counts[there]).mean())
    found = share_of(round(value * len(split)), len(split))
    return Share(value, found.low, found.high, found.n), wrong
