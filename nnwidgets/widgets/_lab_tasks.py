"""Long work of the compression lab: fine-tuning, latency, a file on disk, a scan of the layers. One at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.experiment import Experiment, Task
from nnwidgets.engine.experiment.bits_spread import start_spread
from nnwidgets.engine.experiment.recalibrating import start_recalibration
from nnwidgets.engine.experiment.scanning import Scan, start_scan
from nnwidgets.engine.experiment.searching import start_search
from nnwidgets.engine.experiment.tasks import Timing, default_setup, start_disk, start_fine_tuning, start_latency
from nnwidgets.engine.experiment.untrained import start_untrained
from nnwidgets.engine.search import SearchPoint, SearchResult
from nnwidgets.figures import text
from nnwidgets.figures.compression_charts import loss_chart
from nnwidgets.figures.records import to_wire
from nnwidgets.widgets._lab_controls import BITS_OF
from nnwidgets.widgets._lab_schedule import LabSchedule
from nnwidgets.widgets._lab_view import LabView

if TYPE_CHECKING:
    from nnwidgets.widgets.compression_lab import CompressionLab

__all__ = ["LabTasks"]

_BETWEEN = 0.1  # seconds between two publications
_ROLES = {"done": "good", "cancelled": "muted"}
_NEXT = {"export": "Nothing was written. Retry, or choose another name or format.", "encodings": "Retry.", "crossover": "Retry."}
_LOSS = {"fine_tune": "Loss while fine-tuning", "prune": "Loss while fine-tuning", "bits": "Loss of the training at work"}
_IN_ITS_CARD = frozenset({*_NEXT, "search", "lottery", "bits", "arithmetic", "remedies"})  # shown where they are asked for


class LabTasks:
    """Starts the work of one lab, shows how far it is, and puts what it found on the screen."""

    def __init__(self, widget: CompressionLab, experiment: Experiment, view: LabView) -> None:
        self._widget, self._exp, self._view = widget, experiment, view
        self.schedule = LabSchedule(widget, experiment)
        self._failed: str | None = None
        self._last = self._last_point = 0.0

    def starters(self) -> dict[str, Callable[[], object]]:
        """Name of a task -> what begins it."""
        return {
            "fine_tune": self._fine_tune,
            "spread_bits": self._spread_bits,
            "untrained": self._start_untrained,
            "recalibrate": lambda: start_recalibration(self._exp),
            "latency": self._measure_latency,
            "disk": lambda: start_disk(self._exp),
            "scan_layers": self._scan_layers,
            "prune": self.schedule.again,
            "search": self._search,
            **self._widget._files.starters(),
            **self._widget._lottery.starters(),
            **self._widget._bits.starters(),
            **self._widget._arithmetic.starters(),
            **self._widget._remedies.starters(),
        }

    def start(self, name: str) -> None:
        """Begin a task; while one runs, nothing begins."""
        self.starters()[name]()

    def next_step(self) -> str:
        """What to do after the task that failed last, where that is something else than after a move."""
        return _NEXT.get(self._failed or "", "")

    def taken_failure(self) -> Callable[[], object] | None:
        """What begins the task that failed last once more, None where none failed since this was asked."""
        name, self._failed = self._failed, None
        return None if name is None else self.starters()[name]

    def _fine_tune(self) -> None:
        widget = self._widget
        start_fine_tuning(self._exp, replace(default_setup(self._exp), epochs=widget.epochs, lr=widget.learning_rate))

    def _spread_bits(self) -> None:
        widget, present = self._widget, self._exp.recipe.quantization
        bits = widget.weight_bits
        if not isinstance(bits, int) or bits == 32 or present is None:
            raise RecipeError("bits by layer need bits for all first, 1 to 8: they are the average that is not exceeded.")
        if present.method in BITS_OF:
            raise RecipeError(f"{present.method} weights have their own bits. Choose even steps first.")
        start_spread(self._exp, bits, present)

    def _start_untrained(self) -> None:
        widget, made = self._widget, self._exp.training
        if self._exp.jobs.running("task") is not None:
            return
        start_untrained(self._exp)
        with widget.publishing():  # as it was trained, not as fine-tuning is
            widget.set_trait("epochs", 10 if made is None else min(50, made.epochs))
            widget.set_trait("learning_rate", made.lr if made is not None and made.optimizer.startswith("adam") else 1e-3)

    def _measure_latency(self) -> None:
        def done(timing: Timing) -> None:
            self._view.note_timing(timing)
            self._widget.show_records(self._view.figures(), self._view.pareto(self._widget.merit))

        start_latency(self._exp, done)

    def _scan_layers(self) -> None:
        def done(scan: Scan) -> None:
            self._view.scan = scan
            self._widget.show_records(charts=self._view.sensitivity())

        start_scan(self._exp, done)

    def _search(self) -> None:
        widget, view = self._widget, self._view
        if self._exp.jobs.running("task") is not None:
            return
        merit = widget.merit
        view.note_search(merit)

        def seen(point: SearchPoint) -> None:
            view.note_point(point)
            now = time.monotonic()
            if now - self._last_point > _BETWEEN:
                self._last_point = now
                widget.show_records(charts=view.pareto(widget.merit))

        def done(_: SearchResult) -> None:
            widget.show_records(charts=view.pareto(widget.merit))

        start_search(self._exp, merit, widget.budget, seen, done)

    def show(self, task: Task) -> None:
        """Publish how far a task is, or how it ended."""
        now = time.monotonic()
        if task.ended is None and 0 < task.progress < 1 and now - self._last < _BETWEEN:
            return
        self._last = now
        if task.ended is not None:
            self._failed = task.name if task.ended == "failed" else None  # its error comes next
            named = {"name": task.name} if task.name in _IN_ITS_CARD else {}
            self._widget.show_task(None, {"text": task.text, "role": _ROLES.get(task.ended, "bad"), **named})
            if task.name == "prune":
                self.schedule.ended()
            return
        left = "" if task.seconds_left is None else f", {text.duration(task.seconds_left)} left"
        shown = {
            "id": task.name,
            "name": task.name,
            "label": task.label,
            "progress": task.progress,
            "text": (task.text + left).lstrip(", "),
        }
        if task.name in _LOSS:  # drawn before there is a step, so that nothing moves when there is
            shown["chart"] = to_wire(loss_chart(task.records, _LOSS[task.name]))
        self._widget.show_task(shown)
