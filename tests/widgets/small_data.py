"""Images that are a few numbers each: three classes that small networks learn in a second, and a lab on them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812

__all__ = ["dense", "lab_on_vectors", "vectors"]


def vectors(n: int, seed: int, features: int = 6, noise: float = 0.5) -> E.Split:
    """(n, features) numbers on which the feature of the class is two larger."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    images = noise * torch.randn(n, features, generator=draw)
    images[torch.arange(n), labels] += 2.0
    return E.Split(images, labels)


def dense(*sizes: int) -> nn.Sequential:
    """Dense layers of these sizes with ReLU between them, the same at each call, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*parts[:-1]).eval()


def lab_on_vectors(model: nn.Module, epochs: int = 0, **given: Any) -> Any:
    """A lab at rest on 300 images of 12 numbers, 50 of them S_val, for a network that is trained on them first."""
    train = vectors(300, 0, 12, 0.6)
    for _ in E.fit(model, train, setup=E.TrainingSetup(lr=0.01, epochs=epochs, batch_size=50)) if epochs else ():
        pass
    lab = nw.CompressionLab(E.Experiment(model.eval(), **{"train": train, "test": vectors(200, 2, 12, 0.6), **given}))
    assert lab.wait(60)
    return lab
