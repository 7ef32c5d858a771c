"""Training with a step of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.training._optimizers import optimizer_for
from nnwidgets.engine.training.augment import augment
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["OwnStep", "own_steps", "rate_at"]

OwnStep = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], Any]
"""``step(model, optimizer, images, labels) -> loss``: one update on one batch."""


def own_steps(network: nn.Module, train: Split, setup: TrainingSetup, step: OwnStep) -> Generator[float, None, None]:
    """Train a network in place by a step of one's own, over the epochs of a setup; yields the loss of each step.

    Batches, augmentation and rate are the setup's. One image that is left for the last batch of an epoch is left out.

    Raises:
        ModelError: the loss is no number any more.
    """
    labels = train.labels
    assert labels is not None
    optimizer = optimizer_for([each for each in network.parameters() if each.requires_grad], setup, network)
    draw = torch.Generator().manual_seed(setup.seed)
    n, size = len(train), setup.batch_size
    batches = max(1, n // size + (n % size > 1))
    for epoch in range(setup.epochs):
        order = torch.randperm(n, generator=draw)
        for batch in range(batches):
            rows = order[batch * size : (batch + 1) * size]
            images = augment(train.inputs(rows), setup.augmentation, draw)
            done = epoch * batches + batch
            for group in optimizer.param_groups:
                group["lr"] = rate_at(setup, done, setup.epochs * batches)
            network.train()
            with torch.enable_grad():
                loss = step(network, optimizer, images, labels[rows])
            value = float(loss.detach()) if isinstance(loss, Tensor) else float(loss)
            if math.isnan(value):
                raise ModelError(f"the loss became {value} at step {done + 1} with a learning rate of {setup.lr:g}.")
            yield value


def rate_at(setup: TrainingSetup, step: int, steps: int) -> float:
    """Learning rate of a step, counted from 0."""
    done = step / steps
    if setup.schedule == "cosine":
        return setup.lr * 0.5 * (1 + math.cos(math.pi * done))
    if setup.schedule == "step":
        return setup.lr * (0.01 if done >= 0.75 else 0.1 if done >= 0.5 else 1.0)
    return setup.lr
