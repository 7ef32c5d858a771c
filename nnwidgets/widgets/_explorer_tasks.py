"""Long work of the layer explorer: statistics, strongest images, accuracy without some channels, training step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.experiment import Experiment, Task
from nnwidgets.engine.experiment.training_watch import TrainingWatch
from nnwidgets.engine.inspect import Row
from nnwidgets.engine.values.records import Estimate
from nnwidgets.figures.compression import accuracy_figure
from nnwidgets.figures.records import to_wire
from nnwidgets.widgets._explorer_panels import training_panel
from nnwidgets.widgets._explorer_work import ExplorerWork, Wish

if TYPE_CHECKING:
    from nnwidgets.widgets.layer_explorer import LayerExplorer

__all__ = ["ExplorerTasks"]

_BETWEEN = 0.1  # seconds between two publications


class ExplorerTasks:
    """Background work of one explorer, each kind in a slot of its own; what is found is kept in the inspection."""

    def __init__(self, widget: LayerExplorer, experiment: Experiment, work: ExplorerWork) -> None:
        self._widget, self._exp, self._work = widget, experiment, work
        self._estimate: Estimate | None = None
        self._dense: Estimate | None = None
        self._training: TrainingWatch | None = None
        self._last = 0.0

    def _slot(self, kind: str) -> str:
        return f"{kind}-{id(self._widget)}"

    def forget(self) -> None:
        """The network is another one: nothing that was measured holds."""
        self.cancel()
        self._work.declined.clear()
        self._estimate = self._dense = None
        self._training = None
        self._work.off = ()
        self._widget._publish({"switched": self.switched_record()})

    def close(self) -> None:
        """Stop everything."""
        for kind in ("statistics", "top9", "accuracy", "training"):
            self._exp.jobs.cancel(self._slot(kind))
        self._training = None

    def cancel(self) -> None:
        """Stop what takes long; the training can be gone on with."""
        for kind in ("statistics", "top9", "accuracy", "training"):
            self._exp.jobs.cancel(self._slot(kind))

    def retry(self) -> None:
        """What failed or was cancelled may be begun again by itself."""
        self._work.declined.clear()

    def wanted_by(self, wish: Wish) -> None:
        """Begin what the present view needs, unless it is there, or was cancelled before."""
        inspection, row = self._work.inspection, self._work.inspection.structure.find(wish.layer)
        if not row.maps:
            return
        needs = wish.view == "histogram" or wish.order == "selectivity"
        open_yet = inspection.statistics_of(row.site, wish.sample) is None and not inspection.unmeasured(row, wish.sample)
        if needs and open_yet and ("statistics", wish.sample) not in self._work.declined:
            self.measure(wish.sample)
        searched = inspection.has_top(row, wish.sample) or ("top9", row.id, wish.sample) in self._work.declined
        if wish.view == "top9" and not searched:
            self.find_top(row.id, wish.sample)
        if wish.view == "training":
            self._show_training(row)

    # --- statistics and strongest images ------------------------------------------------------------------------------

    def measure(self, sample: str) -> None:
        """Outputs of all layers over a sample."""

        def steps() -> Generator[Any, None, None]:
            yield from self._work.inspection.measure(sample)

        self._run("statistics", "Measuring outputs", steps, ("statistics", sample), "outputs of all layers measured")

    def find_top(self, layer: str, sample: str) -> None:
        """The nine strongest images of each channel of a layer."""
        row = self._work.inspection.structure.find(layer)

        def steps() -> Generator[Any, None, None]:
            yield from self._work.inspection.find_top(row, sample)

        self._run(
            "top9", "Looking for the strongest images", steps, ("top9", row.id, sample), f"strongest images of {row.path} found"
        )

    def _run(
        self, kind: str, label: str, steps: Callable[[], Generator[Any, None, None]], name: tuple[str, ...], said: str
    ) -> None:
        asked_again = name in self._work.declined
        self._work.declined.discard(name)
        began = time.monotonic()

        def work() -> Iterator[Task]:
            for progress in steps():
                spent, share = time.monotonic() - began, progress.share
                left = spent / share * (1 - share) if share > 0.05 else None
                yield Task(kind, label, share, left, text=progress.text)

        def failed(error: BaseException) -> None:
            self._work.declined.add(name)
            self._widget.show_task(None)
            self._widget.show_error(f"{label} failed", error, "Choose another layer, or retry.", retry=True)
            self._widget._submit()

        def cancelled() -> None:
            self._work.declined.add(name)
            self._widget.show_task(None, "cancelled: nothing was kept", "muted")
            self._widget._submit()

        def done() -> None:
            self._widget.show_task(None, said)
            self._widget._publish({"tree": self._widget._tree()})
            self._widget._submit()

        self._widget.show_task(Task(kind, label))
        self._exp.jobs.submit(
            self._slot(kind), work, on_item=self._widget.show_task, on_done=done, on_error=failed, on_cancel=cancelled, keep=True
        )
        if asked_again:
            self._widget._submit()

    # --- channels off -------------------------------------------------------------------------------------------------

    def switch(self, layer: str, channel: int, off: bool) -> None:
        """Switch one channel; answers follow at once, accuracy streams."""
        row = self._work.inspection.structure.find(layer)
        self._check(row, channel)
        key = (row.id, channel)
        if (key in self._work.off) == off:
            return
        self._work.off = (*self._work.off, key) if off else tuple(each for each in self._work.off if each != key)
        self._switched()

    def _check(self, row: Row, channel: object) -> None:
        if isinstance(channel, bool) or not isinstance(channel, int) or channel < 0:
            raise InputError(f"channel: got {channel!r:.40}, expected a whole number from 0.")
        if not row.maps:
            raise InputError(f"{row.path} {row.reason}: its channels cannot be switched off.")
        count = self._work.inspection.channels_of(row)
        if count is not None and channel >= count:
            raise InputError(f"channel: got {channel}, {row.path} has {count}; expected 0 to {count - 1}.")

    def switch_all_on(self) -> None:
        """Take all channels back."""
        if self._work.off:
            self._work.off = ()
            self._switched()

    def _switched(self) -> None:
        self._estimate = None
        self._widget._publish({"switched": self.switched_record()})
        self._widget._submit()
        if self._work.off:
            self._start_accuracy()
        else:
            self._exp.jobs.cancel(self._slot("accuracy"))

    def _start_accuracy(self) -> None:
        sample, off = self._widget.sample, self._work.off
        if getattr(self._exp, sample).labels is None:
            return

        def work() -> Iterator[tuple[Estimate, Estimate] | None]:
            yield from self._work.inspection.accuracy_without(sample, off)

        def tell(item: tuple[Estimate, Estimate] | None) -> None:
            if item is None:
                return
            self._estimate, self._dense = item
            now = time.monotonic()
            if self._estimate.final or now - self._last > _BETWEEN:
                self._last = now
                self._widget._publish({"switched": self.switched_record()})

        def done() -> None:
            self._widget._publish({"switched": self.switched_record()})

        self._exp.jobs.submit(
            self._slot("accuracy"),
            work,
            on_item=tell,
            on_done=done,
            on_error=lambda error: self._widget.show_error("Accuracy without these channels could not be measured", error),
        )

    def switched_record(self) -> dict[str, Any]:
        """The card of switched-off channels."""
        rows = {row.id: row for row in self._work.inspection.structure.rows}
        items = [
            {"layer": layer, "channel": channel, "label": f"{rows[layer].path}: {channel}"} for layer, channel in self._work.off
        ]
        figures = {}
        if items and self._estimate is not None:
            figures = {"accuracy": accuracy_figure(self._estimate, self._dense, 1 - self._exp.goal)}
        note = self._work.inspection.switching_note if items else ""
        words = "" if not items else note or f"accuracy on S_{self._widget.sample}, images it is unsure of are tried first"
        return {"items": items, "figures": to_wire(figures), "text": words}

    # --- training -----------------------------------------------------------------------------------------------------

    def train_start(self) -> None:
        """Train a copy on, in the background, until it is paused or through."""
        self._train(None)

    def train_step(self) -> None:
        """One optimiser step."""
        self._train(1)

    def train_pause(self) -> None:
        """Stop; what was trained so far is kept, and can be gone on with."""
        self._exp.jobs.cancel(self._slot("training"))

    def train_reset(self) -> None:
        """Forget the copy; the next start begins anew."""
        self._exp.jobs.cancel(self._slot("training"))
        self._training = None
        self._widget._submit()

    def _train(self, count: int | None) -> None:
        widget = self._widget
        row = self._work.inspection.structure.find(widget.layer)

        def work() -> Iterator[Task]:
            if self._training is None or self._training.ended:
                self._training = TrainingWatch(
                    self._exp, self._work.inspection.network, widget.epochs, widget.learning_rate, widget.fresh
                )
                yield Task("training", "Training a copy")
            watch = self._training
            done = 0
            while not watch.ended and (count is None or done < count):
                if watch.advance():
                    done += 1
                    yield Task("training", "Training a copy", watch.share, watch.seconds_left, text=watch.text)
                else:
                    yield Task("training", "Training a copy", watch.share, text=watch.text)

        def tell(task: Task) -> None:
            now = time.monotonic()
            if now - self._last > 2 * _BETWEEN:
                self._last = now
                self._show_training(self._work.inspection.structure.find(widget.layer))
            widget.show_task(task)

        def ended(words: str, role: str = "good") -> None:
            widget.show_task(None, words, role)
            self._show_training(self._work.inspection.structure.find(widget.layer))

        def failed(error: BaseException) -> None:
            self._training = None
            widget.show_task(None)
            widget.show_error("Training the copy failed", error, "The network itself was not changed.")

        if not row.filters and widget.view == "training":
            raise InputError(f"{row.path} has no weights to watch; choose a layer that has.")
        widget.show_task(Task("training", "Training a copy"))
        self._exp.jobs.submit(
            self._slot("training"),
            work,
            on_item=tell,
            on_done=lambda: ended("step done" if count else "training done: a copy, the network is as it was"),
            on_cancel=lambda: ended("paused", "muted"),
            on_error=failed,
            keep=True,
        )

    def _show_training(self, row: Row) -> None:
        if self._widget.view == "training":
            self._widget._publish({"panel": training_panel(row, self._training, self._widget.scale == "tile")})
