"""How the removed share grows while a network is trained, drawn before it runs, and what each round led to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Chart, Line, Points, Rule, Series, Tick

__all__ = ["Round", "schedule_chart"]


@dataclass(frozen=True)
class Round:
    """A round that is done.

    Attributes:
        at: epochs at its end. before, after: accuracy on S_val before and after its training, None where it was not measured.
    """

    at: float
    before: float | None
    after: float | None


def schedule_chart(
    curve: Sequence[tuple[float, float]],
    rounds: Sequence[Round] = (),
    each: float = 1.0,
    now: float | None = None,
    goal: float | None = None,
) -> Chart:
    """The share removed as a staircase over the epochs; accuracy after each removal (hollow) and after each training (filled).

    Args:
        curve: (epochs, share removed from there on), ascending; the last entry is the end.
        each: epochs of a round. now: epochs trained by now, None while it does not run. goal: as an accuracy.
    """
    end = curve[-1][0]
    stairs = [(0.0, 0.0)]
    for at, share in curve:
        stairs += [(at, stairs[-1][1]), (at, share)]
    series: list[Series] = [Line([x for x, _ in stairs], [y for _, y in stairs], role="muted", width=2.0, label="removed")]
    if goal is not None and rounds:
        series.append(Rule("h", goal, "good", text="goal"))
    cut = [(done.at - each, done.before) for done in rounds if done.before is not None]
    trained = [(done.at, done.after) for done in rounds if done.after is not None]
    saw = [(at, value) for done in rounds for at, value in ((done.at - each, done.before), (done.at, done.after))]
    drawn = [(at, value) for at, value in saw if value is not None]
    if len(drawn) > 1:
        series.append(Line([at for at, _ in drawn], [value for _, value in drawn], width=1.0, opacity=0.6))
    if cut:
        titles = [f"after removing: {text.percent(value)} %" for _, value in cut]
        series.append(_points(cut, titles, "after removing", filled=False))
    if trained:
        titles = [f"after training: {text.percent(value)} %" for _, value in trained]
        series.append(_points(trained, titles, "after training", filled=True))
    if now is not None:
        series.append(Rule("v", min(now, end), "accent", dash=False))
    x = Axis((0.0, end), "epochs", ticks=(Tick(0.0, "0"), Tick(end, f"{end:g}")))
    ticks = tuple(Tick(share, f"{share:.0%}") for share in (0.0, 0.5, 1.0))
    said = f"{text.percent(curve[-1][1], 0)} % removed after {end:g} epochs"
    if trained:
        said += f"; {text.percent(trained[-1][1])} % right on S_val after round {len(rounds)}"
    return Chart(
        "schedule", "Share removed, accuracy on S_val", x, Axis((0.0, 1.05), "", ticks=ticks), tuple(series), said, 260, 120
    )


def _points(places: Sequence[tuple[float, float]], titles: list[str], label: str, filled: bool) -> Points:
    at, value = [x for x, _ in places], [y for _, y in places]
    return Points(at, value, shape="circle", filled=filled, role="accent", size=4, titles=titles, label=label)
