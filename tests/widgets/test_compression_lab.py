"""The lab without a browser: it mirrors the experiment, hands work over, shows errors, and leaves nothing behind."""

from __future__ import annotations

import gc
import json
import math
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import ipywidgets
import pytest
import torch
import traitlets
from front import click, from_front

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.widgets import _cells


@pytest.fixture
def lab() -> Iterator[Any]:
    made = nw.CompressionLab(nw.load_example("digits/lenet300"))
    assert made.wait(60)
    yield made
    made.close()
    made.experiment.close()


def raw(lab: Any, name: str) -> Any:
    return lab.snapshot_view["figures"][name]["raw"]


def test_it_starts_with_the_dense_network_measured_exactly(lab: Any) -> None:
    own = E.evaluate(lab.experiment.model, lab.experiment.test)
    assert lab.status == "idle"
    assert (lab.accuracy, lab.accuracy_low, lab.accuracy_high, lab.n_seen) == (own.accuracy,) * 3 + (own.n,)
    assert raw(lab, "accuracy") == own.accuracy
    assert raw(lab, "size_encoded") == E.cost(lab.experiment.model, (1, 28, 28)).bytes_encoded
    assert set(lab.snapshot_view["charts"]) == {"pareto", "histogram", "layers", "lottery"}


@pytest.mark.parametrize(
    ("traits", "recipe"),
    [
        ({"sparsity": 0.9}, E.Recipe(E.Pruning(0.9))),
        (
            {"sparsity": 0.5, "allocation": "uniform", "criterion": "random"},
            E.Recipe(E.Pruning(0.5, allocation="uniform", criterion="random")),
        ),
        (
            {"weight_bits": 3, "granularity": "tensor", "symmetric": False},
            E.Recipe(None, E.Quantization(3, granularity="tensor", symmetric=False)),
        ),
        (
            {"allocation": {"fc1": 0.95, "fc2": 0.5, "fc3": 0.0}},
            E.Recipe(E.Pruning(0.0, allocation={"fc1": 0.95, "fc2": 0.5, "fc3": 0.0})),
        ),
        ({"sparsity": 0.8, "weight_bits": 4}, E.Recipe(E.Pruning(0.8), E.Quantization(4))),
        ({"method": "codebook"}, E.Recipe(None, E.Quantization(5, method="codebook"))),
        (
            {"weight_bits": 1, "sparsity": 0.3, "method": "codebook"},
            E.Recipe(E.Pruning(0.3), E.Quantization(1, method="codebook")),
        ),
        ({"method": "ternary"}, E.Recipe(None, E.Quantization(2, method="ternary"))),
        ({"weight_bits": 4, "observer": "mse"}, E.Recipe(None, E.Quantization(4, observer="mse"))),
        (
            {"weight_bits": 3, "observer": "percentile", "percentile": 97.5, "power_of_two": True},
            E.Recipe(None, E.Quantization(3, observer="percentile", percentile=97.5, power_of_two=True)),
        ),
    ],
)
def test_controls_make_the_recipe_and_the_figures_are_the_engines_own(lab: Any, traits: dict[str, Any], recipe: E.Recipe) -> None:
    for name, value in traits.items():
        setattr(lab, name, value)
    assert lab.wait(60)
    exp = lab.experiment
    assert exp.recipe == recipe
    cost = E.cost(exp.model, exp.input_shape, recipe)
    assert (raw(lab, "size_encoded"), raw(lab, "macs_nonzero")) == (cost.bytes_encoded, cost.macs_nonzero)
    assert lab.accuracy == E.evaluate(E.compress(exp.model, recipe), exp.test).accuracy


def test_it_mirrors_what_is_applied_from_code(lab: Any) -> None:
    lab.experiment.apply(E.Recipe(E.Pruning(0.7, allocation="uniform"), E.Quantization(5)))
    assert lab.wait(60)
    assert (lab.sparsity, lab.allocation, lab.weight_bits) == (0.7, "uniform", 5)
    lab.experiment.undo()
    assert (lab.sparsity, lab.weight_bits) == (0.0, 32)
    assert lab.wait(60) and lab.experiment.recipe == E.Recipe()


def test_settings_without_a_control_survive_a_slider(lab: Any) -> None:
    lab.experiment.apply(E.Recipe(E.Pruning(0.5, exclude=("fc3",))))
    assert lab.wait(60)
    from_front(lab, sparsity=0.6, gesture=1)
    assert lab.wait(60)
    assert lab.experiment.recipe == E.Recipe(E.Pruning(0.6, exclude=("fc3",)))


def test_one_gesture_is_one_step(lab: Any) -> None:
    for step in range(1, 11):
        from_front(lab, sparsity=step / 20, gesture=1)
        time.sleep(0.01)
    assert lab.wait(60)
    for step in range(1, 6):
        from_front(lab, sparsity=0.5 + step / 20, gesture=2)
    assert lab.wait(60)
    amounts = [0.0 if state.recipe.pruning is None else state.recipe.pruning.amount for state in lab.experiment.history]
    assert amounts == [0.0, 0.5, 0.75]
    click(lab, "undo")
    assert lab.wait(60) and lab.sparsity == 0.5


def test_row_6_a_thousand_rapid_moves_end_with_the_last_and_show_nothing_stale(lab: Any) -> None:
    shown: list[tuple[int, float]] = []
    lab.observe(lambda change: shown.append((change["new"]["seq"], 0.0)), "view")
    threads = threading.active_count()
    for move in range(1000):
        from_front(lab, sparsity=(move % 95) / 100, gesture=1)
    from_front(lab, sparsity=0.42, gesture=1)
    started = time.monotonic()
    assert lab.wait(60)
    assert time.monotonic() - started < 20
    assert lab.sparsity == 0.42 and lab.experiment.recipe == E.Recipe(E.Pruning(0.42))
    assert lab.accuracy == E.evaluate(E.compress(lab.experiment.model, lab.experiment.recipe), lab.experiment.test).accuracy
    assert [seq for seq, _ in shown] == sorted(seq for seq, _ in shown)
    assert threading.active_count() <= threads + 1
    assert len(lab.experiment.history) == 2


def test_a_move_that_comes_while_an_older_one_is_taken_over_is_not_lost(lab: Any) -> None:
    """The state event of the older request arrives between the newer move and its observer."""
    gate = threading.Event()
    lab.experiment.jobs.submit("gate", lambda: (gate.wait(10) for _ in range(1)), interactive=True)
    from_front(lab, sparsity=0.3, gesture=1)
    with lab._exclusive():
        lab.set_trait("sparsity", 0.4)
        lab.experiment.commit_requests()
        assert lab.experiment.recipe == E.Recipe(E.Pruning(0.3)) and lab.sparsity == 0.4
    gate.set()
    assert lab.wait(60)
    assert lab.sparsity == 0.4 and lab.experiment.recipe == E.Recipe(E.Pruning(0.4))


def test_row_7_an_older_result_is_not_shown_after_a_newer_request(lab: Any) -> None:
    """After each request the first figures that arrive are those of that request or of a later one."""
    for amount in (0.3, 0.6, 0.9):
        lab.sparsity = amount
        assert lab.wait(60)
        assert lab.experiment.live.state.recipe == E.Recipe(E.Pruning(amount))
        assert raw(lab, "size_encoded") == E.cost(lab.experiment.model, (1, 28, 28), lab.experiment.recipe).bytes_encoded


def test_row_9_a_failing_measurement_is_shown_with_retry_and_nothing_is_half_applied(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = type(lab.experiment.bench(None).plan)
    with monkeypatch.context() as broken:
        broken.setattr(plan, "load", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("broken on purpose")))
        lab.sparsity = 0.5
        assert lab.wait(60)
        assert lab.status == "error" and "broken on purpose" in lab.error["message"] and lab.error["retry"]
    click(lab, "retry")
    assert lab.wait(60)
    assert lab.status == "idle" and lab.error is None
    assert lab.accuracy == E.evaluate(E.compress(lab.experiment.model, E.Recipe(E.Pruning(0.5))), lab.experiment.test).accuracy


def test_row_13_a_double_click_starts_one_run(lab: Any) -> None:
    lab.epochs = 50
    click(lab, "fine_tune")
    click(lab, "fine_tune")
    first = lab.experiment.jobs.running("task")
    click(lab, "fine_tune")
    assert lab.experiment.jobs.running("task") is first
    click(lab, "cancel")
    assert lab.wait(60)
    assert lab.task is None and lab.last_task["role"] == "muted" and lab.status == "idle"
    assert lab.experiment.history == (lab.experiment.state,)


def test_row_14_running_a_cell_again_closes_what_its_last_run_made(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ["cell", "run 1"]
    monkeypatch.setattr(_cells, "_made", {})
    monkeypatch.setattr(_cells, "current_run", lambda: (run[0], run[1]))
    first = nw.CompressionLab(nw.load_example("digits/lenet300"))
    beside = nw.CompressionLab(first.experiment)
    assert first.wait(60)
    copies = weakref.ref(first.experiment.bench(None).quick.network)
    run[1] = "run 2"
    second = nw.CompressionLab(nw.load_example("digits/lenet300"))
    assert first.comm is None and beside.comm is None and second.comm is not None
    assert not first.experiment.has_subscribers and first.wait(60)
    gc.collect()
    assert copies() is None, "freed although the notebook's own history still holds the first lab"
    run[0] = "another cell"
    third = nw.CompressionLab(second.experiment)
    assert second.comm is not None
    for widget in (first, second, third):
        widget.close()
        widget.experiment.close()


def test_row_18_two_labs_on_one_experiment_agree(lab: Any) -> None:
    other = nw.CompressionLab(lab.experiment)
    lab.sparsity = 0.66
    assert lab.wait(60)
    assert other.sparsity == 0.66 and other.accuracy == lab.accuracy
    assert other.snapshot_view["figures"] == lab.snapshot_view["figures"]
    other.weight_bits = 3
    assert lab.wait(60) and lab.weight_bits == 3
    other.close()


def test_row_33_nan_weights_are_a_message_and_no_accuracy(lab: Any) -> None:
    with torch.no_grad():
        next(lab.experiment.model.parameters()).fill_(math.nan)
    lab.sparsity = 0.5
    assert lab.wait(60)
    assert lab.status == "error" and "NaN" in lab.error["message"]


def test_row_37_the_slider_stops_where_a_layer_would_lose_all_its_filters() -> None:
    lab = nw.CompressionLab(nw.load_example("digits/lenet5"))
    lab.structure = "filter"
    lab.sparsity = 0.99
    assert lab.wait(60)
    largest = lab.experiment.bench(None).plan.largest_amount(E.Pruning(0.5, structure="filter"))
    assert lab.sparsity == math.floor(largest * 100) / 100 < 0.99
    assert lab.experiment.recipe.pruning.amount == lab.sparsity
    assert [notice["id"] for notice in lab.notices] == ["stopped"]
    assert lab.error is None and lab.status == "idle"
    lab.sparsity = 0.1
    assert lab.wait(60) and lab.notices == []
    lab.close()
    lab.experiment.close()


def test_traits_can_be_linked_and_refuse_what_is_out_of_range(lab: Any) -> None:
    slider = ipywidgets.FloatSlider(min=0, max=0.99)
    ipywidgets.link((slider, "value"), (lab, "sparsity"))
    slider.value = 0.25
    assert lab.sparsity == 0.25
    assert lab.wait(60) and lab.experiment.recipe == E.Recipe(E.Pruning(0.25))
    with pytest.raises(traitlets.TraitError):
        lab.sparsity = 1.5
    with pytest.raises(traitlets.TraitError):
        lab.accuracy = 1.0
    assert lab.sparsity == 0.25
    slider.close()


def test_a_chosen_layer_gets_its_histogram_and_an_unknown_one_is_put_back(lab: Any) -> None:
    from_front(lab, selected_layer="fc2")
    assert lab.wait(60)
    assert lab.view["charts"]["histogram"]["title"] == "Weights of fc2"
    from_front(lab, selected_layer="nowhere")
    assert lab.selected_layer == "fc2"


def test_the_histogram_counts_every_weight_and_shows_threshold_and_levels(lab: Any) -> None:
    lab.sparsity, lab.weight_bits, lab.granularity = 0.5, 3, "tensor"
    assert lab.wait(60)
    chart = lab.snapshot_view["charts"]["histogram"]
    ticks = next(series for series in chart["series"] if series["type"] == "ticks")
    assert len(ticks["at"]) == 7  # symmetric, narrow: 2 ** 3 - 1 levels
    rules = [series["at"] for series in chart["series"] if series["type"] == "rule"]
    threshold = lab.experiment.bench(None).plan.threshold(lab.experiment.recipe, "fc1")
    assert sorted(rules) == [-threshold, threshold]


def test_a_new_goal_is_drawn_at_once_and_nothing_is_measured_again(lab: Any) -> None:
    looks, visits = lab.experiment.live.looks, lab.experiment.live.visits
    lab.experiment.goal = 0.2
    assert lab.wait(60)
    notes = {note.get("name"): note for note in lab.snapshot_view["figures"]["accuracy"]["notes"]}
    assert notes["goal"]["raw"] == 0.8 and notes["goal"]["text"] == "goal 80.0 %: met"
    rules = [series["at"] for series in lab.snapshot_view["charts"]["pareto"]["series"] if series["type"] == "rule"]
    assert rules == [0.8] and lab.experiment.live.looks == looks and len(lab.experiment.live.visits) == len(visits)


def test_an_error_and_its_status_go_together_when_the_state_changes(lab: Any) -> None:
    click(lab, "snapshot_save", name="")
    assert lab.status == "error" and lab.error is not None
    click(lab, "snapshot_save", name="here")
    assert lab.error is None and lab.status == "idle"


def test_samples_of_validation_and_test(lab: Any) -> None:
    from_front(lab, sample="val")
    assert lab.wait(60)
    assert lab.n_seen == len(lab.experiment.val) and lab.accuracy == E.evaluate(lab.experiment.model, lab.experiment.val).accuracy


def test_fine_tuning_latency_disk_and_snapshots_through_the_buttons(lab: Any) -> None:
    lab.sparsity, lab.epochs = 0.97, 1
    assert lab.wait(60)
    before = lab.accuracy
    click(lab, "fine_tune")
    assert lab.wait(120)
    assert lab.accuracy > before and lab.last_task["role"] == "good"
    click(lab, "measure_latency")
    assert lab.wait(60)
    assert lab.view["figures"]["latency"]["raw"] > 0
    click(lab, "measure_disk")
    assert lab.wait(60)
    notes = lab._shown["figures"]["size_encoded"]["notes"]
    disk = next(note["raw"] for note in notes if note.get("name") == "size_on_disk")
    assert abs(disk - raw(lab, "size_encoded")) <= 0.02 * disk
    click(lab, "snapshot_save", name="tuned")
    click(lab, "undo")
    assert lab.wait(60) and lab.accuracy == before
    click(lab, "snapshot_load", name="tuned")
    assert lab.wait(60) and lab.accuracy > before
    click(lab, "snapshot_save", name="")
    assert lab.status == "error" and "name" in lab.error["message"]
    click(lab, "dismiss")
    assert lab.error is None


@pytest.mark.slow
def test_the_code_reproduces_what_is_on_the_screen(lab: Any) -> None:
    lab.sparsity, lab.weight_bits, lab.epochs = 0.95, 4, 1
    assert lab.wait(60)
    lab.fine_tune()
    assert lab.wait(120)
    lab.sparsity = 0.96
    assert lab.wait(60)
    names: dict[str, Any] = {}
    exec(lab.code, names)
    again = names["exp"]
    assert again.recipe == lab.experiment.recipe and again.state.weights_key == lab.experiment.state.weights_key
    assert E.evaluate(again.compressed, again.test).accuracy == lab.accuracy
    again.close()


def test_what_is_sent_is_json_without_nan(lab: Any) -> None:
    lab.sparsity, lab.weight_bits = 0.5, 1
    assert lab.wait(60)
    state = {
        name: value for name, value in lab.get_state().items() if name not in ("_esm", "_css", "layout", "tabbable", "tooltip")
    }
    assert json.loads(json.dumps(state, allow_nan=False))


@pytest.mark.slow
def test_figure_draws_the_same_records(lab: Any, tmp_path: Any) -> None:
    lab.sparsity, lab.weight_bits = 0.8, 4
    assert lab.wait(60)
    sheet = lab.figure()
    titles = [axes.get_title(loc="left") for axes in sheet.axes]
    assert "Weights of fc1" in titles and any(title.startswith("Footprint") for title in titles)
    printed = {text.get_text() for axes in sheet.axes for text in axes.texts}
    assert any(text.startswith(lab.snapshot_view["figures"]["accuracy"]["value"]) for text in printed)
    for kind in ("png", "svg", "pdf"):
        sheet.savefig(tmp_path / f"lab.{kind}")
        assert (tmp_path / f"lab.{kind}").stat().st_size > 10_000


def test_row_48_close_leaves_no_widget_thread_hook_or_memory() -> None:
    before = set(threading.enumerate())
    exp = nw.load_example("digits/lenet300")
    lab = nw.CompressionLab(exp)
    lab.sparsity = 0.5
    assert lab.wait(60)
    gone, bench = weakref.ref(lab), weakref.ref(exp.bench(None).quick.network)
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in exp.model.modules())
    lab.close()
    exp.close()
    del lab
    gc.collect()
    assert gone() is None and bench() is None and hooks == 0
    assert set(threading.enumerate()) <= before


def test_something_else_than_an_experiment_is_refused() -> None:
    with pytest.raises(E.InputError, match="Experiment"):
        nw.CompressionLab(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
