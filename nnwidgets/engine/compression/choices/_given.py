"""Masks that were given."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nnwidgets.engine.compression.choices._base import Chosen
from nnwidgets.engine.values.mask import Mask

__all__ = ["GivenMasks"]


class GivenMasks(Chosen):
    """Exactly these weights are kept."""

    def __init__(self, masks: Mapping[str, Mask], weights: Mapping[str, Tensor]) -> None:
        self._masks, self._weights = masks, weights

    def keep(self, name: str) -> Tensor | None:
        given = self._masks.get(name)
        return None if given is None else torch.from_numpy(given.to_array()).to(self._weights[name].device)

    def nonzero(self, name: str, size: int, zeros: int) -> int | None:
        return None if name in self._masks else size - zeros
