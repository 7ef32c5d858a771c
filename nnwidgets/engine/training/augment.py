"""Augmentation of image batches with a generator of its own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import DataError

__all__ = ["augment"]

_REACH = 2  # pixels of a shift, each way


def augment(batch: Tensor, kind: str | None, draw: torch.Generator) -> Tensor:
    """Shift each image by up to two pixels, flip it left and right by chance, or both.

    Args:
        batch: (B, C, H, W); kind: None, "shift", "flip" or "shift+flip"; draw: a generator on the cpu.

    Raises:
        DataError: data that are not images.
    """
    if kind is None:
        return batch
    if batch.dim() != 4:
        raise DataError(
            f"augmentation {kind!r}: got a batch of shape {tuple(batch.shape)}, expected images "
            "(B, C, H, W). Use augmentation=None."
        )
    if "shift" in kind:
        batch = _shifted(batch, draw)
    if "flip" in kind:
        chosen = (torch.rand(len(batch), generator=draw) < 0.5).to(batch.device)
        batch = torch.where(chosen.view(-1, 1, 1, 1), batch.flip(3), batch)
    return batch


def _shifted(batch: Tensor, draw: torch.Generator) -> Tensor:
    """The border is repeated where a shift uncovers it."""
    b, c, h, w = batch.shape
    moves = torch.randint(0, 2 * _REACH + 1, (b, 2), generator=draw).to(batch.device)
    padded = F.pad(batch, (_REACH,) * 4, mode="replicate")
    rows = (moves[:, :1] + torch.arange(h, device=batch.device)).view(b, 1, h, 1)
    columns = (moves[:, 1:] + torch.arange(w, device=batch.device)).view(b, 1, 1, w)
    images = torch.arange(b, device=batch.device).view(b, 1, 1, 1)
    channels = torch.arange(c, device=batch.device).view(1, c, 1, 1)
    return padded[images, channels, rows, columns]
