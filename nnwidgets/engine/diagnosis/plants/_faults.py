"""The faults that can be planted, and which causes a diagnosis may name for each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAULTS", "Fault", "list_faults"]


@dataclass(frozen=True)
class Fault:
    """A fault that can be planted.

    Attributes:
        description: what is planted. answers: names of the causes that are right; one of them is enough.
        branch: "met" (all errors are within the goal), "train" (E_train is above it), "test" (only E_test is), or None where that
            depends on the network and the sample.
    """

    description: str
    answers: frozenset[str]
    branch: str | None = None


def _fault(description: str, answers: str, branch: str | None = None) -> Fault:
    return Fault(description, frozenset(answers.split()), branch)


FAULTS: dict[str, Fault] = {
    "healthy": _fault("nothing: the goal is met", "goal_met", "met"),
    "too_narrow": _fault("hidden layers of width 2", "enlarge_network", "train"),
    "rate_high": _fault("a learning rate 100 times too high", "learning_rate_high", "train"),
    "rate_low": _fault("a learning rate 1,000 times too low", "learning_rate_low", "train"),
    "decay_high": _fault("a weight decay 1,000 times too high", "regularization_too_strong", "train"),
    "dead_relu": _fault("biases of -10 before ReLUs", "dead_units", "train"),
    "deep_sigmoid": _fault("eight layers of sigmoids", "training_algorithm", "train"),
    "double_softmax": _fault("a softmax before cross entropy", "implementation"),
    "no_activation": _fault("no activations", "implementation"),
    "no_zero_grad": _fault("gradients that are never zeroed", "implementation", "train"),
    "not_normalized": _fault("images of 0 to 255, fed as they are", "preprocessing"),
    "test_not_normalized": _fault("images of S_test that are not normalised", "mismatch preprocessing", "test"),
    "test_swapped": _fault("images of S_test with rows and columns swapped", "mismatch preprocessing", "test"),
    "labels_shifted": _fault("labels of S_train one image further on", "implementation"),
    "labels_random": _fault("30 % of the labels of S_train are random", "labels"),
    "labels_pairs": _fault("labels of two pairs of classes confused", "labels"),
    "imbalance": _fault("half of the classes with 2 % of S_train each", "imbalance"),
    "noise": _fault("noise of 0.6 of the full range in all samples", "low_signal"),
    "few_data": _fault("60 images in S_train", "more_data", "test"),
    "test_shifted": _fault("S_test noisy or moved", "mismatch", "test"),
    "leak": _fault("5 % of S_test copied into S_train", "leakage"),
    "overfit": _fault(
        "a wide network, few images, no regularisation, many epochs", "regularize shrink_network more_data", "test"
    ),
}


def list_faults() -> tuple[str, ...]:
    """Names that ``plant`` takes; the first one, "healthy", plants nothing."""
    return tuple(FAULTS)
