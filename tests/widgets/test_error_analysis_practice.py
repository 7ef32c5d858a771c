"""Practice, a hall that votes, and recordings: nothing is told before its time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from analysing import Given, Says, Waits, analysis_of, experiment, mix, node, rest, spoilt
from front import click, from_front

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.diagnosis.flowchart import CAUSES, NODES
from nnwidgets.engine.diagnosis.practice import Exercise
from nnwidgets.widgets import error_analysis

# What speaks for one of several causes of a leaf, and against all expectation.
TESTS = (
    Says("slow", {"learning_rate_low": 6.0}, "ten times the rate does better"),
    Says("strong", {"regularization_too_strong": 6.0}, "without weight decay it learns"),
    Says("units", {"dead_units": 6.0, "labels": 4.0}, "half of the units are dead", speaks_for="dead_units"),
    Says("side", {"leakage": 1.0}, "some are in both"),
)
WORDS = [test.text for test in TESTS]
RANKED = ("title", "family", "action")  # of a leaf with several causes: those of the likeliest


@pytest.fixture
def widget() -> Iterator[Any]:
    made = analysis_of(experiment(spoilt()), tests=TESTS, remedies=(Given(),))
    yield made
    made.close()
    made.experiment.close()


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> E.Experiment:
    """What practice plants, without the training: labels are right where the code is not."""
    exp = experiment(spoilt(), title="a network on squares", goal=0.08)
    exercise = lambda seed: Exercise(seed, "labels_random", 1, frozenset({"labels"}), exp)  # noqa: E731
    monkeypatch.setattr(error_analysis, "draw_exercise", exercise)
    return exp


def shown(widget: Any) -> dict[str, Any]:
    """All records of all nodes."""
    told = {}
    for each in NODES:
        from_front(widget, selected=each.id)
        told[each.id] = json.loads(json.dumps(widget.detail))
    return {"flow": json.loads(json.dumps(widget.flow)), "details": told}


def without_costs(records: dict[str, Any]) -> dict[str, Any]:
    """Records without what tells that a test ran, and how long it took."""
    for each in records["flow"]["nodes"]:
        each.pop("cost")
    for detail in records["details"].values():
        for test in detail["tests"]:
            test.pop("cost")
    return records


# --- a hall -----------------------------------------------------------------------------------------------------------


def test_in_a_hall_nothing_that_was_found_is_told_until_it_is_revealed(widget: Any) -> None:
    """Badges, places, leads, numbers, charts, roles, titles of causes: all as before the tests ran."""
    click(widget, "hall", on=True)
    before = without_costs(shown(widget))
    click(widget, "run_all")
    rest(widget)
    after = shown(widget)
    assert not [words for words in WORDS if words in json.dumps(after)]
    assert {each["badge"] for each in after["flow"]["nodes"]} == {"hidden", ""}
    assert without_costs(after) == before
    click(widget, "reveal")
    assert not widget.hidden and {each["badge"] for each in widget.flow["nodes"]} >= {"strong", "weak"}
    from_front(widget, selected="training_hyperparameters")
    assert widget.detail["title"] == CAUSES["learning_rate_low"].title and widget.detail["lead"] == WORDS[0]


def test_a_hall_that_starts_after_the_tests_hides_them_as_well(widget: Any) -> None:
    click(widget, "run_all")
    rest(widget)
    assert node(widget, "implementation")["place"] > 0
    from_front(widget, selected="implementation")
    click(widget, "hall", on=True)
    assert widget.hidden and {each["place"] for each in widget.flow["nodes"]} == {0}
    assert (widget.detail["lead"], widget.detail["confidence"], widget.detail["chart"]) == ("", "", None)
    click(widget, "hall", on=False)
    assert widget.detail["lead"] == WORDS[2]


# --- practice ---------------------------------------------------------------------------------------------------------


def test_practice_from_the_start_to_the_score_and_back(widget: Any, planted: E.Experiment, monkeypatch: Any) -> None:
    files: list[Any] = []
    own = widget.goal
    click(widget, "practice", seed=7)
    rest(widget)
    assert widget.current is planted and widget.practice["state"] == "guessing" and widget.practice["seed"] == 7
    assert {each["value"] for each in widget.practice["options"]} == set(CAUSES)
    assert widget.goal == 0.08 and widget.experiment.goal == own and widget.about["subtitle"].startswith("a network on squares")
    click(widget, "run_test", test="units")
    rest(widget)
    assert widget.practice["used"] == 1
    click(widget, "guess", cause="labels")
    said = widget.practice
    assert (said["state"], said["guess"], said["score"], said["text"]) == ("revealed", "labels", "10 of 10", "Right.")
    assert said["truth"].startswith("labels_random")
    click(widget, "guess", cause="imbalance")
    assert widget.practice == said, "the first guess counts"
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: files.append((content, buffers)))
    click(widget, "save", what="practice")
    result = json.loads(files[0][1][0])
    wanted = {"seed": 7, "fault": "labels_random", "guess": "labels", "tests": 1, "score": 10}
    assert {name: result[name] for name in wanted} == wanted
    click(widget, "end_practice")
    rest(widget)
    assert widget.practice["state"] == "off" and widget.current is widget.experiment and widget.goal == own
    assert widget.about["subtitle"].startswith("Sequential")


def test_a_wrong_guess_and_an_unknown_one(widget: Any, planted: E.Experiment) -> None:
    click(widget, "practice", seed=1)
    rest(widget)
    click(widget, "guess", cause="lables")
    assert "expected one of" in widget.error["message"] and widget.practice["state"] == "guessing"
    click(widget, "dismiss")
    click(widget, "guess", cause="dead_units")
    assert (widget.practice["score"], widget.practice["text"]) == ("0 of 10", f"Expected: {CAUSES['labels'].title}.")


def test_practice_tells_what_tests_find_but_ranks_nothing_until_the_guess(widget: Any, planted: E.Experiment) -> None:
    click(widget, "practice", seed=3)
    before = shown(rest(widget))["details"]
    click(widget, "run_all")
    rest(widget)
    after = shown(widget)
    assert {each["place"] for each in after["flow"]["nodes"]} == {0} and node(widget, "labels")["badge"] == "strong"
    for name, detail in after["details"].items():
        assert (detail["confidence"], detail["confidence_raw"]) == ("", None)
        assert [detail[key] for key in RANKED] == [before[name][key] for key in RANKED]
    told = json.dumps({name: value for name, value in widget.get_state().items() if name not in ("_esm", "_css")}, default=str)
    assert "labels_random" not in told and widget.practice["truth"] == ""
    click(widget, "guess", cause="labels")
    assert {each["place"] for each in widget.flow["nodes"]} > {0}
    from_front(widget, selected="training_hyperparameters")
    assert widget.detail["confidence_raw"] is not None and widget.detail["title"] == CAUSES["learning_rate_low"].title


def test_tests_count_even_where_the_rest_was_cancelled(widget: Any, planted: E.Experiment) -> None:
    held = Waits("last", {"labels": 0.1})
    widget._tests = (*TESTS, held)
    click(widget, "practice", seed=3)
    rest(widget)
    click(widget, "run_all")
    assert held.begun.wait(30)
    click(widget, "cancel")
    assert widget.wait(30)
    used = sum(e.state == "done" for e in widget.diagnosis.evidence)
    click(widget, "guess", cause="labels")
    assert used >= 3 and widget._practice.result.tests == widget.practice["used"] == used


def test_practice_that_fails_to_start_can_be_tried_again(widget: Any, planted: E.Experiment, monkeypatch: Any) -> None:
    real, calls = error_analysis.draw_exercise, []

    def broken(seed: int) -> Exercise:
        calls.append(seed)
        if len(calls) == 1:
            raise RuntimeError("no luck")
        return real(seed)

    monkeypatch.setattr(error_analysis, "draw_exercise", broken)
    click(widget, "practice", seed=5)
    assert widget.wait(30)
    assert "no luck" in widget.error["message"] and widget.practice["state"] == "off" and widget.current is widget.experiment
    click(widget, "retry")
    rest(widget)
    assert calls == [5, 5] and widget.practice["state"] == "guessing"


def test_ones_own_network_that_changes_meanwhile_does_not_end_practice(widget: Any, planted: E.Experiment) -> None:
    click(widget, "practice", seed=1)
    rest(widget)
    mix(widget.experiment.model)
    widget.experiment.notice_changes()
    rest(widget)
    assert widget.current is planted and widget.practice["state"] == "guessing"
    click(widget, "end_practice")
    rest(widget)
    assert widget.e_test == pytest.approx(E.evaluate(widget.experiment.model, widget.experiment.test).error)


def test_tags_of_practice_are_not_those_of_ones_own_images(widget: Any, planted: E.Experiment) -> None:
    from_front(widget, sample="test", panel="worst")
    rest(widget)
    click(widget, "tag", id=widget.board["items"][0]["id"], tag="mine")
    rest(widget)
    click(widget, "practice", seed=1)
    rest(widget)
    assert widget.panel == "" and widget.board is None
    from_front(widget, panel="worst")
    assert rest(widget).board["notes"] == []
    click(widget, "end_practice")
    assert [each["text"] for each in rest(widget).board["notes"]] == ["mine: 1"]


def test_the_goal_of_practice_is_not_ones_own(widget: Any, planted: E.Experiment) -> None:
    own = widget.experiment.goal
    click(widget, "practice", seed=1)
    rest(widget)
    from_front(widget, goal=0.5)
    assert (planted.goal, widget.experiment.goal) == (0.5, own)
    widget.experiment.goal = 0.2
    assert widget.goal == 0.5
    click(widget, "end_practice")
    assert rest(widget).goal == 0.2


@pytest.mark.slow
def test_a_fault_that_is_really_planted_can_be_looked_for() -> None:
    widget = analysis_of()
    click(widget, "practice", seed=7)
    rest(widget)
    assert widget.practice["state"] == "guessing" and widget.e_test is not None
    widget.budget = 3
    click(widget, "run_all")
    rest(widget)
    click(widget, "guess", cause=next(iter(widget._practice.exercise.answers)))
    assert E.check_practice(widget._practice.result.to_text()).right
    widget.close()
    widget.experiment.close()


# --- recordings -------------------------------------------------------------------------------------------------------


def test_a_recording_shows_what_was_known_and_says_that_it_is_one(widget: Any) -> None:
    click(widget, "run_all")
    rest(widget)
    click(widget, "apply", remedy="given")
    rest(widget)
    text = widget.record()
    assert widget.current is not widget.experiment and widget.track[1]["current"], "recording changes nothing"
    widget._show_all()
    assert widget.track[1]["current"]
    click(widget, "adopt", id=0)
    rest(widget)
    other = analysis_of(widget.experiment, tests=TESTS, remedies=(Given(),), recorded=text)
    assert other.recorded.startswith("recorded on ") and "cores" in other.recorded
    assert other.line == widget.line and other.branch == widget.branch
    assert [each["badge"] for each in other.flow["nodes"]] == [each["badge"] for each in widget.flow["nodes"]]
    assert [(each["verdict"], each["note"]) for each in other.track][1] == ("confirmed", other.recorded)
    click(other, "adopt", id=1)
    assert "not kept" in other.error["message"]
    click(other, "dismiss")
    mix(widget.experiment.model)
    click(other, "run_test", test="side")
    rest(other)
    assert other.recorded == "" and [e.test for e in other.diagnosis.evidence] == ["side"]
    other.close()


@pytest.mark.parametrize("text", ["", "[]", '{"format": "nnwidgets.analysis.1"}', "null"])
def test_what_is_no_recording_is_refused(text: str) -> None:
    exp = experiment()
    with pytest.raises(E.InputError, match="this is no recording"):
        analysis_of(exp, recorded=text)
    exp.close()
