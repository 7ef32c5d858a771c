"""What a comparison of bit widths gives."""

from __future__ import annotations

from dataclasses import dataclass

from nnwidgets.engine.values.records import StepRecord

__all__ = ["BitsCell", "BitsProgress"]


@dataclass(frozen=True)
class BitsCell:
    """One bit width with one seed: rounded as it is, rounded after training, and trained with rounding.

    Attributes:
        bits: of the weights. seed: of the order of images in both trainings.
        static: accuracy on S_val of the network as it is, rounded (post-training quantization).
        tuned: the same after training in full precision, then rounded: the control, with as much training as ``aware``.
        aware: after training with fake quantization in every step (quantization-aware training).
        bytes_encoded: of the file. seconds: of the training with fake quantization.
        reason: why figures are missing (None): settings that do not go together, or training that lost its way; "" else.
    """

    bits: int
    seed: int
    static: float | None = None
    tuned: float | None = None
    aware: float | None = None
    bytes_encoded: int | None = None
    seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class BitsProgress:
    """How far a comparison is: trainings that are done, of how many, what is being done, the cell that has just ended, and the
    steps so far of the training at work, none between two of them."""

    done: int
    total: int
    text: str
    cell: BitsCell | None = None
    records: tuple[StepRecord, ...] = ()

    @property
    def share(self) -> float:
        """Of the work, in [0, 1]."""
        return self.done / self.total
