"""Kept weights that make up for removed ones."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping

import torch
from torch import Tensor

from nnwidgets.engine.compression.choices._base import Chosen
from nnwidgets.engine.pruning.compensate import compensating
from nnwidgets.engine.values.steps import result_of

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
        return result_of(self._making(name, weight, keep))

    def steps(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        for name in self._hessians:
            keep = self.keep(name)
            if keep is not None and not bool(keep.all()):
                yield from self._making(name, weights[name], keep)

    def _making(self, name: str, weight: Tensor, keep: Tensor) -> Generator[None, None, Tensor]:
        if name not in self._made:
            steps = compensating(weight, keep, self._hessians[name])
            while name not in self._made:
                try:
                    with torch.no_grad():
                        next(steps)
                except StopIteration as end:
                    self._made[name] = end.value
                else:
                    yield
        return self._made[name]
