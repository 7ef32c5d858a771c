"""Images that are a few numbers each: three classes that small networks learn in a second."""

from __future__ import annotations

import torch

from nnwidgets import engine as E  # noqa: N812

__all__ = ["vectors"]


def vectors(n: int, seed: int, features: int = 6, noise: float = 0.5) -> E.Split:
    """(n, features) numbers on which the feature of the class is two larger."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    images = noise * torch.randn(n, features, generator=draw)
    images[torch.arange(n), labels] += 2.0
    return E.Split(images, labels)
