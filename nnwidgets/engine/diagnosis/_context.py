"""What the tests of one diagnosis share: the frozen network, its answers, and short training runs."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.diagnosis.flowchart import Share
from nnwidgets.engine.errors import ModelError, NnwError
from nnwidgets.engine.evaluation import Frozen, passes
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["Context", "Refit", "share_of"]

_MOST = 2000  # images of a sample that are looked at
_SAMPLES = ("train", "val", "test")


@dataclass(frozen=True)
class Refit:
    """A short training run of a fresh network: its errors on S_train and S_val, its loss on S_train, and how long it took."""

    network: nn.Module
    train: Share
    val: Share
    loss: float
    seconds: float


def share_of(wrong: int, n: int) -> Share:
    """An error with its interval."""
    low, high = wilson(wrong, n)
    return Share(wrong / n, low, high, n)


class Context:
    """Made once a diagnosis; tests ask it instead of computing twice.

    Attributes:
        network: the experiment's own copy in eval mode, which nobody changes. splits: by sample, at most 2,000 images of each.
        classes: K. ends: when the budget is over (time.monotonic()).
    """

    def __init__(self, exp: Experiment, budget_s: float) -> None:
        self.exp = exp
        self.network: nn.Module = exp.bench(None).base
        self.splits: dict[str, Split] = {}
        for name in _SAMPLES:
            split = getattr(exp, name)
            if split is not None and split.labels is not None:
                self.splits[name] = _some(split)
        self.ends = time.monotonic() + budget_s
        self.classes = 0
        self._logits: dict[str, Tensor] = {}
        self._kept: dict[str, Any] = {}

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.ends - time.monotonic()

    def logits(self, sample: str) -> Generator[None, None, Tensor]:
        """(N, K) answers to a sample."""
        if sample not in self._logits:
            split = self.splits[sample]
            found: Tensor | None = None
            for index, logits in passes(Frozen(self.network), split):
                found = torch.zeros(len(split), logits.shape[1]) if found is None else found
                found[index] = logits
                yield
            assert found is not None
            self._logits[sample] = found
            self.classes = found.shape[1]
        return self._logits[sample]

    def error(self, sample: str) -> Generator[None, None, Share]:
        """Error on a sample."""
        logits = yield from self.logits(sample)
        labels = self.splits[sample].labels
        assert labels is not None
        return share_of(int((logits.argmax(1) != labels).sum()), len(labels))

    def labels(self, sample: str) -> Tensor:
        """(N,) labels of a sample."""
        found = self.splits[sample].labels
        assert found is not None
        return found

    def inputs(self, sample: str, most: int = _MOST) -> Tensor:
        """(n, *input_shape) as the network is fed, the first images of a sample."""
        return self.splits[sample].inputs(slice(0, min(most, len(self.splits[sample]))))

    def kept(self, name: str, make: Callable[[], Generator[None, None, Any]]) -> Generator[None, None, Any]:
        """What several tests use, made by the first of them."""
        if name not in self._kept:
            self._kept[name] = yield from make()
        return self._kept[name]

    # --- training ---------------------------------------------------------------------------------------------------

    def fresh(self, width: float = 1.0, seed: int = 0) -> nn.Module:
        """The network with new random weights, another size where the experiment can build one.

        Raises:
            ModelError: it cannot be made anew; says what is needed.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.exp.build is not None:
                return self.exp.build(width)
            if width != 1.0:
                raise ModelError("another size needs a factory: Experiment(..., build=lambda width: MyNet(width)).")
            network = copy.deepcopy(self.network)
            for parameter in network.parameters():
                parameter.requires_grad_(True)
            for name, module in network.named_modules():
                if any(True for _ in module.parameters(recurse=False)):
                    reset = getattr(module, "reset_parameters", None)
                    if reset is None:
                        raise ModelError(
                            f"{name or type(module).__name__} has no reset_parameters(), so it cannot be trained anew; "
                            "give Experiment(..., build=lambda width: MyNet(width))."
                        )
                    reset()
            return network

    @property
    def usual(self) -> TrainingSetup:
        """A recipe that works for most small networks: Adam at 1e-3, batches of 32."""
        n = len(self.splits["train"])
        return TrainingSetup(lr=1e-3, batch_size=32, epochs=max(4, min(60, round(12_000 / n))))

    def refit(
        self, network: nn.Module, setup: TrainingSetup, train: Split | None = None, most_s: float = 2.0
    ) -> Generator[None, None, Refit]:
        """Train a network for a while; it is the caller's own."""
        train = self.splits["train"] if train is None else train
        began, loss = time.monotonic(), float("nan")
        network.train()
        steps = fit(network, train, setup=setup)
        for record in steps:
            loss = record.loss
            yield
            if time.monotonic() - began > most_s or self.left < 0:
                break
        network.eval()
        shares = [measured(network, train), measured(network, self.splits.get("val", train))]
        yield
        return Refit(network, shares[0], shares[1], loss, time.monotonic() - began)


def measured(network: nn.Module, split: Split) -> Share:
    """Error of a network of one's own in eval mode, at most 1,000 images."""
    wrong, n = 0, min(len(split), 1000)
    labels = split.labels
    assert labels is not None
    with torch.inference_mode():
        for start in range(0, n, 250):
            part = slice(start, min(n, start + 250))
            wrong += int((network(split.inputs(part)).argmax(1) != labels[part]).sum())
    return share_of(wrong, n)


def _some(split: Split) -> Split:
    if len(split) <= _MOST:
        return split
    return split.take(torch.from_numpy(np.random.default_rng(0).permutation(len(split))[:_MOST].copy()).sort().values)


def loss_of(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy."""
    return F.cross_entropy(network(images), labels)


__all__ += ["NnwError", "loss_of", "measured"]
