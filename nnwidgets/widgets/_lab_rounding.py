"""Rounding one layer step by step in the lab: what each range loses, which levels are used, one weight followed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import traitlets

from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.quantization import Followed, RoundingReport
from nnwidgets.engine.values.recipe import Quantization, Recipe
from nnwidgets.figures import text
from nnwidgets.figures.records import Chart
from nnwidgets.figures.rounding_charts import decibels, number, occupancy_chart, ranges_chart
from nnwidgets.widgets._lab_controls import grid_of
from nnwidgets.widgets._lab_text import OPTIONS

if TYPE_CHECKING:
    from nnwidgets.widgets.compression_lab import CompressionLab

__all__ = ["ROUNDING_CONTROLS", "ROUNDING_HELP", "LabRounding", "RoundingTraits"]

ROUNDING_CONTROLS = ("rounding_open", "followed")
_BITS = 8  # shown where weights are not rounded

ROUNDING_HELP = {
    "rounding": {
        "what": "What the grid does to the weights of the chosen layer. Each range of the levels: its error, and how many "
        "weights are clipped. Signal to noise: 6 dB are one bit.",
        "formula": "q = clamp(round(w / s) + z), w' = (q - z) s; 10 log10(sum w² / sum (w - w')²)",
        "source": "Krishnamoorthi 2018; Menghani 2021",
    },
    "followed": {"what": "One weight of the layer, from the smallest to the largest."},
    "occupancy": {
        "what": "How many weights each level has. One outlier makes the steps coarse: most weights then share few levels.",
    },
    "ranges": {
        "what": "From the smallest to the largest weight of each output channel, and the ends of the levels. With one scale for "
        "all, channels of small weights use few levels.",
    },
}


class RoundingTraits(traitlets.HasTraits):
    """The part of the lab that can be seen and set from code."""

    rounding_open = traitlets.Bool(False, help="Whether the rounding of the chosen layer is worked out and shown.").tag(sync=True)
    followed = traitlets.Float(0.75, min=0.0, max=1.0, help="Which weight is followed: its share of the order by value.").tag(
        sync=True
    )
    rounding_view = traitlets.Dict(read_only=True, help="What the rounding of the chosen layer shows.").tag(sync=True)


class LabRounding:
    """The rounding of one layer of one lab."""

    def __init__(self, widget: CompressionLab, experiment: Experiment) -> None:
        self._widget, self._exp = widget, experiment

    def begin(self) -> None:
        """Follow the controls; called once the traits are there."""
        self._widget._follow(lambda _: self.ask(), list(ROUNDING_CONTROLS))

    def ask(self) -> None:
        """Work it out in the background, if it is open."""
        if self._widget.rounding_open:
            self._exp.jobs.submit(f"rounding-{id(self._widget)}", self._steps, interactive=True)

    def _steps(self) -> Iterator[None]:
        """One observer a step: the lab stays quick between."""
        widget, exp = self._widget, self._exp
        state, layer = exp.live.state, widget.selected_layer
        plan = exp.bench(state.weights_key).plan
        settings = state.recipe.quantization
        rounded = settings is not None and settings.bits_of(layer) != 32
        shown = settings if settings is not None and rounded else replace(settings or grid_of(widget), weight_bits=_BITS)
        rows, now = [], None
        try:
            own = [each for each in OPTIONS["method"] if each["value"] == shown.method]
            for each in OPTIONS["observer"] if shown.method == "affine" else own:
                observer = each["value"] if shown.method == "affine" else shown.observer
                report = plan.rounding(Recipe(state.recipe.pruning, replace(shown, observer=observer)), layer)
                if report is None:
                    return
                is_now = observer == shown.observer
                now = report if is_now else now
                rows.append(_row(each, report, is_now))
                yield
        except NnwError as error:
            widget.show_records(rounding_view={"layer": layer, "rows": [], "steps": [], "notes": [str(error)]})
            return
        if now is None:
            return
        one = now.follow(widget.followed) if now.n else None
        notes = _notes(now, shown)
        if not rounded:
            notes.insert(0, f"The weights are not rounded now: shown as with {_BITS} bits.")
        steps = [] if one is None else _followed(one, now, shown.method)
        charts: dict[str, Chart] = {"occupancy": occupancy_chart(layer, now, one), "ranges": ranges_chart(layer, now)}
        widget.show_records(charts=charts, rounding_view={"layer": layer, "rows": rows, "steps": steps, "notes": notes})


def _row(choice: dict[str, Any], report: RoundingReport, now: bool) -> dict[str, Any]:
    """A line of the table: one observer."""
    scale = report.quantized.scale
    steps = number(float(scale[0])) if len(scale) == 1 else f"{number(float(scale.min()))} to {number(float(scale.max()))}"
    return {
        "value": choice["value"],
        "label": choice["label"],
        "step": steps,
        "sqnr": decibels(report.sqnr_db),
        "clipped": text.count(report.clipped),
        "used": f"{text.percent(report.used, 0)} %",
        "now": now,
    }


def _notes(report: RoundingReport, settings: Quantization) -> list[str]:
    """What the largest weight costs."""
    if report.outlier < 1.05 or report.n < 2:
        return []
    where = "the layer" if report.quantized.axis is None else f"channel {report.outlier_channel}"
    told = f"The largest weight of {where} is {report.outlier:.2f} times the next one"
    if settings.observer == "minmax" and settings.method == "affine" and report.quantized.bits > 1:
        told += ": without it the steps there could be that much finer"
    return [told + "."]


def _followed(one: Followed, report: RoundingReport, method: str) -> list[str]:
    """Quantize and dequantize with the numbers of one weight."""
    found = report.quantized
    where = "" if found.axis is None else f", in channel {one.channel} of {found.n_scales}"
    low, high = number(float(report.codes[0]), 4), number(float(report.codes[-1]), 4)
    minus = f" {text.MINUS} {one.zero_point}" if one.zero_point else ""
    plus = f" + {one.zero_point}" if one.zero_point else ""
    error = one.value - one.weight
    lines = [f"w = {number(one.weight)}{where}"]
    if method == "ternary":
        lines += [f"s = mean of |w| above D = 0.7 mean |w|: {number(one.scale)}"]
        lines += [f"q = sign(w) where |w| > D, else 0: {number(one.code)}"]
    elif found.symmetric and found.bits == 1:
        lines += [f"s = mean |w| = {number(one.scale)}", f"q = sign(w) = {number(one.code)}"]
    else:
        ratio = f"{one.ratio:.2f}".replace("-", text.MINUS)
        lines += [f"w / s = {number(one.weight)} / {number(one.scale)} = {ratio}"]
        lines += [f"q = clamp(round({ratio}){plus}, {low}, {high}) = {number(one.code, 4)}"]
    code = f"({number(one.code, 4)}{minus})" if minus else number(one.code, 4)
    lines += [f"w′ = {code} × {number(one.scale)} = {number(one.value)}"]
    clipped = "; clipped, it lies beyond the last level" if one.clipped else ""
    lines += [f"error w′ {text.MINUS} w = {number(error)}, {abs(error) / one.scale:.2f} of a step{clipped}"]
    return lines
