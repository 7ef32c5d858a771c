"""How the error falls with the size of S_train, and how many images a goal needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnwidgets.engine.diagnosis._context import answers_of
from nnwidgets.engine.diagnosis._power_law import Laws, laws_of
from nnwidgets.engine.diagnosis.out_of_fold import folds_of
from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of, retold

__all__ = ["CurveStep", "LearningCurve", "Needed", "Predicted", "learning_curve", "learning_curve_steps", "setup_for"]

Floats = npt.NDArray[np.float64]
Loss = Callable[[Tensor, Tensor], Tensor]

_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
_FEWEST = 10  # images in the smallest part


@dataclass(frozen=True)
class CurveStep:
    """How far the curve is: the share that is done, and what was measured so far as (images, seed, error on S_val)."""

    share: float
    measured: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class Predicted:
    """E at a size ``n`` of S_train: the median, and an interval that holds the error on new images of one more network."""

    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Needed:
    """How many images meet a goal: the median and a 95 % interval, ``math.inf`` where the error never falls so far.

    Attributes:
        never: share of the fitted laws whose error stays above the goal however many images there are.
    """

    goal: float
    value: float
    low: float
    high: float
    never: float


@dataclass(frozen=True)
class LearningCurve:
    """Errors of networks trained on parts of S_train, and the power laws that fit them.

    Attributes:
        sizes: (S,) images, ascending. errors: (S, R) on S_val, one column a seed. validation: images in S_val.
    """

    sizes: tuple[int, ...]
    errors: Floats
    validation: int

    @cached_property
    def laws(self) -> Laws:
        """Power laws E(n) = a + b n^-c, each as likely as it fits (see `laws_of`)."""
        return laws_of(np.array(self.sizes, np.float64), self.errors, self.validation)

    def predict(self, n: int) -> Predicted:
        """E at ``n`` images, with a 95 % interval.

        It holds what the law leaves open, that S_val is a sample, that networks differ by chance, and that no power law is exact:
        3 % of E a doubling beyond the sizes that were tried.

        Raises:
            InputError: not a whole number above 0.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise InputError(f"n: got {n!r}, expected a number of images, at least 1.")
        low, middle, high = np.quantile(self.laws.errors_at(float(n), single=True), (0.025, 0.5, 0.975))
        return Predicted(n, float(middle), float(low), float(high))

    def needed(self, goal: float) -> Needed:
        """How many images bring E to ``goal``, an error in (0, 1).

        Raises:
            InputError: another goal.
        """
        if isinstance(goal, bool) or not isinstance(goal, int | float) or not 0 < goal < 1:
            raise InputError(f"goal: got {goal!r}, expected an error between 0 and 1, such as 0.05.")
        found = self.laws.sizes_for(float(goal))
        low, middle, high = (float(value) for value in np.quantile(found, (0.025, 0.5, 0.975), method="inverted_cdf"))
        return Needed(float(goal), middle, low, high, float(np.isinf(found).mean()))


def learning_curve(
    fresh: Callable[[int], nn.Module],
    train: Split,
    val: Split,
    setup: TrainingSetup | None = None,
    *,
    seeds: int = 3,
    seed: int = 0,
    loss: Loss | None = None,
) -> LearningCurve:
    """Train on a sixteenth, an eighth, a quarter, a half and all of S_train, and measure E on S_val.

    The parts are nested for each seed, and hold each class alike. A part of n images is trained for epochs ~ n^-1/2
    (`setup_for`): small ones need more passes, not as many steps.

    Args:
        fresh: ``fresh(seed)`` makes a network with new random weights, which is trained in place.
        train: at least 160 images with labels. val: images with labels that are not in it.
        setup: how the whole of S_train is trained. seeds: networks of each size, at least 2. seed: the first one.

    Raises:
        DataError: no labels, or too few images. InputError: fewer than two seeds. And what `fit` raises.
    """
    return result_of(learning_curve_steps(fresh, train, val, setup, seeds=seeds, seed=seed, loss=loss))


def learning_curve_steps(
    fresh: Callable[[int], nn.Module],
    train: Split,
    val: Split,
    setup: TrainingSetup | None = None,
    *,
    seeds: int = 3,
    seed: int = 0,
    loss: Loss | None = None,
) -> Generator[CurveStep, None, LearningCurve]:
    """As `learning_curve`, for a job: yields within each training step, the largest networks last, and returns the curve."""
    if train.labels is None or val.labels is None:
        raise DataError("got images without labels; a learning curve needs Split(images, labels) for both samples.")
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 2:
        raise InputError(f"seeds: got {seeds!r}, expected an integer of at least 2.")
    sizes = tuple(round(share * len(train)) for share in _SHARES)
    if sizes[0] < _FEWEST:
        raise DataError(f"train: got {len(train)} images, expected at least {round(_FEWEST / _SHARES[0])}.")
    setup = TrainingSetup(schedule="cosine") if setup is None else setup
    orders = [_order(train.labels.cpu(), seed + r) for r in range(seeds)]
    errors = np.zeros((len(sizes), seeds))
    measured: list[tuple[int, int, float]] = []
    work = [setup_for(setup, len(train), size).epochs * size for size in sizes]
    whole, done = float(sum(work) * seeds), 0.0
    for s, size in enumerate(sizes):
        for r, order in enumerate(orders):
            own = replace(setup_for(setup, len(train), size), seed=setup.seed + seed + r)
            network, part = fresh(seed + r), train.take(order[:size])
            run = fit(network, part, setup=own, loss=loss)
            step = 0
            for record in run.in_parts():
                step += record is not None
                yield CurveStep((done + work[s] * step / run.steps) / whole, tuple(measured))
            network.eval()
            done += work[s]
            now = CurveStep(done / whole, tuple(measured))
            logits = yield from retold(answers_of(network, val), lambda now=now: now)  # type: ignore[misc]
            errors[s, r] = float((logits.argmax(1) != val.labels.cpu()).double().mean())
            measured.append((size, seed + r, float(errors[s, r])))
    return LearningCurve(sizes, errors, len(val))


def setup_for(setup: TrainingSetup, whole: int, n: int) -> TrainingSetup:
    """The setup for a part, or a multiple, of the ``whole`` images that it was made for: epochs ~ n^-1/2, at least one."""
    return replace(setup, epochs=max(1, round(setup.epochs * math.sqrt(whole / n))))


def _order(labels: Tensor, seed: int) -> Tensor:
    """Positions in an order whose first images hold each class alike: sixteenths, each drawn within the labels."""
    fold = folds_of(labels, round(1 / _SHARES[0]), seed)
    mixed = torch.from_numpy(np.random.default_rng([seed, 6]).permutation(len(labels)))
    return mixed[fold[mixed].argsort(stable=True)]
