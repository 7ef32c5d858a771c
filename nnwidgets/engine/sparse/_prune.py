"""The standard algorithm for a trained network (Han et al. 2015): score, remove, train, repeat, by a schedule."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.compression import CompressionPlan, compress, trained_recipe
from nnwidgets.engine.compression.parametrizations import is_compressed, taken_off
from nnwidgets.engine.errors import DataError, InputError, ModelError, RecipeError, UnsupportedError
from nnwidgets.engine.sparse._deciding import decided, recipe_of
from nnwidgets.engine.sparse._measure import batch_for, measuring
from nnwidgets.engine.sparse._places import begin_steps, masks_of, narrow, sparsity_of
from nnwidgets.engine.sparse._regrow import regrow
from nnwidgets.engine.sparse.records import RoundRecord, TuneStep
from nnwidgets.engine.trace import unvisited_copy
from nnwidgets.engine.training import Run, fit
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.values.schedule import Schedule
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["check_schedule", "prune_and_tune", "prune_steps"]

Loss = Callable[[Tensor, Tensor], Tensor]
_APART = 100_003  # seeds of the rounds: no round of one seed is a round of another
_LAST_RATE = 0.1  # of dense_sparse_dense


def prune_and_tune(
    model: nn.Module,
    train: Split,
    recipe: Recipe,
    schedule: Schedule | None = None,
    setup: TrainingSetup | None = None,
    val: Split | None = None,
    *,
    loss: Loss | None = None,
) -> Iterator[RoundRecord]:
    """Remove and train in turn, by a schedule: an iterator with a record for each round. Stop whenever you like.

    What goes is decided on the weights of the round before; what was removed stays removed, unless the schedule has a regrowth.
    The network is copied and stays as it is; the same seeds give the same bits.

    Args:
        model: a trained, plain network. train: images with labels.
        recipe: the aim. Its ``amount`` (and amounts of layers) is reached at the end; any structure and criterion that
            ``compress`` knows; criteria look at ``train`` before each removal. Quantization holds in every step.
        schedule: by default one_shot with one epoch. setup: of the training; its ``epochs`` are replaced by ``epochs_per_round``.
            Each round has an optimizer and a learning-rate schedule of its own, cubic one over all its rounds.
        val: S_val, measured after each removal and after each round.
        loss: as in ``fit``, and of the criteria that ask it.

    Raises:
        RecipeError: a schedule that is shorter than a step or does not go with the recipe, or a recipe that does not fit.
        DataError: no labels. ModelError: masks or grids on the network, or, while running, what ``fit`` raises.
        UnsupportedError: regrowth with another structure than "weight".
    """
    return _rounds_of(prune_steps(model, train, recipe, schedule, setup, val, loss=loss))


def _rounds_of(steps: Generator[TuneStep | RoundRecord | None, None, tuple[RoundRecord, ...]]) -> Iterator[RoundRecord]:
    yield from (record for record in steps if isinstance(record, RoundRecord))


def prune_steps(
    model: nn.Module,
    train: Split,
    recipe: Recipe,
    schedule: Schedule | None = None,
    setup: TrainingSetup | None = None,
    val: Split | None = None,
    *,
    loss: Loss | None = None,
    done: int = 0,
) -> Generator[TuneStep | RoundRecord | None, None, tuple[RoundRecord, ...]]:
    """As `prune_and_tune`, for a job: yields None within a step, `TuneStep` after each step, `RoundRecord` after a round.

    Arguments are checked at the call. Returns all rounds; the last one is the result, any other one can be gone back to.
    Each holds a copy of the weights. Closed early, nothing has changed.

    Args:
        done: rounds that are done already: goes on with the next one, to the same bits as without a break. ``model`` is then
            ``record.network(model)``, the network as it was after the last of them.
    """
    schedule, setup = schedule or Schedule(), setup or TrainingSetup()
    _check(model, train, recipe, schedule, setup, val, done)
    return _Work(model, train, recipe, schedule, setup, val, loss or F.cross_entropy, done).rounds()


def check_schedule(recipe: Recipe, schedule: Schedule) -> None:
    """Say whether a schedule goes with a recipe, without a network.

    Raises:
        RecipeError, UnsupportedError: it does not.
    """
    pruning, settings = recipe.pruning, recipe.quantization
    if settings is not None and (settings.equalize or settings.bias_correction or settings.rounding != "nearest"):
        raise RecipeError(
            "equalize, bias_correction and rounding='adaptive' make up for rounding without training; got one of them. Leave "
            "them out where rounds of training follow."
        )
    if pruning is None:
        raise RecipeError(f"recipe: got {recipe!r:.60}, expected Recipe(Pruning(amount)), which says what is to be removed.")
    if pruning.masks is not None and schedule.kind != "one_shot":
        raise RecipeError(f"the recipe has masks, which say what goes at once; expected kind one_shot, got {schedule.kind!r}.")
    if pruning.structure != "weight" and schedule.regrowth in ("rigl", "set"):
        raise UnsupportedError(
            f"regrowth={schedule.regrowth!r} is for single weights, got structure {pruning.structure!r}; expected 'weight'."
        )
    if ":" in pruning.structure and (schedule.kind != "one_shot" or schedule.initial):
        raise RecipeError(f"structure={pruning.structure!r} has one share and no way towards it; expected kind one_shot.")
    if pruning.allocation == "sensitivity":
        raise RecipeError(
            "allocation='sensitivity' was measured on other weights than those of the next round; expected 'global', 'uniform', "
            "'erk' or {layer: share}."
        )


def _check(model: object, train: object, recipe: object, schedule: object, setup: object, val: object, done: object) -> None:
    if not isinstance(model, nn.Module):
        raise ModelError(f"got {type(model).__name__}, expected a torch.nn.Module.")
    for name, split in (("train", train), ("val", val)):
        if (split is not None or name == "train") and (not isinstance(split, Split) or split.labels is None):
            raise DataError(f"{name}: got {split!r:.60}, expected Split(images, labels) with labels.")
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"recipe: got {recipe!r:.60}, expected Recipe(Pruning(amount)), which says what is to be removed.")
    if not isinstance(schedule, Schedule):
        raise InputError(f"schedule: got {type(schedule).__name__}, expected Schedule(...).")
    if not isinstance(setup, TrainingSetup):
        raise InputError(f"setup: got {type(setup).__name__}, expected TrainingSetup(...).")
    last = 0 if schedule.kind == "cubic" else schedule.phases - 1
    if isinstance(done, bool) or not isinstance(done, int) or not 0 <= done <= last:
        whole = ", which is one run and has no round to go on from" if schedule.kind == "cubic" else ""
        raise InputError(f"done: got {done!r:.40}, expected 0 to {last} rounds of a {schedule.kind} schedule{whole}.")
    if is_compressed(model) and not done:
        raise ModelError("the network has masks or grids on it; bake() it first, or give the network it was made from.")
    check_schedule(recipe, schedule)


@dataclass(eq=False)
class _Work:
    """A schedule at work on a copy of the network; amounts and lengths are checked before anything is done."""

    model: nn.Module
    train: Split
    recipe: Recipe
    schedule: Schedule
    setup: TrainingSetup
    val: Split | None
    loss: Loss
    done: int = 0

    def __post_init__(self) -> None:
        self._one_run = self.schedule.kind == "cubic"
        epochs = self.schedule.epochs_per_round * (self.schedule.phases if self._one_run else 1)
        self.setup = replace(self.setup, epochs=epochs)
        steps = fit(self.model, self.train, setup=self.setup).steps
        self.schedule.check(steps)
        self._plan = self.schedule.curve(self._pruning.amount, steps) if self._one_run else []
        self._prunings = [self._at(number, steps) for number in range(len(self._plan) or self.schedule.phases)]
        aim = max(self._prunings, key=lambda pruning: pruning.amount)
        plain = taken_off(self.model, quantized=False) if self.done else self.model
        CompressionPlan(plain, self.train.sample_shape, split=self.train).check(Recipe(aim, self.recipe.quantization))
        self._done: list[RoundRecord] = []

    @property
    def _pruning(self) -> Pruning:
        assert self.recipe.pruning is not None
        return self.recipe.pruning

    def _at(self, number: int, steps: int) -> Pruning:
        """The recipe of a round, or of a point of a curve."""
        pruning = self._pruning

        def now(final: float) -> float:
            if final == 0:
                return 0.0
            return self.schedule.curve(final, steps)[number][1] if self._one_run else self.schedule.amounts(final)[number]

        if pruning.masks is not None and now(0.5):  # what amount they are for is only a label
            return pruning
        allocation = pruning.allocation
        named = {name: now(value) for name, value in allocation.items()} if isinstance(allocation, Mapping) else allocation
        return replace(pruning, amount=now(pruning.amount), allocation=named, masks=None)

    def rounds(self) -> Generator[TuneStep | RoundRecord | None, None, tuple[RoundRecord, ...]]:
        """All of it."""
        if self.done:
            self._network = unvisited_copy(self.model).eval()
        else:
            self._network = compress(self.model, Recipe(None, self.recipe.quantization)).eval()
        yield None
        self._batch = batch_for(self._network, self.train)
        yield None
        self._now, self._sparsity = replace(self._pruning, amount=0.0, allocation="global", masks=None), 0.0
        for number in range(self.done, 1 if self._one_run else self.schedule.phases):
            setup = replace(self.setup, seed=self.setup.seed + _APART * number)
            if self.schedule.regrowth == "dense_sparse_dense" and number == 2:
                self._give_back()
                setup = replace(setup, lr=_LAST_RATE * setup.lr)
            yield from self._remove(number)
            yield None
            before = None if self._one_run or not self._sparsity else (yield from self._accuracy())
            yield from self._trained(number, setup, before)
        return tuple(self._done)

    def _remove(self, number: int, run: Run | None = None) -> Generator[None, None, None]:
        pruning = self._prunings[number]
        self._now = pruning
        if not pruning.removes_nothing:
            wanted = yield from decided(self._network, pruning, self.train, self.loss)
            narrow(self._network, wanted, run, makes_up=pruning.criterion == "obs")
            settings = self.recipe.quantization
            if number == 0 and run is None and settings is not None and not settings.scales:
                begin_steps(self._network)
        self._sparsity = sparsity_of(self._network)

    def _give_back(self) -> None:
        """Take the masks off; what was removed starts at zero."""
        plain = taken_off(self._network, quantized=False)
        self._network = compress(plain, trained_recipe(self._network, Recipe(None, self.recipe.quantization))).eval()

    def _accuracy(self) -> Generator[None, None, float | None]:
        if self.val is None:
            return None
        measured = yield from measuring(self._network, self.val, self._batch)
        return measured.accuracy

    def _trained(
        self, number: int, setup: TrainingSetup, before: float | None
    ) -> Generator[TuneStep | RoundRecord | None, None, None]:
        """One run of training: a round, or for cubic all of them."""
        run = fit(self._network, self.train, setup=setup, loss=self.loss)
        rounds = self.schedule.phases if self._one_run else 1
        each, losses, began = run.steps // rounds, list[float](), 0.0
        for record in run.in_parts():
            if record is None:
                yield None
                continue
            losses.append(record.loss)
            yield from self._moves(run, record.step, setup.seed)
            part = number + (record.step - 1) // each
            yield TuneStep(part + 1, self.schedule.phases, self._now.amount, self._sparsity, record)
            if record.step % each == 0:
                recent = losses[-max(1, each // 10) :]
                yield (yield from self._round(part, sum(recent) / len(recent), before, record.seconds - began))
                began = record.seconds

    def _moves(self, run: Run, step: int, seed: int) -> Generator[None, None, None]:
        """Change masks after a step, where the schedule says so."""
        if self._one_run:
            place = bisect.bisect_left(self._plan, (step, -1.0))
            if place < len(self._plan) and self._plan[place][0] == step:
                yield
                yield from self._remove(place, run)
                yield
        elif self.schedule.regrowth in ("rigl", "set") and step % self.schedule.every_steps == 0:
            share = self.schedule.share_dropped(step, run.steps)
            if share > 0:
                yield
                how, size = self.schedule.regrowth, self.setup.batch_size
                yield from regrow(self._network, run, self.train, size, self.loss, how, share, seed, step)
                yield

    def _round(self, part: int, loss: float, before: float | None, seconds: float) -> Generator[None, None, RoundRecord]:
        accuracy = yield from self._accuracy()
        recipe = yield from recipe_of(self._network, replace(self.recipe, pruning=self._now), self.train, self.loss)
        yield
        made = RoundRecord(
            round=part + 1,
            rounds=self.schedule.phases,
            amount=self._now.amount,
            sparsity=self._sparsity,
            loss=loss,
            before=before,
            accuracy=accuracy,
            masks=masks_of(self._network),
            recipe=trained_recipe(self._network, recipe),
            state={
                name: value.detach().clone() for name, value in taken_off(self._network, quantized=False).state_dict().items()
            },
            seconds=seconds,
        )
        self._done.append(made)
        return made
