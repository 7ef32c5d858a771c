"""What was chosen to be removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

__all__ = ["Chosen"]


class Chosen:
    """Nothing is removed; the others say more.

    Attributes:
        vectors: (module, parameter) -> (C,) bool of what is kept of biases and batch-norms.
        kept: bundle -> (n,) bool of whole units; empty where none are chosen.
    """

    vectors: Mapping[tuple[str, str], Tensor] = {}
    kept: Mapping[str, Tensor] = {}

    def keep(self, name: str) -> Tensor | None:
        """Return the bool mask of a weight, of its shape and on its device, None where all of it is kept."""
        return None

    def weight(self, name: str, weight: Tensor, keep: Tensor | None) -> Tensor:
        """Return a weight as it is afterwards, before rounding."""
        return weight if keep is None else torch.where(keep, weight, torch.zeros_like(weight))

    def steps(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Do what ``weight`` would take long for, in steps of some 20 ms; nothing here."""
        yield from ()

    def nonzero(self, name: str, size: int, zeros: int) -> int | None:
        """Return how many weights of a layer are not zero afterwards, None where they have to be counted.

        Args:
            size: of the layer; zeros: how many of its weights are zero before.
        """
        return size - zeros

    def threshold(self, name: str) -> float | None:
        """Return the magnitude below which single weights of a layer go; None where none goes, or not by magnitude."""
        return None

    def cut(self, name: str) -> float | None:
        """Return the magnitude up to which all weights of a layer go, and none above; None where ``keep`` has to be asked."""
        return None
