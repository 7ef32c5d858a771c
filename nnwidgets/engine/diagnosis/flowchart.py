"""The lecture's flowchart of error analysis, as data, and the way that three errors take through it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CAUSES", "FAMILIES", "NODES", "CauseText", "Node", "Share", "branch_of", "causes_of", "states_of"]

FAMILIES = ("data", "architecture", "hyper-parameters", "overfitting", "implementation")
"""The five families of causes of the lecture (L1)."""


@dataclass(frozen=True)
class CauseText:
    """What a cause is called and what is done about it.

    Attributes:
        family: one of `FAMILIES`, "" for ``goal_met``. leaf: node of the flowchart. title: in words. action: what to do.
    """

    family: str
    leaf: str
    title: str
    action: str


CAUSES: dict[str, CauseText] = {
    "goal_met": CauseText("", "goal_met", "The goal is met", "Stop here; report E_test with its interval."),
    "enlarge_network": CauseText(
        "architecture", "enlarge_network", "The network is too small", "Make it wider or deeper and train again."
    ),
    "learning_rate_high": CauseText(
        "hyper-parameters", "training_hyperparameters", "The learning rate is too high", "Divide it by ten and train again."
    ),
    "learning_rate_low": CauseText(
        "hyper-parameters", "training_hyperparameters", "The learning rate is too low", "Multiply it by ten, or train longer."
    ),
    "training_algorithm": CauseText(
        "hyper-parameters",
        "training_algorithm",
        "The training algorithm does not get gradients through the network",
        "Use ReLU with He initialisation, batch-norm or shortcuts, or another optimiser.",
    ),
    "regularization_too_strong": CauseText(
        "hyper-parameters", "regularization", "Regularisation is too strong", "Weaken weight decay or dropout, and train again."
    ),
    "regularize": CauseText(
        "overfitting", "regularization", "The network learns its sample by heart", "Add weight decay, dropout or augmentation."
    ),
    "shrink_network": CauseText(
        "overfitting", "shrink_network", "The network is too large for its sample", "Make it narrower and train again."
    ),
    "more_data": CauseText("overfitting", "more_data", "S_train is too small", "Collect more images of the same kind."),
    "preprocessing": CauseText(
        "data", "preprocessing", "The images are not prepared as the network needs them", "Normalise both samples alike."
    ),
    "labels": CauseText("data", "labels", "Labels are wrong", "Look at the suspects; mend or drop them, and train again."),
    "imbalance": CauseText(
        "data", "imbalance", "Some classes are rare in S_train", "Reweight or resample, or collect more of them."
    ),
    "low_signal": CauseText(
        "data",
        "low_signal",
        "The images say too little about the class",
        "Take better images, or set a goal that can be reached.",
    ),
    "mismatch": CauseText("data", "mismatch", "S_train and S_test do not come from one source", "Make S_train like S_test."),
    "leakage": CauseText(
        "data", "leakage", "Images of S_test are in S_train", "Take them out of S_train, train and measure again."
    ),
    "implementation": CauseText(
        "implementation",
        "implementation",
        "The code does not do what it should",
        "Mend what the evidence names, and train again.",
    ),
    "dead_units": CauseText(
        "implementation", "implementation", "Units of the network are dead", "Look at biases and initialisation, and train again."
    ),
}


@dataclass(frozen=True)
class Node:
    """A box of the flowchart.

    Attributes:
        id: of the node. text: in it. parents: nodes that lead to it. from_lecture: False for what was added to the lecture.
    """

    id: str
    text: str
    parents: tuple[str, ...]
    from_lecture: bool = True


NODES: tuple[Node, ...] = (
    Node("start", "E_train, E_test, E_goal", ()),
    Node("goal_met", "E_test is at most E_goal: the goal is met", ("start",)),
    Node("train_high", "E_train above E_goal", ("start",)),
    Node("test_high", "E_train below E_goal, E_test above it", ("start",)),
    Node("enlarge_network", "Enlarge the network", ("train_high",)),
    Node("training_algorithm", "Improve the training algorithm", ("train_high",)),
    Node("training_hyperparameters", "Tune the hyper-parameters of training", ("train_high",)),
    Node("data", "Look at the data", ("train_high",)),
    Node("low_signal", "Low signal-to-noise", ("data",)),
    Node("preprocessing", "Errors in preprocessing", ("data",)),
    Node("labels", "Unreliable reference values", ("data",)),
    Node("imbalance", "Unbalanced sample", ("data",)),
    Node("more_data", "Enlarge S_train", ("test_high",)),
    Node("shrink_network", "Shrink the network", ("test_high",)),
    Node("regularization", "Tune the network's hyper-parameters", ("test_high",)),
    Node("another_algorithm", "Choose another training algorithm", ("test_high",)),
    Node("mismatch", "S_train and S_test do not match", ("test_high",)),
    Node("leakage", "Images of S_test in S_train", ("test_high",), from_lecture=False),
    Node("implementation", "Errors in the implementation", ("train_high", "test_high"), from_lecture=False),
)


def causes_of(leaf: str) -> tuple[str, ...]:
    """Names of the causes that stand at a leaf."""
    same = {"another_algorithm": "training_algorithm"}.get(leaf, leaf)
    return tuple(name for name, text in CAUSES.items() if text.leaf == same)


@dataclass(frozen=True)
class Share:
    """An error as measured: its value, its 95 % interval on new images like these (Wilson 1927), and of how many images."""

    value: float
    low: float
    high: float
    n: int


def branch_of(train: Share | None, test: Share, goal: float) -> tuple[str, bool]:
    """Which way the errors lead, and whether that is beyond noise.

    Returns:
        ("goal_met", "train_high", "test_high" or "unknown" where there is no S_train; True where no interval holds the goal).
    """
    if test.value <= goal:
        return "goal_met", test.high <= goal
    sure = test.low > goal
    if train is None:
        return "unknown", False
    if train.value > goal:
        return "train_high", sure and train.low > goal
    return "test_high", sure and train.high <= goal


def states_of(train: Share | None, test: Share | None, goal: float) -> dict[str, str]:
    """How far the way to each node is known: "lit", "undecided" (inside the noise) or "off"."""
    if test is None:
        return {node.id: "off" for node in NODES}
    above, met = test.low > goal, test.high <= goal
    way = "off" if met else "lit" if above else "undecided"
    states = {"start": "lit", "goal_met": "lit" if met else "off" if above else "undecided"}
    high = None if train is None else True if train.low > goal else False if train.high <= goal else None
    states["train_high"] = "off" if high is False else way if high or way == "off" else "undecided"
    states["test_high"] = "off" if high else way if high is False or way == "off" else "undecided"
    order = ("off", "undecided", "lit")
    for node in NODES:
        if node.id not in states:
            states[node.id] = max((states[parent] for parent in node.parents), key=order.index)
    for node in NODES:  # the data leaves are reached from the other branch too
        if node.parents == ("data",) or node.id == "data":
            states[node.id] = max(states[node.id], states["test_high"], key=order.index)
    return states
