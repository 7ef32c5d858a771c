"""The large charts of a compressed network: weights of a layer, all layers, the loss while it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.values.records import Cost, StepRecord
from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Bars, Chart, Line, Role, Rule, Series, Text, Tick, Ticks

_FEWEST_PLACES = 8  # a chart of few layers keeps slim bars

__all__ = ["WeightBins", "histogram_chart", "layers_chart", "loss_chart"]


@dataclass(frozen=True)
class WeightBins:
    """Histogram of a layer's weights.

    Attributes:
        edges: (B+1,); counts: (B,), weights that are not zero; zeros: weights that are zero already.
        kept: (B,), where something else than a threshold decides what is kept.
    """

    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    zeros: int = 0
    kept: npt.NDArray[np.int64] | None = None


def histogram_chart(
    layer: str, bins: WeightBins, threshold: float | None, levels: npt.NDArray[np.float64] | None, words: str
) -> Chart:
    """Weights of one layer: what is removed (grey), what is kept, and the quantization levels under the axis.

    Args:
        threshold: weights of smaller magnitude are removed; None where another rule removes (then ``bins.kept`` tells).
        levels: quantized values, None in full precision; words: one line that explains.
    """
    edges, counts = bins.edges, bins.counts.astype(float)
    series: list[Series] = []
    top = float(max(counts.max(initial=1.0), 1.0)) * 1.12
    if not threshold:
        if bins.kept is not None:
            series.append(_histogram_bars(edges[:-1], edges[1:], counts, "line", "removed"))
        kept = counts if bins.kept is None else bins.kept.astype(float)
        series.append(_histogram_bars(edges[:-1], edges[1:], kept, "accent", "kept"))
    else:
        cuts = np.unique(np.concatenate([edges, np.clip([-threshold, threshold], edges[0], edges[-1])]))
        heights = counts[np.clip(np.searchsorted(edges, cuts[:-1], side="right") - 1, 0, len(counts) - 1)]
        inside = np.maximum(np.abs(cuts[:-1]), np.abs(cuts[1:])) <= threshold
        series.append(_histogram_bars(cuts[:-1][inside], cuts[1:][inside], heights[inside], "line", "removed"))
        series.append(_histogram_bars(cuts[:-1][~inside], cuts[1:][~inside], heights[~inside], "accent", "kept"))
        series += [Rule("v", -threshold, "bad"), Rule("v", threshold, "bad", text="removed below", text_anchor="start")]
    if bins.zeros:  # a spike: drawn to the top, its height in words
        width = (edges[1] - edges[0]) / 4
        series.append(_histogram_bars(np.array([-width]), np.array([width]), np.array([min(bins.zeros, top)]), "line", ""))
        series.append(Text(width, top, f"{text.count(bins.zeros)} at zero", "muted", dx=0.4, dy=1.0))
    if levels is not None:
        series.append(Ticks([float(level) for level in levels if edges[0] <= level <= edges[-1]]))
    ticks = tuple(Tick(value, f"{value:.2g}".replace("-", text.MINUS)) for value in (float(edges[0]), 0.0, float(edges[-1])))
    x = Axis((float(edges[0]), float(edges[-1])), words, ticks=ticks)
    return Chart("histogram", f"Weights of {layer}", x, Axis((0, top), "weights", hidden=True), tuple(series), words, 310, 218)


def _histogram_bars(
    left: npt.NDArray[np.float64], right: npt.NDArray[np.float64], height: npt.NDArray[np.float64], role: Role, label: str
) -> Bars:
    return Bars(
        left.tolist(),
        right.tolist(),
        [0.0] * len(left),
        height.tolist(),
        role,
        opacity=0.75 if role == "accent" else 1.0,
        label=label,
    )


def layers_chart(now: Cost, dense: Cost, selected: str, together: Mapping[str, Sequence[str]] | None = None) -> Chart:
    """Per layer: the share of weights kept (above the line), multiply-accumulates on nonzero weights (below).

    Args:
        together: layer -> the layers that lose units together with it; those of the selected one are marked like it.
    """
    together = together or {}
    names = list(now.layers)
    most = max((layer.macs for layer in dense.layers.values()), default=0) or 1
    left, right = [i + 0.14 for i in range(len(names))], [i + 0.86 for i in range(len(names))]
    kept = [layer.nonzero / layer.params if layer.params else 0.0 for layer in now.layers.values()]
    macs = [-layer.macs_nonzero / most for layer in now.layers.values()]
    marked = {selected, *together.get(selected, ())}
    roles: list[Role] = ["alt" if name in marked else "accent" for name in names]
    below: list[Role] = ["alt" if name in marked else "muted" for name in names]
    zero, titles = [0.0] * len(names), [_layer_title(now, name, together.get(name, ())) for name in names]
    series: list[Series] = [
        Bars(left, right, zero, [1.0] * len(names), "line", ids=names, titles=titles),
        Bars(left, right, zero, kept, roles=roles, opacity=0.8),
        Bars(
            left,
            right,
            [-0.08 + y for y in (-layer.macs / most for layer in dense.layers.values())],
            [-0.08] * len(names),
            "line",
        ),
        Bars(left, right, [-0.08 + y for y in macs], [-0.08] * len(names), roles=below, opacity=0.7),
    ]
    for index, name in enumerate(names):
        if name == selected or (
            index in (0, len(names) - 1) and abs(index - names.index(selected) if selected in names else 99) > 2
        ):
            anchor = "start" if index < len(names) / 3 else "end" if index > 2 * len(names) / 3 else "middle"
            at = index + (0.14 if anchor == "start" else 0.86 if anchor == "end" else 0.5)
            series.append(Text(at, -1.32, name, "alt" if name == selected else "muted", anchor, bold=name == selected))  # type: ignore[arg-type]
    x, y = Axis((0, max(len(names), _FEWEST_PLACES)), hidden=True), Axis((-1.42, 1.02), hidden=True)
    return Chart(
        "layers",
        "Per layer: weights kept (above), MACs on nonzero weights (below)",
        x,
        y,
        tuple(series),
        f"{len(names)} layers",
        700,
        132,
    )


def _layer_title(now: Cost, name: str, together: Sequence[str]) -> str:
    layer = now.layers[name]
    coupled = f"; loses the same units as {', '.join(together[:4])}{' ...' if len(together) > 4 else ''}" if together else ""
    kept = f"{text.count(layer.nonzero)} of {text.count(layer.params)} weights kept"
    size = f"{' '.join(text.size(layer.bytes_encoded))} ({layer.encoding})"
    return f"{name}: {kept}, {size}, {text.count(layer.macs_nonzero)} MACs{coupled}"


def loss_chart(records: Sequence[StepRecord], title: str = "Loss while fine-tuning") -> Chart:
    """Loss of a training run, step by step, as far as it got."""
    losses = [record.loss for record in records]
    steps = records[-1].steps if records else 1
    top = max(losses, default=1.0) * 1.05 or 1.0
    stride = max(1, len(records) // 200)
    x = Axis((0, steps), "step", ticks=(Tick(0, "0"), Tick(steps, text.count(steps))))
    y = Axis((0, top), "loss", ticks=(Tick(0, "0"), Tick(top, f"{top:.2g}")))
    line = Line([record.step for record in records[::stride]], losses[::stride])
    return Chart("loss", title, x, y, (line,), f"loss {losses[-1]:.3g}" if losses else "", 240, 80)
