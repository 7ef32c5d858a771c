"""Kept weights that make up for removed ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nnwidgets.engine.compression.choices._base import Chosen
from nnwidgets.engine.pruning.compensate import compensated

__all__ = ["MakingUp"]


class MakingUp(Chosen):
    """What another choice removes; the kept weights of layers with a Hessian are changed so that outputs change least."""

    def __init__(self, chosen: Chosen, hessians: Mapping[str, Tensor]) -> None:
        self._chosen, self._hessians = chosen, hessians
        self._made: dict[str, Tensor] = {}
        self.vectors, self.kept = chosen.vectors, chosen.kept

    def keep(self, name: str) -> Tensor | None:
        return self._chosen.keep(name)

    def nonzero(self, name: str, size: int, zeros: int) -> int | None:
        return self._chosen.nonzero(name, size, zeros)

    def weight(self, name: str, weight: Tensor, keep: Tensor | None) -> Tensor:
        if keep is None or name not in self._hessians or bool(keep.all()):
            return super().weight(name, weight, keep)
        made = self._made.get(name)
        if made is None:
            with torch.no_grad():
                made = compensated(weight, keep, self._hessians[name])
            self._made[name] = made
        return made
