"""The lottery that comes with the package: whole, small, labelled, and what is said about it holds."""

from __future__ import annotations

from importlib import resources

import pytest

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.sparse import LotteryResult, recorded_lottery
from nnwidgets.engine.sparse import recorded as module


@pytest.fixture(scope="module")
def found() -> LotteryResult:
    return recorded_lottery()


def test_it_is_small_and_says_where_it_is_from(found: LotteryResult) -> None:
    file = resources.files("nnwidgets") / "assets" / "lottery_lenet300.json"
    assert len(file.read_bytes()) < 300_000
    assert found.recorded.startswith("recorded on 20") and "torch" in found.recorded and "cores" in found.recorded
    assert "/" not in found.recorded


def test_all_runs_are_there(found: LotteryResult) -> None:
    """Ten seeds, fifteen rounds; control arms in every second round; at round 3, 7, 9 and 15 the paper's shares."""
    frame = found.to_frame()
    assert frame["seed"].nunique() == 10 and len(frame) == 10 * (1 + 15 + 8 * 2)
    assert set(frame[frame["arm"] == "reinit"]["round"]) == {1, 3, 5, 7, 9, 11, 13, 15}
    for number, wanted in ((3, 51.282), (7, 21.072), (9, 13.517), (15, 3.583)):
        left = frame[frame["round"] == number]["remaining"].unique()
        assert len(left) == 1 and 100 * left[0] == pytest.approx(wanted, abs=1.1e-3)
    assert found.settings["n"] == {"train": 5000, "val": 1000, "test": 4000}


def test_what_was_found(found: LotteryResult) -> None:
    """At 21 %: the ticket stops earlier and errs less than new random weights on the same places."""
    for of, sign in (("stop_step", 1), ("stop_test_accuracy", -1)):
        row = found.differences("ticket", "reinit", of).set_index("round").loc[7]
        assert row["pairs"] == 10 and sign * row["mean"] < 0
        assert row["high"] < 0 if sign > 0 else row["low"] > 0


def test_a_missing_file_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere:
        @staticmethod
        def files(name: str) -> object:
            return resources.files(name) / "no_such_folder"

    monkeypatch.setattr(module, "resources", Nowhere)
    with pytest.raises(E.FileError, match="recorded lottery"):
        recorded_lottery()
