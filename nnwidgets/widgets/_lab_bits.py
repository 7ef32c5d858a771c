"""How few bits the network needs, static and trained with rounding, in the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets

from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.experiment.bits_compared import BITS, BitsAsked, bits_setup, start_bits, why_no_bits
from nnwidgets.engine.sparse import BitsCell
from nnwidgets.engine.training import steps_an_epoch
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.figures import text
from nnwidgets.figures.bits_chart import bits_chart, bits_words
from nnwidgets.figures.records import Chart
from nnwidgets.widgets._lab_controls import grid_of
from nnwidgets.widgets._lab_run import LabRun
from nnwidgets.widgets._lab_view import recipe_words

if TYPE_CHECKING:
    from nnwidgets.widgets.compression_lab import CompressionLab

__all__ = ["BITS_CONTROLS", "BITS_HELP", "BitsTraits", "LabBits"]

BITS_CONTROLS = ("bits_seeds", "bits_epochs")

BITS_HELP = {
    "bits": {
        "what": "Static: the weights are rounded as they are. With training: the network is trained with rounded weights in "
        "every step, and gradients pass straight through the rounding. The control is trained as long, in full precision, and "
        "then rounded. Measured on S_val, from the present weights and what is removed; scale, levels and range as chosen above: "
        "with learned steps (LSQ), training with rounding trains them too.",
        "formula": "forward: w' = (q - z) s; backward: dL/dw = dL/dw' inside the range, 0 outside",
        "source": "Bengio et al. 2013; Jacob et al. 2018; Menghani 2021",
    },
    "bits_seeds": {"what": "Each seed is another order of images; arms are compared within a seed."},
}


class BitsTraits(traitlets.HasTraits):
    """The part of the lab that can be seen and set from code."""

    bits_seeds = traitlets.Int(2, min=1, max=10, help="Paired seeds of the comparison of bits.").tag(sync=True)
    bits_epochs = traitlets.Int(1, min=1, max=20, help="Epochs of each of its trainings.").tag(sync=True)
    bits_view = traitlets.Dict(read_only=True, help="What the comparison of bits has shown, and what a run would take.").tag(
        sync=True
    )

    _bits: LabBits

    def compare_bits(self) -> None:
        """Round the present network to 8, 4, 3, 2 and 1 bits, without training and with it, in the background.

        Nothing of the experiment changes. Cancelled, the bit widths that are done are kept and not run again.
        """
        self._bits.run()


class LabBits(LabRun):
    """The comparisons of one lab, kept by what they were asked for."""

    task = "bits"

    def __init__(self, widget: CompressionLab, experiment: Experiment) -> None:
        self._widget, self._exp = widget, experiment
        self._kept: dict[Any, dict[tuple[Any, ...], dict[str, Any]]] = {}
        self._cells: list[BitsCell] = []
        self._whose = ""
        self._dense: float | None = None

    def begin(self) -> None:
        """Follow the controls; called once the traits are there."""
        self._widget._follow(lambda _: self.show(), [*BITS_CONTROLS, "learning_rate"])
        self.show()

    def _asked(self) -> BitsAsked:
        widget = self._widget
        return BitsAsked(grid_of(widget), bits_setup(self._exp, widget.bits_epochs, widget.learning_rate), widget.bits_seeds)

    def run(self) -> None:
        """Begin, or go on with what was cancelled."""
        if self._exp.jobs.running("task") is not None:
            return
        asked, state = self._asked(), self._exp.state
        kept = self._kept.setdefault((asked.settings, asked.setup, state.weights_key, state.recipe.pruning), {})
        self._cells = [_cell(record) for (_, seed), record in kept.items() if seed < asked.seeds]
        self._dense = None
        n = 0 if self._exp.val is None else len(self._exp.val)
        self._whose = f"{self._exp.title}, {recipe_words(Recipe(state.recipe.pruning))}, S_val of {text.count(n)} images"

        def seen(cell: BitsCell) -> None:
            self._cells.append(cell)
            self.show()

        def done(dense: float) -> None:
            self._dense = dense
            self.show()

        self.show()
        start_bits(self._exp, asked, kept, seen, done)

    def charts(self) -> dict[str, Chart]:
        """What was run last; nothing before."""
        return {"bits": bits_chart(self._cells, BITS, self._dense, self._whose)} if self._cells else {}

    def traits(self) -> dict[str, Any]:
        """Words beside the chart."""
        refused, asked = why_no_bits(self._exp), self._asked()
        n = len(self._exp.val) if self._exp.val is not None else 1
        view = {
            "refused": refused,
            "plan": "" if refused else self._plan(asked),
            "words": bits_words(self._cells, n),
            "drawn": bool(self._cells),
        }
        return {"bits_view": view}

    def _plan(self, asked: BitsAsked) -> str:
        assert self._exp.train is not None
        steps = steps_an_epoch(len(self._exp.train), asked.setup.batch_size) * asked.setup.epochs
        runs = asked.seeds * (1 + len(BITS))
        rate = f"{text.count(steps)} steps, rate {asked.setup.lr:g}"
        return f"{text.count(runs)} trainings of {rate}; nothing of the present state changes"

    def show(self) -> None:
        """Publish the chart and the words."""
        self._widget.show_records(charts=self.charts(), **self.traits())


def _cell(record: dict[str, Any]) -> BitsCell:
    return BitsCell(**{name: record[name] for name in BitsCell.__dataclass_fields__})
