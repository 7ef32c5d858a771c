"""Which learning rate a network wants, told by short runs in which the rate grows."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import DataError, InputError, ModelError
from nnwidgets.engine.evaluation import check_model
from nnwidgets.engine.training._draws import Draws
from nnwidgets.engine.training._optimizers import optimizer_for
from nnwidgets.engine.training.augment import augment
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["RateStep", "RateTest", "rate_range_steps", "rate_range_test"]

Floats = npt.NDArray[np.float64]
Loss = Callable[[Tensor, Tensor], Tensor]

_RANGES = {"sgd": (1e-4, 30.0), "adam": (1e-6, 1.0), "adamw": (1e-6, 1.0)}
_WINDOW, _SETTLED = 10, 5  # losses are smoothed over a tenth of the steps; the first fifth only tells their noise
_BELOW = 5.0  # times by which the rate with the least loss is too high
_BLOWN, _SURE = 2.0, 5.0  # times the first loss that end a run; standard errors by which the loss has to fall somewhere
_NEAR = 0.5  # decades
_LEAST = 20  # steps of a run


@dataclass(frozen=True)
class RateStep:
    """A step of the test: run and step from 0, the share that is done, its rate, the loss of its batch before the update."""

    run: int
    step: int
    share: float
    rate: float
    loss: float


@dataclass(frozen=True)
class RateTest:
    """What the loss did while the rate grew.

    Attributes:
        rates: (S,) ascending. losses: (S,) smoothed, mean of the runs. raw: (R, S) of each batch.
        suggested: rate; None where the loss falls nowhere beyond noise. steepest: rate at which the loss falls most. lowest: at
            which it is least: training is about to break up there. rule: how ``suggested`` follows from both, in words.
        present: the rate of the setup. near: whether that is within half a decade of the suggested one, None without one.
    """

    rates: Floats
    losses: Floats
    raw: Floats
    suggested: float | None
    steepest: float
    lowest: float
    rule: str
    present: float
    near: bool | None


def rate_range_test(
    fresh: Callable[[int], nn.Module],
    train: Split,
    setup: TrainingSetup | None = None,
    *,
    runs: int = 3,
    steps: int = 150,
    low: float | None = None,
    high: float | None = None,
    seed: int = 0,
    loss: Loss | None = None,
) -> RateTest:
    """Train fresh networks for a few steps while the rate grows exponentially from ``low`` to ``high`` (Smith 2017).

    Suggested is the geometric mean of the rate at which the smoothed loss falls most for a factor of the rate, and of a fifth of
    that at which it is least. The first alone is too low for tasks that are learnt in a few steps, and too high for slow ones.
    Measured: within half a decade of the best of a sweep for dense and small convolutional networks; ResNet-20, with batch-norm,
    was 0.8 decades too high with Adam and 0.65 too low with SGD. It is a place to begin, not the answer.

    Args:
        fresh: ``fresh(seed)`` makes a network with new random weights, which is trained in place.
        train: images with labels. setup: optimizer, batch size, weight decay, momentum, augmentation, and the present rate.
        runs: networks, whose losses are averaged. steps: of each run, at least 20.
        low, high: by default 1e-6 and 1, of SGD 1e-4 and 30. loss: as in `fit`.

    Raises:
        DataError: no labels. InputError: another argument out of range. ModelError: nothing to train, or a loss that is not
        finite from the beginning.
    """
    work = rate_range_steps(fresh, train, setup, runs=runs, steps=steps, low=low, high=high, seed=seed, loss=loss)
    return result_of(work)


def rate_range_steps(
    fresh: Callable[[int], nn.Module],
    train: Split,
    setup: TrainingSetup | None = None,
    *,
    runs: int = 3,
    steps: int = 150,
    low: float | None = None,
    high: float | None = None,
    seed: int = 0,
    loss: Loss | None = None,
) -> Generator[RateStep | None, None, RateTest]:
    """As `rate_range_test`, for a job: yields the record of each step, and None within it."""
    setup = TrainingSetup() if setup is None else setup
    usual = _RANGES[setup.optimizer]
    low, high = usual[0] if low is None else low, usual[1] if high is None else high
    _check(train, runs, steps, low, high)
    rates = np.geomspace(low, high, steps)
    raw = []
    for run in range(runs):
        losses = yield from _one_run(run, runs, fresh(seed + run), train, setup, rates, seed, loss)
        raw.append(losses)
    common = min(len(losses) for losses in raw)
    if common < 2:
        raise ModelError(f"the loss is not finite from the beginning, at a rate of {low:g}; look for NaN in inputs or weights.")
    return _told(rates[:common], np.array([losses[:common] for losses in raw]), steps, setup.lr)


def _check(train: Split, runs: int, steps: int, low: float, high: float) -> None:
    if train.labels is None:
        raise DataError("train: got images without labels; training needs Split(images, labels).")
    for name, value, least in (("runs", runs, 1), ("steps", steps, _LEAST)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name}: got {value!r}, expected an integer of at least {least}.")
    if not 0 < low < high < math.inf:
        raise InputError(f"low, high: got {low!r} and {high!r}, expected rates with 0 < low < high.")


def _one_run(
    run: int, runs: int, network: nn.Module, train: Split, setup: TrainingSetup, rates: Floats, seed: int, loss: Loss | None
) -> Generator[RateStep | None, None, list[float]]:
    """Losses up to where the network breaks up."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not parameters:
        raise ModelError("the network has no parameter with requires_grad; there is nothing to train.")
    check_model(network, train)
    network.train()
    optimizer = optimizer_for(parameters, setup)
    batches, draws = _batches(train, setup, seed + run), Draws()
    found: list[float] = []
    smooth = _Smooth(len(rates))
    for step, rate in enumerate(rates):
        images, labels = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        draws.begin((seed + run) * 1_000_003 + step)
        with draws.guarded(), torch.enable_grad():
            logits = network(images)
            batch_loss = (loss or F.cross_entropy)(logits, labels)
        value = float(batch_loss.detach())
        if not math.isfinite(value):
            break
        found.append(value)
        now = smooth.add(value)
        if now > _BLOWN * smooth.first and step >= _LEAST // 2:
            break
        yield None
        optimizer.zero_grad(set_to_none=True)
        with draws.guarded(), torch.enable_grad():
            torch.autograd.backward(batch_loss)
        yield None
        optimizer.step()
        yield RateStep(run, step, (run + (step + 1) / len(rates)) / runs, float(rate), value)
    return found


def _batches(train: Split, setup: TrainingSetup, seed: int) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Batches of one size, for ever; in a new order each time the sample is through."""
    assert train.labels is not None
    draw = torch.Generator().manual_seed(seed)
    size = min(setup.batch_size, len(train))
    while True:
        order = torch.randperm(len(train), generator=draw).to(train.device)
        for start in range(0, len(train) - size + 1, size):
            rows = order[start : start + size]
            yield augment(train.inputs(rows), setup.augmentation, draw), train.labels[rows]


class _Smooth:
    """An exponential mean over a tenth of so many steps, that does not begin at zero."""

    def __init__(self, steps: int) -> None:
        self.keep = 1 - min(1.0, _WINDOW / steps)
        self._sum, self._weight, self.first = 0.0, 0.0, 0.0

    def add(self, value: float) -> float:
        """The mean with one value more."""
        self.first = self.first if self._weight else value
        self._sum = self.keep * self._sum + (1 - self.keep) * value
        self._weight = self.keep * self._weight + (1 - self.keep)
        return self._sum / self._weight


def _told(rates: Floats, raw: Floats, steps: int, present: float) -> RateTest:
    smooth, mean = _Smooth(steps), raw.mean(0)
    losses = np.array([smooth.add(float(value)) for value in mean])
    start = min(steps // _SETTLED, len(rates) - 2)
    least = start + int(losses[start:].argmin())
    slope = np.gradient(losses, np.log10(rates))
    steepest = start + int(slope[start : least + 1].argmin())
    noise = float(mean[:start].std()) * math.sqrt((1 - smooth.keep) / (1 + smooth.keep)) if start > 1 else 0.0
    fell = float(losses[least]) < float(mean[: start + 1].mean()) - max(_SURE * noise, 1e-6)
    suggested = float(math.sqrt(rates[steepest] * rates[least] / _BELOW)) if fell else None
    near = None if suggested is None else abs(math.log10(present / suggested)) <= _NEAR
    rule = (
        f"mean, in decades, of the rate at which the loss falls most and a fifth of that at which it is least ({len(raw)} runs)"
        if fell
        else "the loss falls at no rate"
    )
    return RateTest(rates, losses, raw, suggested, float(rates[steepest]), float(rates[least]), rule, present, near)
