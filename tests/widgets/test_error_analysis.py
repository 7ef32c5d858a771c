"""The error analysis without a browser: traits and messages, records, work in the background, failures, what is left behind."""

from __future__ import annotations

import ast
import gc
import json
import math
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
import torch
import traitlets
from analysing import Given, Raises, Says, Waits, analysis_of, blobs, experiment, good, mix, node, rest, spoilt
from explorer_wire import hooks_of
from front import click, from_front
from torch import nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.diagnosis.flowchart import causes_of, states_of
from nnwidgets.widgets import _cells

FEW = (Says("first", {"labels": 3.0}), Says("second", {"more_data": 1.0}))


@pytest.fixture
def widget() -> Iterator[Any]:
    made = analysis_of(tests=FEW)
    yield made
    made.close()
    made.experiment.close()


@pytest.fixture
def sent(widget: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the widget says to the front end."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(widget, "_send", lambda msg, buffers=None: found.append({**msg, "raw": buffers}))
    return found


def closing(widget: Any) -> None:
    widget.close()
    widget.experiment.close()


def told(sent: list[dict[str, Any]]) -> dict[str, Any]:
    """The last of each trait that was told."""
    found: dict[str, Any] = {}
    for each in sent:
        if each["method"] == "update":
            found.update(each["state"])
    return found


def jobs_of(widget: Any) -> int:
    """How many jobs its slot has seen."""
    return int(widget.experiment.jobs._generations.get(widget._slot, 0))


# --- traits and messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [("goal", 7, 0.999), ("goal", -1.0, 0.001), ("budget", 10**9, 3600), ("budget", 0, 1), ("seeds", 1, 2), ("seeds", 99, 30),
     ("threshold", -0.5, 0.0), ("threshold", 3, 1.0)],
)  # fmt: skip
def test_row_1_a_value_out_of_range_is_clamped_and_sent_back(
    widget: Any, sent: list[dict[str, Any]], name: str, value: float, kept: float
) -> None:
    from_front(widget, **{name: value})
    assert getattr(widget, name) == kept and told(sent)[name] == kept


@pytest.mark.parametrize(
    ("name", "bad"),
    [("goal", math.nan), ("goal", math.inf), ("goal", "0.1"), ("selected", "nowhere"), ("panel", "board"), ("panel", None),
     ("pair", "4"), ("pair", "a,b"), ("pair", "-1,2"), ("pair", "1,2,3"), ("pair", "9" * 30 + ",1"), ("sample", "all"),
     ("order", "size"), ("budget", "30"), ("threshold", True)],
)  # fmt: skip
def test_row_2_nan_and_unknown_choices_are_refused_and_corrected(
    widget: Any, sent: list[dict[str, Any]], name: str, bad: Any
) -> None:
    before = getattr(widget, name)
    from_front(widget, **{name: bad})
    assert getattr(widget, name) == before and told(sent)[name] == before
    assert rest(widget)


def test_row_3_a_good_key_beside_a_bad_one_is_kept(widget: Any, sent: list[dict[str, Any]]) -> None:
    from_front(widget, selected="nowhere", goal=0.2, branch="goal_met")
    assert (widget.goal, widget.selected, widget.branch) == (0.2, "start", "goal_met")
    assert told(sent)["selected"] == "start"


PRIVATE = ("_esm", "_css", "_exp", "flow", "line", "branch", "e_test", "practice", "hidden", "code", "seq")


@pytest.mark.parametrize("name", PRIVATE)
def test_row_5_private_and_told_traits_are_refused(widget: Any, name: str) -> None:
    before = getattr(widget, name)
    from_front(widget, **{name: "x"})
    assert getattr(widget, name) is before


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [("run_test", {"test": "frist"}, "first"), ("run_leaf", {"leaf": "x"}, "expected one of start"),
     ("apply", {"remedy": "width"}, "there is no remedy"), ("adopt", {"id": "1"}, "the number of an attempt"),
     ("adopt", {"id": True}, "the number of an attempt"), ("adopt", {"id": 5}, "there is no attempt 5"),
     ("measure", {}, "needs no work"), ("label", {"id": "1", "verdict": "burn"}, "expected keep, drop"),
     ("label", {"id": "9999", "verdict": "keep"}, "a row of S_train"), ("tag", {"id": "-1", "tag": "x"}, "a row of S_val"),
     ("open", {"id": "1"}, "no layer explorer is linked"), ("guess", {"cause": "labels"}, "no practice is on"),
     ("save", {"what": "all"}, "expected one of track, recording"), ("figure", {"format": "gif"}, "expected one of svg"),
     ("practice", {"seed": -1}, "expected an integer of at least 0"), ("apply", {"wrong": 1}, "unexpected keyword")],
)  # fmt: skip
def test_a_command_that_cannot_be_done_says_why_and_can_be_dismissed(
    widget: Any, name: str, arguments: dict[str, Any], words: str
) -> None:
    click(widget, name, **arguments)
    assert widget.wait(60)
    assert widget.status == "error" and words in widget.error["message"]
    click(widget, "dismiss")
    assert rest(widget).track[0]["verdict"] == "start"


def test_it_starts_at_the_start_and_measures_by_itself(widget: Any) -> None:
    exp = widget.experiment
    assert (widget.goal, widget.selected, widget.panel, widget.sample, widget.status) == (0.05, "start", "", "val", "idle")
    assert widget.about["subtitle"] == "Sequential: S_train 250, S_val 50, S_test 200"
    assert widget.about["looks"] == 1 and [each["verdict"] for each in widget.track] == ["start"]
    own = [E.evaluate(exp.model, split).error for split in (exp.train, exp.test)]
    assert [widget.e_train, widget.e_test] == pytest.approx(own) == [0.0, pytest.approx(0.1)]
    assert widget.diagnosis.branch == widget.branch == "test_high"


def test_traits_can_be_linked_and_observed(widget: Any) -> None:
    slider, heard = ipywidgets.FloatSlider(0.05, min=0.001, max=0.999, step=0.001), []
    ipywidgets.link((slider, "value"), (widget, "goal"))
    widget.observe(lambda change: heard.append(change["new"]), "branch")
    slider.value = 0.3
    assert widget.goal == widget.experiment.goal == 0.3 and heard == ["goal_met"]
    from_front(widget, goal=0.02)
    assert slider.value == 0.02 and heard == ["goal_met", "test_high"]
    with pytest.raises(traitlets.TraitError):
        widget.goal = 1.5
    slider.close()


def test_what_is_told_is_json_without_nan(widget: Any) -> None:
    click(widget, "run_all")
    rest(widget)
    for name in ("confusion", "classes", "calibration", "cost"):
        widget.panel = name
        rest(widget)
        state = {key: value for key, value in widget.get_state().items() if key not in ("_esm", "_css", "layout")}
        assert json.loads(json.dumps(state, allow_nan=False))["board"]["name"] == name


def test_something_else_than_an_experiment_is_refused_in_words() -> None:
    with pytest.raises(E.InputError, match=r"got Linear, expected an Experiment, such as nw\.load_example"):
        nw.ErrorAnalysis(nn.Linear(2, 2))  # type: ignore[arg-type]


# --- records are the engine's figures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", [0.02, 0.05, 0.1, 0.12, 0.3, 0.9])
def test_line_and_flowchart_are_the_engines_and_follow_the_goal(widget: Any, goal: float) -> None:
    from_front(widget, goal=goal)
    found = E.diagnose(widget.experiment, 1, tests=())
    marks = {each["name"]: each for each in widget.line["marks"]}
    assert {name: (m["value"], m["low"], m["high"]) for name, m in marks.items()} == {
        name: (share.value, share.low, share.high) for name, share in found.errors.items()
    }
    assert (widget.branch, widget.line["goal_text"]) == (found.branch, f"goal {100 * goal:.1f} %")
    assert widget.line["domain"][1] >= max(share.high for share in found.errors.values())
    states = states_of(found.errors["train"], found.errors["test"], goal)
    assert {each["id"]: each["state"] for each in widget.flow["nodes"]} == states
    assert f"the goal {100 * goal:.1f} %" in widget.flow["sentence"]
    assert marks["test"]["tip"].startswith("20 of 200 wrong")


def test_badges_places_and_the_detail_say_what_was_found(widget: Any) -> None:
    assert (node(widget, "labels")["badge"], node(widget, "more_data")["badge"]) == ("not tested", "not tested")
    from_front(widget, selected="labels")
    assert widget.detail["lead"] == "" and widget.detail["confidence_raw"] is None
    click(widget, "run_all")
    rest(widget)
    assert (node(widget, "labels")["badge"], node(widget, "more_data")["badge"]) == ("strong", "weak")
    likeliest = next(cause for cause in widget.diagnosis.causes)
    assert node(widget, likeliest.leaf)["place"] == 1
    cause = next(each for each in widget.diagnosis.causes if each.name == "labels")
    assert widget.detail["confidence_raw"] == cause.confidence and widget.detail["lead"] == "it is so"
    test = next(each for each in widget.detail["tests"] if each["test"] == "first")
    assert (test["badge"], test["text"], test["numbers"]) == ("strong", "it is so", [{"name": "E_val", "text": "25.0 %"}])
    assert widget.last_task["text"].startswith("2 of 2 tests in ")


def test_every_node_can_be_chosen_and_has_words(widget: Any) -> None:
    click(widget, "run_all")
    rest(widget)
    for each in widget.flow["nodes"]:
        from_front(widget, selected=each["id"])
        assert widget.detail["leaf"] == each["id"] and widget.detail["text"] and widget.error is None
        names = {remedy["name"] for remedy in widget.detail["remedies"]}
        advised = {r.name for cause in causes_of(each["id"]) for r in widget._analysis.remedies_for(cause)}
        assert names == advised


# --- tests of evidence ------------------------------------------------------------------------------------------------


def test_one_test_a_leaf_and_all_are_run_by_their_buttons(widget: Any) -> None:
    click(widget, "run_test", test="second")
    assert [e.test for e in rest(widget).diagnosis.evidence] == ["second"]
    click(widget, "run_leaf", leaf="labels")
    assert {e.test for e in rest(widget).diagnosis.evidence} == {"first", "second"}
    click(widget, "run_leaf", leaf="start")
    assert rest(widget).status == "idle", "a node without tests starts nothing"


def test_row_9_a_test_of_ones_own_that_raises_says_failed_and_the_others_go_on() -> None:
    mine = Raises("mine", {"labels": 1.0})
    widget = analysis_of(tests=(mine, Says("other", {"more_data": 1.0})))
    click(widget, "run_all")
    rest(widget)
    states = {e.test: e.state for e in widget.diagnosis.evidence}
    assert states == {"mine": "failed", "other": "done"} and node(widget, "labels")["badge"] == "failed"
    from_front(widget, selected="labels")
    assert "mine broke" in widget.detail["tests"][0]["text"] and widget.detail["tests"][0]["can_run"]
    mine.broken = False
    click(widget, "run_test", test="mine")
    assert rest(widget).detail["tests"][0]["badge"] == "weak"
    closing(widget)


def test_row_13_a_double_click_starts_one_job() -> None:
    held = Waits()
    widget = analysis_of(tests=(held,))
    before = jobs_of(widget)
    for name in ("run_all", "run_all", "run_test", "apply"):
        click(widget, name, **{"run_test": {"test": "waits"}, "apply": {"remedy": "decay"}}.get(name, {}))
    assert held.begun.wait(30) and jobs_of(widget) == before + 1 and widget.task["name"] == "run_all"
    held.go.set()
    rest(widget)
    assert jobs_of(widget) == before + 1 and len(widget.track) == 1
    closing(widget)


def test_a_click_while_it_measures_is_not_lost() -> None:
    """The measurement at birth gives way, and what is left of it is measured first."""
    widget = nw.ErrorAnalysis(experiment(), tests=FEW)
    click(widget, "run_all")
    rest(widget)
    assert len(widget.diagnosis.evidence) == 2 and widget.e_test is not None
    closing(widget)


def test_row_11_cancel_keeps_what_was_found_and_everything_stays_usable() -> None:
    held = Waits()
    widget = analysis_of(tests=(Says("first", {"labels": 3.0}), held))
    click(widget, "run_all")
    assert held.begun.wait(30)
    assert node(widget, "labels")["busy"] or widget.task["text"] == "Question waits"
    click(widget, "cancel")
    assert widget.last_task == {"text": "Testing: cancelled; nothing was changed", "role": "muted"}
    assert (widget.task, widget.status) == (None, "idle"), "said at once"
    rest(widget)
    from_front(widget, goal=0.06)
    assert not any(each["busy"] for each in widget.flow["nodes"]) and widget.status == "idle"
    assert [e.test for e in widget.diagnosis.evidence] == ["first"]
    held.go.set()
    click(widget, "run_all")
    assert {e.test for e in rest(widget).diagnosis.evidence} == {"first", "waits"}
    closing(widget)


def test_row_11_cancel_between_the_click_and_the_first_news_leaves_no_task_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    widget = analysis_of(tests=FEW)
    looking, go, real = threading.Event(), threading.Event(), widget.experiment.notice_changes

    def slow() -> None:
        looking.set()
        assert go.wait(30)
        real()

    monkeypatch.setattr(widget.experiment, "notice_changes", slow)
    click(widget, "run_all")
    assert looking.wait(30)
    click(widget, "cancel")
    go.set()
    assert widget.wait(30)
    assert (widget.task, widget.status) == (None, "idle")
    closing(widget)


# --- attempts ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def ill() -> Iterator[tuple[Any, Given]]:
    """A network that takes each class for the next, and an action that mends it at once."""
    remedy = Given()
    made = analysis_of(experiment(spoilt()), tests=FEW, remedies=(remedy,))
    yield made, remedy
    remedy.go.set()
    closing(made)


def test_an_action_is_applied_judged_shown_and_taken_back(ill: tuple[Any, Given]) -> None:
    widget, _ = ill
    before = E.fingerprint(widget.experiment.model)
    assert widget.branch == "train_high" and widget.e_test > 0.8
    click(widget, "apply", remedy="given")
    rest(widget)
    assert [each["verdict"] for each in widget.track] == ["start", "confirmed"]
    assert [each["current"] for each in widget.track] == [False, True]
    assert widget.e_test == pytest.approx(E.evaluate(good(), widget.experiment.test).error) and widget.branch == "test_high"
    trial = widget._analysis.trials[-1]
    assert widget.track[1]["test"] == f"{100 * trial.errors['test'].value:.1f} %" and widget.about["looks"] == 2
    assert E.fingerprint(widget.experiment.model) == before and widget.current is not widget.experiment
    from_front(widget, selected="labels", goal=0.2)
    assert widget.detail["attempt"]["id"] == 1 and widget.branch == "goal_met"
    assert widget.current.goal == widget.experiment.goal == 0.2
    click(widget, "adopt", id=0)
    rest(widget)
    assert widget.current is widget.experiment and widget.branch == "train_high"
    click(widget, "adopt", id=1)
    assert rest(widget).branch == "goal_met"


@pytest.mark.slow
def test_an_action_of_ours_is_tried_on_paired_seeds() -> None:
    widget = analysis_of()
    widget.seeds = 2
    click(widget, "apply", remedy="width_x2")
    rest(widget)
    trial = widget._analysis.trials[-1]
    assert trial.difference.pairs == 2 and widget.track[1]["verdict"] == trial.verdict
    assert "2 paired seeds" in widget.track[1]["verdict_text"]
    closing(widget)


def test_row_11_an_action_that_is_cancelled_is_not_half_applied(ill: tuple[Any, Given]) -> None:
    widget, remedy = ill
    remedy.go.clear()
    click(widget, "apply", remedy="given")
    assert remedy.begun.wait(30)
    click(widget, "adopt", id=0)
    assert "work is going on" in widget.error["message"]
    click(widget, "dismiss")
    click(widget, "cancel")
    assert widget.last_task["text"] == "Take the good one: cancelled; nothing was changed" and widget.status == "idle"
    rest(widget)
    assert len(widget.track) == 1 and widget.current is widget.experiment and widget.branch == "train_high"
    remedy.go.set()
    click(widget, "apply", remedy="given")
    assert [each["verdict"] for each in rest(widget).track] == ["start", "confirmed"]


def test_row_9_an_action_that_raises_changes_nothing_and_retry_works(ill: tuple[Any, Given]) -> None:
    widget, remedy = ill
    remedy.broken = True
    click(widget, "apply", remedy="given")
    assert widget.wait(60)
    assert widget.status == "error" and "mine broke" in widget.error["message"] and widget.error["retry"]
    assert len(widget.track) == 1 and widget.task is None and widget.current is widget.experiment
    remedy.broken = False
    click(widget, "retry")
    assert [each["verdict"] for each in rest(widget).track] == ["start", "confirmed"]


# --- other code beside it ---------------------------------------------------------------------------------------------


def test_row_8_an_observer_that_raises_is_shown_and_the_others_run(widget: Any) -> None:
    heard: list[float] = []

    def bad(change: Any) -> None:
        raise RuntimeError("observer broke")

    widget.observe(bad, "goal")
    widget.observe(lambda change: heard.append(change["new"]), "goal")
    from_front(widget, goal=0.2)
    assert heard == [0.2] and widget.branch == "goal_met" and "observer broke" in widget.error["message"]
    widget.unobserve(bad, "goal")
    click(widget, "dismiss")
    rest(widget)


def test_a_network_that_was_changed_from_outside_is_measured_anew(widget: Any) -> None:
    click(widget, "run_all")
    rest(widget)
    mix(widget.experiment.model)
    click(widget, "run_test", test="second")
    rest(widget)
    assert widget.e_test == E.evaluate(widget.experiment.model, widget.experiment.test).error > 0.8
    assert [e.test for e in widget.diagnosis.evidence] == ["second"], "what was found before holds no longer"
    assert any("changed by other code" in each["text"] for each in widget.notices)


def test_an_action_after_a_change_from_outside_starts_from_the_network_as_it_is_now(ill: tuple[Any, Given]) -> None:
    widget, _ = ill
    mix(widget.experiment.model)
    mix(widget.experiment.model)  # three times on: right again
    click(widget, "apply", remedy="given")
    rest(widget)
    assert widget._analysis.trials[-1].verdict != "confirmed" and widget._analysis.trials[-1].before == (0.0,)


def test_two_widgets_over_one_experiment_share_the_goal_without_an_echo(widget: Any) -> None:
    other, told = analysis_of(widget.experiment, tests=FEW), []
    widget.experiment.subscribe(lambda event: told.append(event.kind))
    from_front(widget, goal=0.25)
    assert other.goal == widget.experiment.goal == 0.25 and other.branch == widget.branch == "goal_met"
    other.goal = 0.015
    assert widget.goal == 0.015 and widget.branch == other.branch == "test_high"
    widget.experiment.goal = 0.4
    assert (widget.goal, other.goal) == (0.4, 0.4) and told == ["goal"] * 3
    other.close()
    from_front(widget, goal=0.3)
    assert other.goal == 0.4 and rest(widget)


def test_a_goal_beyond_the_handle_stays_the_experiments_own(widget: Any) -> None:
    errors: list[Any] = []
    widget.experiment.subscribe(lambda event: errors.append(event.error) if event.kind == "error" else None)
    widget.experiment.goal = 0.0002
    assert (widget.goal, widget.experiment.goal, errors) == (0.001, 0.0002, [])


def test_rows_29_to_32_the_network_and_the_random_numbers_stay_as_they_were() -> None:
    """After tests, panels, an action and a figure: numbers, training flag, gradients, hooks, requires_grad, random state."""
    network = spoilt().train()
    network[1].weight.requires_grad_(False)
    network[3].weight.grad = torch.ones_like(network[3].weight)
    network.register_forward_hook(lambda *given: None)
    remedy = Given()
    widget = analysis_of(experiment(network), remedies=(remedy,))
    quick = [test.name for test in widget._tests if test.seconds < 0.5]

    def facts() -> list[Any]:
        grads = [None if p.grad is None else p.grad.tolist() for p in network.parameters()]
        flags = [p.requires_grad for p in network.parameters()]
        return [E.fingerprint(network), network.training, grads, flags, hooks_of(network), torch.get_rng_state().tolist()]

    before = facts()
    for name in quick:
        click(widget, "run_test", test=name)
        rest(widget)
    remedy.broken = True
    click(widget, "apply", remedy="given")
    assert widget.wait(60) and widget.error is not None
    remedy.broken = False
    click(widget, "retry")
    rest(widget)
    for panel in ("confusion", "worst", "run", "cost"):
        widget.panel = panel
        rest(widget)
    assert len(quick) > 10 and facts() == before
    closing(widget)


# --- odd input --------------------------------------------------------------------------------------------------------


def test_row_33_nan_weights_are_a_message_until_they_are_mended() -> None:
    exp = experiment()
    with torch.no_grad():
        exp.model[1].weight[0, 0] = math.nan
    widget = analysis_of(exp, tests=FEW)
    assert widget.status == "error" and "NaN" in widget.error["message"] and widget.e_test is None
    assert widget.line["marks"] == [] and widget.branch == ""
    with torch.no_grad():
        exp.model[1].weight[0, 0] = 0.0
    click(widget, "retry")
    assert rest(widget).e_test is not None
    closing(widget)


def test_row_33_weights_that_become_nan_are_a_message_too(widget: Any) -> None:
    with torch.no_grad():
        widget.experiment.model[1].weight[0, 0] = math.nan
    click(widget, "run_test", test="first")
    assert widget.wait(60)
    assert widget.status == "error" and "NaN" in widget.error["message"] and widget.error["retry"]


@pytest.mark.parametrize("labels", ["train", "test"])
def test_row_34_images_without_labels_are_refused_in_words(labels: str) -> None:
    with pytest.raises(E.DataError, match=f"{labels}: got images without labels"):
        analysis_of(experiment(**{labels: E.Split(blobs(20).images)}))


def test_row_34_no_data_is_refused_in_words() -> None:
    with pytest.raises(E.DataError, match="no data: images have shape"):
        experiment(train=blobs(0))
    with pytest.raises(E.DataError, match="got no data"):
        experiment(train=None, test=None)


ODD = {
    "no S_test": {"test": None},
    "no S_train": {"train": None, "build": None, "training": None},
    "one class only": {"train": E.Split(blobs().images, torch.zeros(300, dtype=torch.int64), [0.2], [0.25])},
    "12 images": {"train": blobs(12), "test": blobs(12, 1)},
    "one image to test": {"test": blobs(1, 1)},
}


@pytest.mark.parametrize("given", ODD.values(), ids=ODD.keys())
def test_rows_34_and_35_odd_samples_are_shown_and_every_node_and_panel_opens(given: dict[str, Any]) -> None:
    widget = analysis_of(experiment(**given))
    assert widget.error is None and widget.flow["sentence"] and widget.line["marks"]
    for test in widget._tests:
        if test.seconds < 1:
            click(widget, "run_test", test=test.name)
            rest(widget)
    assert [(e.test, e.text) for e in widget.diagnosis.evidence if e.state not in ("done", "does not apply")] == []
    for each in widget.flow["nodes"]:
        widget.selected = each["id"]
    for panel in ("confusion", "classes", "calibration", "worst", "suspects", "run", "cost"):
        widget.panel = panel
        assert rest(widget).board["name"] == panel
    assert widget.figure().axes
    closing(widget)


def flat(n: int, seed: int) -> E.Split:
    return E.Split(blobs(n, seed).inputs(slice(None)).flatten(1), blobs(n, seed).labels)


def test_row_36_vectors_have_no_tiles_and_tests_of_images_do_not_apply() -> None:
    network = good()
    widget = analysis_of(experiment(network[1:], train=flat(300, 0), test=flat(200, 1), build=None))
    for test in widget._tests:
        if test.seconds < 1:
            click(widget, "run_test", test=test.name)
            rest(widget)
    states = {e.test: e.state for e in widget.diagnosis.evidence}
    assert states["transforms"] == "does not apply" and states["units"] == "done" and "failed" not in states.values()
    widget.order = "entropy"
    for panel in ("confusion", "worst", "suspects"):
        widget.panel = panel
        assert rest(widget).board["tiles"] is None
    closing(widget)


# --- the end ----------------------------------------------------------------------------------------------------------


def test_row_14_the_cell_run_again_ends_the_old_widget_and_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    held, run = Waits(), ["run-1"]
    monkeypatch.setattr(_cells, "current_run", lambda: ("analysis-cell", run[0]))
    first = analysis_of(tests=(held,))
    click(first, "run_all")
    assert held.begun.wait(30)
    job = first.experiment.jobs.running(first._slot)
    run[0] = "run-2"
    second = analysis_of(tests=FEW)
    assert job is not None and job.wait(30) and job.status == "cancelled"
    assert first._closed and first.comm is None and not second._closed
    closing(second)
    first.experiment.close()


def test_row_48_close_leaves_no_widget_thread_hook_or_memory() -> None:
    threads = set(threading.enumerate())
    exp = experiment(spoilt())
    widget = analysis_of(exp, tests=FEW, remedies=(Given(),))
    click(widget, "run_all")
    rest(widget)
    click(widget, "apply", remedy="given")
    widget.panel = "worst"
    rest(widget)
    gone = [weakref.ref(each) for each in (widget, widget._analysis, widget.current, widget.current.model)]
    gone.append(weakref.ref(exp.bench(None).quick.network))
    widget.close()
    exp.close()
    del widget
    gc.collect()
    assert [each() is None for each in gone] == [True] * 5 and hooks_of(exp.model) == 0
    assert set(threading.enumerate()) <= threads


def test_row_48_after_close_clicks_do_nothing(widget: Any) -> None:
    widget.close()
    before = jobs_of(widget)
    for name, arguments in (("run_all", {}), ("run_test", {"test": "first"}), ("apply", {"remedy": "decay"}), ("hall", {})):
        click(widget, name, **arguments)
    widget.panel = "worst"
    assert widget.wait(30) and jobs_of(widget) == before


# --- as code, as a picture, as a file ---------------------------------------------------------------------------------


def test_the_code_is_python_and_names_what_was_adopted(ill: tuple[Any, Given]) -> None:
    widget, _ = ill
    click(widget, "apply", remedy="given")
    rest(widget)
    ast.parse(widget.code)
    assert "E.try_remedy(exp, 'given', seeds=2)" in widget.code
    click(widget, "adopt", id=0)
    rest(widget)
    assert "try_remedy" not in widget.code and "goal=0.05" in widget.code


@pytest.mark.slow
def test_the_code_of_an_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    widget = analysis_of(nw.load_example("digits/lenet300"), tests=FEW)
    widget.goal = 0.015
    names: dict[str, Any] = {}
    exec(widget.code.replace("budget_s=60", "budget_s=1"), names)
    assert names["exp"].goal == 0.015 and "E_goal 1.5 %" in capsys.readouterr().out
    names["exp"].close()
    closing(widget)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_figure_is_drawn_and_sent_as_a_file(widget: Any, sent: list[dict[str, Any]], kind: str, tmp_path: Path) -> None:
    click(widget, "run_all")
    rest(widget)
    sheet = widget.figure()
    sheet.savefig(tmp_path / f"analysis.{kind}")
    assert (tmp_path / f"analysis.{kind}").stat().st_size > 5_000
    printed = " ".join(text.get_text() for axes in sheet.axes for text in axes.texts)
    assert "E_test" in printed
    click(widget, "figure", format=kind)
    rest(widget)
    file = next(each for each in sent if each["method"] == "custom")
    assert file["content"]["name"] == f"error_analysis.{kind}" and len(file["raw"][0]) > 5_000


def test_the_track_is_saved_as_a_file(widget: Any, sent: list[dict[str, Any]]) -> None:
    click(widget, "save", what="track")
    file = next(each for each in sent if each["method"] == "custom")
    assert json.loads(file["raw"][0])["trials"][0]["title"] == "As it was given"
