"""ErrorAnalysis: why a network is not good enough, as the lecture's flowchart that measures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from nnwidgets.engine.diagnosis import EvidenceTest
from nnwidgets.engine.diagnosis._analysis import Analysis, TrialStep
from nnwidgets.engine.diagnosis.evidence import ALL
from nnwidgets.engine.diagnosis.practice import draw_exercise
from nnwidgets.engine.diagnosis.recording import recorded_text, replay
from nnwidgets.engine.diagnosis.records import Diagnosis, DiagnosisStep
from nnwidgets.engine.diagnosis.remedies import REMEDIES, Remedy
from nnwidgets.engine.errors import InputError
from nnwidgets.engine.experiment import Event, Experiment, Notice
from nnwidgets.engine.experiment.inputs import check_goal
from nnwidgets.engine.experiment.pictures import samples_of
from nnwidgets.figures import text
from nnwidgets.figures.records import to_wire
from nnwidgets.widgets import _analysis_view as records
from nnwidgets.widgets._analysis_boards import board, pairs_of
from nnwidgets.widgets._analysis_code import code_of
from nnwidgets.widgets._analysis_practice import NO_PRACTICE, PracticeState
from nnwidgets.widgets._analysis_probes import NEED_WORK, prepare
from nnwidgets.widgets._analysis_text import HELP, LEAVES, OPTIONS
from nnwidgets.widgets._base import LiveWidget, static_text
from nnwidgets.widgets._board_parts import BoardWish, Marks
from nnwidgets.widgets._cells import retire_earlier_run
from nnwidgets.widgets._saved_figure import send_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

    from nnwidgets.widgets.layer_explorer import LayerExplorer

__all__ = ["ErrorAnalysis"]

_BETWEEN_NEWS = 0.1  # seconds between two publications of progress
_ATTEMPT_S = 60.0  # seconds that all runs of an attempt may take
_LONGEST_TAG = 40
_LOWEST, _HIGHEST = 0.001, 0.999  # goals that the handle reaches
_LONGEST_CLASS = 6  # digits
_BOARD = ("panel", "sample", "order", "pair", "threshold")


def _reached(goal: float) -> float:
    """The nearest goal that the handle reaches."""
    return min(_HIGHEST, max(_LOWEST, goal))


def _values(name: str) -> list[Any]:
    return [each["value"] for each in OPTIONS[name]]


class ErrorAnalysis(LiveWidget):
    """The lecture's flowchart over an experiment: errors against a goal, tests of evidence, actions that are tried and judged.

    Every control is a trait that can be set, observed and linked (``ipywidgets.link``). The network is never changed:
    an action gives another experiment, ``analysis.current``.

    Args:
        experiment: what to analyse. tests, remedies: what can be looked at and tried; add your own.
        recorded: what ``record()`` gave, to be shown as recorded.

    Raises:
        InputError: not an Experiment, or no such recording. DataError: no labels at all.
    """

    _esm = static_text("error_analysis.js")
    _css = static_text("error_analysis.css")
    writable: ClassVar[frozenset[str]] = frozenset({"goal", "selected", "budget", "seeds", *_BOARD})

    goal = traitlets.Float(0.03, min=_LOWEST, max=_HIGHEST, help="The error that is needed, a share.").tag(sync=True)
    selected = traitlets.Enum(list(LEAVES), "start", help="Node of the flowchart whose evidence is shown.").tag(sync=True)
    panel = traitlets.Enum(_values("panel"), "", help="What is shown below; '' for nothing.").tag(sync=True)
    budget = traitlets.Int(30, min=1, max=3600, help="Seconds that testing all may take.").tag(sync=True)
    seeds = traitlets.Int(3, min=2, max=30, help="Paired seeds of an attempt.").tag(sync=True)
    sample = traitlets.Enum(_values("sample"), "val", help="What panels show: val, test or train.").tag(sync=True)
    order = traitlets.Enum(_values("order"), "margin", help="How the worst errors are sorted.").tag(sync=True)
    pair = traitlets.Unicode("", help="Worst errors of one kind alone: 'label,answer' as numbers; '' for all.").tag(sync=True)
    threshold = traitlets.Float(1.0, min=0.0, max=1.0, help="Share of the suspects that is taken, the surest first.").tag(
        sync=True
    )

    branch = traitlets.Unicode(
        "", read_only=True, help="goal_met, train_high, test_high or unknown; '' before it is measured."
    ).tag(sync=True)
    e_train = traitlets.Float(None, allow_none=True, read_only=True, help="Error on S_train, a share.").tag(sync=True)
    e_test = traitlets.Float(None, allow_none=True, read_only=True, help="Error on S_test, a share.").tag(sync=True)

    about = traitlets.Dict(read_only=True).tag(sync=True)
    options = traitlets.Dict(read_only=True).tag(sync=True)
    help = traitlets.Dict(read_only=True).tag(sync=True)
    line = traitlets.Dict(read_only=True).tag(sync=True)
    flow = traitlets.Dict(read_only=True).tag(sync=True)
    detail = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    track: traitlets.List[Any] = traitlets.List(read_only=True).tag(sync=True)
    board = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    practice = traitlets.Dict(NO_PRACTICE, read_only=True).tag(sync=True)
    hidden = traitlets.Bool(False, read_only=True, help="Badges wait for the vote of a hall.").tag(sync=True)
    recorded = traitlets.Unicode("", read_only=True, help="When and where what is shown was recorded.").tag(sync=True)
    pairs: traitlets.List[Any] = traitlets.List(read_only=True).tag(sync=True)
    task = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    last_task = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    notices: traitlets.List[Any] = traitlets.List(read_only=True).tag(sync=True)
    code = traitlets.Unicode("", read_only=True, help="Python that gives what is on the screen.").tag(sync=True)

    _exp: Experiment = None  # type: ignore[assignment]  # until __init__ has accepted one

    def __init__(
        self,
        experiment: Experiment,
        tests: Sequence[EvidenceTest] = ALL,
        remedies: Sequence[Remedy] = REMEDIES,
        recorded: str | None = None,
    ) -> None:
        if not isinstance(experiment, Experiment):
            raise InputError(
                f"ErrorAnalysis: got {type(experiment).__name__}, expected an Experiment, such as nw.load_example('digits')."
            )
        self._tests, self._remedies = tuple(tests), tuple(remedies)
        self._home = self._analysis = Analysis(experiment, tests, remedies)
        label = "" if recorded is None else replay(self._analysis, recorded)
        self._exp = experiment
        self._own_marks = self._marks = Marks()
        self._closed, self._last_news = False, 0.0
        self._busy = self._at = ""  # the test that was begun last, and the work that is going on
        self._practice = PracticeState()
        self._again: Callable[[], object] | None = None
        self._explorer: LayerExplorer | None = None
        self._turns, self._turn = threading.Lock(), 0
        self._unsubscribe: Callable[[], None] = lambda: None
        super().__init__()
        with self.publishing():
            self.set_trait("recorded", label)
            self.set_trait("goal", _reached(experiment.goal))
            self.set_trait("sample", samples_of(experiment)[0])
            self._describe()
            self._set_all()
            self.set_trait("status", "running")
        self._follow(self._goal_moved, "goal")
        self._follow(lambda change: self._show_detail(), ["selected", "seeds"])
        self._follow(lambda change: self._ask_board(), list(_BOARD))
        self._unsubscribe = experiment.subscribe(self._heard)
        retire_earlier_run(self)
        self._measure()

    # --- what it holds ------------------------------------------------------------------------------------------------

    @property
    def experiment(self) -> Experiment:
        """What is analysed, as it was given."""
        return self._exp

    @property
    def current(self) -> Experiment:
        """The experiment that the flowchart shows: as given, or what an attempt led to."""
        return self._analysis.experiment

    @property
    def diagnosis(self) -> Diagnosis:
        """What is known so far, as a record."""
        return self._analysis.findings.diagnosis()

    def link_explorer(self, explorer: LayerExplorer) -> None:
        """Let images that are opened here appear in a layer explorer of the same experiment."""
        if explorer.experiment is not self._exp:
            raise InputError(
                "link_explorer: got an explorer of another experiment; make it with LayerExplorer(analysis.experiment)."
            )
        self._explorer = explorer

    @traitlets.validate("sample")
    def _known_sample(self, proposal: Any) -> str:
        there = samples_of(self._exp)
        if proposal["value"] not in there:
            raise traitlets.TraitError(f"sample: got {proposal['value']!r}, this experiment has {', '.join(there)}.")
        return str(proposal["value"])

    @traitlets.validate("pair")
    def _sound_pair(self, proposal: Any) -> str:
        value = str(proposal["value"])
        parts = value.split(",")
        if value and not (len(parts) == 2 and all(part.isdecimal() and len(part) <= _LONGEST_CLASS for part in parts)):
            raise traitlets.TraitError(f"pair: got {value!r:.40}, expected '' or two numbers of classes, such as '4,9'.")
        return value

    # --- publishing ---------------------------------------------------------------------------------------------------

    def _describe(self) -> None:
        """What seldom changes while the widget lives."""
        exp = self._shown
        options = {name: list(choices) for name, choices in OPTIONS.items()}
        there = samples_of(exp)
        options["sample"] = [choice for choice in options["sample"] if choice["value"] in there]
        sizes = ", ".join(f"S_{name} {text.count(len(getattr(exp, name)))}" for name in ("train", "val", "test") if name in there)
        why = self._analysis.findings.context.why_untrainable()
        self.set_trait(
            "about",
            {
                "title": "Error analysis",
                "subtitle": f"{exp.title}: {sizes}",
                "all_cost": self._all_cost(),
                "looks": self._analysis.looks,
                "can_train": "" if not why else f"Nothing can be trained here: {why}.",
            },
        )
        self.set_trait("options", options)
        self.set_trait("help", {name: dict(words) for name, words in HELP.items()})
        self._set_notices()

    def _all_cost(self) -> str:
        left = self._analysis.findings.seconds_left
        return f"about {text.duration(left)}" if left else ""

    def _set_notices(self) -> None:
        why = self.about.get("can_train", "")
        notes = [{"id": "untrainable", "text": why, "role": "muted"}] if why else []
        self.set_trait("notices", [*(to_wire(notice) for notice in self._exp.notices.values()), *notes])

    @property
    def _shown(self) -> Experiment:
        """One's own experiment, or the one to practise on."""
        exercise = self._practice.exercise
        return self._exp if exercise is None else exercise.experiment

    def _set_all(self) -> None:
        """All records of what is known; called inside ``publishing``."""
        analysis = self._analysis
        findings = analysis.findings
        self.set_trait("line", records.line_record(findings))
        busy = "" if self.task is None else self._busy
        self.set_trait("flow", records.flow_record(findings, busy, self.hidden, self._practice.secret))
        self._set_detail()
        self.set_trait("track", records.track_record(analysis))
        errors = findings.errors
        self.set_trait("branch", findings.branch if errors else "")
        self.set_trait("e_train", errors["train"].value if "train" in errors else None)
        self.set_trait("e_test", errors["test"].value if "test" in errors else None)
        self.set_trait("about", {**self.about, "looks": analysis.looks, "all_cost": self._all_cost()})
        self.set_trait("code", code_of(self._shown, analysis))
        self._practice.count(findings)
        self.set_trait("practice", self._practice.record())

    def _show_all(self, **traits: Any) -> None:
        with self.publishing():
            for name, value in traits.items():
                self.set_trait(name, value)
            self._set_all()

    def _set_detail(self) -> None:
        secret = self._practice.secret
        self.set_trait("detail", records.detail_record(self._analysis, self.selected, self.hidden, secret, self.seeds))

    def _show_detail(self) -> None:
        with self.publishing():
            self._set_detail()

    def _status(self) -> str:
        if self.error is not None:
            return "error"
        return "running" if self.task is not None else "idle"

    # --- from the controls to the work --------------------------------------------------------------------------------

    def _goal_moved(self, change: Any) -> None:
        goal = check_goal(float(change["new"]))
        own = self._exp.goal
        beyond = self._practice.exercise is None and _reached(own) == goal  # the experiment's own may lie beyond the handle
        self._analysis.set_goal(own if beyond else goal)
        self._show_all()

    def _heard(self, event: Event) -> None:
        """Called by the experiment, in whichever thread changed something."""
        if event.kind == "goal" and self._practice.exercise is None and self.goal != _reached(self._exp.goal):
            self.goal = _reached(self._exp.goal)
        elif event.kind == "notice":
            with self.publishing():
                self._set_notices()
            if event.notice is not None and event.notice.id == "model_changed" and event.notice.text:
                self._home = Analysis(self._exp, self._tests, self._remedies)
                if self._practice.exercise is None:
                    self._analysis = self._home
                    self._show_all(recorded="")
                    self._measure()

    # --- work in the background ---------------------------------------------------------------------------------------

    def _work(
        self,
        name: str,
        label: str,
        steps: Callable[[], Generator[Any, None, str]],
        again: Callable[[], object],
        *,
        quiet: bool = False,
    ) -> None:
        """Run steps that end in what is said of them; one at a time, a second call while it runs starts nothing."""

        def work() -> Iterator[Any]:
            if self._practice.exercise is None:
                self._exp.notice_changes()
            self._busy = ""
            with self.publishing():
                if not over:
                    self._publish_task(name, label, 0.0, "")
            ended.append((yield from steps()))

        ended: list[str] = []
        over: list[bool] = []  # filled once it is cancelled, while its last step may still be at work

        def rest(said: dict[str, Any] | None) -> None:
            self._at = ""
            with self.publishing():
                self.set_trait("task", None)
                self.set_trait("last_task", said)
                self._set_all()
                self.set_trait("status", self._status())

        def done() -> None:
            rest({"text": ended[-1], "role": "good"} if ended and ended[-1] else None)
            self._ask_board()

        def stopped() -> None:
            over.append(True)
            rest(None if quiet else {"text": f"{label}: cancelled; nothing was changed", "role": "muted"})

        def failed(error: BaseException) -> None:
            self._at, self._again = "", again
            self._show_all(task=None)
            self.show_error(f"{label} did not work", error, "Nothing was changed.", retry=True)

        # Whatever comes after a measurement measures what is left of it; else a second click starts nothing.
        with self._turns:
            if self._closed or (self._exp.jobs.running(self._slot) is not None and self._at != "measure"):
                return
            self._at = name
            self._exp.jobs.submit(
                self._slot, work, on_item=lambda item: self._told(name, label, item), on_done=done, on_error=failed,
                on_cancel=stopped,
            )  # fmt: skip

    @property
    def _slot(self) -> str:
        return f"analysis-{id(self)}"

    def _told(self, name: str, label: str, item: Any) -> None:
        """News of a job: how far it is, and what was found since."""
        now = time.monotonic()
        share, words = 0.0, ""
        if isinstance(item, DiagnosisStep | TrialStep):
            share, words = item.share, item.text
            if isinstance(item, TrialStep) and item.seconds_left is not None:
                words += f", {text.duration(item.seconds_left)} left"
        elif isinstance(item, str):
            words = item
        fresh = self._newly_found()
        if now - self._last_news < _BETWEEN_NEWS and not fresh:
            return
        self._last_news = now
        self._publish_task(name, label, share, words, fresh)

    def _newly_found(self) -> bool:
        findings = self._analysis.findings
        mark = (self._analysis.present, len(findings.errors), tuple(e.state for e in findings.evidence.values()))
        fresh, self._mark = mark != getattr(self, "_mark", None), mark
        return fresh

    def _publish_task(self, name: str, label: str, share: float, words: str, fresh: bool = False) -> None:
        with self.publishing():
            self.set_trait("task", {"id": name, "name": name, "label": label, "progress": share, "text": words})
            self.set_trait("status", self._status())
            if fresh:
                self._set_all()

    def _measure(self) -> None:
        def steps() -> Generator[Any, None, str]:
            yield from self._analysis.measure()
            return ""

        self._work("measure", "Measuring the errors", steps, self._measure, quiet=True)

    def run_all(self) -> None:
        """Run all tests that fit into the budget, in the background."""

        def steps() -> Generator[Any, None, str]:
            yield from self._analysis.measure()
            analysis = self._analysis
            run = analysis.findings.run_all(float(self.budget))
            while True:
                try:
                    item = next(run)
                except StopIteration as end:
                    found: Diagnosis = end.value
                    break
                self._busy = self._name_of(item.text)
                yield item
            tested = [each for each in found.evidence if each.state == "done"]
            return f"{len(tested)} of {len(found.evidence)} tests in {text.duration(found.seconds)}"

        self._work("run_all", "Testing", steps, self.run_all)

    def _name_of(self, title: str) -> str:
        return next((test.name for test in self._tests if test.title == title), "")

    def run_test(self, test: str) -> None:
        """Run one test by name, in the background."""
        self._analysis.findings._find(test)
        self._run_tests((test,), lambda: self.run_test(test))

    def run_leaf(self, leaf: str) -> None:
        """Run all tests of a leaf, in the background."""
        if leaf not in LEAVES:
            raise InputError(f"leaf: got {leaf!r:.40}, expected one of {', '.join(LEAVES)}.")
        names = tuple(test.name for test in records.leaf_tests(self._analysis.findings, leaf))
        if names:
            self._run_tests(names, lambda: self.run_leaf(leaf))

    def _run_tests(self, names: Sequence[str], again: Callable[[], object]) -> None:
        def steps() -> Generator[Any, None, str]:
            yield from self._analysis.measure()
            for name in names:
                self._busy = name
                yield from self._analysis.findings.run(name)
            return ""

        self._work("test", "Testing", steps, again)

    def apply(self, remedy: str) -> None:
        """Try an action in the background: paired runs with it and without it; the result goes into the track."""
        title, seeds = self._analysis.remedy(remedy).title, self.seeds

        def steps() -> Generator[Any, None, str]:
            # The analysis of now: a network that was changed from outside has a new one.
            trial = yield from self._analysis.apply(remedy, seeds, max(_ATTEMPT_S, float(self.budget)))
            return f"{trial.title}: {trial.verdict}"

        self._work("apply", title, steps, lambda: self.apply(remedy))

    def apply_advised(self) -> None:
        """Try what is advised for the likeliest causes in the background, and adopt the best that is confirmed."""
        seeds = self.seeds

        def steps() -> Generator[Any, None, str]:
            best = yield from self._analysis.try_advised(seeds, max(2 * _ATTEMPT_S, float(self.budget)))
            return "nothing could be tried here" if best is None else f"{best.title}: {best.verdict}"

        self._work("apply", "Trying what is advised", steps, self.apply_advised)

    def adopt(self, id: int) -> None:
        """Show what an attempt led to; 0 goes back to the experiment as it was given."""
        if isinstance(id, bool) or not isinstance(id, int):
            raise InputError(f"adopt: got {id!r:.40}, expected the number of an attempt.")
        if self._exp.jobs.running(self._slot) is not None:
            raise InputError("adopt: work is going on; wait for its end, or cancel it.")
        self._analysis.adopt(id)
        self._show_all(last_task=None)
        self._measure()

    # --- the panel below ----------------------------------------------------------------------------------------------

    def _ask_board(self) -> None:
        self._analysis.findings.context.threshold = self.threshold  # what is shown is what is acted on
        with self._turns:
            if self._closed:
                return
            self._turn += 1
            turn = self._turn
        if not self.panel:
            with self.publishing():
                self.set_trait("board", None)
            return
        self._exp.jobs.submit(
            f"{self._slot}-board", lambda: self._make_board(turn), interactive=True,
            on_error=lambda error: self.show_error("The panel could not be shown", error, "Choose another one."),
        )  # fmt: skip

    def _make_board(self, turn: int) -> Iterator[None]:
        wish = BoardWish(self.panel, self.sample, self.order, self.pair, self.threshold)
        if not wish.name:
            return
        made = yield from board(self._analysis, wish, self._marks)
        if turn == self._turn and not self._closed:
            with self.publishing():
                self.set_trait("board", {**made, "serial": self.seq})
                self.set_trait("pairs", pairs_of(self._analysis, wish.sample))
        yield

    def measure_panel(self) -> None:
        """Do the work that the open panel waits for, in the background."""
        name = self.panel
        if name not in NEED_WORK:
            raise InputError(f"the panel {name!r} needs no work; open one of {', '.join(NEED_WORK)}.")

        def steps() -> Generator[Any, None, str]:
            for _ in prepare(self._analysis, name):
                yield "at work for the panel"
            return ""

        self._work("panel", "Preparing the panel", steps, self.measure_panel)

    def decide(self, id: str, verdict: str) -> None:
        """Say of a suspect image of S_train what is to be done: keep, drop, relabel, or '' to leave it open."""
        if verdict not in ("keep", "drop", "relabel", ""):
            raise InputError(f"label: got {verdict!r:.40}, expected keep, drop, relabel or ''.")
        row = self._row(id, "train")
        decisions = self._analysis.findings.context.decisions
        if verdict:
            decisions[row] = verdict
        else:
            decisions.pop(row, None)
        self._ask_board()

    def tag(self, id: str, tag: str) -> None:
        """Put an error of the shown sample into a category of one's own; '' takes it out."""
        key = (self.sample, self._row(id, self.sample))
        words = " ".join(str(tag).split())[:_LONGEST_TAG]
        if words:
            self._marks.tags[key] = words
        else:
            self._marks.tags.pop(key, None)
        self._ask_board()

    def open_image(self, id: str) -> None:
        """Show an image in the linked layer explorer."""
        if self._explorer is None:
            raise InputError(
                "no layer explorer is linked: explorer = nw.LayerExplorer(analysis.experiment); analysis.link_explorer(explorer)."
            )
        row = self._row(id, self.sample)
        self._explorer.sample, self._explorer.pick, self._explorer.image_index = self.sample, "index", row

    def _row(self, id: str, sample: str) -> int:
        split = getattr(self._analysis.experiment, sample, None)
        if not str(id).isdecimal() or split is None or int(id) >= len(split):
            raise InputError(f"image: got {id!r:.40}, expected a row of S_{sample}.")
        return int(id)

    # --- practice and hall --------------------------------------------------------------------------------------------

    def start_practice(self, seed: int = 0) -> None:
        """Plant the fault of a seed and look at that instead; its name is told after a guess."""
        self.cancel()

        def steps() -> Generator[Any, None, str]:
            exercise = draw_exercise(seed)
            yield "a network with a fault was trained"
            self._practice.begin(exercise)
            self._marks = Marks()
            self._analysis = Analysis(exercise.experiment, self._tests, self._remedies)
            with self.publishing():
                self.set_trait("goal", _reached(exercise.experiment.goal))
                self.set_trait("panel", "")
                self.set_trait("selected", "start")
                self._describe()
                self._set_all()
            yield from self._analysis.measure()
            return ""

        self._work("practice", "Planting a fault", steps, lambda: self.start_practice(seed))

    def guess(self, cause: str) -> None:
        """Commit a guess: a name of a cause."""
        self._practice.guess(cause)
        self._show_all()

    def end_practice(self) -> None:
        """Back to one's own experiment."""
        self.cancel()
        self._practice.end()
        self._analysis, self._marks = self._home, self._own_marks
        with self.publishing():
            self.set_trait("goal", _reached(self._exp.goal))
            self._describe()
            self._set_all()
        self._measure()

    def hall(self, on: bool = True) -> None:
        """Hide the badges until the hall has voted (``reveal``)."""
        self._show_all(hidden=bool(on))

    def reveal(self) -> None:
        """Show the badges."""
        self._show_all(hidden=False)

    def record(self) -> str:
        """What is known now as text, to be replayed by ``ErrorAnalysis(exp, recorded=text)``."""
        return recorded_text(self._analysis)

    # --- buttons ------------------------------------------------------------------------------------------------------

    def commands(self) -> dict[str, Callable[..., object]]:
        """What the buttons call. Each hands its work over and returns."""
        return {
            "run_all": self.run_all,
            "run_test": self.run_test,
            "run_leaf": self.run_leaf,
            "apply": self.apply,
            "apply_advised": self.apply_advised,
            "adopt": self.adopt,
            "measure": self.measure_panel,
            "label": self.decide,
            "tag": self.tag,
            "open": self.open_image,
            "practice": self.start_practice,
            "guess": self.guess,
            "end_practice": self.end_practice,
            "hall": self.hall,
            "reveal": self.reveal,
            "save": self._save,
            "figure": self._send_figure,
            "cancel": self.cancel,
            "retry": self._try_again,
            "dismiss": self._dismiss,
            "resync": self.tell_all,
        }

    def cancel(self) -> None:
        """Stop what runs in the background; what was found so far stays."""
        self._exp.jobs.cancel(self._slot)

    def _try_again(self) -> None:
        again, self._again = self._again, None
        self.clear_error()
        if again is not None:
            again()

    def _dismiss(self, id: str = "") -> None:
        if id:
            self._exp.notify(Notice(str(id), ""))
        else:
            self.clear_error()

    def _save(self, what: str = "track") -> None:
        made: dict[str, Callable[[], str]] = {"track": self._analysis.to_json, "recording": self.record}
        if self._practice.result is not None:
            made["practice"] = self._practice.result.to_text
        if what not in made:
            raise InputError(f"save: got {what!r:.40}, expected one of {', '.join(made)}.")
        content = made[what]().encode()
        self.send({"kind": "file", "name": f"error_analysis_{what}.json", "mime": "application/json"}, [content])

    def _send_figure(self, format: str = "svg") -> None:
        send_figure(self, self, self._exp, "error_analysis", format)

    def figure(self) -> MplFigure:
        """Number line and flowchart as a matplotlib figure, for papers and slides."""
        from nnwidgets.figures._analysis_page import analysis_page

        return analysis_page(self.about["subtitle"], self.line, self.flow, self.goal)

    def wait(self, timeout: float | None = 120.0) -> bool:
        """Wait until all background work is done. Returns False if ``timeout`` seconds passed first."""
        return self._exp.wait(timeout)

    def close(self) -> None:
        """Stop the work it asked for and free it. The experiment stays usable."""
        if getattr(self, "_exp", None) is None or self._closed:  # refused at birth
            return
        self._closed = True
        self._unsubscribe()
        self.cancel()
        self._exp.jobs.cancel(f"{self._slot}-board")
        for analysis in {id(each): each for each in (self._home, self._analysis)}.values():
            analysis.close()
        if not self._exp.has_subscribers:
            self._exp.release()
        super().close()
