"""Chart records and printed numbers: what is drawn is what was measured."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from nnwidgets.engine.values.records import Cost, Estimate, Latency, LayerCost, StepRecord
from nnwidgets.figures import compression as printed
from nnwidgets.figures import compression_charts as charts
from nnwidgets.figures import text
from nnwidgets.figures._matplotlib import page
from nnwidgets.figures.records import Bars, Chart, Points, Rule, Text, to_wire
from nnwidgets.figures.scales import accuracy_axis, round_marks, size_axis
from nnwidgets.figures.sensitivity_chart import sensitivity_chart


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (text.percent(0.968), "96.8"),
        (text.percent(0.99999), "99.9"),
        (text.percent(1.0), "100.0"),
        (text.share(0.968), "96.8"),
        (text.share(1e-4), "<0.1"),
        (text.share(1e-30), "<0.1"),
        (text.share(0.0), "0.0"),
        (text.share(0.0006), "0.1"),
        (text.share(0.9999), ">99.9"),
        (text.share(1.0), "100.0"),
        (text.share(0.004, 0), "<1"),
        (text.signed_points(-0.009), "\N{MINUS SIGN}0.9"),
        (text.signed_points(0.003), "+0.3"),
        (text.signed_points(0.00001), "0.0"),
        (text.size(999), ("999", "B")),
        (text.size(61_234), ("61.2", "kB")),
        (text.size(999_700), ("1.00", "MB")),
        (text.size(266_200_000), ("266", "MB")),
        (text.milliseconds(0.01234), "0.012"),
        (text.milliseconds(41.23), "41.2"),
        (text.duration(0.2), "1 s"),
        (text.duration(89.2), "90 s"),
        (text.duration(125), "3 min"),
        (text.duration(7200), "2.0 h"),
        (text.count(4000), "4,000"),
    ],
)
def test_numbers_are_printed_with_digits_that_mean_something(made: object, expected: object) -> None:
    assert made == expected


@pytest.mark.parametrize("lowest", [0.05, 0.3, 0.6, 0.86, 0.93, 0.97, 0.995, 1.0])
def test_an_accuracy_axis_holds_its_values_and_its_ticks_are_what_they_say(lowest: float) -> None:
    axis = accuracy_axis([lowest, 0.999])
    assert axis.domain[0] <= lowest <= axis.domain[1] and axis.ticks[-1].text in ("100", "100.0")
    assert all(math.isclose(float(tick.text), 100 * tick.at, abs_tol=1e-9) for tick in axis.ticks)


@pytest.mark.parametrize(
    ("ends", "marks"),
    [
        ((0.0, 3.4), [0, 0.5, 1, 1.5, 2, 2.5, 3]),
        ((-2.1, 2.0), [-2, -1, 0, 1, 2]),
        ((0.0, 1.0), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ((-0.004, 0.013), [0, 0.005, 0.01]),
        ((120.0, 980.0), [200, 400, 600, 800]),
        ((1.5, 1.5), [1.5]),
    ],
)
def test_marks_of_an_axis_are_round(ends: tuple[float, float], marks: list[float]) -> None:
    assert round_marks(*ends) == pytest.approx(marks)


def test_an_accuracy_axis_holds_still_while_values_move_a_little() -> None:
    assert len({accuracy_axis([value / 1000]).domain for value in range(925, 950)}) == 1


@pytest.mark.parametrize("smallest", [1e6, 4e5, 3e4, 900])
def test_a_size_axis_holds_its_sizes(smallest: float) -> None:
    axis = size_axis([smallest, 1e6], 1e6)
    assert axis.scale == "log" and 0 < axis.domain[0] <= smallest <= axis.domain[1]
    assert 3 <= len(axis.ticks) <= 7


def cost(nonzero: int = 400, disk: int | None = None) -> Cost:
    layers = {"a": LayerCost("a", "Linear", (10, 100), 1000, nonzero, 1000, nonzero, 32, nonzero * 4, nonzero * 5, "csr")}
    return Cost(1010, nonzero + 10, 1000, nonzero, nonzero * 4 + 40, nonzero * 5 + 200, disk, layers)


def estimate(right: float, low: float, high: float, seen: int = 100, difference: float | None = None) -> Estimate:
    spread = None if difference is None else 0.02
    if difference is None or spread is None:
        return Estimate(right, low, high, seen, 1000)
    return Estimate(right, low, high, seen, 1000, difference, difference - spread, difference + spread)


@pytest.mark.parametrize(("low", "high", "words"), [(0.96, 0.99, "met"), (0.90, 0.93, "missed"), (0.93, 0.97, "cannot tell yet")])
def test_the_goal_is_met_missed_or_cannot_be_told_yet(low: float, high: float, words: str) -> None:
    figure = printed.accuracy_figure(estimate((low + high) / 2, low, high), None, 0.95)
    assert any(note.text == f"goal 95.0 %: {words}" for note in figure.notes)
    assert figure.unit.startswith("% ±")


def test_an_exact_accuracy_has_no_interval_and_a_difference_is_signed() -> None:
    figure = printed.accuracy_figure(Estimate(0.9, 0.9, 0.9, 1000, 1000, -0.05, -0.05, -0.05), estimate(0.95, 0.95, 0.95), 0.8)
    assert (figure.value, figure.unit) == ("90.0", "%")
    assert any(note.text == "\N{MINUS SIGN}5.0 to dense" and note.role == "bad" for note in figure.notes)
    assert printed.accuracy_figure(None, None, 0.9).raw is None


def test_sizes_and_multiplications_carry_their_raw_numbers() -> None:
    figure = printed.size_figure(cost(), cost(1000))
    raws = {note.name: note.raw for note in figure.notes}
    assert figure.raw == 2200 and raws["size_nominal"] == 1640 and raws["size_ratio"] == pytest.approx(5200 / 2200)
    assert figure.action is not None and "size_on_disk" not in raws
    measured = printed.size_figure(cost(disk=2210), cost(1000))
    assert measured.action is None and {note.name: note.raw for note in measured.notes}["size_on_disk"] == 2210
    macs = printed.macs_figure(cost(), cost(1000))
    assert macs.raw == 400 and {note.name: note.raw for note in macs.notes}["macs"] == 1000


def test_latency_says_that_what_is_simulated_has_no_time_of_its_own() -> None:
    assert printed.latency_figure(None, False).raw is None
    figure = printed.latency_figure(Latency(2.0, 1.9, 2.4, 50, 1, 2), simulated=True)
    assert figure.raw == 2.0 and any("simulated" in note.text for note in figure.notes)
    assert not any("simulated" in note.text for note in printed.latency_figure(Latency(2.0, 1.9, 2.4, 50, 1, 2), False).notes)


@pytest.mark.parametrize(("small_ms", "words"), [(1.0, "2.0× faster than"), (2.0, "as fast as"), (4.0, "2.0× slower here than")])
def test_latency_of_a_smaller_network_stands_beside_the_dense_one(small_ms: float, words: str) -> None:
    """With how many times fewer it multiplies; measured, so nothing is called simulated."""
    dense, small = Latency(2.0, 1.9, 2.4, 50, 1, 2), Latency(small_ms, 0.9 * small_ms, 1.2 * small_ms, 50, 1, 2)
    figure = printed.latency_figure(dense, True, small, 3.1)
    assert figure.raw == small_ms and figure.notes[0].text == f"{words} dense (2.00 ms), with 3.1× fewer MACs"
    assert figure.notes[0].raw == dense.median_ms / small_ms and not any("simulated" in note.text for note in figure.notes)


def histogram(values: np.ndarray, threshold: float | None) -> Chart:  # type: ignore[type-arg]
    edges = np.linspace(-1, 1, 11)
    bins = charts.WeightBins(edges, np.histogram(values[values != 0], edges)[0], int((values == 0).sum()))
    return charts.histogram_chart("a", bins, threshold, np.array([-0.5, 0.0, 0.5]), "words")


def test_a_histogram_is_split_at_the_threshold_and_loses_no_area() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 1000)
    chart = histogram(values, 0.33)
    bars = [series for series in chart.series if isinstance(series, Bars)]
    removed, kept = bars[0], bars[1]
    assert max(removed.x1) == 0.33 and min(removed.x0) == -0.33
    assert all(a >= 0.33 - 1e-12 or b <= -0.33 + 1e-12 for a, b in zip(kept.x0, kept.x1, strict=True))
    area = sum((b - a) * h for bar in bars for a, b, h in zip(bar.x0, bar.x1, bar.y1, strict=True))
    assert area == pytest.approx(1000 * 0.2)
    assert [series.at for series in chart.series if isinstance(series, Rule)] == [-0.33, 0.33]


def test_weights_that_are_zero_already_are_a_spike_of_their_own_not_kept_weights() -> None:
    values = np.concatenate([np.zeros(5000), np.random.default_rng(0).uniform(-1, 1, 1000)])
    chart = histogram(values, 0.0)
    kept = next(series for series in chart.series if isinstance(series, Bars))
    assert sum(kept.y1) == 1000
    assert any(getattr(series, "text", "") == "5,000 at zero" for series in chart.series)


def test_layers_show_what_is_kept_above_and_multiplications_below() -> None:
    chart = charts.layers_chart(cost(), cost(1000), "a")
    full, kept, *_ = (series for series in chart.series if isinstance(series, Bars))
    assert list(full.ids or []) == ["a"] and list(kept.y1) == [0.4]
    assert "400 of 1,000" in (full.titles or [""])[0]


def test_a_loss_curve_goes_as_far_as_the_run() -> None:
    records = [StepRecord(i, 10, 1, 1, 1 / i, 0.1, 0.1 * i, 0.0) for i in range(1, 5)]
    chart = charts.loss_chart(records)
    assert chart.x.domain == (0, 10) and list(chart.series[0].x) == [1, 2, 3, 4]  # type: ignore[union-attr]


def test_records_become_plain_data() -> None:
    wire = to_wire(printed.size_figure(cost(), cost(1000)))
    assert wire["bar"]["series"][0]["type"] == "bars" and wire["bar"]["x"]["domain"] == [0, 5200]
    assert "roles" not in wire["bar"]["series"][0], "what is not set is not sent"


def scanned(layers: int = 3) -> pd.DataFrame:
    rows = [
        {"layer": f"l{i}", "amount": a, "accuracy": 0.9 - d, "drop": d}
        for i in range(layers)
        for a, d in ((0.5, 0.0), (0.9, 0.1 * i))
    ]
    table = pd.DataFrame(rows)
    table.attrs.update(n=400, dense=0.9)
    return table


def test_the_sensitivity_chart_has_a_cell_with_its_number_for_each_layer_and_amount_and_marks_where_layers_stand() -> None:
    chart = sensitivity_chart(scanned(), {"l0": 0.0, "l1": 0.7, "l2": 0.95}, "val")
    cells, marks, *numbers = chart.series
    assert isinstance(cells, Bars) and isinstance(marks, Points) and isinstance(cells.opacity, list)
    assert [number.text for number in numbers if isinstance(number, Text)] == ["0.0", "0.0", "0.0", "−10.0", "0.0", "−20.0"]
    assert cells.opacity[0] < cells.opacity[3] < cells.opacity[5] <= 1, "what loses more is stronger"
    assert cells.titles is not None and "l2, 90 % removed: accuracy 70.0 % (−20.0 points)" in cells.titles
    assert marks.x == pytest.approx([1.0, 1.75]) and marks.titles == ["l1 now: 70.0 % at zero", "l2 now: 95.0 % at zero"]
    assert [tick.text for tick in chart.x.ticks] == ["50", "90"] and [tick.text for tick in chart.y.ticks] == ["l0", "l1", "l2"]
    assert "l2 at 90 %" in chart.description and "400 images of S_val" in chart.description
    assert "other weights" in sensitivity_chart(scanned(), {}, "val", other_weights=True).title
    assert not any(isinstance(series, Points) for series in sensitivity_chart(scanned(), {}, "val").series)


def test_matplotlib_draws_the_cells_of_the_sensitivity_chart_as_strong_as_the_screen() -> None:
    chart = sensitivity_chart(scanned(), {"l1": 0.7}, "val")
    sheet = page("Page", {}, [chart, chart, chart, chart])
    ax = sheet.axes[-1]
    cells = chart.series[0]
    assert isinstance(cells, Bars) and isinstance(cells.opacity, list)
    assert [patch.get_facecolor()[3] for patch in ax.patches] == pytest.approx(cells.opacity)
    assert {text.get_text() for text in ax.texts} >= {"−10.0", "−20.0"} and len(sheet.axes) == 4
