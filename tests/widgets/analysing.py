"""Helpers of the error analysis's tests: small experiments, tests of evidence and actions that do what they are told to."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.diagnosis import EvidenceTest, Remedy
from nnwidgets.engine.diagnosis._arms import Arm
from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence import Steps
from nnwidgets.engine.diagnosis.remedies import Changed

SETUP = E.TrainingSetup(lr=5e-3, epochs=6, batch_size=32)
HOSTILE = "<img src=x onerror=alert(1)>"


def blobs(n: int = 300, seed: int = 0, wrong: int = 0, classes: int = 3, side: int = 8) -> E.Split:
    """A bright square whose place tells the class, on faint noise; every ``wrong``-th label is that of the next class."""
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = draw.integers(0, 60, (n, 1, side, side))
    for i, label in enumerate(labels):
        images[i, 0, 2 * label : 2 * label + 2, 2:6] += 150
    if wrong:
        labels[::wrong] = (labels[::wrong] + 1) % classes
    return E.Split(images.astype(np.uint8), labels.astype(np.int64), [0.2], [0.25])


def dense(width: float = 1.0) -> nn.Module:
    """64 inputs, 16 units, 3 classes."""
    units = max(1, round(16 * width))
    return nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.ReLU(), nn.Linear(units, 3))


@functools.cache
def _learnt() -> nn.Module:
    torch.manual_seed(0)
    network = dense()
    for _ in E.fit(network, blobs(), setup=SETUP):
        pass
    return network.eval()


def good() -> nn.Module:
    """A network that knows the blobs."""
    return copy.deepcopy(_learnt())


def spoilt() -> nn.Module:
    """One that takes each class for the next."""
    network = good()
    mix(network)
    return network


def mix(network: nn.Module) -> None:
    """Change a network in place, as a user's cell may: each class is taken for the next."""
    with torch.no_grad():
        for parameter in list(network.parameters())[-2:]:
            parameter.copy_(parameter.roll(1, 0))


def experiment(model: nn.Module | None = None, **given: Any) -> E.Experiment:
    """300 images of three classes to train on, 200 to test on, one label in ten of those wrong: E_test is 10 %, E_train 0."""
    usual = {"train": blobs(), "test": blobs(200, 1, wrong=10), "goal": 0.05, "build": dense, "training": SETUP}
    return E.Experiment(good() if model is None else model, **{**usual, **given})


def analysis_of(exp: E.Experiment | None = None, **given: Any) -> Any:
    """A widget at rest."""
    made = nw.ErrorAnalysis(experiment() if exp is None else exp, **given)
    assert made.wait(60)
    return made


def rest(widget: Any) -> Any:
    """Wait until its work is done, without an error."""
    assert widget.wait(60)
    assert widget.error is None, widget.error["traceback"]
    assert (widget.status, widget.task) == ("idle", None)
    return widget


def node(widget: Any, name: str) -> dict[str, Any]:
    """A box of the flowchart as it is shown."""
    return next(each for each in widget.flow["nodes"] if each["id"] == name)


class Says(EvidenceTest):
    """Says at once what it is told to."""

    title, method, seconds = "A question", "asked", 0.01

    def __init__(
        self, name: str, weights: Mapping[str, float], text: str = "it is so", seconds: float = 0.01, speaks_for: str = ""
    ) -> None:
        causes = (speaks_for,) if speaks_for else tuple(weights)
        self.name, self.causes, self.weights, self.text = name, causes, weights, text  # type: ignore[misc]
        self.title, self.seconds = f"Question {name}", seconds  # type: ignore[misc]

    def steps(self, ctx: Context) -> Steps:
        yield
        return self.weights, self.text, {"E_val": 0.25}


class Waits(Says):
    """Waits, in short steps, until it is let go."""

    def __init__(self, name: str = "waits", weights: Mapping[str, float] | None = None) -> None:
        super().__init__(name, {"labels": 3.0} if weights is None else weights, seconds=1.0)
        self.begun, self.go = threading.Event(), threading.Event()

    def steps(self, ctx: Context) -> Steps:
        while not self.go.wait(0.002):
            self.begun.set()
            yield
        return self.weights, self.text, {}


class Raises(Says):
    """A user's own that fails until it is mended."""

    broken = True

    def steps(self, ctx: Context) -> Steps:
        yield
        if self.broken:
            raise RuntimeError("mine broke")
        return self.weights, self.text, {}


class Given(Remedy):
    """A good network instead of the present one: judged without training, so that it takes no time."""

    name, title, text, causes, beside_given = "given", "Take the good one", "It is put in its place.", ("labels",), True

    def __init__(self) -> None:
        self.begun, self.go, self.broken = threading.Event(), threading.Event(), False
        self.go.set()

    def change(self, ctx: Context, arm: Arm) -> Changed:
        yield
        while not self.go.wait(0.002):
            self.begun.set()
            yield
        if self.broken:
            raise RuntimeError("mine broke")
        return replace(arm, given=good()), "another network"
