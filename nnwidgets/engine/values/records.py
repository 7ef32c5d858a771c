"""Results as frozen records: what the engine measures, with units. Errors and accuracies are shares in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Cost", "Estimate", "Evaluation", "Latency", "LayerCost", "StepRecord"]


@dataclass(frozen=True)
class Evaluation:
    """An exact pass over a split.

    Attributes:
        accuracy: share of right answers.
        low, high: 95 % Wilson interval of the accuracy on new images like these (not on this split, where it is exact).
        n: images seen, which is all of them.
        confusion: (K, K) counts, row = label, column = answer.
        correct: (N,) bool, in the order of the split.
        margins: (N,) float32, logit of the label minus the best other one; positive where the answer is right.
    """

    accuracy: float
    low: float
    high: float
    n: int
    confusion: npt.NDArray[np.int64]
    correct: npt.NDArray[np.bool_]
    margins: npt.NDArray[np.float32]

    @property
    def error(self) -> float:
        """Share of wrong answers, 1 - accuracy."""
        return 1.0 - self.accuracy


@dataclass(frozen=True)
class Estimate:
    """Accuracy of a split as known so far.

    Attributes:
        accuracy: share of right answers, each image seen standing for those like it.
        low, high: 95 % interval of the accuracy on the whole split; it has no width once all are seen.
        n_seen, n_total: images seen and images in the split.
        difference, difference_low, difference_high: accuracy minus that of the reference on the whole split, with its 95 %
            interval; None without a reference.
    """

    accuracy: float
    low: float
    high: float
    n_seen: int
    n_total: int
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None

    @property
    def final(self) -> bool:
        """True once every image of the split was seen."""
        return self.n_seen == self.n_total


@dataclass(frozen=True)
class StepRecord:
    """One optimiser step of a training run.

    Attributes:
        step, steps: steps done (from 1) and in all.
        epoch, epochs: current epoch (from 1) and in all.
        loss: mean loss of this batch.
        lr: learning rate of this step.
        seconds: since the run began, pauses between steps not counted.
        train_error: share of wrong answers in this batch.
        test_error: error on the test split, measured at the end of an epoch where one was given, else None.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    lr: float
    seconds: float
    train_error: float
    test_error: float | None = None


@dataclass(frozen=True)
class LayerCost:
    """Cost of one layer that holds weights.

    Attributes:
        name: its dotted name; kind: class name of the module; shape: of the weight.
        params: weights in it (biases not counted); nonzero: those that are not zero.
        macs, macs_nonzero: multiply-accumulates a sample, executed and on nonzero weights, over all its calls.
        bits: bits a stored weight; bytes_nominal, bytes_encoded: of this weight; encoding: dense, bitmask or csr.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    params: int
    nonzero: int
    macs: int
    macs_nonzero: int
    bits: int
    bytes_nominal: int
    bytes_encoded: int
    encoding: str


@dataclass(frozen=True)
class Cost:
    """Size and arithmetic of a network for one sample.

    Attributes:
        params: all parameters; nonzero: those that are not zero.
        macs: multiply-accumulates executed by dense kernels; macs_nonzero: those on nonzero weights. Biases, normalisation and
            pooling are not counted.
        bytes_nominal: nonzero weights x bits, everything else as stored; no index, no header.
        bytes_encoded: the best of dense, bitmask and CSR for each weight, with indices, scales and file header.
        bytes_on_disk: size of a real file that loads back, None until asked for.
        layers: by name, the layers that hold weights.
        other_macs: part of ``macs`` that belongs to no weight (attention products and other matrix products).
    """

    params: int
    nonzero: int
    macs: int
    macs_nonzero: int
    bytes_nominal: int
    bytes_encoded: int
    bytes_on_disk: int | None
    layers: Mapping[str, LayerCost]
    other_macs: int = 0

    @property
    def flops(self) -> int:
        """Floating point operations, 2 a MAC."""
        return 2 * self.macs

    @property
    def sparsity(self) -> float:
        """Share of zeros among the weights of the layers listed."""
        total = sum(layer.params for layer in self.layers.values())
        return 1.0 - sum(layer.nonzero for layer in self.layers.values()) / total if total else 0.0


@dataclass(frozen=True)
class Latency:
    """Measured time of one forward pass of a batch, in milliseconds.

    Attributes:
        median_ms; low_ms, high_ms: 10th and 90th percentile of the runs; runs: how many were timed; batch; threads.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    runs: int
    batch: int
    threads: int
