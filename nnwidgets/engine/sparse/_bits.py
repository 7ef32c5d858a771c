"""How few bits a weight needs: rounded as it is, and trained with rounding, on equal training."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, MutableMapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.compression import CompressionPlan, bake
from nnwidgets.engine.errors import InputError, ModelError, NnwError, RecipeError, UnsupportedError
from nnwidgets.engine.evaluation import check_model
from nnwidgets.engine.sparse._checks import check_labelled, check_setup, several, whole_seeds
from nnwidgets.engine.sparse._done import Done, Kind, Place, checksum
from nnwidgets.engine.sparse._measure import batch_for, measuring
from nnwidgets.engine.sparse._tasks import ONE_AT_A_TIME, check_executor, finish
from nnwidgets.engine.sparse.bits_records import BitsCell, BitsProgress
from nnwidgets.engine.trace import fingerprint, preserved_rng, unvisited_copy
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.values.records import StepRecord
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of, retold

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare_bits", "compare_bits_steps"]

Loss = Callable[[Tensor, Tensor], Tensor]
Resume = str | PathLike[str] | MutableMapping[Place, dict[str, Any]] | None
_BITS = (8, 4, 3, 2, 1)
_SETUP = TrainingSetup(lr=5e-4, epochs=1, schedule="cosine")
_KIND = Kind("cell", "a comparison of bits", ("bits", "seed"), ("static", "tuned", "aware", "reason"))
_Said = tuple[str, BitsCell | None, tuple[StepRecord, ...]]


def compare_bits(
    model: nn.Module,
    train: Split,
    val: Split,
    bits: Sequence[int] = _BITS,
    quantization: Quantization | None = None,
    setup: TrainingSetup | None = None,
    seeds: Iterable[int] = (0,),
    executor: Executor | None = None,
    resume: Resume = None,
    *,
    pruning: Pruning | None = None,
    loss: Loss | None = None,
) -> pd.DataFrame:
    """Round the weights to each number of bits, without training and with it: static against quantization-aware.

    All trainings of a seed see the same images in the same order, so that differences are paired. The control of training with
    rounding is as much training in full precision, and then rounding.

    Args:
        model: a trained, plain network. It is copied and stays as it is.
        train: images with labels, where the network is. val: S_val, with labels; report on another sample.
        bits: each 1 to 8. quantization: all other settings, by default symmetric, per channel, min-max. By the observer "learned"
            ``aware`` trains the steps too, and the others have them where they begin (LSQ); ``scales`` are left out.
        setup: of each training, by default one epoch of Adam at 5e-4, falling along a cosine; its seed is replaced.
        seeds: of the order of images. executor: as of `compare_criteria`; a task is one seed. resume: as of `compare_criteria`.
        pruning: weights that are removed first, in all of them. loss: as in ``fit``.

    Returns:
        A row for each bit width and seed, with the attributes of `BitsCell` as columns. ``attrs``: dense (accuracy of the network
        as it is on ``val``), n (its images).

    Raises:
        InputError, RecipeError: nothing to compare, settings out of range, cells kept of other settings. DataError: no labels.
        ModelError: a network that cannot be used. FileError: the file of ``resume``. NnwError: what went wrong within a cell.
    """
    work = _Comparison(model, train, val, bits, quantization, setup, seeds, resume, pruning, loss)
    with preserved_rng():
        return result_of(work.steps()) if executor is None else work.divided(executor)


def compare_bits_steps(
    model: nn.Module,
    train: Split,
    val: Split,
    bits: Sequence[int] = _BITS,
    quantization: Quantization | None = None,
    setup: TrainingSetup | None = None,
    seeds: Iterable[int] = (0,),
    resume: Resume = None,
    *,
    pruning: Pruning | None = None,
    loss: Loss | None = None,
) -> Generator[BitsProgress, None, pd.DataFrame]:
    """As `compare_bits`, for a job: yields after each part of a training step, returns the table.

    Arguments are checked at the call. Closed early, cells that are done are in ``resume``. Random states are not guarded.
    """
    return _Comparison(model, train, val, bits, quantization, setup, seeds, resume, pruning, loss).steps()


@dataclass(frozen=True, eq=False)
class _Bench:
    """What every cell needs. ``model`` is a copy in eval mode; ``settings`` are of the quantization, all but the bits."""

    model: nn.Module
    train: Split
    val: Split
    settings: Quantization
    setup: TrainingSetup
    pruning: Pruning | None
    loss: Loss

    def recipe(self, bits: int) -> Recipe:
        """With so many bits."""
        return Recipe(self.pruning, replace(self.settings, weight_bits=bits, scales=None))


def _seed_task(bench: _Bench, seed: int, bits: tuple[int, ...]) -> tuple[BitsCell, ...]:
    """All bit widths with one seed, in one go: the task that an executor is given. One at a time in each process."""
    with ONE_AT_A_TIME:
        return tuple(cell for _, cell, _ in _seed_steps(bench, seed, bits) if cell is not None)


def _seed_steps(bench: _Bench, seed: int, bits: tuple[int, ...]) -> Iterator[_Said]:
    """Yield what is being done after at most one part of a training step, each cell when it is done, and how training goes."""
    plan = CompressionPlan(bench.model, bench.train.sample_shape, split=bench.train, loss=bench.loss)
    batch = batch_for(bench.model, bench.val)
    for _ in plan.preparing(Recipe(bench.pruning)):
        yield "the criterion looks at images", None, ()
    full = plan.compressed(Recipe(bench.pruning))
    words = f"seed {seed}, in full precision"
    for records in _trained(bench, full, seed):
        yield words, None, records
    trained = CompressionPlan(bake(full).eval(), bench.train.sample_shape, split=bench.train, loss=bench.loss)
    yield words, None, ()
    for width in bits:
        words = f"seed {seed}, {width} bits"
        say = partial(_doing, words)
        cell, recipe = BitsCell(width, seed), bench.recipe(width)
        try:
            measured = []
            for each in (plan, trained):
                for steps in (each.preparing(recipe), each.making(recipe)):
                    for _ in steps:
                        yield say()
                rounded = each.compressed(recipe).eval()
                yield say()
                measured.append((yield from retold(measuring(rounded, bench.val, batch), say)))
            static, control = measured
            figures, rounded = plan.figures(recipe), plan.trainable(recipe)[0]
            cell = replace(cell, static=static.accuracy, tuned=control.accuracy, bytes_encoded=figures.bytes_encoded)
            for records in _trained(bench, rounded, seed):
                yield words, None, records
            aware = yield from retold(measuring(rounded, bench.val, batch), say)
            cell = replace(cell, aware=aware.accuracy, seconds=records[-1].seconds)
        except (RecipeError, UnsupportedError, ModelError) as error:
            cell = replace(cell, reason=str(error))
        yield words, cell, ()


def _doing(words: str) -> _Said:
    return words, None, ()


def _trained(bench: _Bench, network: nn.Module, seed: int) -> Iterator[tuple[StepRecord, ...]]:
    """Train in place; yields the steps so far after each part of one."""
    records: tuple[StepRecord, ...] = ()
    for record in fit(network, bench.train, setup=replace(bench.setup, seed=seed), loss=bench.loss).in_parts():
        records = records if record is None else (*records, record)
        yield records


class _Comparison:
    """A comparison that was checked."""

    def __init__(
        self,
        model: nn.Module,
        train: Split,
        val: Split,
        bits: Sequence[int],
        quantization: Quantization | None,
        setup: TrainingSetup | None,
        seeds: Iterable[int],
        resume: Resume,
        pruning: Pruning | None,
        loss: Loss | None,
    ) -> None:
        setup, settings = setup or _SETUP, quantization or Quantization()
        if not isinstance(model, nn.Module):
            raise ModelError(f"got {type(model).__name__}, expected a torch.nn.Module.")
        if not isinstance(settings, Quantization):
            raise InputError(
                f"quantization: got {type(settings).__name__}, expected Quantization(...), whose bits do not matter."
            )
        check_labelled(train=train, val=val)
        check_setup(setup)
        self.bits = several("bits", bits, "(8, 4, 2)")
        for width in self.bits:
            if isinstance(width, bool) or width not in range(1, 9):
                raise InputError(f"bits: got {width!r:.40}, expected whole numbers from 1 to 8.")
        self.seeds = whole_seeds(seeds)
        with torch.inference_mode(False), torch.no_grad():
            copy = unvisited_copy(model).eval()
        check_model(copy, val)
        fit(copy, train, setup=setup)
        self.bench = _Bench(copy, train, val, settings, setup, pruning, F.cross_entropy if loss is None else loss)
        plan = CompressionPlan(copy, train.sample_shape, split=train, loss=self.bench.loss)
        for width in self.bits:
            plan.check(self.bench.recipe(width))
        self.done = Done(resume, _settings(self.bench), _KIND)

    def steps(self) -> Generator[BitsProgress, None, pd.DataFrame]:
        """One seed after the other."""
        total, done = len(self.seeds) * (len(self.bits) + 1), 0
        for seed in self.seeds:
            missing = self._missing(seed)
            done += len(self.bits) - len(missing) + (not missing)
            for words, cell, records in _seed_steps(self.bench, seed, missing) if missing else ():
                if cell is not None:
                    done += 1
                    self.done.put(asdict(cell))
                yield BitsProgress(done, total, words, cell, records)
            done += bool(missing)
        ending = BitsProgress(total, total, "the network as it is")
        return (yield from retold(self._table(), lambda: ending))

    def divided(self, executor: Executor) -> pd.DataFrame:
        """Each seed as a task; if one fails, those that wait are not begun."""
        check_executor(executor, (self.bench.model, self.bench.loss), "the network or its loss")
        whose: dict[Future[tuple[BitsCell, ...]], int] = {}

        def begun() -> Iterator[Future[tuple[BitsCell, ...]]]:
            for seed in self.seeds:
                if missing := self._missing(seed):
                    future = executor.submit(_seed_task, self.bench, seed, missing)
                    whose[future] = seed
                    yield future

        def kept(future: Future[tuple[BitsCell, ...]]) -> tuple[()]:
            try:
                cells = future.result()
            except Exception as error:
                raise NnwError(f"seed {whose[future]}: the task failed: {type(error).__name__}: {error}") from error
            for cell in cells:
                self.done.put(asdict(cell))
            return ()

        finish(begun(), kept)
        return result_of(self._table())

    def _missing(self, seed: int) -> tuple[int, ...]:
        """The bit widths that have to be run."""
        return tuple(width for width in self.bits if self.done.get((width, seed)) is None)

    def _table(self) -> Generator[None, None, pd.DataFrame]:
        """All cells in order."""
        dense = yield from measuring(self.bench.model, self.bench.val, batch_for(self.bench.model, self.bench.val))
        import pandas as pd  # 30 MB that others do not need

        names = [field.name for field in fields(BitsCell)]
        records = (self.done.get((width, seed)) for seed in self.seeds for width in self.bits)
        rows = [{name: record[name] for name in names} for record in records if record is not None]
        figures = dict.fromkeys(("static", "tuned", "aware", "bytes_encoded", "seconds"), float)
        made = pd.DataFrame(rows, columns=names).astype(figures)
        made.attrs.update(dense=dense.accuracy, n=len(self.bench.val))
        return made


def _settings(bench: _Bench) -> dict[str, Any]:
    """What cells have to have in common, to be kept together."""
    return {
        "setup": {key: value for key, value in asdict(bench.setup).items() if key != "seed"},
        "recipe": bench.recipe(32).to_json(),
        "loss": getattr(bench.loss, "__qualname__", type(bench.loss).__qualname__),
        "network": fingerprint(bench.model),
        "n": {"train": len(bench.train), "val": len(bench.val)},
        "data": [checksum(split) for split in (bench.train, bench.val)],
    }
