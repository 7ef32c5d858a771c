"""The printed figures of a compressed network: accuracy, size, multiply-accumulates, latency."""

from __future__ import annotations

from nnwidgets.engine.values.records import Cost, Estimate, Latency
from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Bars, Chart, Figure, Interval, Note, Points, Rule
from nnwidgets.figures.scales import accuracy_axis

__all__ = ["accuracy_figure", "latency_figure", "macs_figure", "size_figure"]

_FLAT = Axis((0.0, 1.0), hidden=True)


def accuracy_figure(now: Estimate | None, dense: Estimate | None, goal: float) -> Figure:
    """Accuracy as known so far, what the interval speaks of, and the difference to the dense network.

    Args:
        now, dense: of the current and the dense network, None before the first image was seen; goal: as an accuracy.
    """
    if now is None:
        return Figure(None, "…", notes=(Note("measuring"),))
    half = (now.high - now.low) / 2
    seen = (
        f"{text.count(now.n_seen)} of {text.count(now.n_total)} seen"
        if not now.final
        else f"all {text.count(now.n_total)} seen, exact"
    )
    notes = [Note(seen, name="n_seen", raw=now.n_seen)]
    if now.difference is not None and now.difference_low is not None and now.difference_high is not None:
        spread = (now.difference_high - now.difference_low) / 2
        words = text.signed_points(now.difference) + ("" if now.final else f" ± {text.percent(spread)}") + " to dense"
        worse = now.difference_high < 0
        notes.append(Note(words, "bad" if worse else "muted", "difference", now.difference))
    met = "met" if now.low >= goal else "missed" if now.high < goal else "cannot tell yet"
    role = {"met": "good", "missed": "bad"}.get(met, "muted")
    notes.append(Note(f"goal {text.percent(goal)} %: {met}", role, "goal", goal))  # type: ignore[arg-type]
    unit = "%" if now.final else f"% ± {text.percent(half)}"
    return Figure(now.accuracy, text.percent(now.accuracy), unit, tuple(notes), bar=_accuracy_bar(now, dense, goal))


def _accuracy_bar(now: Estimate, dense: Estimate | None, goal: float) -> Chart:
    marks = [now.low, goal] + ([dense.accuracy] if dense else [])
    axis = accuracy_axis(marks, grid=False)
    low = max(now.low, axis.domain[0])
    series: list[Rule | Interval | Points] = [Rule("v", goal, "good", text="goal", text_anchor="end")]
    if dense is not None:
        series.append(Rule("v", dense.accuracy, "muted", dash=False))
    series.append(Interval("h", [0.5], [low], [now.high], "accent", width=6, opacity=0.45))
    series.append(Points([now.accuracy], [0.5], size=5))
    ends = (axis.ticks[0], axis.ticks[-1])
    axis = Axis(axis.domain, axis.label, axis.unit, ticks=ends)
    said = f"accuracy {text.percent(now.accuracy)} %, between {text.percent(now.low)} and {text.percent(now.high)} %"
    return Chart("accuracy", "Accuracy", axis, _FLAT, tuple(series), said, 220, 46)


def size_figure(now: Cost, dense: Cost) -> Figure:
    """Encoded size, with the nominal size and the size on disk (where it was measured) beside it."""
    value, unit = text.size(now.bytes_encoded)
    nominal = " ".join(text.size(now.bytes_nominal))
    times = dense.bytes_encoded / now.bytes_encoded
    notes = [
        Note(f"{times:.1f}× smaller" if times >= 1.05 else "as dense", name="size_ratio", raw=times),
        Note(f"nominal {nominal}", name="size_nominal", raw=now.bytes_nominal),
    ]
    if now.bytes_on_disk is not None:
        notes.append(Note("on disk " + " ".join(text.size(now.bytes_on_disk)), "ink", "size_on_disk", now.bytes_on_disk))
    series = (
        Bars([0], [dense.bytes_encoded], [0.25], [0.75], "line", titles=["dense " + " ".join(text.size(dense.bytes_encoded))]),
        Bars([0], [now.bytes_encoded], [0.25], [0.75], "accent", titles=[f"encoded {value} {unit}"]),
        Interval("v", [now.bytes_nominal], [0.1], [0.9], "alt"),
    )
    axis = Axis((0, dense.bytes_encoded), hidden=True)
    chart = Chart(
        "size",
        "Size",
        axis,
        _FLAT,
        series,
        f"encoded {value} {unit} of dense {' '.join(text.size(dense.bytes_encoded))}",
        220,
        30,
    )
    action = None if now.bytes_on_disk is not None else {"label": "write a file and measure", "command": "measure_disk"}
    return Figure(now.bytes_encoded, value, unit, tuple(notes), bar=chart, action=action)


def macs_figure(now: Cost, dense: Cost, by_units: bool = False) -> Figure:
    """Multiply-accumulates on nonzero weights, with those that dense kernels execute beside them.

    Args:
        by_units: whole units are removed: a really smaller network executes what is on nonzero weights, and no more.
    """
    units = ("", "k", "M", "G")
    value, unit = text.scaled(now.macs_nonzero, units)
    executed = " ".join(text.scaled(now.macs, units))
    notes = (
        Note("executed once really smaller" if by_units else "on nonzero weights"),
        Note(f"executed by dense kernels {executed}", name="macs", raw=now.macs),
        Note(f"weights at zero {text.percent(now.sparsity)} %", name="sparsity", raw=now.sparsity),
    )
    series = (
        Bars([0], [dense.macs], [0.25], [0.75], "line", titles=[f"executed {executed}"]),
        Bars([0], [now.macs_nonzero], [0.25], [0.75], "accent", titles=[f"nonzero {value} {unit}"]),
    )
    chart = Chart(
        "macs", "MACs", Axis((0, max(dense.macs, 1)), hidden=True), _FLAT, series, f"{value} {unit} of {executed}", 220, 30
    )
    return Figure(now.macs_nonzero, value, f"{unit}MAC" if unit else "MAC", notes, bar=chart)


def latency_figure(
    dense: Latency | None, simulated: bool, small: Latency | None = None, fewer_macs: float | None = None
) -> Figure:
    """Measured time of the dense network, and of what is left of it where its tensors are really smaller.

    Args:
        simulated: masks or rounding are applied, which have no time of their own.
        small: of the smaller network; then ``fewer_macs`` tells how many times fewer multiply-accumulates it executes.
    """
    action = {"label": "measure again" if dense else "measure", "command": "measure_latency"}
    simulation = Note("masks and bits are simulated: no time of their own", "warn")
    if dense is None:
        told = simulation if simulated else Note("fp32, this machine")
        return Figure(None, "–", notes=(Note("before and after, on request"), told), action=action)
    now = dense if small is None else small
    which = "dense" if small is None else "smaller"
    threads = f"{now.threads} thread" + ("" if now.threads == 1 else "s")
    notes = [
        Note(f"{which} network, batch {now.batch}, {threads}"),
        Note(f"{text.milliseconds(now.low_ms)} to {text.milliseconds(now.high_ms)} in {now.runs} runs"),
    ]
    bars: list[Bars | Interval] = [Bars([0], [now.median_ms], [0.25], [0.75], "accent")]
    if small is None:
        notes.append(simulation if simulated else Note("fp32, this machine"))
    else:
        faster = dense.median_ms / small.median_ms
        words = f"{faster:.1f}× faster than" if faster >= 1.05 else "as fast as"
        words = f"{1 / faster:.1f}× slower here than" if faster < 0.95 else words
        macs = "" if fewer_macs is None else f", with {fewer_macs:.1f}× fewer MACs"
        notes.insert(0, Note(f"{words} dense ({text.milliseconds(dense.median_ms)} ms){macs}", "ink", "speedup", faster))
        bars.insert(0, Bars([0], [dense.median_ms], [0.25], [0.75], "line", titles=["dense"]))
    top = max(now.high_ms, dense.median_ms) * 1.25
    series = (*bars, Interval("h", [0.5], [now.low_ms], [now.high_ms], "ink"))
    said = f"median {text.milliseconds(now.median_ms)} ms"
    chart = Chart("latency", "Latency", Axis((0, top), hidden=True), _FLAT, series, said, 220, 30)
    return Figure(now.median_ms, text.milliseconds(now.median_ms), "ms", tuple(notes), bar=chart, action=action)
