"""Cells of a comparison of criteria: a function of its arguments alone, so that it can run anywhere and be done again."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.errors import ModelError, NnwError, RecipeError, UnsupportedError
from nnwidgets.engine.sparse._measure import batch_for, measuring
from nnwidgets.engine.sparse._places import sparsity_of
from nnwidgets.engine.sparse._tasks import ONE_AT_A_TIME
from nnwidgets.engine.sparse.criteria_records import CriterionCell
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["Arm", "Bench", "arm_steps", "arm_task"]

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Bench:
    """What every cell needs: the arguments of `compare_criteria`, checked. ``model`` is a copy in eval mode."""

    model: nn.Module
    train: Split
    val: Split
    setup: TrainingSetup
    allocation: str | Mapping[str, float]
    loss: Loss

    def plan(self) -> CompressionPlan:
        """Scores and masks of the network; what a criterion has found is kept for the arms that come next."""
        return CompressionPlan(self.model, self.train.sample_shape, split=self.train, loss=self.loss)


@dataclass(frozen=True)
class Arm:
    """One criterion on one structure with one seed, by several amounts: scores are found once."""

    criterion: str
    structure: str
    seed: int
    amounts: tuple[float, ...]

    @property
    def text(self) -> str:
        """In words, for messages."""
        return f"criterion={self.criterion!r}, structure={self.structure!r}, seed={self.seed}"

    def cell(self, amount: float) -> CriterionCell:
        """Without figures yet."""
        return CriterionCell(self.criterion, self.structure, amount, self.seed)

    def pruning(self, amount: float, allocation: str | Mapping[str, float]) -> Pruning:
        """What is removed in a cell."""
        return Pruning(amount, self.structure, self.criterion, allocation, seed=self.seed)


def arm_task(bench: Bench, arm: Arm) -> tuple[CriterionCell, ...]:
    """As `arm_steps`, in one go: the task that an executor is given. One at a time in each process."""
    with ONE_AT_A_TIME:
        return result_of(arm_steps(bench, arm, bench.plan()))


def arm_steps(bench: Bench, arm: Arm, plan: CompressionPlan) -> Generator[CriterionCell | None, None, tuple[CriterionCell, ...]]:
    """Yield None after at most one part of a training step, and each cell when it is done; return all of them.

    Raises:
        NnwError: what went wrong, with the cell in which it did.
    """
    found = []
    for amount in arm.amounts:
        try:
            cell = yield from _cell(bench, arm, amount, plan)
        except Exception as error:
            text = f"{arm.text}, amount={amount:g}: {error}"
            raise (type(error)(text) if isinstance(error, NnwError) else NnwError(f"{text} ({type(error).__name__})")) from error
        found.append(cell)
        yield cell
    return tuple(found)


def _cell(bench: Bench, arm: Arm, amount: float, plan: CompressionPlan) -> Generator[None, None, CriterionCell]:
    pruning = arm.pruning(amount, bench.allocation)
    try:
        network, looked = yield from _removed(pruning, plan)
    except (RecipeError, UnsupportedError, ModelError) as error:
        return replace(arm.cell(amount), reason=str(error))
    batch = batch_for(bench.model, bench.val)
    yield
    before = yield from measuring(network, bench.val, batch)
    made = replace(arm.cell(amount), sparsity=sparsity_of(network), before=before.accuracy, n_images=looked)
    seconds = 0.0
    try:
        for record in fit(network, bench.train, setup=replace(bench.setup, seed=arm.seed), loss=bench.loss).in_parts():
            yield
            seconds = seconds if record is None else record.seconds
    except ModelError as error:  # the loss is no longer finite
        return replace(made, reason=f"training: {error}")
    after = yield from measuring(network, bench.val, batch)
    return replace(made, after=after.accuracy, seconds=seconds)


def _removed(pruning: Pruning, plan: CompressionPlan) -> Generator[None, None, tuple[nn.Module, int]]:
    """A compressed copy, and the number of images that the criterion looked at."""
    recipe = Recipe(pruning)
    plan.check(recipe)
    yield
    for _ in plan.preparing(recipe):
        yield
    network = plan.compressed(recipe)
    yield
    importance = None if pruning.removes_nothing else plan.knowledge.importance(pruning)
    return network, 0 if importance is None else importance.n_images
