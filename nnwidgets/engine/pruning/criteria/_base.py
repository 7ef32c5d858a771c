"""What a criterion is, and what it says of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

__all__ = ["Facts", "Importance"]


@dataclass(frozen=True)
class Facts:
    """A criterion as a record.

    Attributes:
        name: the public spelling; label: as a person reads it; what: in a sentence.
        formula: of one weight; unit_formula: of a filter, neuron or head, "" where there is none; source: paper.
        needs: "weights" (the numbers of the network are enough), "images" or "labels".
        side: what of a unit is looked at: "out" (the weights that make it), "in" (the weights that read it, so that sums are
            those of a gate on the unit), or "norm" (its batch-norm).
        total: how entries become one number for a unit or kernel: "mean", "sum", or "abs_sum" (the amount of the sum).
        gate: how slopes of single images in a gate on a unit become its score: "abs" (mean amount), "square" (half the mean
            square), or "" for criteria that add up ``entries``.
        signed: the smallest goes first, not the smallest amount.
        single: a single weight has a score.
    """

    name: str
    label: str
    what: str
    formula: str
    unit_formula: str
    source: str
    needs: str
    side: str = "in"
    total: str = "sum"
    gate: str = ""
    signed: bool = False
    single: bool = True


@dataclass(frozen=True, eq=False)
class Importance:
    """What a criterion found for one set of weights.

    Attributes:
        criterion: its name; n_images: how many it has looked at, 0 for the weights alone.
        entries: layer -> float32 tensor of the shape of its weight; for criteria of channels (I,), one for each index of the axis
            of inputs.
        slopes: layer -> (n_images, I) float32, for each index of the axis of inputs the sum of g w of one image over the weights
            there; only criteria with a ``gate`` have any.
        missing: layer -> why it has no score; such layers are left whole.
        hessians: layer -> (G, K, K), by which kept weights make up for removed ones; only "obs" has any.
    """

    criterion: str
    n_images: int
    entries: Mapping[str, Tensor]
    missing: Mapping[str, str]
    hessians: Mapping[str, Tensor] = field(default_factory=dict)
    slopes: Mapping[str, Tensor] = field(default_factory=dict)
