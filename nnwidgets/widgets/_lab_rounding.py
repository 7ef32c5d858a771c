"""Rounding one layer step by step in the lab: what each range loses, which levels are used, one weight followed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import traitlets

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.errors import NnwError, UnsupportedError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.quantization import Followed, RoundingReport
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.figures import text
from nnwidgets.figures.records import Chart
from nnwidgets.figures.rounding_charts import decibels, inputs_chart, number, observers_chart, occupancy_chart, ranges_chart
from nnwidgets.widgets._lab_controls import grid_of
from nnwidgets.widgets._lab_text import OPTIONS

if TYPE_CHECKING:
    from nnwidgets.widgets.compression_lab import CompressionLab

__all__ = ["ROUNDING_CONTROLS", "ROUNDING_HELP", "LabRounding", "RoundingTraits"]

ROUNDING_CONTROLS = ("rounding_open", "rounding_of", "followed")
_NOTHING: dict[str, list[str]] = {"rows": [], "steps": [], "notes": []}
_NONE = "none"
_BITS = 8  # shown where weights are not rounded
_NOT_TOLD = ("hand", "learned")  # unless it is set: no rule that finds a range by itself

ROUNDING_HELP = {
    "rounding": {
        "what": "What the grid does to the weights of the chosen layer, or to what goes into it. Each range of the levels: its "
        "error, and how many are clipped. Signal to noise: 6 dB are one bit.",
        "formula": "q = clamp(round(w / s) + z), w' = (q - z) s; 10 log10(sum w² / sum (w - w')²)",
        "source": "Krishnamoorthi 2018; Menghani 2021",
    },
    "rounding_of": {"what": "The weights of the chosen layer, or what goes into it."},
    "followed": {"what": "One number of the layer, from the smallest to the largest."},
    "occupancy": {
        "what": "How many weights or inputs each level has, zeros left out. One outlier makes the steps coarse: most then share "
        "few levels.",
    },
    "ranges": {
        "what": "From the smallest to the largest weight of each output channel, and the ends of the levels. With one scale for "
        "all, channels of small weights use few levels. Of inputs: the range of each layer.",
    },
}


class RoundingTraits(traitlets.HasTraits):
    """The part of the lab that can be seen and set from code."""

    rounding_open = traitlets.Bool(False, help="Whether the rounding of the chosen layer is worked out and shown.").tag(sync=True)
    rounding_of = traitlets.Enum(["weights", "inputs"], "weights", help="Whether weights or inputs of the layer are shown.").tag(
        sync=True
    )
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
        settings = state.recipe.quantization or grid_of(widget)
        plan = exp.bench(state.weights_key).plan
        try:
            if widget.rounding_of == "inputs":
                yield from self._of_inputs(plan, state.recipe.pruning, settings, layer)
            else:
                yield from self._of_weights(plan, state.recipe.pruning, settings, layer)
        except NnwError as error:
            widget.show_records(rounding_view={**_NOTHING, "layer": layer, "notes": [str(error)]})

    def _of_weights(self, plan: CompressionPlan, pruning: Pruning | None, settings: Quantization, layer: str) -> Iterator[None]:
        rounded = settings.bits_of(layer) != 32
        shown = settings if rounded else settings.moved(weight_bits=_BITS)
        rows, now = [], None
        reports: list[tuple[str, RoundingReport]] = []
        own = [each for each in OPTIONS["method"] if each["value"] == shown.method]
        even = [each for each in OPTIONS["observer"] if each["value"] not in _NOT_TOLD or each["value"] == shown.observer]
        for each in even if shown.method == "affine" else own:
            observer = each["value"] if shown.method == "affine" else shown.observer
            is_now = observer == shown.observer
            tried = shown if is_now else replace(shown.moved(observer=observer), rounding="nearest")  # together takes seconds
            report = plan.rounding(Recipe(pruning, tried), layer)
            if report is None:
                return
            now = report if is_now else now
            reports.append((each["label"], report))
            rows.append(_row(each, report, is_now, text.count(report.clipped)))
            yield
        if now is None:
            return
        notes = _notes(now, shown)
        if not rounded:
            notes.insert(0, f"The weights are not rounded now: shown as with {_BITS} bits.")
        if shown.rounding != "nearest":
            notes.insert(0, "The weights are rounded together now; by the other ranges each goes to its nearest level.")
        one = now.follow(self._widget.followed) if now.n else None
        charts = {"occupancy": occupancy_chart(layer, now, one), "ranges": ranges_chart(layer, now)}
        if shown.method == "affine" and now.n:
            chosen = next(each["label"] for each in even if each["value"] == shown.observer)
            charts["observers"] = observers_chart(layer, reports, chosen)
        self._show(layer, rows, notes, charts, [] if one is None else _followed(one, now, shown, "w"))

    def _of_inputs(self, plan: CompressionPlan, pruning: Pruning | None, settings: Quantization, layer: str) -> Iterator[None]:
        rounded = settings.activation_bits != 32
        shown = settings if rounded else replace(settings, activation_bits=_BITS)
        yield from plan.making(Recipe(pruning, shown))
        seen = plan.calibration(Recipe(pruning, shown))
        assert seen is not None
        module = next((each.module_name for each in plan.layers if each.name == layer), None)
        if module is None or module not in seen.inputs:
            raise UnsupportedError(
                f"What goes into {layer!r} cannot be rounded: other code uses its weight, or it takes whole numbers."
            )
        yield
        rows, now, chosen = [], None, ""
        reports: list[tuple[str, RoundingReport]] = []
        for each in OPTIONS["activation_observer"]:
            report = seen.inputs[module].report(replace(shown, activation_observer=each["value"]))
            is_now = each["value"] == shown.activation_observer
            now = report if is_now else now
            share = f"{text.percent(report.clipped / max(1, report.n), 2)} %"
            rows.append(_row(each, report, is_now, share))
            reports.append((each["label"], report))
            chosen = each["label"] if is_now else chosen
            yield
        assert now is not None
        notes = [
            f"Seen on {text.count(seen.images)} images of S_train; zeros are {text.percent(seen.inputs[module].zeros, 0)} %."
        ]
        if not rounded:
            notes.insert(0, f"Inputs are not rounded now: shown as with {_BITS} bits.")
        if seen.unseen:
            notes.append(f"Not rounded, for other code uses their weights: {', '.join(seen.unseen)}.")
        one = now.follow(self._widget.followed) if now.n else None
        charts = {"occupancy": occupancy_chart(layer, now, one, "inputs"), "ranges": inputs_chart(seen, shown, module)}
        if now.n:
            charts["observers"] = observers_chart(layer, reports, chosen, "inputs")
        self._show(layer, rows, notes, charts, [] if one is None else _followed(one, now, Quantization(), "x"))

    def _show(self, layer: str, rows: list[dict[str, Any]], notes: list[str], charts: dict[str, Chart], steps: list[str]) -> None:
        self._widget.show_records(charts=charts, rounding_view={"layer": layer, "rows": rows, "steps": steps, "notes": notes})


def _row(choice: dict[str, Any], report: RoundingReport, now: bool, clipped: str) -> dict[str, Any]:
    """A line of the table: one observer, or one rule."""
    shared = report.quantized.codebook is not None
    return {
        "value": choice["value"],
        "label": choice["label"],
        "step": _NONE if shared else _step(report),
        "sqnr": decibels(report.sqnr_db),
        "clipped": _NONE if shared else clipped,
        "used": f"{text.percent(report.used, 0)} %",
        "now": now,
    }


def _step(report: RoundingReport) -> str:
    scale = report.quantized.scale
    return number(float(scale[0])) if len(scale) == 1 else f"{number(float(scale.min()))} to {number(float(scale.max()))}"


def _notes(report: RoundingReport, settings: Quantization) -> list[str]:
    """What the largest weight costs, and what a codebook does not have."""
    values = report.quantized.codebook
    if values is not None:
        zero = ", one of them zero for what is removed" if report.n < report.weight.numel() else ""
        return [f"One list of {len(values)} values for the layer{zero}: no step, no zero point, and nothing is clipped."]
    if report.outlier < 1.05 or report.n < 2:
        return []
    where = "the layer" if report.quantized.axis is None else f"channel {report.outlier_channel}"
    told = f"The largest weight of {where} is {report.outlier:.2f} times the next one"
    if settings.observer == "minmax" and settings.method == "affine" and report.quantized.bits > 1:
        told += ": without it the steps there could be that much finer"
    return [told + "."]


def _followed(one: Followed, report: RoundingReport, settings: Quantization, name: str) -> list[str]:
    """Quantize and dequantize with the numbers of one weight, or of one input.

    Args:
        settings: by which weights were rounded; those of inputs have none of their own.
    """
    found = report.quantized
    if one.scale is None or one.ratio is None:
        return _looked_up(one, report)
    where = "" if found.axis is None else f", in channel {one.channel} of {found.n_scales}"
    low, high = number(float(report.codes[0]), 4), number(float(report.codes[-1]), 4)
    minus = f" {text.MINUS} {one.zero_point}" if one.zero_point else ""
    plus = f" + {one.zero_point}" if one.zero_point else ""
    error = one.value - one.weight
    lines = [f"{name} = {number(one.weight)}{where}"]
    if settings.method == "ternary":
        lines += [f"s = mean of |w| above D = 0.7 mean |w|: {number(one.scale)}"]
        lines += [f"q = sign(w) where |w| > D, else 0: {number(one.code)}"]
    elif found.symmetric and found.bits == 1:
        rule = "" if settings.observer == "learned" else "mean |w| = "
        lines += [f"s = {rule}{number(one.scale)}", f"q = sign(w) = {number(one.code)}"]
    else:
        ratio = f"{one.ratio:.2f}".replace("-", text.MINUS)
        lines += [f"{name} / s = {number(one.weight)} / {number(one.scale)} = {ratio}"]
        nearest = round(one.ratio) + (one.zero_point or 0)
        way, why = ("round", "") if one.code == min(max(nearest, report.codes[0]), report.codes[-1]) else _together(one, nearest)
        lines += [f"q = clamp({way}({ratio}){plus}, {low}, {high}) = {number(one.code, 4)}{why}"]
    code = f"({number(one.code, 4)}{minus})" if minus else number(one.code, 4)
    lines += [f"{name}′ = {code} × {number(one.scale)} = {number(one.value)}"]
    clipped = "; clipped, it lies beyond the last level" if one.clipped else ""
    lines += [f"error {name}′ {text.MINUS} {name} = {number(error)}, {abs(error) / one.scale:.2f} of a step{clipped}"]
    return lines


def _together(one: Followed, nearest: int) -> tuple[str, str]:
    """How a weight became whole that did not go to the nearest level, and why."""
    return "floor" if one.code < nearest else "ceil", ", chosen together with the others"


def _looked_up(one: Followed, report: RoundingReport) -> list[str]:
    """The same with a codebook: find the nearest value, keep its place, look it up again."""
    zero = " over what is not zero" if report.n < report.weight.numel() else ""
    return [
        f"w = {number(one.weight)}",
        f"q = argmin |w {text.MINUS} c[k]|{zero} = {one.code}",
        f"w′ = c[{one.code}] = {number(one.value)}, shared by {text.count(int(report.counts[one.code]))} weights",
        f"error w′ {text.MINUS} w = {number(one.value - one.weight)}",
    ]
