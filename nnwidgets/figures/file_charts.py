"""What a file of the weights takes in every encoding, what one image takes in energy, and from where on sparse products pay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnwidgets.engine.costs import Energy
from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Bars, Chart, Interval, Line, Points, Role, Rule, Series, Text, Tick

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENCODINGS", "crossover_chart", "crossover_words", "encodings_chart", "energy_chart"]

ENCODINGS: Mapping[str, str] = {
    "dense": "dense",
    "bitmask": "bitmask",
    "csr": "CSR",
    "relative_index": "relative index",
    "huffman": "Huffman",
    "codebook": "codebook",
    "deep_compression": "Deep Compression",
}
_LINE = 21  # height of a row
_ROOM = 1.8  # the axis is so much longer than the longest bar: its figure stands behind it
_MOST_SHAPES = 4  # lines that can be told apart, each twice
_LOOKS: tuple[tuple[Role, Any], ...] = (("accent", "circle"), ("alt", "square"), ("good", "diamond"), ("warn", "triangle"))


def encodings_chart(table: pd.DataFrame, words: str, earlier: bool = False) -> Chart:
    """A bar an encoding: bytes of all weights, and how many times less that is than dense 32-bit floats.

    Args:
        table: of `encodings`. words: the state that it is of. earlier: another state is shown by now.
    """
    total = table.iloc[-1]
    fp32 = 4 * int(total["params"])
    names = [name for name in ENCODINGS if name in table.columns]
    lossy = set(table.attrs["lossy"])
    sizes = [int(total[name]) for name in names]
    at = [len(names) - 1 - i for i in range(len(names))]
    said = [f"{' '.join(text.size(size))}, {_times(fp32 / size) if size else 'empty'}" for size in sizes]
    series: list[Series] = []
    for role, label, chosen in (
        ("accent", "the same numbers", [i for i, name in enumerate(names) if name not in lossy]),
        ("alt", "numbers shared by k-means: with loss", [i for i, name in enumerate(names) if name in lossy]),
    ):
        series.append(
            Bars(
                [0.0] * len(chosen),
                [float(sizes[i]) for i in chosen],
                [at[i] + 0.2 for i in chosen],
                [at[i] + 0.8 for i in chosen],
                role,  # type: ignore[arg-type]
                opacity=0.85,
                titles=[f"{ENCODINGS[names[i]]}: {said[i]} less than dense fp32" for i in chosen],
                label=label,
            )
        )
    top = max([*sizes, 1])
    series += [Text(float(size), y + 0.5, line, "ink", dx=0.5) for size, y, line in zip(sizes, at, said, strict=True)]
    rmse = float(total["codebook_rmse"])
    description = (
        f"{text.count(int(total['nonzero']))} of {text.count(int(total['params']))} weights are not zero; dense in fp32 they "
        f"take {' '.join(text.size(fp32))}. Sharing values moves a weight by {rmse:.2g} (root mean square)."
    )
    title = f"Bytes of the weights: {words}" + (", an earlier state" if earlier else "")
    x = Axis((0.0, top * _ROOM), hidden=True)
    y_axis = _rows([ENCODINGS[name] for name in names])
    return Chart("encodings", title, x, y_axis, tuple(series), description, 430, 14 + _LINE * len(names))


def energy_chart(dense: Energy, now: Energy) -> Chart:
    """Energy of one image as an estimate: reading the weights, and the arithmetic; as trained, now, and with ideal hardware."""
    rows = [
        ("as trained", dense.memory_uj, dense.arithmetic_uj),
        ("now, dense kernels", now.memory_uj, now.arithmetic_uj),
        ("now, zeros skipped", now.memory_encoded_uj, now.arithmetic_nonzero_uj),
    ]
    at = [len(rows) - 1 - i for i in range(len(rows))]
    said = [f"{_energy(memory + arithmetic)}, {_times(dense.total_uj / (memory + arithmetic))}" for _, memory, arithmetic in rows]
    said[0] = _energy(dense.total_uj)
    series: list[Series] = []
    for role, label, start, end in (
        ("accent", "weights read from DRAM", [0.0] * len(rows), [row[1] for row in rows]),
        ("alt", "arithmetic", [row[1] for row in rows], [row[1] + row[2] for row in rows]),
    ):
        part = [b - a for a, b in zip(start, end, strict=True)]
        titles = [f"{name}, {label}: {_energy(size)}" for (name, _, _), size in zip(rows, part, strict=True)]
        low, high = [y + 0.2 for y in at], [y + 0.8 for y in at]
        series.append(Bars(start, end, low, high, role, opacity=0.85, titles=titles, label=label))  # type: ignore[arg-type]
    ends = [row[1] + row[2] for row in rows]
    series += [Text(end, y + 0.5, line, "ink", dx=0.5) for end, y, line in zip(ends, at, said, strict=True)]
    constants = ", ".join(f"{name.replace('_', ' ')} {value:g} pJ" for name, (value, _) in now.constants.items())
    sources = "; ".join(dict.fromkeys(source for _, source in now.constants.values()))
    description = f"Estimated, not measured. {constants}. {sources}. Ideal hardware neither multiplies nor reads zeros."
    x = Axis((0.0, max([*ends, 1e-12]) * _ROOM), hidden=True)
    y_axis = _rows([row[0] for row in rows])
    title = "Energy of one image, an estimate"
    return Chart("energy", title, x, y_axis, tuple(series), description, 430, 14 + _LINE * len(rows))


def _rows(names: Sequence[str]) -> Axis:
    ticks = tuple(Tick(len(names) - 0.5 - i, name) for i, name in enumerate(names))
    return Axis((0.0, float(len(names))), ticks=ticks)


def _times(ratio: float) -> str:
    return f"{ratio:.1f}×" if ratio < 99.95 else f"{ratio:.0f}×"


def _energy(microjoules: float) -> str:
    value, unit = text.scaled(1e6 * microjoules, ("pJ", "nJ", "µJ", "mJ", "J"))
    return f"{value} {unit}"


def crossover_chart(table: pd.DataFrame, now: Mapping[str, float]) -> Chart:
    """Dense time / CSR time against the share of zeros: a line a shape and batch, above 1 CSR is faster.

    Args:
        table: of `sparse_crossover`. now: layer -> share of its weights at zero.
    """
    layers = _drawn(table)
    batches, amounts = sorted(set(table["batch"])), sorted(set(table["zeros"]))
    nudge = 0.25 * min(np.diff(amounts), default=0.02) / max(len(layers) * len(batches), 1)
    shown = table[table["layer"].isin(layers)]
    low = min(0.5, 2.0 ** math.floor(math.log2(shown["ratio"].min())))
    high = max(2.0, 2.0 ** math.ceil(math.log2(shown["ratio"].max())))
    bands: list[Series] = []
    lines: list[Series] = []
    marks: list[Series] = []
    for i, layer in enumerate(layers):
        role, shape = _LOOKS[i]
        for j, batch in enumerate(batches):
            rows = table[(table["layer"] == layer) & (table["batch"] == batch)].sort_values("zeros")
            x, y = [float(v) for v in rows["zeros"]], [float(v) for v in rows["ratio"]]
            beside = [v + (i * len(batches) + j - (len(layers) * len(batches) - 1) / 2) * nudge for v in x]
            ends = [[min(max(float(v), low), high) for v in rows[name]] for name in ("low", "high")]
            bands.append(Interval("v", beside, ends[0], ends[1], role, width=2.0, opacity=0.3))
            label = f"{layer} {_shape(rows)}, batch {batch}"
            titles = [f"{layer}, batch {batch}: {line}" for line in _lines(rows)]
            lines.append(Line(x, y, role, dash=batch == 1, width=1.5))
            lines.append(Points(beside, y, shape, batch != 1, role, 3.2, titles=titles, label=label))
            share = now.get(layer, 0.0)
            if x[0] <= share <= x[-1]:
                here = 2 ** float(np.interp(share, x, np.log2(y)))
                title = f"{layer} now: {text.percent(share)} % zeros, batch {batch}: between its neighbours {here:.2g}×"
                marks.append(Interval("v", [share], [here / 1.18], [here * 1.18], "ink", width=2.5))
                marks.append(Points([share], [here], shape, True, "ink", 4.2, titles=[title]))
    rule = Rule("h", 1.0, "good", text="as fast as dense")
    if marks:
        marks.append(Points([], [], "circle", True, "ink", 4.2, label="now"))
    ticks = [2.0**power for power in range(round(math.log2(low)), round(math.log2(high)) + 1)]
    y_axis = Axis(
        (low / 1.1, high * 1.1), "dense time / CSR time", scale="log", ticks=tuple(Tick(t, f"{t:g}×") for t in ticks), grid=True
    )
    margin = 0.03 + nudge * len(layers)
    x_axis = Axis(
        (amounts[0] - margin, amounts[-1] + margin),
        "share of zeros",
        "%",
        ticks=tuple(Tick(amount, text.percent(amount, 0)) for amount in amounts),
    )
    description = " ".join(crossover_words(table, now))
    series = (*bands, rule, *lines, *marks)
    return Chart("crossover", "Does CSR pay here? Above the line it is faster", x_axis, y_axis, series, description, 700, 230)


def crossover_words(table: pd.DataFrame, now: Mapping[str, float]) -> list[str]:
    """A sentence a shape and batch: from where on CSR is faster, and where the layer stands."""
    found = []
    for (layer, batch), rows in table.groupby(["layer", "batch"], sort=False):
        start = rows["faster_from"].iloc[0]
        faster = "never faster up to" if start is None else "faster from"
        at = rows["zeros"].max() if start is None else start
        found.append(
            f"{layer} {_shape(rows)}, batch {batch}: {faster} {text.percent(float(at), 0)} % zeros; "
            f"it has {text.percent(now.get(str(layer), 0.0))} % now."
        )
    hidden = len(dict.fromkeys(table["layer"])) - len(_drawn(table))
    if hidden > 0:
        found.append(f"The {_MOST_SHAPES} largest shapes are drawn, {hidden} more are in this list.")
    return found


def _drawn(table: pd.DataFrame) -> list[str]:
    """The layers of the largest shapes, in their order."""
    sizes = {str(row["layer"]): int(row["outputs"]) * int(row["inputs"]) for row in table.to_dict("records")}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:_MOST_SHAPES]
    return [name for name in sizes if name in largest]


def _shape(rows: pd.DataFrame) -> str:
    row = rows.iloc[0]
    more = f", {row['layers']} of them" if row["layers"] > 1 else ""
    return f"({row['outputs']} × {row['inputs']}{more})"


def _lines(rows: pd.DataFrame) -> list[str]:
    return [
        f"{text.percent(row['zeros'], 0)} % zeros, {row['ratio']:.2g}× "
        f"({row['low']:.2g} to {row['high']:.2g} in {row['pairs']} pairs); "
        f"dense {text.milliseconds(row['dense_ms'])} ms, CSR {text.milliseconds(row['csr_ms'])} ms"
        for row in rows.to_dict("records")
    ]
