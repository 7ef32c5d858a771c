"""Importance drawn by chance."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

__all__ = ["random_scores"]


def random_scores(seed: int, name: str, count: int) -> Tensor:
    """Return (count,) uniform float32 numbers in [0, 1) that depend on the seed and the layer's name alone."""
    key = hashlib.blake2b(f"{seed}|{name}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1)
    return torch.rand(count, generator=generator)
