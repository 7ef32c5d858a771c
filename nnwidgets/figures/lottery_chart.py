"""Winning tickets against what they have to beat: arms by round, with the spread of the seeds, and the paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nnwidgets.engine.sparse import LotteryResult, LotteryRun
from nnwidgets.figures import text
from nnwidgets.figures.arms import Look, arm_series
from nnwidgets.figures.records import Axis, Chart, Rule, Series, Tick

__all__ = ["LOTTERY_MEASURES", "lottery_chart", "lottery_words"]

LOTTERY_MEASURES = {
    "stop_step": "Step of the early stop",
    "stop_test_accuracy": "Accuracy on S_test at the early stop",
    "end_test_accuracy": "Accuracy on S_test at the end",
}
_ARMS: dict[str, Look] = {
    "ticket": ("ticket: early weights again", "accent", "circle"),
    "reinit": ("same places, new random weights", "alt", "square"),
    "reshuffled": ("early weights, places reshuffled", "muted", "triangle"),
}
_NAMES = {"dense": "the dense network", "reinit": "new random weights", "reshuffled": "reshuffled places"}
_AT = 0.21  # share left of the paper's winning tickets, by which rounds are compared where there is one near


def lottery_chart(runs: Sequence[LotteryRun], of: str, whose: str) -> Chart:
    """Means over seeds, from the least to the largest as strokes; the dense network as a line across.

    Args:
        of: one of ``LOTTERY_MEASURES``. whose: network and data, in words.
    """
    as_share = of != "stop_step"
    values = [float(getattr(run, of)) for run in runs]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = max(0.06 * (high - low), 0.002 if as_share else 1.0)
    domain = (low - room if as_share else 0.0, min(high + room, 1.0) if as_share else high + room)
    rounds = sorted({run.round for run in runs})
    left = {number: next(run.remaining for run in runs if run.round == number) for number in rounds}
    series: list[Series] = []
    dense = [float(getattr(run, of)) for run in runs if run.arm == "dense"]
    if dense:
        series.append(Rule("h", sum(dense) / len(dense), "ink", text="dense", text_anchor="end"))
    for shift, (arm, look) in enumerate(_ARMS.items()):
        found = [(n, [float(getattr(r, of)) for r in runs if r.arm == arm and r.round == n]) for n in rounds]
        at = [n + 0.08 * (shift - 1) for n, own in found if own]
        seeds = [own for _, own in found if own]
        titles = [f"{look[0]}: {_amount(sum(own) / len(own), as_share)}, {len(own)} seeds" for own in seeds]
        series += arm_series(look, at, seeds, titles) if seeds else []
    last = max(rounds, default=1)
    every = max(1, math.ceil((last + 1) / 8))
    x = Axis(
        (-0.3, max(last, 1) + 0.3),
        "weights left, %",
        ticks=tuple(Tick(n, text.percent(left[n], 0 if left[n] > 0.1 else 1)) for n in rounds if n % every == 0),
    )
    y = Axis(domain, "step" if not as_share else "", ticks=_ticks(domain, as_share), grid=True)
    said = f"{LOTTERY_MEASURES[of]} by the share of weights left: {whose}. Strokes: least to largest of the seeds."
    return Chart("lottery", LOTTERY_MEASURES[of], x, y, tuple(series), said)


def _amount(value: float, as_share: bool) -> str:
    return f"{text.percent(value)} %" if as_share else f"step {text.count(round(value))}"


def _ticks(domain: tuple[float, float], as_share: bool) -> tuple[Tick, ...]:
    low, high = domain
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-6)))
    while (high - low) / step > 6:
        step *= 2
    while (high - low) / step < 2.5:
        step /= 2
    digits = max(0, -math.floor(math.log10(step * 100)))
    first = math.ceil(low / step)
    at = [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]
    return tuple(Tick(value, f"{100 * value:.{digits}f}%" if as_share else text.count(round(value))) for value in at)


def lottery_words(result: LotteryResult) -> list[str]:
    """Paired differences of the ticket with their 95 % intervals, in the round with about 21 % of the weights. Claims no more."""
    rows = result.paired("ticket", "dense", "end_test_accuracy")
    number, remaining, *_, pairs = min(rows, key=lambda row: (abs(math.log(row[1] / _AT)), row[0]))
    lines = []
    for other, of in (
        ("reinit", "stop_step"),
        ("reinit", "stop_test_accuracy"),
        ("reshuffled", "stop_test_accuracy"),
        ("dense", "stop_step"),
        ("dense", "end_test_accuracy"),
    ):
        if any(run.arm == other and run.round in (0, number) for run in result.runs):
            found = next((row for row in result.paired("ticket", other, of) if row[0] == number), None)
            if found is not None:
                lines.append(f"{_NAMES[other]}: {_difference(of, *found[2:5])}")
    seeds = "one seed" if pairs == 1 else f"{pairs} paired seeds"
    return [f"{text.percent(remaining)} % of the weights left, ticket against, {seeds}:", *lines]


def _difference(of: str, mean: float, low: float, high: float) -> str:
    if of == "stop_step":
        steps = round(abs(mean))
        amount = f"early stop {text.count(steps)} steps {'earlier' if mean < 0 else 'later'}" if steps else "the same early stop"
        ends = (-high, -low) if mean < 0 else (low, high)
        spread = "" if math.isinf(low) else f" ({' to '.join(f'{end:.0f}'.replace('-', '−') for end in ends)})"
    else:
        where = "at the early stop" if of.startswith("stop") else "at the end"
        amount = f"{text.signed_points(mean, 2)} points {where}"
        spread = "" if math.isinf(low) else f" ({text.signed_points(low, 2)} to {text.signed_points(high, 2)})"
    if math.isinf(low):
        return f"{amount}; one seed cannot tell"
    return amount + spread + ("" if low > 0 or high < 0 else ": no difference can be told")
