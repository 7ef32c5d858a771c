"""Kinds of arithmetic on one network: how many times as quick as float32 each is, and what else is to be said."""

from __future__ import annotations

from nnwidgets.engine.integers import Arithmetics
from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Bars, Chart, Role, Rule, Series, Text, Tick

__all__ = ["arithmetic_chart", "arithmetic_words"]

_LINE = 44  # height of a kind
_ROOM = 2.3  # the axis is so much longer than the longest bar: its figure stands behind it
_NAMES = {"float32": "float32", "bfloat16": "bfloat16", "weights_only": "weights only", "integer": "integers"}


def arithmetic_chart(found: Arithmetics, words: str) -> Chart:
    """Two bars a kind: one image at a time, and many at once, against float32 with as many.

    Args:
        words: the state that it is of.
    """
    batches = sorted(found.kinds[0].latencies)
    series: list[Series] = [Rule("v", 1.0, "muted")]  # under the figures
    top = 1.0
    height = 0.8 / len(batches)
    for place, batch in enumerate(batches):
        role: Role = "accent" if batch == batches[-1] else "alt"
        ratios = [found.ratio(kind.name, "float32", batch) or 0.0 for kind in found.kinds]
        top = max(top, *ratios)
        low = [len(found.kinds) - 0.1 - i - height * (place + 1) for i in range(len(found.kinds))]
        said = [_said(kind.latencies[batch].median_ms / batch, ratio) for kind, ratio in zip(found.kinds, ratios, strict=True)]
        titles = [f"{kind.label}, {_images(batch)}: {each}" for kind, each in zip(found.kinds, said, strict=True)]
        high = [each + 0.9 * height for each in low]
        label = _images(batch)
        series.append(Bars([0.0] * len(low), ratios, low, high, role, opacity=0.85, titles=titles, label=label))
        series += [
            Text(ratio, (a + b) / 2, each, "ink", dx=0.5) for ratio, a, b, each in zip(ratios, low, high, said, strict=True)
        ]
    x = Axis((0.0, top * _ROOM), "times as quick as float32", ticks=(Tick(0.0, "0"), Tick(1.0, "1")))
    y = Axis(
        (0.0, float(len(found.kinds))),
        ticks=tuple(Tick(len(found.kinds) - 0.5 - i, _NAMES[kind.name]) for i, kind in enumerate(found.kinds)),
    )
    threads = f"{found.threads} thread" + ("" if found.threads == 1 else "s")
    machine = f"{found.processor}, {found.instructions}, {threads}"
    description = f"{words}. Measured: {machine}; medians, batch-norm folded in all of them"
    height_px = 34 + _LINE * len(found.kinds)
    return Chart("arithmetic", "Time by kind of arithmetic", x, y, tuple(series), description, 430, height_px)


def arithmetic_words(found: Arithmetics) -> list[str]:
    """What it shows, a heading first."""
    batch = max(found.kinds[0].latencies)
    weights = next(kind for kind in found.kinds if kind.name == "weights_only")
    full = next(kind for kind in found.kinds if kind.name == "float32")
    alone = found.ratio("weights_only", "float32", batch) or 0.0
    lines = []
    ratio = found.ratio("integer", "float32", batch)
    if ratio is None:
        lines.append("Simulated: no layer is done in integers here.")
    else:
        short = found.ratio("integer", "bfloat16", batch) or 0.0
        verdict = f"{_times(ratio)} as quick as float32" if ratio >= 1 else f"slower here: {_times(ratio)} the speed of float32"
        lines.append(f"Integers by {found.engine}, {_images(batch)}: {verdict}, and {_times(short)} the speed of bfloat16.")
        one = found.ratio("integer", "float32", 1)
        if one is not None and one < 1 and batch > 1:
            lines.append(f"One image at a time they are slower here: {_times(one)} the speed of float32, for calls cost more.")
    alone_words = (
        f"Weights alone in few bits take {' '.join(text.size(weights.weight_bytes))} instead of "
        f"{' '.join(text.size(full.weight_bytes))}; making them float32 again at each pass leaves {_times(alone)} the speed."
    )
    lines.append(alone_words if found.held <= 8 else "No weights are held in few bits: none has symmetric codes and a step.")
    if found.held != found.bits and found.held <= 8:
        lines.append(f"Codes of {found.bits} bit are held in {found.held} there: fewer would straddle bytes.")
    lines.append(
        f"Integer and simulated predictions agree on {text.percent(found.agreement, 1)} % of {text.count(found.n)} images."
        if ratio is not None
        else "Predictions are those of the simulation."
    )
    reasons: dict[str, list[str]] = {}
    for name, why in found.simulated.items():
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        lines.append(f"Simulated: {', '.join(names[:4])}{more}: {why}.")
    return lines


def _images(batch: int) -> str:
    return "one image at a time" if batch == 1 else f"{text.count(batch)} images at once"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}×" if ratio >= 0.995 else f"{ratio:.2f}×"


def _said(milliseconds: float, ratio: float) -> str:
    return f"{_times(ratio)}, {milliseconds:.3g} ms an image"
