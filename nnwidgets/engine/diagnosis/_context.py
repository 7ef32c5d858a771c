"""What the tests of one diagnosis share: a copy of the network, its answers, and short training runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.diagnosis.flowchart import Share
from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.evaluation import Frozen, passes
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.experiment.anew import built_anew
from nnwidgets.engine.experiment.strongest import some_rows
from nnwidgets.engine.inspect._own import own_copy
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["Context", "Refit", "answers_of", "apart", "first_of", "share_of"]

_MOST = 2000  # images of a sample that are looked at
_MOST_NUMBERS = 2**22  # in images that are held as floats at once: 16 MB
_MOST_MACS = 2e11  # of a pass: about 4 s on one core
_MEASURED = 1000  # images that a short run is measured on
_SAMPLES = ("train", "val", "test")


@dataclass(frozen=True)
class Refit:
    """A short training run of a fresh network: its errors on S_train and S_val, and how long it took."""

    network: nn.Module
    train: Share
    val: Share
    seconds: float


def share_of(wrong: int, n: int) -> Share:
    """An error with its interval."""
    low, high = wilson(wrong, n)
    return Share(wrong / n, low, high, n)


def apart(a: Share, b: Share) -> float:
    """z: how many standard errors the first error is above the second."""
    spread = math.sqrt(sum(max(each.value * (1 - each.value), 1 / each.n) / each.n for each in (a, b)))
    return (a.value - b.value) / spread


def answers_of(network: nn.Module, split: Split) -> Generator[None, None, Tensor]:
    """(N, K) logits of a network of one's own, in batches of about 20 ms.

    Raises:
        ModelError: they are no logits, or hold NaN. OutOfMemoryError: not even one image fits.
    """
    found: Tensor | None = None
    for index, logits in passes(Frozen(network), split):
        found = torch.zeros(len(split), logits.shape[1]) if found is None else found
        found[index] = logits.cpu()
        yield
    assert found is not None  # a split holds at least one image
    return found


def _error_of(network: nn.Module, split: Split) -> Generator[None, None, Share]:
    few = split.take(range(min(len(split), _MEASURED)))
    logits = yield from answers_of(network, few)
    return share_of(int((logits.argmax(1) != _labels(few)).sum()), len(few))


def _labels(split: Split) -> Tensor:
    assert split.labels is not None
    return split.labels.cpu()


class Context:
    """Made once a diagnosis; tests ask it instead of computing twice.

    Attributes:
        network: a copy in eval mode that shares the experiment's weights: nobody else runs it, so that no hook of a pass in
            another thread is met. splits: by sample, at most 2,000 images of each; rows: where those stand in the sample.
        classes: K. ends: when the budget is over (time.monotonic()). decisions: what a person said of an image of S_train, by
            its row: "keep", "drop" or "relabel". threshold: share of the suspects that is taken, the surest first.
    """

    def __init__(self, exp: Experiment, budget_s: float) -> None:
        self.exp = exp
        self.network: nn.Module = own_copy(exp.bench(None).base)
        self.splits: dict[str, Split] = {}
        self.rows: dict[str, Tensor] = {}
        for name in _SAMPLES:
            split = getattr(exp, name)
            if split is not None and split.labels is not None:
                self.rows[name] = some_rows(len(split), _MOST)
                self.splits[name] = split if len(split) <= _MOST else split.take(self.rows[name])
        self.ends = time.monotonic() + budget_s
        self.decisions: dict[int, str] = {}
        self.threshold = 1.0
        self.classes = 0
        self._logits: dict[str, Tensor] = {}
        self._kept: dict[str, Any] = {}
        self._untrainable: dict[float, str] = {}

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.ends - time.monotonic()

    def logits(self, sample: str) -> Generator[None, None, Tensor]:
        """(N, K) answers to a sample."""
        if sample not in self._logits:
            found = yield from answers_of(self.network, self.splits[sample])
            self._logits[sample] = found
            self.classes = found.shape[1]
        return self._logits[sample]

    def error(self, sample: str) -> Generator[None, None, Share]:
        """Error on a sample."""
        logits = yield from self.logits(sample)
        labels = self.labels(sample)
        return share_of(int((logits.argmax(1) != labels).sum()), len(labels))

    def whole_error(self, sample: str) -> Generator[None, None, Share]:
        """Error on all images of a sample, where a pass over them takes few seconds; else on those that are looked at."""
        few = yield from self.error(sample)
        split: Split = getattr(self.exp, sample)
        if len(split) == few.n or self.exp.bench(None).trace.macs * len(split) > _MOST_MACS:
            return few
        others = torch.ones(len(split), dtype=torch.bool)
        others[self.rows[sample]] = False
        rest = split.take(others.nonzero()[:, 0])
        logits = yield from answers_of(self.network, rest)
        return share_of(round(few.value * few.n) + int((logits.argmax(1) != _labels(rest)).sum()), len(split))

    def labels(self, sample: str) -> Tensor:
        """(N,) labels of a sample."""
        return _labels(self.splits[sample])

    def inputs(self, sample: str, most: int = _MOST) -> Tensor:
        """(n, *input_shape) as the network is fed, the first images of a sample: fewer than ``most`` of large ones."""
        return first_of(self.splits[sample], most)

    def kept(self, name: str, make: Callable[[], Generator[None, None, Any]]) -> Generator[None, None, Any]:
        """What several tests use, made by the first of them."""
        if name not in self._kept:
            self._kept[name] = yield from make()
        return self._kept[name]

    def known(self, name: str) -> Any:
        """What `kept` has made under a name; None before."""
        return self._kept.get(name)

    def known_logits(self, sample: str) -> Tensor | None:
        """(N, K) answers to a sample, if they are known."""
        return self._logits.get(sample)

    # --- training ---------------------------------------------------------------------------------------------------

    def fresh(self, width: float = 1.0, seed: int = 0) -> nn.Module:
        """The network with new random weights, another size where the experiment can build one.

        Raises:
            ModelError: it cannot be made anew; says what is needed.
        """
        return built_anew(self.exp, self.network, width, seed)

    def why_untrainable(self, width: float = 1.0) -> str:
        """Why no fresh network can be trained; "" where one can."""
        if "train" not in self.splits:
            return "it needs S_train"
        if width not in self._untrainable:
            try:
                self.fresh(width)
                self._untrainable[width] = ""
            except NnwError as error:
                self._untrainable[width] = str(error)
        return self._untrainable[width]

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The experiment's own loss, else mean cross entropy."""
        logits = network(images)
        found: Tensor = F.cross_entropy(logits, labels) if self.exp.loss is None else self.exp.loss(logits, labels)
        return found

    @property
    def usual(self) -> TrainingSetup:
        """A recipe that works for most small networks: Adam at 1e-3, batches of 32."""
        n = len(self.splits["train"])
        return TrainingSetup(lr=1e-3, batch_size=32, epochs=max(4, min(60, round(12_000 / n))))

    def refit(
        self, network: nn.Module, setup: TrainingSetup, train: Split | None = None, most_s: float = 2.0
    ) -> Generator[None, None, Refit]:
        """Train a network for a while, with the experiment's own loss; it is the caller's own.

        Raises:
            ModelError: it diverged.
        """
        train = self.splits["train"] if train is None else train
        began = time.monotonic()
        network.train()
        for _ in fit(network, train, setup=setup, loss=self.exp.loss):
            yield
            if time.monotonic() - began > most_s or self.left < 0:
                break
        network.eval()
        of_train = yield from _error_of(network, train)
        of_val = yield from _error_of(network, self.splits.get("val", train))
        return Refit(network, of_train, of_val, time.monotonic() - began)


def first_of(split: Split, most: int) -> Tensor:
    """(n, *input_shape) as a network is fed, the first images of a sample, at most so many and not more than fit."""
    fit_in = max(1, _MOST_NUMBERS // math.prod(split.sample_shape))
    return split.inputs(slice(0, min(most, fit_in, len(split))))
