"""Words of the error analysis: nodes of the flowchart, choices, explanations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnwidgets.widgets._lab_text import choice

__all__ = ["HELP", "LEAVES", "OPTIONS"]

LEAVES: Mapping[str, tuple[str, str]] = {
    "start": (
        "E_test > E_goal?",
        "Errors are shares of wrong answers. E_train is measured on what the network was trained with, E_test"
        " on what it has not seen. Drag the goal to the error that you need: the way through the flowchart "
        "follows.",
    ),
    "goal_met": (
        "Goal met",
        "E_test is within the goal. Report it with its interval, and stop.",
    ),
    "train_high": (
        "E_train > E_goal",
        "The network does not even learn its own sample: it is too small, its training does not find what it "
        "could, or the data do not allow it.",
    ),
    "test_high": (
        "E_train ≤ E_goal",
        "The network learns its sample, but not what carries over to new images.",
    ),
    "enlarge_network": (
        "Enlarge the network",
        "A network that is too small cannot tell the classes apart, however it is trained.",
    ),
    "training_algorithm": (
        "Improve the training algorithm",
        "Gradients that vanish or explode keep a network from learning what it could: initialisation, "
        "activations, optimiser, schedule.",
    ),
    "training_hyperparameters": (
        "Tune its hyper-parameters",
        "Above all the learning rate: too low, and nothing has moved yet; too high, and the loss does not fall.",
    ),
    "data": (
        "Quality of the source data",
        "Four kinds of faults in the data. They can raise E_train, and E_test alone as well.",
    ),
    "low_signal": (
        "Signal-to-noise",
        "Images that say too little about their class set a floor that no network gets below.",
    ),
    "preprocessing": (
        "Preprocessing",
        "Images that are not prepared as the network needs them, or one sample in another way.",
    ),
    "labels": (
        "Reference values",
        "Wrong labels teach the wrong thing, and make right answers count as errors.",
    ),
    "imbalance": (
        "Balance of the sample",
        "Classes that are rare in S_train are learnt last. It matters where it does harm.",
    ),
    "more_data": (
        "Enlarge S_train",
        "The most reliable remedy of a gap between E_train and E_test, where more images can be had.",
    ),
    "shrink_network": (
        "Shrink the network",
        "Fewer weights can learn less by heart.",
    ),
    "regularization": (
        "Tune the network's hyper-parameters",
        "Weight decay, dropout and augmentation: too little, and the sample is learnt by heart; too much, and not even that.",
    ),
    "another_algorithm": (
        "Another training algorithm",
        "Optimisers differ in what carries over to new images, too.",
    ),
    "mismatch": (
        "S_train and S_test differ",
        "What was learnt holds for images like those of S_train. E_val, from the same source, tells it from too few images.",
    ),
    "leakage": (
        "S_test in S_train",
        "Images that are in both samples make E_test look better than it is.",
    ),
    "implementation": (
        "Implementation errors",
        "The code does not do what it should: the loss, the training step, labels beside the wrong images, dead units.",
    ),
}

OPTIONS: Mapping[str, list[dict[str, Any]]] = {
    "budget": [
        choice(
            10,
            "10 s",
            "The cheapest tests that tell most.",
        ),
        choice(
            30,
            "30 s",
            "Enough for all tests on a small network.",
        ),
        choice(
            60,
            "1 min",
            "For larger networks.",
        ),
        choice(
            180,
            "3 min",
            "For large ones.",
        ),
    ],
    "seeds": [
        choice(
            3,
            "3 pairs",
            "Quick; a change has to be large to be confirmed.",
        ),
        choice(
            5,
            "5 pairs",
            "Narrower intervals.",
        ),
        choice(
            10,
            "10 pairs",
            "For small changes.",
        ),
    ],
    "sample": [
        choice(
            "val",
            "S_val",
            "Held out of S_train: looking at it costs nothing when you report on S_test.",
        ),
        choice(
            "test",
            "S_test",
            "What you look at here, you have seen: do not choose by it what you report on it.",
        ),
        choice(
            "train",
            "S_train",
            "What the network was trained on.",
        ),
    ],
    "order": [
        choice(
            "margin",
            "margin",
            "The most confident errors first.",
            "logit of the label - the largest other logit",
        ),
        choice(
            "loss",
            "loss",
            "The largest loss first.",
            "-ln p(label)",
        ),
        choice(
            "entropy",
            "unsure",
            "The most undecided answers first, right or wrong.",
            "-Σ p ln p",
        ),
    ],
    "panel": [
        choice(
            "",
            "none",
            "Close the panel.",
        ),
        choice(
            "confusion",
            "Confusion",
            "Which class is taken for which.",
        ),
        choice(
            "classes",
            "Classes",
            "Errors of each class, with their intervals.",
        ),
        choice(
            "calibration",
            "Calibration",
            "Whether it is right as often as it says.",
            "ECE = Σ n_b / n |right_b - stated_b|",
            "Guo et al. 2017",
        ),
        choice(
            "worst",
            "Worst errors",
            "The images it is wrong about; give them tags, and count what they have in common.",
        ),
        choice(
            "suspects",
            "Suspect labels",
            "Images whose label is contradicted by networks that have not seen them.",
            "",
            "Northcutt et al. 2021",
        ),
        choice(
            "curve",
            "More data",
            "Error over the size of S_train, and what more images would bring.",
            "E(n) = a + b n^-c",
        ),
        choice(
            "rate",
            "Learning rate",
            "The loss while the rate grows.",
            "",
            "Smith 2017",
        ),
        choice(
            "run",
            "Run",
            "The loss of the run, step by step.",
        ),
        choice(
            "cost",
            "Cost",
            "What training took, against the error that came of it.",
        ),
    ],
}

HELP: Mapping[str, dict[str, str]] = {
    "goal": {
        "what": "The error that you need. All of the flowchart is judged against it.",
    },
    "budget": {
        "what": "How long 'Test all' may take. What tells most a second comes first; the rest stays 'not tested'.",
    },
    "seeds": {
        "what": "Pairs of runs of an attempt: each pair has the same seed with the change and without it. 'Confirmed'"
        " needs the whole interval below zero and an effect of a fifth of the goal; 'refuted' rules such an "
        "effect out.",
        "formula": "mean of the differences ± t · s / √n",
        "source": "Student 1908",
    },
    "threshold": {
        "what": "How many of the suspects are taken, the surest first.",
    },
    "selected": {
        "what": "Click a box, or walk with the arrow keys: its evidence appears beside the flowchart.",
    },
    "confidence": {
        "what": "How likely this cause is among all causes, given what was tested. Set on planted faults; see the "
        "benchmark for how often such confidence was right.",
    },
}
