"""What makes up for rounding without training: switches of the recipe, and what each gains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import traitlets

from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.experiment.remedying import start_remedies, why_no_remedies
from nnwidgets.engine.experiment.state import State
from nnwidgets.engine.scans import RemedyProgress, RemedyRow
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.figures import text
from nnwidgets.figures.remedies_chart import remedies_chart, remedies_words
from nnwidgets.widgets._lab_controls import grid_of
from nnwidgets.widgets._lab_run import LabRun
from nnwidgets.widgets._lab_view import recipe_words

if TYPE_CHECKING:
    from nnwidgets.widgets.compression_lab import CompressionLab

__all__ = ["REMEDIES_HELP", "LabRemedies", "RemediesTraits"]

_BITS = 4  # where nothing is rounded yet

REMEDIES_HELP = {
    "remedies": {
        "what": "Nothing is trained: a network that answers the same is rounded instead, or its weights are rounded together. "
        "Each switch is part of the recipe: undo, files and exports know it. Training afterwards takes the switches into the "
        "weights. Measured on the same images of S_val, one remedy at a time.",
        "source": "Nagel et al. 2019 and 2020",
    },
}


class RemediesTraits(traitlets.HasTraits):
    """The part of the lab that can be seen from code."""

    remedies_view = traitlets.Dict(read_only=True, help="What remedies of rounding gain.").tag(sync=True)

    _remedies: LabRemedies

    def compare_remedies(self) -> None:
        """Measure what each remedy of rounding without training gains on the present network, in the background.

        Nothing of the experiment changes.
        """
        self._remedies.run()


class LabRemedies(LabRun):
    """The last comparison of one lab."""

    task = "remedies"

    def __init__(self, widget: CompressionLab, experiment: Experiment) -> None:
        self._widget, self._exp = widget, experiment
        self._rows: list[RemedyRow] = []
        self._labels: tuple[str, ...] = ()
        self._whose = ""
        self._of: tuple[Recipe, str | None] | None = None

    def _asked(self) -> Recipe:
        """The present recipe, without the remedies that are switched on; with few bits where nothing is rounded."""
        recipe = self._exp.recipe
        settings = recipe.quantization or grid_of(self._widget)
        if not settings.rounds_weights:
            settings = settings.moved(weight_bits=_BITS, method="affine")
        return Recipe(recipe.pruning, replace(settings.on_prepared(), rounding="nearest"))

    def run(self) -> None:
        """Begin."""
        if self._exp.jobs.running("task") is not None:
            return
        recipe = self._asked()
        self._rows, self._of = [], None

        def seen(step: RemedyProgress, state: State) -> None:
            self._rows += [] if step.row is None else [step.row]
            self._labels, self._of = step.labels, (recipe, state.weights_key)
            self._whose = f"{self._exp.title}, {recipe_words(recipe)}, {text.count(step.n)} images of S_val"
            self.show()

        start_remedies(self._exp, recipe, seen, self.show)

    def traits(self) -> dict[str, Any]:
        """Words beside the chart."""
        refused, recipe = why_no_remedies(self._exp), self._asked()
        plan = f"Without the switches: {recipe_words(recipe)}."
        now = self._exp.recipe.quantization
        if now is None or not now.rounds_weights:
            plan += f" Weights are not rounded now: tried with {_BITS} bits."
        words = remedies_words(self._rows)
        if words and self._of is not None and self._of != (recipe, self._exp.state.weights_key):
            words.append("Another state is shown by now.")
        view = {"refused": refused, "plan": "" if refused else plan, "words": words, "drawn": bool(self._rows)}
        return {"remedies_view": view}

    def show(self) -> None:
        """Publish the chart and the words."""
        charts = {"remedies": remedies_chart(self._rows, self._labels, self._whose)} if self._rows else {}
        self._widget.show_records(charts=charts, **self.traits())
