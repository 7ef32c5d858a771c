"""What a comparison of criteria gives."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CriteriaProgress", "CriterionCell"]


@dataclass(frozen=True)
class CriterionCell:
    """One removal by one criterion, and the training after it.

    Attributes:
        criterion, structure, amount: see `Pruning`.
        seed: of the order of images in training (the same for all cells of a seed), of random scores, and of the images that a
            criterion looks at.
        sparsity: share of the weights that are removed: of all weights of the network, with what is coupled to removed units.
        before: accuracy on S_val after removal, before training. after: the same after training.
        n_images: how many a criterion looked at, 0 for the weights alone; "movement" trains a copy on them for an epoch.
        seconds: of training.
        reason: why figures are missing (None): the settings do not go together, the amount is too large, the criterion cannot
            look at this network, or training lost its way (then ``before`` is there); "" where all is there.
    """

    criterion: str
    structure: str
    amount: float
    seed: int
    sparsity: float | None = None
    before: float | None = None
    after: float | None = None
    n_images: int | None = None
    seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class CriteriaProgress:
    """How far a comparison is: cells that are done, of how many, what is being done, and the cell that has just ended."""

    done: int
    total: int
    text: str
    cell: CriterionCell | None = None

    @property
    def share(self) -> float:
        """Of the work, in [0, 1]."""
        return self.done / self.total
