"""What pruning and training in turn tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression import compress
from nnwidgets.engine.trace import unvisited_copy
from nnwidgets.engine.values.mask import Mask
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.records import StepRecord
from nnwidgets.engine.values.split import Split

__all__ = ["RoundRecord", "TuneStep"]


@dataclass(frozen=True)
class TuneStep:
    """One training step within a schedule.

    Attributes:
        round, rounds: which part of the schedule, from 1, of how many. amount: that was asked for by now.
        sparsity: share of the weights that masks remove. step: the step itself.
    """

    round: int
    rounds: int
    amount: float
    sparsity: float
    step: StepRecord


@dataclass(frozen=True, eq=False)
class RoundRecord:
    """A round that is done: how good, and all that is needed to go back to it.

    Attributes:
        round, rounds, amount, sparsity: see `TuneStep`, at the end of the round.
        loss: on batches of S_train, mean over the last tenth of its steps.
        before: accuracy on S_val after removal, before training; None without S_val, for cubic, and where nothing is removed.
        accuracy: on S_val after training; None without.
        masks: layer -> what is kept, of those layers that lost weights.
        recipe: gives these masks on these weights: the one that was asked for, at this amount, where it does, else with the masks
            written out. state: state dict of the network, masked weights zero, not rounded to grids.
        seconds: of training.
    """

    round: int
    rounds: int
    amount: float
    sparsity: float
    loss: float
    before: float | None
    accuracy: float | None
    masks: Mapping[str, Mask] = field(repr=False)
    recipe: Recipe = field(repr=False)
    state: Mapping[str, Tensor] = field(repr=False)
    seconds: float

    def network(self, model: nn.Module, calibration: Split | None = None) -> nn.Module:
        """The compressed network as it was after this round.

        Args:
            model: the network that was pruned; it is copied. calibration: S_train, where the criterion looks at images.

        Raises:
            DataError: the criterion looks at images, and there are none.
        """
        with torch.inference_mode(False), torch.no_grad():
            twin = unvisited_copy(model)
            twin.load_state_dict(dict(self.state))
        return compress(twin, self.recipe, calibration)
