"""Winning tickets in the lab: the recorded lottery, or one of the network that is shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import traitlets

from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.experiment.lotteries import Lottery, lottery_setup, start_lottery, steps_of, why_no_lottery
from nnwidgets.engine.sparse import LotteryResult, LotteryRun, recorded_lottery
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.figures import text
from nnwidgets.figures.lottery_chart import LOTTERY_MEASURES, lottery_chart, lottery_words
from nnwidgets.figures.records import Chart
from nnwidgets.widgets._lab_run import LabRun
from nnwidgets.widgets._lab_text import choice

if TYPE_CHECKING:
    from nnwidgets.widgets.compression_lab import CompressionLab

__all__ = ["LOTTERY_CONTROLS", "LOTTERY_HELP", "LabLottery", "LotteryTraits"]

LOTTERY_CONTROLS = (
    "lottery_source",
    "lottery_measure",
    "lottery_rounds",
    "lottery_seeds",
    "lottery_epochs",
    "lottery_rewind",
)
_RECORDED = "LeNet-300-100 on the bundled digits"
_SOURCES = (
    choice("recorded", "recorded", f"{_RECORDED}, ten seeds, fifteen rounds, run before."),
    choice("own", "this network", "The network of this lab, from new random weights, run here."),
)
_MEASURES = (
    choice("stop_step", "early stop", "Step at which the loss on S_val is smallest: how fast it learns."),
    choice("stop_test_accuracy", "accuracy there", "Accuracy on S_test at the early stop."),
    choice("end_test_accuracy", "accuracy at the end", "Accuracy on S_test after the last step."),
)
_BETWEEN = 0.3  # seconds between two drawings while it runs

LOTTERY_HELP = {
    "lottery": {
        "what": "Is there, in every large network, a subnet that learns as well when it is trained from the same start? Train, "
        "remove in each layer a fifth of the weights that are left (a tenth of the last layer), the smallest; give the others "
        "the weights they had at the start, and again. At equal sparsity: the same places with new random weights; places "
        "drawn at random. S_val chooses the early stop, S_test only reports.",
        "formula": "share left after n rounds: 0.8^n",
        "source": "Frankle & Carbin 2019; Frankle et al. 2020 (rewinding to step k)",
    },
    "lottery_rewind": {
        "what": "0: weights go back to what they were before training. k: to those of step k, which larger networks need.",
        "source": "Frankle et al. 2020",
    },
    "lottery_seeds": {"what": "Each seed is another start and another order of images; arms are compared within a seed."},
}


class LotteryTraits(traitlets.HasTraits):
    """The part of the lab that can be seen and set from code."""

    lottery_source = traitlets.Enum(["recorded", "own"], "recorded", help="Whose lottery is shown: recorded or own.").tag(
        sync=True
    )
    lottery_measure = traitlets.Enum(
        list(LOTTERY_MEASURES), "stop_step", help="stop_step, stop_test_accuracy or end_test_accuracy."
    ).tag(sync=True)
    lottery_rounds = traitlets.Int(3, min=1, max=15, help="Rounds of removing in a lottery of one's own.").tag(sync=True)
    lottery_seeds = traitlets.Int(2, min=1, max=10, help="Paired seeds of a lottery of one's own.").tag(sync=True)
    lottery_epochs = traitlets.Int(2, min=1, max=50, help="Epochs of each of its runs.").tag(sync=True)
    lottery_rewind = traitlets.Int(0, min=0, max=100000, help="Step whose weights tickets get back; 0 for the start.").tag(
        sync=True
    )
    lottery_view = traitlets.Dict(read_only=True, help="What the lottery has shown, and what a run would take.").tag(sync=True)

    _lottery: LabLottery

    def run_lottery(self) -> None:
        """Look for winning tickets in this network, new from the start, in the background. Nothing of the experiment changes.

        Cancelled, the rounds that are done are kept and not run again.
        """
        self._lottery.run()


class LabLottery(LabRun):
    """The lotteries of one lab."""

    task = "lottery"

    def __init__(self, widget: CompressionLab, experiment: Experiment) -> None:
        self._widget, self._exp = widget, experiment
        self._recorded: LotteryResult | None = None
        self._kept: dict[str, dict[tuple[int, int], dict[str, Any]]] = {}  # by setup and rewinding
        self._runs: list[LotteryRun] = []
        self._own: LotteryResult | None = None
        self._last = 0.0

    def begin(self) -> None:
        """Show the recorded one, and follow the controls; called once the traits are there."""
        self._widget.lottery_epochs = min(50, (self._exp.training or TrainingSetup()).epochs)
        self._widget._follow(lambda _: self.show(), list(LOTTERY_CONTROLS))
        self.show()

    def _asked(self) -> Lottery:
        widget = self._widget
        setup = lottery_setup(self._exp, widget.lottery_epochs)
        return Lottery(setup, widget.lottery_rounds, widget.lottery_seeds, widget.lottery_rewind)

    def run(self) -> None:
        """Begin, or go on with what was cancelled."""
        if self._exp.jobs.running("task") is not None:
            return
        asked = self._asked()
        kept = self._kept.setdefault(repr((asked.setup, asked.rewind_step)), {})
        inside = [record for (seed, number), record in kept.items() if seed < asked.seeds and number <= asked.rounds]
        self._runs = [LotteryRun(**run) for record in inside for run in record["runs"]]
        self._own = None
        self._widget.lottery_source = "own"

        def seen(run: LotteryRun) -> None:
            self._runs.append(run)
            now = time.monotonic()
            if now - self._last > _BETWEEN:
                self._last = now
                self.show()

        def done(result: LotteryResult) -> None:
            self._runs, self._own = list(result.runs), result
            self.show()

        start_lottery(self._exp, asked, kept, seen, done)

    def _replayed(self) -> LotteryResult:
        if self._recorded is None:
            self._recorded = recorded_lottery()
        return self._recorded

    def charts(self) -> dict[str, Chart]:
        """The lottery that is chosen; nothing where none was run."""
        own = self._widget.lottery_source == "own"
        try:
            runs = self._runs if own else self._replayed().runs
        except NnwError:
            return {}  # said in the view
        if not runs:
            return {}
        whose = self._exp.title if own else f"{_RECORDED}, recorded"
        return {"lottery": lottery_chart(runs, self._widget.lottery_measure, whose)}

    def traits(self) -> dict[str, Any]:
        """Words beside the chart."""
        return {"lottery_view": self._view()}

    def _view(self) -> dict[str, Any]:
        asked, exp = self._asked(), self._exp
        refused = why_no_lottery(exp)
        if not refused and asked.rewind_step >= steps_of(exp, asked.setup):
            refused = f"the start to go back to has to lie before the last step: below {text.count(steps_of(exp, asked.setup))}"
        view: dict[str, Any] = {
            "sources": list(_SOURCES),
            "measures": list(_MEASURES),
            "refused": refused,
            "plan": "" if refused else self._plan(asked),
            "words": [],
            "recorded": "",
            "drawn": bool(self._runs) or self._widget.lottery_source == "recorded",
        }
        if self._widget.lottery_source == "own":
            view["words"] = lottery_words(self._own) if self._own is not None else []
            return view
        try:
            recorded = self._replayed()
        except NnwError as error:
            return view | {"words": [str(error)]}
        return view | {"words": lottery_words(recorded), "recorded": f"{_RECORDED}, {recorded.recorded}"}

    def _plan(self, asked: Lottery) -> str:
        runs = asked.seeds * (1 + 3 * asked.rounds)
        left = text.percent(0.8**asked.rounds, 0 if asked.rounds < 11 else 1)
        return (
            f"{text.count(runs)} runs of {text.count(steps_of(self._exp, asked.setup))} steps from the start, down to about "
            f"{left} % of the weights; nothing of the present state changes"
        )

    def show(self) -> None:
        """Publish the chart and the words."""
        self._widget.show_records(charts=self.charts(), **self.traits())
