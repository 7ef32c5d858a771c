"""The chart of footprint and quality: methods by shape, training by colour, the front, figures of merit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.values.front import pareto_front
from nnwidgets.engine.values.records import Estimate
from nnwidgets.figures.footprint_chart import Looked, Visited, footprint_chart
from nnwidgets.figures.records import Line, Points


def visited(footprint: float, accuracy: float, method: Any = "weights", trained: Any = "", final: bool = True) -> Visited:
    return Visited(footprint, accuracy, accuracy, accuracy, final, method, trained, f"{footprint} {accuracy}")


def now(accuracy: float) -> Estimate:
    return Estimate(accuracy, accuracy - 0.01, accuracy + 0.01, 50, 100)


def marks(chart: Any) -> dict[str, Points]:
    return {each.label: each for each in chart.series if isinstance(each, Points) and each.label}


def test_methods_differ_in_shape_and_training_in_colour_and_filling() -> None:
    """Each has its own line in the legend; what was not measured to the end is pale; nothing leaves the axes."""
    visits = [
        visited(1e6, 0.99),
        visited(2e5, 0.9, final=False),
        visited(2e5, 0.97, trained="fine-tuned"),
        visited(1e5, 0.96, "units", "in rounds"),
        visited(3e5, 0.98, "bits"),
        visited(1e5, 0.2, "both"),
    ]
    chart = footprint_chart(visits, 2e5, now(0.97), 1e6, 0.95)
    found = marks(chart)
    assert {label: (each.shape, each.role, each.filled) for label, each in found.items()} == {
        "weights removed": ("circle", "accent", True),
        "weights removed, fine-tuned": ("circle", "alt", False),
        "units removed, in rounds": ("square", "ink", False),
        "fewer bits": ("triangle", "accent", True),
        "both": ("diamond", "accent", True),
    }
    assert found["weights removed"].opacity == [0.9, 0.35]
    assert sum(len(each.x) for each in found.values()) == len(visits)
    every = [each for each in chart.series if isinstance(each, Points)]
    assert all(chart.y.domain[0] <= y <= chart.y.domain[1] for each in every for y in each.y)
    assert all(chart.x.domain[0] <= x <= chart.x.domain[1] for each in every for x in each.x)


def test_the_front_is_a_staircase_under_which_nothing_lies() -> None:
    """Of states that were measured to the end."""
    visits = [visited(1e6, 0.99), visited(5e5, 0.99), visited(3e5, 0.9), visited(3e5, 0.95), visited(1e5, 0.999, final=False)]
    chart = footprint_chart(visits, 3e5, now(0.95), 1e6, 0.95)
    (front,) = (each for each in chart.series if isinstance(each, Line) and each.label == "best so far")
    assert list(zip(front.x, front.y, strict=True)) == [
        (3e5, 0.95),
        (5e5, 0.95),
        (5e5, 0.99),
        (chart.x.domain[1], 0.99),
    ]
    few = footprint_chart(visits[:2], 3e5, now(0.95), 1e6, 0.95)
    assert all(getattr(each, "label", "") != "best so far" for each in few.series)


@pytest.mark.parametrize(
    ("merit", "unit", "value", "said"),
    [
        ("size", "bytes", 2e5, "now 200 kB"),
        ("macs", "MAC", 2e5, "now 200 kMAC"),
        ("energy", "µJ", 12.5, "now 12.5 µJ"),
        ("latency", "ms", 1.25, "now 1.25 ms"),
    ],
)
def test_each_figure_of_merit_has_its_unit(merit: str, unit: str, value: float, said: str) -> None:
    """On the axis, at its ticks and in the words."""
    chart = footprint_chart([visited(value, 0.9)], value, now(0.9), 8 * value, 0.95, merit)
    assert chart.x.unit == unit and chart.description.endswith(said)
    assert all(any(letter.isalpha() for letter in tick.text) for tick in chart.x.ticks)


def test_what_was_not_measured_is_not_drawn_and_said() -> None:
    """A latency that nobody asked for."""
    chart = footprint_chart([], None, now(0.9), None, 0.95, "latency")
    assert not [each for each in chart.series if isinstance(each, Points)]
    assert "measure the latency first" in chart.description


def test_what_a_search_looked_at_is_a_path_of_its_own() -> None:
    """Labelled with the sample it was measured on."""
    chart = footprint_chart(
        [visited(1e6, 0.99)], 1e6, now(0.99), 1e6, 0.95, searched=[Looked(3e5, 0.9, "a"), Looked(5e5, 0.97, "b")]
    )
    path = marks(chart)["looked at by the search, on S_val"]
    assert list(path.x) == [3e5, 5e5] and path.titles == ["a", "b"]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=24))
def test_the_front_is_what_no_other_point_beats(points: list[tuple[int, int]]) -> None:
    """Against the definition, pair by pair, ties included."""

    def beaten(one: tuple[int, int]) -> bool:
        return any(x <= one[0] and y >= one[1] and (x, y) != one for x, y in points)

    wanted = sorted((i for i, point in enumerate(points) if not beaten(point)), key=lambda i: (points[i][0], i))
    assert pareto_front(np.array(points, float).reshape(-1, 2)).tolist() == wanted


@pytest.mark.parametrize("points", [[[1.0]], [[1.0, float("nan")]], "what", [[1, 2, 3]]])
def test_points_that_are_none_are_refused(points: Any) -> None:
    """In words."""
    with pytest.raises(E.InputError, match="points: got"):
        pareto_front(points)
