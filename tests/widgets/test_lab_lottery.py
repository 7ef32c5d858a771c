"""Winning tickets in the lab, without a browser."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from small_data import vectors
from torch import nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.sparse import LotteryResult, _lottery, recorded_lottery
from nnwidgets.engine.trace import fingerprint
from nnwidgets.figures.lottery_chart import LOTTERY_MEASURES, lottery_chart, lottery_words

SETUP = E.TrainingSetup(epochs=2, batch_size=20)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))


def shown(**arguments: Any) -> Any:
    given = {
        "train": vectors(120, 0, 12, 1.0),
        "test": vectors(100, 2, 12, 1.0),
        "training": SETUP,
        **arguments,
    }
    lab = nw.CompressionLab(E.Experiment(net().eval(), **given))
    assert lab.wait(60)
    return lab


@pytest.fixture
def lab() -> Iterator[Any]:
    made = shown()
    yield made
    made.close()


def test_the_recorded_one_is_there_at_once_and_says_that_it_is(lab: Any) -> None:
    """With the paired differences that the engine gives, and where nothing can be told this is said."""
    view, chart = lab.lottery_view, lab._shown["charts"]["lottery"]
    assert view["drawn"] and view["recorded"].startswith("LeNet-300-100 on the bundled digits, recorded on ")
    head, *lines = view["words"]
    assert head.startswith("21.1 % of the weights left") and "10 paired seeds" in head
    found = recorded_lottery().differences("ticket", "reinit", "stop_step").to_dict("records")
    row = next(each for each in found if abs(each["remaining"] - 0.21) < 0.01)
    assert f"early stop {round(-row['mean'])} steps earlier ({-row['high']:.0f} to {-row['low']:.0f})" in lines[0]
    assert lines[-1].startswith("the dense network") and lines[-1].endswith("no difference can be told")
    labels = [series.get("label") for series in chart["series"] if series["type"] == "points"]
    assert labels == ["ticket: early weights again", "same places, new random weights", "early weights, places reshuffled"]


@pytest.mark.parametrize("of", LOTTERY_MEASURES)
def test_the_chart_shows_means_and_extremes_of_the_seeds(of: str) -> None:
    """By hand from the runs; the dense network as a line across."""
    result = recorded_lottery()
    chart = lottery_chart(result.runs, of, "x")
    marks = [series for series in chart.series if series.type == "points"]
    strokes = [series for series in chart.series if series.type == "interval"]
    for arm, points, spread in zip(("ticket", "reinit", "reshuffled"), marks, strokes, strict=True):
        own = [getattr(run, of) for run in result.runs if run.arm == arm and run.round == 7]
        i = [round(x) for x in points.x].index(7)
        assert points.y[i] == pytest.approx(sum(own) / 10) and (spread.low[i], spread.high[i]) == (min(own), max(own))
    (rule,) = [series for series in chart.series if series.type == "rule"]
    assert rule.at == pytest.approx(sum(getattr(run, of) for run in result.runs if run.arm == "dense") / 10)
    low, high = chart.y.domain
    assert all(low <= tick.at <= high for tick in chart.y.ticks) and 2 <= len(chart.y.ticks) <= 8


def test_one_seed_cannot_tell() -> None:
    """No interval is made up."""
    result = recorded_lottery()
    one = LotteryResult(tuple(run for run in result.runs if run.seed == 0), result.settings)
    assert math.isinf(one.paired("ticket", "reinit", "stop_step")[0][3])
    words = lottery_words(one)
    assert "one seed:" in words[0] and all(line.endswith("one seed cannot tell") for line in words[1:])


def rounds_run(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Seed and number of each round that is begun from here on."""
    begun: list[tuple[int, int]] = []
    own = _lottery.round_steps

    def noted(plan: Any, seed: int, number: int, masks: Any) -> Any:
        begun.append((seed, number))
        return own(plan, seed, number, masks)

    monkeypatch.setattr(_lottery, "round_steps", noted)
    return begun


def test_one_of_this_network_is_what_the_engine_gives_and_changes_nothing(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same runs, bit for bit; a lab that goes on runs nothing twice."""
    exp = lab.experiment
    before, state = fingerprint(exp.model), exp.state
    lab.lottery_rounds, lab.lottery_seeds, lab.lottery_epochs = 1, 2, 2
    assert lab.lottery_view["plan"].startswith("8 runs of 10 steps from the start, down to about 80 %")
    lab.run_lottery()
    assert lab.wait(60) and lab.error is None
    assert lab.lottery_source == "own" and lab.lottery_view["recorded"] == ""
    assert lab.last_task == {"text": "8 runs; the network and its state are as they were", "role": "good", "name": "lottery"}
    assert (fingerprint(exp.model), exp.state, exp.position) == (before, state, 0)
    wanted = E.lottery_ticket(net, exp.train, exp.val, exp.test, SETUP, rounds=1, seeds=range(2), every_steps=1)
    assert lab._lottery._own.runs == wanted.runs
    assert lab.lottery_view["words"] == lottery_words(wanted)
    ran = rounds_run(monkeypatch)
    lab.lottery_rounds = 2
    lab.run_lottery()
    assert lab.wait(60) and len(lab._lottery._own.runs) == 14 and ran == [(0, 2), (1, 2)]
    assert [run for run in lab._lottery._own.runs if run.round < 2] == list(wanted.runs)


def test_cancelled_it_keeps_the_rounds_that_are_done(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next run goes on from there."""
    lab.lottery_rounds, lab.lottery_seeds, lab.lottery_epochs = 15, 10, 2
    lab.run_lottery()
    deadline = time.monotonic() + 30
    while len(lab._lottery._runs) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    lab.cancel()
    assert lab.wait(60)
    assert lab.last_task["text"].startswith("cancelled: rounds that were done are kept")
    (kept,) = lab._lottery._kept.values()
    done = set(kept)
    assert (0, 0) in done and len(done) < 160
    lab.lottery_rounds, lab.lottery_seeds = 1, 1
    ran = rounds_run(monkeypatch)
    lab.run_lottery()
    assert lab.wait(60) and len(lab._lottery._own.runs) == 4 and ran == [place for place in ((0, 0), (0, 1)) if place not in done]


def test_what_cannot_be_run_is_said_before() -> None:
    """No S_test; a loss of one's own; a step beyond the last; a network that cannot be made anew."""
    for given, words in (({"test": None}, "reported on S_test"), ({"loss": lambda y, t: y.sum()}, "a loss or a training")):
        lab = shown(**given)
        assert words in lab.lottery_view["refused"] and lab.lottery_view["plan"] == ""
        lab.run_lottery()
        assert lab.wait(60) and words in lab.error["message"]
        lab.close()
    lab = shown()
    lab.lottery_rewind = 10
    assert "below 10" in lab.lottery_view["refused"]
    lab.close()

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(3, 12))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.w.T

    lab = nw.CompressionLab(E.Experiment(Own().eval(), train=vectors(120, 0, 12, 1.0), test=vectors(100, 2, 12, 1.0)))
    assert lab.wait(60)
    lab.run_lottery()
    assert lab.wait(60) and "reset_parameters" in lab.error["message"] and "build=" in lab.error["message"]
    lab.close()
