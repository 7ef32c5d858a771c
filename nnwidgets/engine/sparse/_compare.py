"""By which criterion should be pruned: criteria, structures and amounts on equal training."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict, fields
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import InputError, ModelError, NnwError, RecipeError
from nnwidgets.engine.evaluation import check_model
from nnwidgets.engine.pruning.criteria import CRITERIA
from nnwidgets.engine.sparse._cells import Arm, Bench, arm_steps, arm_task
from nnwidgets.engine.sparse._checks import check_labelled, check_setup, several, whole_seeds
from nnwidgets.engine.sparse._done import Done, Kind, Place, checksum
from nnwidgets.engine.sparse._measure import batch_for, measuring
from nnwidgets.engine.sparse._tasks import check_executor, finish
from nnwidgets.engine.sparse.criteria_records import CriteriaProgress, CriterionCell
from nnwidgets.engine.trace import fingerprint, preserved_rng, unvisited_copy
from nnwidgets.engine.training import fit
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare_criteria", "compare_criteria_steps"]

Loss = Callable[[Tensor, Tensor], Tensor]
Amounts = Sequence[float] | Mapping[str, Sequence[float]]
Resume = str | PathLike[str] | MutableMapping[Place, dict[str, Any]] | None
_AMOUNTS = (0.5, 0.8, 0.9)
_SETUP = TrainingSetup(lr=5e-4, epochs=1)
_KIND = Kind("cell", "a comparison of criteria", ("criterion", "structure", "amount", "seed"), ("before", "after", "reason"))


def compare_criteria(
    model: nn.Module,
    train: Split,
    val: Split,
    criteria: Sequence[str] | None = None,
    structures: Sequence[str] = ("weight",),
    amounts: Amounts = _AMOUNTS,
    setup: TrainingSetup | None = None,
    allocation: str | Mapping[str, float] = "global",
    seeds: Iterable[int] = (0,),
    executor: Executor | None = None,
    resume: Resume = None,
    *,
    loss: Loss | None = None,
) -> pd.DataFrame:
    """Remove by each criterion, measure, train, measure again: the accuracy of each criterion x structure x amount x seed.

    Every cell starts from the network as it is, and removes all at once. All cells of a seed are trained on the same images in
    the same order, so that differences between them are paired. An amount of 0 is the network with the same training and nothing
    removed. Some criteria were given more than others: see ``n_images``; "movement" sees an epoch of training of its own, and
    "obs" changes the weights that stay.

    Args:
        model: a trained, plain network; or an untrained one, for pruning at the start. It is copied and stays as it is.
        train: images with labels, where the network is: criteria look at them, and cells are trained on them.
        val: S_val, with labels. Who chooses a criterion by what is measured here needs another sample to report on.
        criteria: names as in `Pruning`, by default all. structures: the same.
        amounts: shares in [0, 1), or {structure: shares}. n:m patterns take one share each, such as 0.5 for "2:4".
        setup: of the training, by default one epoch of Adam at 5e-4; its seed is replaced by the seed of the cell.
        allocation: as in `Pruning`, but "sensitivity", which needs a scan. seeds: see `CriterionCell`.
        executor: any ``concurrent.futures.Executor`` (processes, a Dask client's ``get_executor()``): a task is one criterion on
            one structure with one seed. In each process one task runs at a time: threads gain nothing. A worker should have as
            many threads as this process (``OMP_NUM_THREADS``), or sums may differ in their last bits.
        resume: a file (JSON lines) or a dict that cells are kept in as soon as they are done (with an executor: when their task
            is); what it has is not run again.
        loss: as in ``fit``, and of the criteria that ask it; to be sent to processes it has to be a function of a module.

    Returns:
        A row for each cell, by seed, criterion, structure and amount, with the attributes of `CriterionCell` as columns. Cells
        that cannot be are rows too, with the reason in words and NaN for figures. ``attrs``: dense (accuracy of the network as it
        is on ``val``), n (its images). The same bits however the work was distributed, stopped and resumed on one kind of
        machine.

    Raises:
        InputError: nothing to compare, something twice, an executor that is none, cells kept of other settings. DataError: no
            labels. RecipeError: an unknown criterion or structure, an amount out of range, an allocation that does not fit.
        ModelError: a network that cannot be used, or has masks or grids on it. FileError: the file of ``resume``.
        NnwError: what went wrong within a cell (or in a worker), with the name of the cell.
    """
    work = _Comparison(model, train, val, criteria, structures, amounts, setup, allocation, seeds, resume, loss)
    with preserved_rng():
        return result_of(work.steps()) if executor is None else work.divided(executor)


def compare_criteria_steps(
    model: nn.Module,
    train: Split,
    val: Split,
    criteria: Sequence[str] | None = None,
    structures: Sequence[str] = ("weight",),
    amounts: Amounts = _AMOUNTS,
    setup: TrainingSetup | None = None,
    allocation: str | Mapping[str, float] = "global",
    seeds: Iterable[int] = (0,),
    resume: Resume = None,
    *,
    loss: Loss | None = None,
) -> Generator[CriteriaProgress, None, pd.DataFrame]:
    """As `compare_criteria`, for a job: yields after each part of a training step, returns the table.

    Arguments are checked at the call. Closed early, cells that are done are in ``resume``. Random states are not guarded: in a
    background thread that would take back what the user's own code draws meanwhile.
    """
    return _Comparison(model, train, val, criteria, structures, amounts, setup, allocation, seeds, resume, loss).steps()


class _Comparison:
    """A comparison that was checked."""

    def __init__(
        self,
        model: nn.Module,
        train: Split,
        val: Split,
        criteria: Sequence[str] | None,
        structures: Sequence[str],
        amounts: Amounts,
        setup: TrainingSetup | None,
        allocation: str | Mapping[str, float],
        seeds: Iterable[int],
        resume: Resume,
        loss: Loss | None,
    ) -> None:
        setup = _SETUP if setup is None else setup
        if not isinstance(model, nn.Module):
            raise ModelError(f"got {type(model).__name__}, expected a torch.nn.Module.")
        check_labelled(train=train, val=val)
        check_setup(setup)
        given = several("criteria", CRITERIA if criteria is None else criteria, "('random', 'magnitude', 'taylor')")
        criteria = [Pruning(0.0, criterion=name).criterion for name in given]  # which raises what is misspelt
        structures = [Pruning(0.0, name).structure for name in several("structures", structures, "('weight', 'filter')")]
        shares = _checked_amounts(amounts, structures)
        if allocation == "sensitivity":
            raise RecipeError(
                "allocation='sensitivity' needs a scan, which is none of the criteria that are compared; expected 'global', "
                "'uniform', 'erk' or {layer: share}."
            )
        self.arms = [
            Arm(criterion, structure, seed, shares[structure])
            for seed in whole_seeds(seeds)
            for criterion in criteria
            for structure in structures
        ]
        with torch.inference_mode(False), torch.no_grad():
            copy = unvisited_copy(model).eval()
        check_model(copy, val)
        fit(copy, train, setup=setup)
        self.bench = Bench(copy, train, val, setup, allocation, F.cross_entropy if loss is None else loss)
        self.bench.plan().check(Recipe(Pruning(0.5, allocation=allocation)))
        self.done = Done(resume, _settings(self.bench), _KIND)

    def steps(self) -> Generator[CriteriaProgress, None, pd.DataFrame]:
        """One cell after the other."""
        plan, total, done = self.bench.plan(), sum(len(arm.amounts) for arm in self.arms), 0
        for arm in self.arms:
            missing = self._missing(arm)
            done += len(arm.amounts) - len(missing.amounts)
            yield CriteriaProgress(done, total, arm.text)
            for cell in arm_steps(self.bench, missing, plan):
                if cell is not None:
                    done += 1
                    self.done.put(asdict(cell))
                yield CriteriaProgress(done, total, arm.text, cell)
        return (yield from self._table(partial(CriteriaProgress, done, total, "the network as it is")))

    def divided(self, executor: Executor) -> pd.DataFrame:
        """Each arm as a task; if one fails, those that wait are not begun."""
        check_executor(executor, (self.bench.model, self.bench.loss), "the network or its loss")
        arms: dict[Future[tuple[CriterionCell, ...]], Arm] = {}

        def begun() -> Iterator[Future[tuple[CriterionCell, ...]]]:
            for arm in map(self._missing, self.arms):
                if arm.amounts:
                    future = executor.submit(arm_task, self.bench, arm)
                    arms[future] = arm
                    yield future

        def kept(future: Future[tuple[CriterionCell, ...]]) -> tuple[()]:
            try:
                cells = future.result()
            except NnwError:  # which names its cell
                raise
            except Exception as error:
                raise NnwError(f"{arms[future].text}: the task failed: {type(error).__name__}: {error}") from error
            for cell in cells:
                self.done.put(asdict(cell))
            return ()

        finish(begun(), kept)
        return result_of(self._table(lambda: None))

    def _missing(self, arm: Arm) -> Arm:
        """What of an arm has to be run."""
        amounts = (amount for amount in arm.amounts if self.done.get(_place(arm, amount)) is None)
        return Arm(arm.criterion, arm.structure, arm.seed, tuple(amounts))

    def _table(self, say: Callable[[], Any]) -> Generator[Any, None, pd.DataFrame]:
        """All cells in order."""
        dense = measuring(self.bench.model, self.bench.val, batch_for(self.bench.model, self.bench.val))
        while True:
            try:
                next(dense)
            except StopIteration as end:
                accuracy = end.value.accuracy
                break
            yield say()
        import pandas as pd  # 30 MB that others do not need

        names = [field.name for field in fields(CriterionCell)]
        records = (self.done.get(_place(arm, amount)) for arm in self.arms for amount in arm.amounts)
        rows = [{name: record[name] for name in names} for record in records if record is not None]
        figures = {name: float for name in ("sparsity", "before", "after", "n_images", "seconds")}
        made = pd.DataFrame(rows, columns=names).astype(figures)
        made.attrs.update(dense=accuracy, n=len(self.bench.val))
        return made


def _place(arm: Arm, amount: float) -> Place:
    return arm.criterion, arm.structure, amount, arm.seed


def _checked_amounts(amounts: Amounts, structures: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Structure -> shares, in ascending order."""
    if not isinstance(amounts, Mapping):
        return dict.fromkeys(structures, _sorted("amounts", amounts))
    for name in amounts:
        if name not in structures:
            raise InputError(f"amounts: got shares for {name!r}, which is not compared; {nearest(name, structures)}")
    lacking = [structure for structure in structures if structure not in amounts]
    if lacking:
        raise InputError(f"amounts: got none for {', '.join(map(repr, lacking))}; expected shares for each of the structures.")
    return {name: _sorted(f"amounts[{name!r}]", shares) for name, shares in amounts.items()}


def _sorted(name: str, shares: Sequence[float]) -> tuple[float, ...]:
    found = several(name, shares, "(0.5, 0.8, 0.9)")
    for share in found:
        Pruning(share)
    return tuple(sorted(map(float, found)))


def _settings(bench: Bench) -> dict[str, Any]:
    """What cells have to have in common, to be kept together."""
    by_hand = isinstance(bench.allocation, Mapping)
    return {
        "setup": {key: value for key, value in asdict(bench.setup).items() if key != "seed"},
        "allocation": dict(bench.allocation) if by_hand else bench.allocation,  # type: ignore[arg-type]
        "loss": getattr(bench.loss, "__qualname__", type(bench.loss).__qualname__),
        "network": fingerprint(bench.model),
        "n": {"train": len(bench.train), "val": len(bench.val)},
        "data": [checksum(split) for split in (bench.train, bench.val)],
    }
