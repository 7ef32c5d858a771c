"""Accuracy by the bits of the weights: rounded as it is, rounded after training, trained with rounding."""

from __future__ import annotations

from collections.abc import Sequence

from nnwidgets.engine.sparse import BitsCell
from nnwidgets.engine.values.intervals import student
from nnwidgets.figures import text
from nnwidgets.figures.arms import Look, arm_series
from nnwidgets.figures.records import Axis, Chart, Rule, Series, Tick

__all__ = ["bits_chart", "bits_words"]

_ARMS: dict[str, Look] = {
    "static": ("static: rounded as it is", "muted", "triangle"),
    "tuned": ("trained, then rounded", "accent", "square"),
    "aware": ("trained with rounding", "alt", "circle"),
}


def bits_chart(cells: Sequence[BitsCell], widths: Sequence[int], dense: float | None, whose: str) -> Chart:
    """Means over seeds, from the least to the largest as strokes.

    Args:
        widths: bits, in the order of the axis. whose: network and sample, in words.
        dense: accuracy in full precision, None where it was not measured.
    """
    series: list[Series] = []
    if dense is not None:
        series.append(Rule("h", dense, "ink", text="as it is", text_anchor="end"))
    for shift, (arm, look) in enumerate(_ARMS.items()):
        found = [(i, values) for i, bits in enumerate(widths) if (values := _values(cells, arm, bits))]
        if found:
            titles = [f"{widths[i]} bits, {look[0]}: {text.percent(sum(own) / len(own))} %" for i, own in found]
            series += arm_series(look, [i + 0.06 * (shift - 1) for i, _ in found], [own for _, own in found], titles)
    x = Axis((-0.4, max(len(widths) - 0.6, 0.4)), "bits", ticks=tuple(Tick(i, str(bits)) for i, bits in enumerate(widths)))
    y = Axis((0.0, 1.02), "accuracy, %", ticks=tuple(Tick(at, text.percent(at, 0)) for at in (0, 0.25, 0.5, 0.75, 1)), grid=True)
    said = f"Accuracy by the bits of the weights: {whose}. Strokes: least to largest of the seeds."
    return Chart("bits", "Static rounding, and training with it", x, y, tuple(series), said)


def bits_words(cells: Sequence[BitsCell], n: int) -> list[str]:
    """What training with rounding gains over as much training before rounding, paired by seed. Claims no more.

    Args:
        n: images that accuracy is measured on.
    """
    lines = []
    for bits in sorted({cell.bits for cell in cells}, reverse=True):
        apart = [c.aware - c.tuned for c in cells if c.bits == bits and c.aware is not None and c.tuned is not None]
        reasons = [cell.reason for cell in cells if cell.bits == bits and cell.reason]
        if len(apart) > 1:
            mean, low, high = map(text.signed_points, student(apart, 0.5 / n))
            told = f"{mean} points, 95 % interval {low} to {high}, {len(apart)} paired seeds"
        elif apart:
            told = f"{text.signed_points(apart[0])} points; one seed cannot tell how much of that is chance"
        else:
            told = ""
        lines += [f"{bits} bits: {told}"] if told else []
        lines += [f"{bits} bits: {reason}" for reason in dict.fromkeys(reasons)]
    return ["Trained with rounding, against trained as long and then rounded:", *lines] if lines else []


def _values(cells: Sequence[BitsCell], arm: str, bits: int) -> list[float]:
    return [float(value) for cell in cells if cell.bits == bits and (value := getattr(cell, arm)) is not None]
