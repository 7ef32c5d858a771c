"""Kinds of arithmetic, timed in the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets

from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.experiment.arithmetic import in_bytes, start_arithmetic, why_no_arithmetic
from nnwidgets.engine.experiment.state import State
from nnwidgets.engine.integers import Arithmetics
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.figures.arithmetic_chart import arithmetic_chart, arithmetic_words
from nnwidgets.widgets._lab_run import LabRun
from nnwidgets.widgets._lab_view import recipe_words

if TYPE_CHECKING:
    from nnwidgets.widgets.compression_lab import CompressionLab

__all__ = ["ARITHMETIC_HELP", "ArithmeticTraits", "LabArithmetic"]

ARITHMETIC_HELP = {
    "arithmetic": {
        "what": "The same network, pruned and rounded alike, in four kinds of arithmetic, timed in turns on this machine. "
        "Weights only: codes in memory, made float32 again before each use. Integers: bytes times bytes, summed in 32 bits.",
        "formula": "y = s_x s_w sum((q_x - z_x) q_w) + b",
        "source": "Jacob et al. 2018; Menghani 2021",
    },
}


class ArithmeticTraits(traitlets.HasTraits):
    """The part of the lab that can be seen from code."""

    arithmetic_view = traitlets.Dict(read_only=True, help="What the timing of kinds of arithmetic has shown.").tag(sync=True)

    _arithmetic: LabArithmetic

    def time_arithmetic(self) -> None:
        """Time the present network in float32, bfloat16, with weights alone in few bits, and in integers, in the background.

        Nothing of the experiment changes.
        """
        self._arithmetic.run()


class LabArithmetic(LabRun):
    """The last timing of one lab."""

    task = "arithmetic"

    def __init__(self, widget: CompressionLab, experiment: Experiment) -> None:
        self._widget, self._exp = widget, experiment
        self._found: tuple[Arithmetics, Recipe, State] | None = None
        self._words: list[str] = []

    def run(self) -> None:
        """Begin."""
        start_arithmetic(self._exp, self._done)

    def _done(self, found: Arithmetics, recipe: Recipe, state: State) -> None:
        self._found, self._words = (found, recipe, state), arithmetic_words(found)
        self.show()

    def traits(self) -> dict[str, Any]:
        """Words beside the chart."""
        refused = why_no_arithmetic(self._exp)
        recipe, words = self._exp.recipe, self._words
        run = in_bytes(recipe)
        plan = f"The network of now: {recipe_words(run)}."
        if run != recipe:
            plan += " What is not rounded now is run as with 8 bits."
        if self._found is not None and self._found[2] != self._exp.state:
            words = [*words, "Another state is shown by now."]
        view = {"refused": refused, "plan": "" if refused else plan, "words": words, "drawn": self._found is not None}
        return {"arithmetic_view": view}

    def show(self) -> None:
        """Publish the chart and the words."""
        charts = {}
        if self._found is not None:
            found, recipe, _ = self._found
            charts["arithmetic"] = arithmetic_chart(found, f"{self._exp.title}, {recipe_words(recipe)}")
        self._widget.show_records(charts=charts, **self.traits())
