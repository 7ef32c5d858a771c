"""N of each M neighbours along the inputs."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nnwidgets.engine.compression.choices._base import Chosen
from nnwidgets.engine.pruning.n_of_m import keep_n_of_m, parsed
from nnwidgets.engine.pruning.pieces import Pieces
from nnwidgets.engine.trace import WeightLayer

__all__ = ["Patterns", "patterns"]


class Patterns(Chosen):
    """The layers in ``names`` keep n of each m."""

    def __init__(
        self,
        pieces: Pieces,
        names: frozenset[str],
        structure: str,
        layers: Mapping[str, WeightLayer],
        weights: Mapping[str, Tensor],
    ) -> None:
        self._pieces, self._names, self._layers, self._weights = pieces, names, layers, weights
        self._n, self._m = parsed(structure)

    def keep(self, name: str) -> Tensor | None:
        if name not in self._names:
            return None
        weight = self._weights[name]
        scores = self._pieces.scores(name)
        amounts = scores.abs() if scores is weight else scores
        return keep_n_of_m(amounts, self._layers[name], self._n, self._m).to(weight.device)

    def nonzero(self, name: str, size: int, zeros: int) -> int | None:
        if name not in self._names:
            return size - zeros
        return size // self._m * self._n if zeros == 0 else None


def patterns(
    pieces: Pieces, names: set[str], structure: str, layers: Mapping[str, WeightLayer], weights: Mapping[str, Tensor]
) -> Patterns:
    """Keep n of each m in these layers."""
    return Patterns(pieces, frozenset(names & set(pieces.table.sizes)), structure, layers, weights)
