"""Single weights and kernels: the lowest scores go."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nnwidgets.engine.compression.choices._base import Chosen
from nnwidgets.engine.pruning import Selection
from nnwidgets.engine.pruning.pieces import Pieces

__all__ = ["Singles", "singles"]


class Singles(Chosen):
    """Attributes:
    selection: what goes, in pieces. pieces: what the selection is of.
    """

    def __init__(self, pieces: Pieces, selection: Selection, weights: Mapping[str, Tensor], by_size: bool) -> None:
        self.pieces, self.selection = pieces, selection
        self._weights, self._by_size = weights, by_size  # single weights by magnitude

    def keep(self, name: str) -> Tensor | None:
        if self._removed(name) == 0:
            return None
        scores = self._weights[name] if self._by_size else self.pieces.scores(name)
        return self.pieces.keep(name, self.selection.keep(name, scores)).to(self._weights[name].device)

    def nonzero(self, name: str, size: int, zeros: int) -> int | None:
        removed = self._removed(name)
        if removed == 0 or zeros == 0:
            return size - zeros - removed * (self.pieces.weights_in(name) if removed else 0)
        if not self._by_size or self.pieces.table.zeros(name) != zeros:  # float64 weights too small for the table's float32
            return None
        return size - max(zeros, removed)  # zeros are the smallest magnitudes: they are the first to go

    def threshold(self, name: str) -> float | None:
        return float(self.selection.thresholds[self._place(name)]) if self._by_size and self._removed(name) else None

    def cut(self, name: str) -> float | None:
        threshold = self.threshold(name)
        if threshold is None:
            return None
        place = self._place(name)
        all_equal = self.selection.ties[place] == self.selection.equal[place]
        return threshold if all_equal or threshold == 0 else None

    def _removed(self, name: str) -> int:
        if name not in self.selection.names:
            return 0
        return int(self.selection.removed[self._place(name)])

    def _place(self, name: str) -> int:
        return self.selection.names.index(name)


def singles(
    pieces: Pieces, amounts: float | Mapping[str, float], exclude: set[str], weights: Mapping[str, Tensor], by_size: bool
) -> Singles:
    """Choose by one share of all pieces together, or by {layer: share}."""
    known = {name for name in exclude if name in pieces.table.sizes}
    return Singles(pieces, pieces.table.select(amounts, known), weights, by_size)
