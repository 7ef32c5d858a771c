"""One network, its data and everything that is tried on it. Widgets only mirror it."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression.exported import Exported
from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.evaluation.checks import check_model, check_weights
from nnwidgets.engine.evaluation.threads import threads_advice
from nnwidgets.engine.experiment import inputs
from nnwidgets.engine.experiment.bench import Bench, Benches
from nnwidgets.engine.experiment.events import Callback, Event, Notice, Scoring
from nnwidgets.engine.experiment.live import Live
from nnwidgets.engine.experiment.sound import sound_bench
from nnwidgets.engine.experiment.state import Attempt, History, State
from nnwidgets.engine.experiment.weights import WeightStore
from nnwidgets.engine.jobs import Jobs
from nnwidgets.engine.trace import visited
from nnwidgets.engine.trace._fingerprint import quick_fingerprint
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.schedule import Schedule
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

if TYPE_CHECKING:
    from nnwidgets.engine.sparse import RoundRecord

__all__ = ["Experiment"]


class Experiment:
    """A single-label classifier with its data, and the recipe that is applied to it. The network itself is never changed.

    Args:
        model: maps inputs (B, *input_shape) to logits (B, K).
        train, test: S_train and S_test, as a ``Split`` or any torch data set of (image, label); at least one of them.
        goal: the error that is needed, a share; val: S_val, by default a sixth of ``train``, drawn by label with a fixed seed.
        class_names: one a class; input_shape: without the batch, by default that of the data.
        build: ``build(width: float) -> nn.Module``, for probes that need another size.
        training: how the network was trained, the starting point of fine-tuning.
        loss: ``loss(logits, labels) -> scalar`` for fine-tuning, by default cross entropy.
        train_step: one's own step, ``train_step(model, optimizer, images, labels) -> loss``: one update on one batch.
        pred_probs: out-of-fold probabilities (N, K), a row for each image of ``train``; rows sum to 1.
        reserve: images that can be added to ``train``, a ``Split`` of the same form; without it nothing is held back.
        fit: one's own whole loop, ``fit(model, train) -> None``: trains a new network in place on a ``Split``. Attempts of the
            error analysis train with it.
        metric: not in this version.
        title: a name to show; example: the bundled example it is, for ``copy as code``.

    Raises:
        DataError, ModelError, InputError: what was given cannot be used; nothing is kept of it.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Any = None,
        test: Any = None,
        goal: float = 0.03,
        class_names: Sequence[str] | None = None,
        input_shape: tuple[int, ...] | None = None,
        build: Callable[[float], nn.Module] | None = None,
        training: TrainingSetup | None = None,
        metric: object = None,
        loss: Callable[..., Any] | None = None,
        fit: Callable[[nn.Module, Split], object] | None = None,
        train_step: Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], Tensor] | None = None,
        pred_probs: Any = None,
        *,
        val: Any = None,
        reserve: Any = None,
        title: str | None = None,
        example: str | None = None,
    ) -> None:
        inputs.refuse_later(metric=metric)
        inputs.check_function("fit", fit)
        inputs.check_function("train_step", train_step)
        self._model = inputs.check_model_type(model)
        self._goal = inputs.check_goal(goal)
        self.train, self.test = inputs.as_split(train, "train"), inputs.as_split(test, "test")
        self.val, self.reserve = inputs.as_split(val, "val"), inputs.as_split(reserve, "reserve")
        known = [split for split in (self.test, self.val, self.train) if split is not None]
        if not known:
            raise DataError("got no data; expected train=, test= or both, as Split(images, labels) or a torch data set.")
        for split in (*known, *([] if self.reserve is None else [self.reserve])):
            check_model(self._model, split)
        self.pred_probs = inputs.as_probabilities(pred_probs, self.train)
        if self.val is None and self.train is not None and len(self.train) > 1:
            if self.pred_probs is not None:
                self.pred_probs = self.pred_probs[inputs.left_by_carving(self.train)]
            self.train, self.val = self.train.carve()
        self.probe = known[0]  # a sample to try things on
        self.input_shape = tuple(input_shape) if input_shape is not None else known[0].sample_shape
        names = class_names if class_names is not None else known[0].class_names
        self.class_names = inputs.class_names_for(names, max(split.n_classes for split in known))
        self.build, self.training, self.loss = build, training, loss
        self.train_step, self.fit = train_step, fit
        self.title, self.example = title or type(model).__name__, example
        self.jobs, self.weights = Jobs(), WeightStore()
        self._lock = threading.RLock()
        self._history, self._benches = History(), Benches()
        self._requests: deque[tuple[Recipe, object]] = deque()
        self._callbacks: list[Callback] = []
        self._snapshots: dict[str, State] = {}
        self.notices: dict[str, Notice] = {}
        self._compressed: tuple[State, nn.Module] | None = None
        self._seen = quick_fingerprint(self._model)
        self.live = Live(self)
        if self._model.training:
            self.notices["train_mode"] = Notice(
                "train_mode", "The model is in train mode; it is measured in eval mode and left as it is.", "muted"
            )
        advice = threads_advice()
        if advice is not None:
            self.notices["threads"] = Notice("threads", advice)
        for split in known:
            for number, text in enumerate(split.notes):
                self.notices[f"data-{number}"] = Notice(f"data-{number}", text, "muted")

    # --- what it holds ------------------------------------------------------------------------------------------------

    @property
    def model(self) -> nn.Module:
        """The network as it was given. It is never changed here."""
        return self._model

    @property
    def goal(self) -> float:
        """The error that is needed, a share in (0, 1)."""
        return self._goal

    @goal.setter
    def goal(self, value: float) -> None:
        self._goal = inputs.check_goal(value)
        self.emit(Event("goal"))  # what is known is shown again, against the new goal

    @property
    def state(self) -> State:
        """The present state."""
        with self._lock:
            return self._history.now

    @property
    def recipe(self) -> Recipe:
        """The recipe of the present state."""
        return self.state.recipe

    @property
    def history(self) -> tuple[State, ...]:
        """All states, oldest first; ``position`` is the index of the present one."""
        with self._lock:
            return self._history.states

    @property
    def position(self) -> int:
        """Index of the present state in ``history``."""
        with self._lock:
            return self._history.position

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Training runs in the history, oldest first."""
        found = dict.fromkeys(state.attempt for state in self.history if state.attempt is not None)
        return tuple(found)

    @property
    def compressed(self) -> nn.Module:
        """The present state as a network of its own: masks and fake quantization, simulated, trainable."""
        self._notice_alone()
        state = self.state
        found = self._compressed
        if found is None or found[0] != state:
            network = self.bench(state.weights_key).plan.compressed(state.recipe)
            self._compressed = found = (state, network)
        return found[1]

    @property
    def snapshots(self) -> dict[str, State]:
        """Named states."""
        with self._lock:
            return dict(self._snapshots)

    def split(self, sample: str) -> Split:
        """S_test or S_val by name.

        Raises:
            InputError: another name. DataError: the experiment does not have it.
        """
        if sample not in ("test", "val"):
            raise InputError(f"sample: got {sample!r}, expected 'test' or 'val'.")
        found = self.test if sample == "test" else self.val
        if found is None:
            raise DataError(
                f"this experiment has no S_{sample}; make it with {'test' if sample == 'test' else 'train'}=... to measure on it."
            )
        return found

    def bench(self, key: str | None) -> Bench:
        """Frozen copy, plan and work copy for a set of weights (None: the dense ones)."""
        with self._lock:
            bench = self._benches.find(key)
            if bench is None:
                weights = None if key is None else self.weights.get(key)
                bench = sound_bench(self._model, self.input_shape, weights, self.probe.inputs(slice(0, 8)))
                from nnwidgets.engine.experiment.scanning import drops_steps  # which reads experiments

                split = self.train if self.train is not None else self.val
                bench.look_at(split, self.loss, lambda: drops_steps(self, key))
                self._benches.keep(key, bench)
            return bench

    # --- what is done with it -----------------------------------------------------------------------------------------

    def apply(self, recipe: Recipe) -> None:
        """Make a recipe the present one, as a step that can be undone.

        Raises:
            RecipeError, UnsupportedError: it does not fit this network, or not this version; everything stays as it was.
        """
        if not isinstance(recipe, Recipe):
            raise InputError(f"recipe: got {type(recipe).__name__}, expected a Recipe, such as Recipe(pruning=Pruning(0.5)).")
        self._notice_alone()
        self.bench(self.state.weights_key).plan.figures(recipe)
        self._push(replace(self.state, recipe=recipe))
        self.live.refresh()

    def request(self, recipe: Recipe, merge: object = None) -> None:
        """As ``apply``, but returns at once and is done in the background; a refused recipe becomes an error event.

        Args:
            merge: requests with the same key (one drag of a slider) become one step of the history.
        """
        with self._lock:
            if self._requests and merge is not None and self._requests[-1][1] == merge:
                self._requests.pop()
            self._requests.append((recipe, merge))
        if self.has_subscribers:
            self.live.refresh()
        else:  # nobody to tell of an error later
            self.commit_requests()

    @property
    def pending(self) -> bool:
        """True while a requested recipe has not been taken over yet."""
        with self._lock:
            return bool(self._requests)

    def preparing(self) -> Generator[Scoring, None, None]:
        """What has to be looked at before the newest request, or else the present state, can be taken over; see `Knowledge`.

        Yields how far it is after each 20 ms of work. What the criterion raises is raised here, and its request is dropped.
        """
        with self._lock:
            asked = self._requests[-1] if self._requests else None
            recipe = self._history.now.recipe if asked is None else asked[0]
        try:
            for what, done in self.bench(self.state.weights_key).plan.preparing(recipe):
                yield Scoring(what, done)
        except Exception:
            with self._lock:
                self._requests = deque(each for each in self._requests if each is not asked)
            with contextlib.suppress(Exception):  # they were asked for before the one that is told of
                self.commit_requests()
            raise

    def drop_requests(self) -> None:
        """Forget what was requested and not taken over yet; the present state stays."""
        with self._lock:
            self._requests.clear()

    def commit_requests(self) -> None:
        """Take over what was requested, in order; raises what the newest request raises, after the others were taken."""
        while True:
            with self._lock:
                if not self._requests:
                    return
                recipe, merge = self._requests.popleft()
                last = not self._requests
            plan = self.bench(self.state.weights_key).plan
            if not last and plan.missing(recipe):
                continue  # it was left before its criterion had looked
            try:
                plan.figures(recipe)
            except Exception:
                if last:
                    raise
            else:
                self._push(replace(self.state, recipe=recipe), merge)

    def adopt(self, state: State) -> None:
        """Make a state the present one, as a step that can be undone; its recipe was found to fit its weights."""
        self._push(state)
        self.live.refresh()

    def fine_tune(self, setup: TrainingSetup | None = None) -> State:
        """Train the present state on S_train and make the result the present state. Blocks; the widget does it in the background.

        Args:
            setup: by default two epochs of Adam at 5e-4.

        Raises:
            DataError: there is no training data.
        """
        from nnwidgets.engine.experiment.tasks import fine_tuning

        for _ in fine_tuning(self, setup):
            pass
        return self.state

    def start_untrained(self, seed: int = 0) -> State:
        """Put new random weights under the present recipe, as a state that can be undone: to prune first, and train then.

        SNIP and GraSP are made for that; ``fine_tune`` trains what is left.

        Raises:
            ModelError: the network cannot be made anew: no ``build=``, and a module without ``reset_parameters()``.
        """
        from nnwidgets.engine.experiment.untrained import untrained

        self.adopt(untrained(self, seed))
        return self.state

    def recalibrate(self, images: int | None = None) -> State:
        """Measure the batch-norm statistics of the present state anew and make the result the present state.

        On images of S_train, else of S_val: no labels and no training: weights and recipe stay.
        Much of what removing units costs comes back. Blocks.

        Args:
            images: how many are looked at, by default 1,024, fewer for a large network.

        Raises:
            UnsupportedError: no batch-norm layer keeps statistics. DataError: there are no images besides S_test.
        """
        from nnwidgets.engine.experiment.recalibrating import recalibrate

        recalibrate(self, images)
        return self.state

    def prune(
        self, schedule: Schedule | None = None, setup: TrainingSetup | None = None, rounds: int | None = None
    ) -> tuple[RoundRecord, ...]:
        """Remove and train in turn until the share of the present recipe is removed; see `prune_and_tune`. Blocks.

        Each round becomes a state that can be undone. Where the present state is a round of the same schedule and setup, but not
        its last one, the run goes on from there.

        Args:
            schedule: by default one_shot. setup: by default Adam at 5e-4; its epochs are replaced by those of the schedule.
            rounds: how many of those that are left, by default all.

        Raises:
            DataError: there is no training data. RecipeError, UnsupportedError: the recipe removes nothing, or the schedule does
            not go with it.
        """
        from nnwidgets.engine.experiment.rounds import pruning
        from nnwidgets.engine.sparse import RoundRecord

        return tuple(step for step in pruning(self, schedule, setup, rounds) if isinstance(step, RoundRecord))

    def export(
        self, path: str | Path, format: str = "state_dict", *, materialized: bool = False, overwrite: bool = False
    ) -> Exported:
        """Write the present state, trained weights included, to a file for other programs; see `E.export`. Blocks.

        Raises:
            as `E.export` does.
        """
        from nnwidgets.engine.experiment.exporting import exporting

        return result_of(exporting(self, path, format, materialized=materialized, overwrite=overwrite)).written

    def undo(self) -> bool:
        """Go back one step. Returns False if there is none."""
        return self._move(-1)

    def redo(self) -> bool:
        """Go forward one step. Returns False if there is none."""
        return self._move(1)

    def reset(self) -> None:
        """Back to the dense network, as a step that can be undone."""
        self._push(State())
        self.live.refresh()

    def save_snapshot(self, name: str) -> None:
        """Keep the present state under a name; an older one of that name is replaced."""
        name = name.strip() if isinstance(name, str) else ""
        if not name or len(name) > 80:
            raise InputError(f"a snapshot needs a name of 1 to 80 characters; got {name!r:.90}.")
        with self._lock:
            self._snapshots[name] = self._history.now
        self.emit(Event("state"))

    def load_snapshot(self, name: str) -> None:
        """Make a named state the present one, as a step that can be undone."""
        if name not in self.snapshots:
            raise InputError(f"no snapshot is named {name!r}; there are: {', '.join(sorted(self.snapshots)) or 'none'}.")
        self._push(self.snapshots[name])
        self.live.refresh()

    def delete_snapshot(self, name: str) -> None:
        """Forget a named state."""
        with self._lock:
            self._snapshots.pop(name, None)
        self.emit(Event("state"))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the background work is done. Returns False if ``timeout`` seconds passed first."""
        return self.jobs.wait(timeout)

    def release(self) -> None:
        """Stop the background work and free the copies; they are made again when they are needed."""
        self.jobs.cancel()
        with self._lock:
            self._benches.clear()
            self._compressed = None

    def close(self) -> None:
        """Stop all background work and free the copies. The experiment cannot be used by a widget afterwards."""
        self.jobs.close()
        self._callbacks.clear()
        self.release()

    def _push(self, state: State, merge: object = None) -> None:
        with self._lock:
            changed = self._history.push(state, merge)
        if changed:
            self.emit(Event("state"))

    def _move(self, steps: int) -> bool:
        with self._lock:
            self._requests.clear()
            moved = self._history.move(steps)
        if moved:
            self.emit(Event("state"))
            self.live.refresh()
        return moved

    # --- who is told --------------------------------------------------------------------------------------------------

    @property
    def has_subscribers(self) -> bool:
        """True while somebody is subscribed."""
        return bool(self._callbacks)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call ``callback(event)`` at every change, from whichever thread made it. Returns a function that ends it."""
        with self._lock:
            self._callbacks.append(callback)

        def unsubscribe() -> None:
            with self._lock:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)
            if not self._callbacks:
                self.jobs.cancel("live")

        return unsubscribe

    def emit(self, event: Event) -> None:
        """Tell all subscribers. One that raises does not keep the others from hearing; they hear of its error too."""
        failed: list[BaseException] = []
        for callback in list(self._callbacks):
            try:
                callback(event)
            except Exception as error:  # a subscriber is anybody's code
                failed.append(error)
        if event.kind != "error":
            for raised in failed:
                self.emit(Event("error", error=raised, title="A subscriber of this experiment raised"))

    def notify(self, notice: Notice) -> None:
        """Put up a notice, or take it away (empty text)."""
        if notice.text:
            self.notices[notice.id] = notice
        else:
            self.notices.pop(notice.id, None)
        self.emit(Event("notice", notice=notice))

    def notice_changes(self) -> None:
        """Find out whether the network was changed from outside; if so, say it and measure everything anew.

        Raises:
            ModelError, DataError: it cannot be measured as it is now, in words; said again until it is put right.
        """
        found = quick_fingerprint(self._model)
        if found == self._seen:
            return
        if visited(self._model) or quick_fingerprint(self._model) != found:
            return  # a function of the engine is looking into it just now, called in a cell: asked again before the next job
        check_weights(self._model)  # reads only: the user's own code may be using the network in another thread
        with self._lock:
            self._benches.clear()
            self._compressed = None
        self.live.forget()
        try:
            check_model(self.bench(None).base, self.split(self.live.sample))
        except BaseException:
            with self._lock:
                self._benches.clear()
            raise
        self._seen = found  # only now: what is wrong is said until it is put right
        self.notify(
            Notice(
                "model_changed", "The model was changed by other code. Everything is measured anew for the model as it is now."
            )
        )

    def _notice_alone(self) -> None:
        """As `notice_changes` where nobody is subscribed; else the worker does it before it measures."""
        if not self.has_subscribers:
            self.notice_changes()

    def restore(self, history: History, snapshots: dict[str, State]) -> None:
        """Take over a history and snapshots, as ``from_json`` does.

        If the present state lacks its weights, the newest state that has them is shown.
        """
        while history.now.weights_key is not None and history.now.weights_key not in self.weights and history.move(-1):
            pass
        with self._lock:
            self._history, self._snapshots = history, dict(snapshots)
        self.emit(Event("state"))
        self.live.refresh()

    def load_weights(self, path: str | Path) -> str:
        """Read trained weights that ``exp.weights.save(key, path)`` wrote; returns their key.

        Raises:
            FileError: no readable safetensors file, a damaged one, or weights of another network; nothing is kept of it.
        """
        key = self.weights.load(path, like=self._model.state_dict())
        states = (*self.history, *self.snapshots.values())
        if all(state.weights_key is None or state.weights_key in self.weights for state in states):
            self.notify(Notice("weights_lacking", ""))
        return key

    # --- as text ------------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """Goal, history, position and snapshots as text; trained weights are named by their hash, not contained."""
        from nnwidgets.engine.experiment.text import to_json

        return to_json(self)

    @classmethod
    def from_json(cls, text: str, model: nn.Module, **arguments: Any) -> Experiment:
        """An experiment for ``model`` (and ``train=``, ``test=`` ... as for the constructor) in the state that ``to_json`` wrote.

        Raises:
            InputError: no such text, or a newer version of it. RecipeError: it was written for another network.
        """
        from nnwidgets.engine.experiment.text import from_json

        return from_json(cls, text, model, arguments)
