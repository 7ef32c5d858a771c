"""CompressionLab: prune and quantize a trained network while accuracy, size and arithmetic follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from nnwidgets.engine.errors import InputError, NnwError, RecipeError
from nnwidgets.engine.experiment import Event, Experiment, Notice
from nnwidgets.engine.experiment.events import Scoring
from nnwidgets.engine.experiment.tasks import default_setup
from nnwidgets.engine.pruning.criteria import CRITERIA
from nnwidgets.engine.training import statistics_layers
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.figures import text
from nnwidgets.figures.records import Chart, to_wire
from nnwidgets.widgets._base import LiveWidget, static_text
from nnwidgets.widgets._cells import retire_earlier_run
from nnwidgets.widgets._code import code_for
from nnwidgets.widgets._lab_arithmetic import ARITHMETIC_HELP, ArithmeticTraits, LabArithmetic
from nnwidgets.widgets._lab_bits import BITS_CONTROLS, BITS_HELP, BitsTraits, LabBits
from nnwidgets.widgets._lab_controls import CONTROLS, controls_of, fitted, recipe_of
from nnwidgets.widgets._lab_files import FILE_CONTROLS, FileTraits, LabFiles
from nnwidgets.widgets._lab_files_text import FILE_HELP
from nnwidgets.widgets._lab_lottery import LOTTERY_CONTROLS, LOTTERY_HELP, LabLottery, LotteryTraits
from nnwidgets.widgets._lab_options import layers_for, options_for, settled
from nnwidgets.widgets._lab_recipe import RecipeTraits, values
from nnwidgets.widgets._lab_remedies import REMEDIES_HELP, LabRemedies, RemediesTraits
from nnwidgets.widgets._lab_rounding import ROUNDING_CONTROLS, ROUNDING_HELP, LabRounding, RoundingTraits
from nnwidgets.widgets._lab_schedule import NO_REGROWTH
from nnwidgets.widgets._lab_tasks import LabTasks
from nnwidgets.widgets._lab_text import HELP, SCORING
from nnwidgets.widgets._lab_view import LabView, recipe_words
from nnwidgets.widgets._saved_figure import send_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

__all__ = ["CompressionLab"]

_BETWEEN_ESTIMATES = 0.08  # seconds: a screen shows no more, and the kernel stays free
_BETWEEN_SCORING_NEWS = 0.1
_HEAD_START = 0.02  # seconds that new figures have to reach the screen before the evaluation competes for the cores
SCHEDULE = ("schedule", "rounds", "regrowth")
MORE_CONTROLS = ("sample", "selected_layer", "epochs", "learning_rate", "merit", "budget", "gesture")
_STOPPED = "stopped"  # notice that the slider was held back


class CompressionLab(
    RecipeTraits, ArithmeticTraits, RemediesTraits, BitsTraits, RoundingTraits, LotteryTraits, FileTraits, LiveWidget
):
    """A live compression lab over an experiment, which owns the state; the lab mirrors it.

    Every control is a trait that can be set, observed and linked (``ipywidgets.link``).

    Args:
        experiment: what to compress. Several labs may show one experiment.

    Raises:
        InputError: not an Experiment.
    """

    _esm = static_text("compression_lab.js")
    _css = static_text("compression_lab.css")
    writable: ClassVar[frozenset[str]] = frozenset(
        {*CONTROLS, *SCHEDULE, *FILE_CONTROLS, *LOTTERY_CONTROLS, *ROUNDING_CONTROLS, *BITS_CONTROLS, *MORE_CONTROLS}
    )

    sample = traitlets.Enum(values("sample"), "test", help="What accuracy is measured on: test or val.").tag(sync=True)
    selected_layer = traitlets.Unicode("", help="Layer of the weight histogram.").tag(sync=True)
    epochs = traitlets.Int(2, min=1, max=50, help="Epochs of fine-tuning.").tag(sync=True)
    learning_rate = traitlets.Float(5e-4, min=1e-6, max=1.0, help="Learning rate of fine-tuning.").tag(sync=True)
    schedule = traitlets.Enum(values("schedule"), "iterative", help="How removing and training take turns.").tag(sync=True)
    rounds = traitlets.Int(5, min=1, max=30, help="Rounds of an iterative or cubic schedule.").tag(sync=True)
    regrowth = traitlets.Enum(values("regrowth"), NO_REGROWTH, help="How removed weights come back while training.").tag(
        sync=True
    )
    merit = traitlets.Enum(values("merit"), "size", help="What the footprint is: size, macs, latency or energy.").tag(sync=True)
    budget = traitlets.Int(30, min=1, max=3600, help="Seconds that the search for the smallest network may take.").tag(sync=True)
    gesture = traitlets.Int(0, min=0, help="Counts what a hand does: one gesture is one undo step.").tag(sync=True)

    accuracy = traitlets.Float(None, allow_none=True, read_only=True, help="Accuracy, a share.").tag(sync=True)
    accuracy_low = traitlets.Float(None, allow_none=True, read_only=True, help="Lower end of its 95 % interval.").tag(sync=True)
    accuracy_high = traitlets.Float(None, allow_none=True, read_only=True, help="Upper end of its 95 % interval.").tag(sync=True)
    n_seen = traitlets.Int(0, read_only=True, help="Images seen so far.").tag(sync=True)

    about = traitlets.Dict(read_only=True).tag(sync=True)
    options = traitlets.Dict(read_only=True).tag(sync=True)
    help = traitlets.Dict(read_only=True).tag(sync=True)
    layers: traitlets.List[Any] = traitlets.List(read_only=True).tag(sync=True)
    layer_rows: traitlets.List[Any] = traitlets.List(read_only=True).tag(sync=True)
    history = traitlets.Dict(read_only=True).tag(sync=True)
    task = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    last_task = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    scoring = traitlets.Dict(
        default_value=None, allow_none=True, read_only=True, help="How far a criterion is in looking at images."
    ).tag(sync=True)
    schedule_plan = traitlets.Dict(read_only=True, help="What the schedule will do, or why it cannot.").tag(sync=True)
    notices: traitlets.List[Any] = traitlets.List(read_only=True).tag(sync=True)
    code = traitlets.Unicode("", read_only=True, help="Python that reproduces what is on the screen.").tag(sync=True)
    view = traitlets.Dict(read_only=True).tag(sync=True)
    snapshot_view = traitlets.Dict(read_only=True).tag(sync=True)

    _exp: Experiment = None  # type: ignore[assignment]  # until __init__ has accepted one
    _from_front: int | None = None  # thread that is taking a message of the front end

    def __init__(self, experiment: Experiment) -> None:
        if not isinstance(experiment, Experiment):
            raise InputError(
                f"CompressionLab: got {type(experiment).__name__}, expected an Experiment, such as nw.load_example('digits')."
            )
        self._exp, self._view = experiment, LabView(experiment)
        self._files, self._lottery = LabFiles(self, experiment), LabLottery(self, experiment)
        self._rounding, self._bits = LabRounding(self, experiment), LabBits(self, experiment)
        self._arithmetic, self._remedies = LabArithmetic(self, experiment), LabRemedies(self, experiment)
        self._tasks = LabTasks(self, experiment, self._view)
        self._shown: dict[str, dict[str, Any]] = {"figures": {}, "charts": {}}
        self._asked = Recipe()
        self._merge: object = None
        self._last_estimate = self._last_scoring = 0.0
        self._moved = threading.Event()
        self._retry: Callable[[], object] | None = None
        self._settling = False
        self._unsubscribe: Callable[[], None] = lambda: None
        plan = experiment.bench(None).plan
        _ = experiment.bench(None).quick  # now, so that the first measurement is not the one that waits for it
        super().__init__()
        setup = default_setup(experiment)
        with self.publishing():
            self.set_trait("selected_layer", plan.layers[0].name if plan.layers else "")
            self.set_trait("epochs", setup.epochs)
            self.set_trait("learning_rate", setup.lr)
            self.set_trait("sample", experiment.live.sample)
            self._describe()
            self._mirror()
            self.set_trait("status", "running")
        self.observe_own()
        self._files.begin()
        self._lottery.begin()
        self._rounding.begin()
        self._bits.begin()
        self._arithmetic.show()
        self._remedies.show()
        self._unsubscribe = experiment.subscribe(self._heard)
        retire_earlier_run(self)
        experiment.live.refresh()
        experiment.jobs.submit(f"structures-{id(self)}", self._find_structures)

    @property
    def experiment(self) -> Experiment:
        """What is shown."""
        return self._exp

    def observe_own(self) -> None:
        """Follow the widget's own controls."""
        self._follow(self._control_moved, list(CONTROLS))
        self._follow(lambda change: self._exp.live.choose_sample(change["new"]), "sample")
        self._follow(self._layer_chosen, "selected_layer")
        self._follow(lambda _: self.show_records(charts=self._pareto()), "merit")
        self._follow(self._schedule_moved, [*SCHEDULE, "epochs", "learning_rate"])

    def _describe(self) -> None:
        """What does not change while the widget lives."""
        exp, plan = self._exp, self._exp.bench(None).plan
        sizes = {name: 0 if split is None else len(split) for name, split in (("test", exp.test), ("val", exp.val))}
        on = (
            f"{text.count(sizes['test'])} test images"
            if exp.test is not None
            else f"{text.count(sizes['val'])} validation images"
        )
        self.set_trait(
            "about",
            {
                "title": "Compression lab",
                "subtitle": f"{exp.title}, {on}",
                "n_test": sizes["test"],
                "n_val": sizes["val"],
                "batch_norm": bool(statistics_layers(exp.model)),
            },
        )
        self.set_trait("options", self._options())
        words = {**HELP, **FILE_HELP, **LOTTERY_HELP, **ROUNDING_HELP, **BITS_HELP, **ARITHMETIC_HELP, **REMEDIES_HELP}
        self.set_trait("help", {name: dict(told) for name, told in words.items()})
        self.set_trait("layers", layers_for(plan))

    def _options(self, layers: list[dict[str, Any]] | None = None) -> dict[str, list[dict[str, Any]]]:
        return options_for(self._exp, self.structure, layers, self.schedule)

    def _find_structures(self) -> Iterator[None]:
        """What is coupled in the network takes some time to find: the lab is on the screen before."""
        yield
        try:
            rows = layers_for(self._exp.bench(None).plan, units=True)
        except NnwError as error:
            self._exp.notify(Notice("structures", f"Only single weights can be removed here: {error}", "muted"))
            return
        with self.publishing():
            self.set_trait("layers", rows)
            self.set_trait("options", self._options(rows))
        self.show_records(charts=self._view.layers(self.selected_layer))

    # --- from the controls to the experiment --------------------------------------------------------------------------

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """See LiveWidget; what comes in here is the work of a hand, so one gesture becomes one undo step."""
        self._from_front = threading.get_ident()
        try:
            super().set_state(sync_data)
        finally:
            self._from_front = None

    def _recipe(self) -> Recipe:
        return recipe_of({name: getattr(self, name) for name in CONTROLS}, self._exp.recipe)

    def _control_moved(self, change: Any) -> None:
        if self._settling:
            return
        applied = self._exp.recipe
        if change["name"] == "structure" and (applied.pruning is None or self._recipe() != applied):  # not mirrored from there
            self._settle()
        self._fit_levels(change["name"])
        recipe = self._recipe()
        if recipe == self._asked:
            return
        self._asked = recipe
        self._moved.set()
        if _STOPPED in self._exp.notices:
            self._exp.notify(Notice(_STOPPED, ""))
        self._merge = (id(self), self.gesture) if self._from_front == threading.get_ident() else None
        self._exp.request(recipe, self._merge)

    def _fit_levels(self, moved: str) -> None:
        """Controls of the levels that do not go with the one that moved follow it."""
        follow = fitted({name: getattr(self, name) for name in CONTROLS}, moved)
        if not follow:
            return
        self._settling = True
        try:
            with self.publishing():
                for name, value in follow.items():
                    self.set_trait(name, value)
        finally:
            self._settling = False

    def _schedule_moved(self, change: Any) -> None:
        with self.publishing():
            self._fit_regrowth()
        self._tasks.schedule.show()

    def _fit_regrowth(self) -> None:
        """Choices that go with the present schedule and structure; a regrowth that does not is taken off."""
        self.set_trait("options", self._options(self.layers))
        if any(each.get("disabled") for each in self.options["regrowth"] if each["value"] == self.regrowth):
            self.set_trait("regrowth", NO_REGROWTH)

    def _settle(self) -> None:
        """A new structure takes the other controls with it, so that all go together."""
        self._settling = True
        try:
            with self.publishing():
                for name, value in settled({name: getattr(self, name) for name in CONTROLS}, self.layers).items():
                    self.set_trait(name, value)
                self._fit_regrowth()
        finally:
            self._settling = False

    def _mirror(self, taken_back: bool = False) -> None:
        """Set the controls to what the experiment holds, unless they led there or have moved on since: no move is taken back,
        but the one that was cancelled."""
        if taken_back or (self._exp.recipe != self._asked and not self._exp.pending):
            self._settling = True
            try:
                for name, value in controls_of(self._exp.recipe, self.allocation).items():
                    self.set_trait(name, value)
            finally:
                self._settling = False
            self.set_trait("options", self._options(self.layers))
            self._asked = self._recipe()
        self._publish_history()

    def _publish_history(self) -> None:
        for name, value in self._history_traits().items():
            self.set_trait(name, value)

    def _history_traits(self) -> dict[str, Any]:
        exp = self._exp
        snapshots = [{"name": name, "text": recipe_words(state.recipe)} for name, state in exp.snapshots.items()]
        told = {
            "can_undo": exp.position > 0,
            "can_redo": exp.position < len(exp.history) - 1,
            "can_reset": exp.state.recipe != Recipe() or exp.state.weights_key is not None,
            "position": exp.position,
            "length": len(exp.history),
            "snapshots": snapshots,
        }
        notices = [to_wire(notice) for notice in exp.notices.values()]
        return {"history": told, "code": code_for(exp, exp.state), "notices": notices}

    @property
    def _only_moved(self) -> bool:
        """The new state is where the controls stand: its figures follow at once, and what else is new goes with them."""
        names = [snapshot["name"] for snapshot in self.history["snapshots"]]
        return self._exp.recipe == self._asked and (self.error is None or self._lasting) and names == list(self._exp.snapshots)

    def _layer_chosen(self, change: Any) -> None:
        names = [layer["name"] for layer in self.layers]
        if change["new"] not in names:
            self.set_trait("selected_layer", change["old"] if change["old"] in names else (names[0] if names else ""))
            return
        self._exp.jobs.submit(f"layer-{id(self)}", self._show_layer, interactive=True)

    def _show_layer(self) -> Iterator[None]:
        self.show_records(charts={**self._view.histogram(self.selected_layer), **self._view.layers(self.selected_layer)})
        self._rounding.ask()
        yield

    # --- from the experiment to the screen ----------------------------------------------------------------------------

    def _heard(self, event: Event) -> None:
        """Called by the experiment, in whichever thread changed something."""
        if event.kind == "state" and not self._only_moved:
            with self.publishing():
                if not self._lasting:
                    self.set_trait("error", None)  # what was said of an earlier state no longer holds
                self.set_trait("status", self._status())
                self._mirror()
        elif event.kind == "figures":
            self._show_figures()
        elif event.kind == "estimate":
            self._show_estimate()
        elif event.kind == "rest":
            self._show_rest()
        elif event.kind == "goal":
            self._exp.live.refresh()
        elif event.kind == "task" and event.task is not None:
            self._tasks.show(event.task)
        elif event.kind == "scoring" and event.scoring is not None:
            self._show_scoring(event.scoring)
        elif event.kind == "notice":
            with self.publishing():
                self._publish_history()
        elif event.kind == "error" and event.error is not None:
            self._show_failure(event.title, event.error)

    def show_records(self, figures: dict[str, Any] | None = None, charts: dict[str, Any] | None = None, **traits: Any) -> None:
        """Publish a part of the view, and traits that go with it, as one message."""
        new = {"figures": to_wire(figures or {}), "charts": to_wire(charts or {})}
        with self.publishing():
            for part, records in new.items():
                self._shown[part].update(records)
            self.set_trait("view", {"seq": self.seq, **new})
            for name, value in traits.items():
                self.set_trait(name, value)

    def _show_figures(self) -> None:
        """A new position: its cost at once, and its accuracy if it was measured before."""
        view, layer = self._view, self.selected_layer
        figures = {**view.figures(), **view.accuracy()}
        charts = {**view.layers(layer), **view.histogram(layer), **self._pareto(), **view.sensitivity(), **self._files.charts()}
        self._last_estimate = 0.0
        self._moved.clear()
        traits = {**self._history_traits(), **self._accuracy_traits(), "layer_rows": view.rows(), "status": self._status()}
        traits |= {"scoring": None, **self._files.traits(), **self._arithmetic.traits(), **self._remedies.traits()}
        self.show_records(figures, charts, **traits)
        if not self._exp.pending:
            self._moved.wait(_HEAD_START)

    def _show_estimate(self) -> None:
        estimate = self._exp.live.estimate
        now = time.monotonic()
        if estimate is None or (now - self._last_estimate < _BETWEEN_ESTIMATES and not estimate.final):
            return
        self._last_estimate = now
        self.show_records(self._view.accuracy(), self._pareto(), **self._accuracy_traits())

    def _show_rest(self) -> None:
        figures = {**self._view.figures(), **self._view.accuracy()}
        schedule = self._tasks.schedule
        traits = {"status": self._status(), **self._accuracy_traits(), **schedule.traits()}
        self.show_records(figures, {**self._pareto(), **schedule.charts()}, **traits)
        with self.publishing():
            self.set_trait("snapshot_view", {"seq": self.seq, **{part: dict(records) for part, records in self._shown.items()}})
        self._rounding.ask()

    def _pareto(self) -> dict[str, Chart]:
        return self._view.pareto(self.merit)

    def _status(self) -> str:
        """An error stays until another state is reached or it is dismissed."""
        if self.error is not None:
            return "error"
        return "idle" if self._exp.live.at_rest and self.task is None else "running"

    def _accuracy_traits(self) -> dict[str, Any]:
        estimate = self._exp.live.estimate
        if estimate is None:
            return {}
        return {
            "accuracy": estimate.accuracy,
            "accuracy_low": estimate.low,
            "accuracy_high": estimate.high,
            "n_seen": estimate.n_seen,
        }

    def _show_scoring(self, scoring: Scoring) -> None:
        now = time.monotonic()
        if self.scoring is not None and scoring.progress < 1 and now - self._last_scoring < _BETWEEN_SCORING_NEWS:
            return
        self._last_scoring = now
        words = SCORING.get(scoring.what) or f"{CRITERIA[scoring.what].label} looks at images"
        told = {"text": words, "progress": scoring.progress, "can_cancel": self._exp.pending}
        with self.publishing():
            self.set_trait("scoring", told)
            self.set_trait("status", self._status())

    def show_task(self, shown: dict[str, Any] | None, ended: dict[str, Any] | None = None) -> None:
        """Publish the task that runs, or that none does and how the last one ended."""
        with self.publishing():
            self.set_trait("task", shown)
            if ended is not None:
                self.set_trait("last_task", ended)
            self.set_trait("status", self._status())

    def _show_failure(self, title: str, error: BaseException) -> None:
        if isinstance(error, RecipeError) and error.largest is not None and self.sparsity > error.largest:
            self._stop_at(error.largest, str(error))
            return
        recipe_refused = isinstance(error, InputError | NotImplementedError)
        step_after = self._tasks.next_step()
        self._retry = self._tasks.taken_failure() or self._exp.live.refresh
        with self.publishing():
            self.set_trait("scoring", None)
            self._publish_history()  # no figures follow that would bring it
        step = "The figures are still those of the last state that worked." if recipe_refused else "Retry, or move a control."
        step = step_after or step
        self.show_error(title, error, step, retry=True)

    def _stop_at(self, largest: float, why: str) -> None:
        """The slider stops where the recipe still works; the reason is said."""
        merge = self._merge
        with self.publishing():
            self.set_trait("sparsity", int(largest * 100) / 100)
            self._asked = self._recipe()
        self._exp.request(self._asked, merge)
        self._exp.notify(Notice(_STOPPED, f"Stopped at {self.sparsity:.0%}: {why}"))

    # --- buttons ------------------------------------------------------------------------------------------------------

    def commands(self) -> dict[str, Callable[..., object]]:
        """What the buttons call. Each hands its work over and returns."""
        exp = self._exp
        return {
            "undo": exp.undo,
            "redo": exp.redo,
            "reset": exp.reset,
            "snapshot_save": lambda name="": exp.save_snapshot(name),
            "snapshot_load": lambda name="": exp.load_snapshot(name),
            "snapshot_delete": lambda name="": exp.delete_snapshot(name),
            "fine_tune": self.fine_tune,
            "start_untrained": self.start_untrained,
            "spread_bits": self.spread_bits,
            "recalibrate": self.recalibrate,
            "prune_run": self.prune,
            "prune_step": lambda: self.prune(1),
            "cancel": self.cancel,
            "cancel_scoring": self.cancel_scoring,
            "measure_latency": self.measure_latency,
            "measure_disk": self.measure_disk,
            "scan_layers": self.scan_layers,
            "search": self.search,
            **self._files.commands(),
            **self._lottery.commands(),
            **self._bits.commands(),
            **self._arithmetic.commands(),
            **self._remedies.commands(),
            "retry": self._try_again,
            "dismiss": self._dismiss,
            "figure": self._send_figure,
            "resync": self.tell_all,
        }

    def fine_tune(self) -> None:
        """Fine-tune the present state in the background, with ``epochs`` and ``learning_rate``."""
        self._tasks.start("fine_tune")

    def start_untrained(self) -> None:
        """Put new random weights under the present recipe, in the background: to prune first, and train then."""
        self._tasks.start("untrained")

    def spread_bits(self) -> None:
        """Give each layer its own bits, in the background: at most as many on average as are set for all now.

        Chosen on S_val by what each layer bears alone; what is found becomes the present state.
        """
        self._tasks.start("spread_bits")

    def recalibrate(self) -> None:
        """Measure the batch-norm statistics of the present state anew in the background: no labels, no training."""
        self._tasks.start("recalibrate")

    def prune(self, rounds: int | None = None) -> None:
        """Remove and train in turn, by ``schedule``, in the background, until the present share is removed; or go on with it.

        Each round becomes a step that Undo takes back.

        Args:
            rounds: how many of those that are left, by default all.
        """
        self._tasks.schedule.start(rounds)

    def measure_latency(self) -> None:
        """Measure the latency of the dense network, and of what is left of it, in the background."""
        self._tasks.start("latency")

    def measure_disk(self) -> None:
        """Write the present state to a real file in the background and show its size."""
        self._tasks.start("disk")

    def scan_layers(self) -> None:
        """Prune each layer alone by several amounts in the background and show what is lost, on S_val where there is one."""
        self._tasks.start("scan_layers")

    def search(self) -> None:
        """Look for the smallest network (by ``merit``) that meets the goal, in the background, for at most ``budget`` seconds.

        It chooses on S_val. What is found becomes the present state; Undo takes it back.
        """
        self._tasks.start("search")

    def cancel(self) -> None:
        """Stop what runs in the background; nothing of it is applied."""
        self._exp.jobs.cancel("task")

    def cancel_scoring(self) -> None:
        """Stop what a criterion looks at; the recipe that asked for it is dropped. What it saw is kept for the next time."""
        if self._exp.pending:
            self._exp.drop_requests()
            self._exp.live.refresh()
            self._take_back()

    def _take_back(self) -> None:
        """The controls go back to what is applied."""
        with self.publishing():
            self.set_trait("scoring", None)
            self._mirror(taken_back=True)
            self.set_trait("status", self._status())

    def _try_again(self) -> None:
        retry, self._retry = self._retry, None
        self.clear_error()
        if retry is not None:
            retry()

    def _dismiss(self, id: str = "") -> None:
        """Take one notice away, or the shown error."""
        if id:
            self._exp.notify(Notice(str(id), ""))
        else:
            self.clear_error()

    def _send_figure(self, format: str = "svg") -> None:
        send_figure(self, self, self._exp, "compression_lab", format)

    def figure(self) -> MplFigure:
        """What is on the screen as a matplotlib figure, for papers and slides. Draws what is known so far."""
        from nnwidgets.figures._matplotlib import page

        view, state = self._view, self._exp.live.state
        named = {"accuracy": "Accuracy", "size_encoded": "Size, encoded", "macs_nonzero": "MACs", "latency": "Latency"}
        figures = {**view.accuracy(), **view.figures()}
        charts = [
            *self._pareto().values(),
            *view.histogram(self.selected_layer).values(),
            *view.layers(self.selected_layer).values(),
            *view.sensitivity().values(),
        ]
        words = f"{self.about['subtitle']}; {recipe_words(state.recipe)}"
        return page("Compression lab", {title: figures[name] for name, title in named.items() if name in figures}, charts, words)

    def wait(self, timeout: float | None = 60.0) -> bool:
        """Wait until all background work is done, such as after setting a trait.

        Returns False if ``timeout`` seconds passed first.
        """
        return self._exp.wait(timeout)

    def close(self) -> None:
        """Stop the work it asked for and free it. The experiment stays usable."""
        if getattr(self, "_exp", None) is None:  # refused at birth
            return
        self._unsubscribe()
        if not self._exp.has_subscribers:
            self._exp.release()
        super().close()
