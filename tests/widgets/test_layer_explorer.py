"""The layer explorer without a browser: traits and messages, failures, other code beside it, and what is left behind."""

from __future__ import annotations

import gc
import json
import math
import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
import traitlets
from explorer_wire import Small, exact, hooks_of, pixels_of, show, small_experiment, stands_for
from front import click, from_front
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment import inspection
from nnwidgets.engine.inspect import feature_maps
from nnwidgets.widgets import _cells
from nnwidgets.widgets.layer_explorer import LayerExplorer


@pytest.fixture
def explorer() -> Iterator[Any]:
    made = nw.LayerExplorer(small_experiment())
    show(made)
    yield made
    Small.broken = False
    made.close()
    made.experiment.close()


def maps_of(explorer: Any, layer: str, index: int = 0, network: Any = None) -> Tensor:
    exp = explorer.experiment
    name, _, call = layer.partition("#")
    return feature_maps(network or exp.model, exp.val.inputs([index]), name, int(call or 0))[0]


def messages_of(explorer: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(explorer, "_send", lambda msg, buffers=None: sent.append(msg))
    return sent


def last_told(sent: list[dict[str, Any]], name: str) -> Any:
    return next(item["state"][name] for item in reversed(sent) if item["method"] == "update" and name in item["state"])


# --- birth ------------------------------------------------------------------------------------------------------------


def test_it_starts_at_the_first_convolution(explorer: Any) -> None:
    assert (explorer.layer, explorer.view, explorer.sample, explorer.status) == ("conv1", "maps", "val", "idle")
    assert stands_for(explorer.panel["raster"], maps_of(explorer, "conv1"))
    assert explorer.about["subtitle"] == "Small: 411 parameters, 30.6 k MACs an image"
    assert [row["id"] for row in explorer.tree] == ["conv1", "(relu)", "conv2", "(add)", "(relu)#1", "(mean)", "fc"]


def test_it_can_start_elsewhere_and_offers_the_nearest_names() -> None:
    exp = small_experiment()
    explorer = nw.LayerExplorer(exp, layer="(relu)#1")
    show(explorer)
    assert explorer.panel["layer"] == "(relu)#1"
    with pytest.raises(E.InputError, match="did you mean 'conv2' or 'conv1'"):
        nw.LayerExplorer(exp, layer="conv3")
    explorer.close()
    exp.close()


def test_what_cannot_be_looked_into_is_refused_in_words() -> None:
    with pytest.raises(E.InputError, match=r"got Linear, expected an Experiment, such as nw\.load_example"):
        nw.LayerExplorer(nn.Linear(2, 2))  # type: ignore[arg-type]
    exp = small_experiment(nn.Flatten(), (3, 1, 1))
    with pytest.raises(E.UnsupportedError, match="no layer or function"):
        nw.LayerExplorer(exp)
    exp.close()


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        logits: Tensor = self.fc(x + y)
        return logits


def test_row_40_a_network_of_two_inputs_is_refused_in_words() -> None:
    with pytest.raises(E.ModelError, match="missing 1 required positional argument: 'y'"):
        nw.LayerExplorer(small_experiment(TwoInputs(), (6,)))


def test_the_network_stays_as_it_was(explorer: Any) -> None:
    """After every view of every row: numbers, training flags, gradients, hooks and random states."""
    model = explorer.experiment.model.train()
    model.conv1.weight.requires_grad_(False)
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    before = E.fingerprint(model), model.training, model.conv1.weight.requires_grad, hooks_of(model)
    state = torch.get_rng_state()
    explorer.experiment.apply(E.Recipe(E.Pruning(0.5)))
    for row in explorer.tree:
        for view in row["views"]:
            if view not in ("top9", "training"):
                show(explorer, layer=row["id"], view=view, compare=view == "maps")
    assert (E.fingerprint(model), model.training, model.conv1.weight.requires_grad, hooks_of(model)) == before
    assert torch.equal(model.fc.weight.grad, torch.ones_like(model.fc.weight)) and torch.equal(torch.get_rng_state(), state)


# --- traits -----------------------------------------------------------------------------------------------------------


def test_traits_can_be_observed_and_linked(explorer: Any) -> None:
    slider, choice = ipywidgets.IntSlider(max=6), ipywidgets.Dropdown(options=["conv1", "conv2", "fc"])
    ipywidgets.link((slider, "value"), (explorer, "image_index"))
    ipywidgets.link((choice, "value"), (explorer, "layer"))
    titles: list[str] = []
    explorer.observe(lambda change: titles.append(change["new"]["title"]), "panel")
    slider.value, choice.value = 4, "conv2"
    show(explorer)
    assert stands_for(explorer.panel["raster"], maps_of(explorer, "conv2", 4)) and titles[-1] == "6 maps of conv2"
    from_front(explorer, image_index=2)
    assert slider.value == 2
    slider.close()
    choice.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [("layer", "conv3"), ("layer", 3), ("view", "map"), ("channel", -1), ("channel", 1.5), ("image_index", -1), ("sample", "all"),
     ("order", "size"), ("scale", ""), ("input_channel", -2), ("compare", "yes"), ("epochs", 0), ("learning_rate", 2.0)],
)  # fmt: skip
def test_code_that_sets_something_else_gets_an_error(explorer: Any, name: str, value: Any) -> None:
    before = getattr(explorer, name)
    with pytest.raises(traitlets.TraitError):
        setattr(explorer, name, value)
    assert getattr(explorer, name) == before
    show(explorer)


def test_an_unknown_layer_offers_the_nearest_and_an_unknown_sample_those_there_are() -> None:
    exp = small_experiment(train=None)
    explorer = nw.LayerExplorer(exp)
    show(explorer)
    with pytest.raises(traitlets.TraitError, match="did you mean 'conv2' or 'conv1'"):
        explorer.layer = "conv3"
    assert explorer.sample == "test" and [choice["value"] for choice in explorer.options["sample"]] == ["test"]
    with pytest.raises(traitlets.TraitError, match="this experiment has test"):
        explorer.sample = "val"
    explorer.close()
    exp.close()


def test_results_cannot_be_written(explorer: Any) -> None:
    for name in ("panel", "unit", "tree", "answers", "code", "status", "seq", "error"):
        with pytest.raises(traitlets.TraitError):
            setattr(explorer, name, None)


# --- messages, rows 1 to 6 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sent", "taken"),
    [("channel", -5, 0), ("image_index", -1, 0), ("input_channel", -9, -1), ("epochs", 10**30, 50), ("learning_rate", 0, 1e-6),
     ("channel", 2.6, 3), ("image_index", 10**400, 10**400)],
)  # fmt: skip
def test_row_1_a_value_out_of_range_is_clamped_and_sent_back(
    explorer: Any, monkeypatch: pytest.MonkeyPatch, name: str, sent: Any, taken: Any
) -> None:
    told = messages_of(explorer, monkeypatch)
    from_front(explorer, **{name: sent})
    assert getattr(explorer, name) == taken
    if sent != taken:
        assert last_told(told, name) == taken
    show(explorer)


@pytest.mark.parametrize("name", sorted(LayerExplorer.writable))
@pytest.mark.parametrize("bad", [math.nan, math.inf, None, [1], {"a": 1}, b"conv1", "\ud800", "no such choice" * 1000])
def test_row_2_nan_and_other_types_are_refused_and_corrected(
    explorer: Any, monkeypatch: pytest.MonkeyPatch, name: str, bad: Any
) -> None:
    before = getattr(explorer, name)
    told = messages_of(explorer, monkeypatch)
    from_front(explorer, **{name: bad})
    assert getattr(explorer, name) == before and last_told(told, name) == before


def test_row_3_a_good_key_beside_bad_ones_is_kept(explorer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = messages_of(explorer, monkeypatch)
    from_front(explorer, layer="nowhere", channel=2, view=7, nonsense=1, panel=None)
    assert (explorer.layer, explorer.channel, explorer.view) == ("conv1", 2, "maps")
    assert last_told(told, "layer") == "conv1" and last_told(told, "view") == "maps"
    show(explorer)
    assert explorer.unit["channel"] == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
good_values = st.sampled_from(
    ["conv1", "fc", "(relu)", "maps", "filters", "deconvnet", "val", "test", "class", "worst", "tile", "2,3", 3, 0]
)
traits = st.sampled_from([*sorted(LayerExplorer.writable), "panel", "unit", "_esm", "code", "seq", "x"])
commands = st.sampled_from(
    ["show", "measure", "upload", "draw", "own_image_off", "cancel", "retry", "dismiss", "resync", "close", "__init__"]
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    state=st.dictionaries(traits, json_values | good_values, max_size=4),
    method=st.sampled_from(["update", "custom", "request_state"]) | json_values,
    content=st.fixed_dictionaries({"kind": st.just("command"), "name": commands | json_values, "args": json_values})
    | json_values,
    buffers=st.lists(st.binary(max_size=20), max_size=2),
)
def test_row_4_random_messages_leave_every_trait_valid(
    explorer: Any, state: Any, method: Any, content: Any, buffers: list[bytes]
) -> None:
    esm = explorer._esm
    data = {"method": method, "state": state, "content": content, "buffer_paths": []}
    explorer._handle_msg({"content": {"data": data}, "buffers": [memoryview(each) for each in buffers]})
    for name in LayerExplorer.writable:
        explorer.traits()[name]._validate(explorer, getattr(explorer, name))
    assert explorer._esm == esm and not explorer._closed


def test_after_random_messages_it_still_works(explorer: Any) -> None:
    draw = np.random.default_rng(0)
    values = [None, math.nan, "worst", "conv2", 10**9, -1, "5,5", True, "(add)", "deconvnet", "test", ["a"]]
    for _ in range(300):
        name = draw.choice(sorted(LayerExplorer.writable - {"view"}))
        from_front(explorer, **{name: values[draw.integers(len(values))]})
    assert explorer.wait(60)
    explorer.clear_error()
    panel = show(explorer, layer="conv2", view="maps", pick="index", sample="val", image_index=1, order="index", compare=False)
    assert (
        stands_for(panel["raster"], maps_of(explorer, "conv2", 1)) == (explorer.scale == "layer") or "ranges" in panel["raster"]
    )


def test_row_5_code_and_results_cannot_be_written_from_the_front_end(explorer: Any) -> None:
    for name in ("_esm", "_css", "panel", "tree", "code", "about", "error", "seq", "_view_module", "comm"):
        before = getattr(explorer, name)
        from_front(explorer, **{name: "alert(1)"})
        assert getattr(explorer, name) is before


def test_row_6_of_200_rapid_moves_the_last_one_is_shown(explorer: Any) -> None:
    """Few of them are computed, and nothing that is published belongs to an older wish than what was published before."""
    turns: list[int] = []
    render = explorer._work.render
    explorer._work.render = lambda wish, stale: (turns.append(wish.turn), render(wish, stale))[1]
    layers = [row["id"] for row in explorer.tree]
    threads = threading.active_count()
    for move in range(200):
        from_front(explorer, layer=layers[move % 7], channel=move % 3, image_index=move % 7, order=("index", "mean")[move % 2])
    from_front(explorer, layer="(add)", channel=4, image_index=6, order="index")
    show(explorer)
    assert (explorer.panel["layer"], explorer.unit["layer"], explorer.unit["channel"]) == ("(add)", "(add)", 4)
    assert stands_for(explorer.panel["raster"], maps_of(explorer, "(add)", 6))
    assert np.allclose(exact(explorer.unit["map"]), maps_of(explorer, "(add)", 6)[4].numpy(), atol=1e-6)
    assert "'(add)'" in explorer.code and "[6]" in explorer.code
    assert turns == sorted(turns) and len(turns) < 400
    assert threading.active_count() <= threads + 1


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["conv1", "(relu)", "(relu)#1"])
def test_rows_29_and_30_a_forward_that_raises_is_an_error_on_the_screen(explorer: Any, layer: str) -> None:
    """Hooks before equal hooks after, nothing is half shown, and the next move works and takes the error away."""
    show(explorer, layer=layer)
    model, own = explorer.experiment.model, explorer._work.inspection.network
    before = hooks_of(model), hooks_of(own), E.fingerprint(model), model.training
    answers = explorer.answers
    Small.broken = True
    explorer.image_index = 3
    assert explorer.wait(60)
    assert explorer.status == "error" and explorer.error["retry"] and explorer.error["title"] == "This could not be shown"
    assert "RuntimeError: broken on purpose" in explorer.error["message"] and "Traceback" in explorer.error["traceback"]
    assert (hooks_of(model), hooks_of(own), E.fingerprint(model), model.training) == before
    assert explorer.answers == answers
    click(explorer, "retry")
    assert explorer.wait(60) and explorer.status == "error"
    Small.broken = False
    panel = show(explorer, image_index=4)
    assert stands_for(panel["raster"], maps_of(explorer, layer, 4))
    assert (hooks_of(model), hooks_of(own)) == before[:2]


def test_retry_shows_what_could_not_be_shown(explorer: Any) -> None:
    Small.broken = True
    explorer.image_index = 3
    assert explorer.wait(60) and explorer.status == "error"
    Small.broken = False
    click(explorer, "retry")
    panel = show(explorer)
    assert stands_for(panel["raster"], maps_of(explorer, "conv1", 3))


def test_retry_measures_again_what_could_not_be_measured(explorer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any, **named: Any) -> Any:
        raise RuntimeError("broken on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(inspection, "statistics_steps", broken)
        explorer.view = "histogram"
        assert explorer.wait(60)
        assert explorer.error["title"] == "Measuring outputs failed" and explorer.error["retry"] and explorer.task is None
    click(explorer, "retry")
    assert show(explorer)["charts"]


def test_a_class_without_images_is_an_error_and_the_next_move_works(explorer: Any) -> None:
    from_front(explorer, pick="class", picked_class=77)
    assert explorer.wait(60)
    assert explorer.status == "error" and "class 77 has no images" in explorer.error["message"]
    from_front(explorer, picked_class=1)
    show(explorer)
    assert explorer.input["title"].endswith(": 1")


def test_an_observer_that_raises_does_not_stop_the_explorer(explorer: Any) -> None:
    def bad(change: Any) -> None:
        raise RuntimeError("mine")

    explorer.observe(bad, "panel")
    explorer.layer = "conv2"
    assert explorer.wait(60)
    assert "mine" in explorer.error["message"] and explorer.panel["layer"] == "conv2"
    explorer.unobserve(bad, "panel")
    click(explorer, "dismiss")
    show(explorer, layer="fc")


# --- the model is changed by other code -------------------------------------------------------------------------------


def test_a_model_that_other_code_changes_is_noticed_and_shown_anew(explorer: Any) -> None:
    exp = explorer.experiment
    show(explorer, layer="conv2", view="histogram")
    with torch.no_grad():
        exp.model.conv2.weight.mul_(-2)
    panel = show(explorer, view="maps", channel=1)
    assert stands_for(panel["raster"], maps_of(explorer, "conv2"))
    assert [notice["id"] for notice in explorer.notices] == ["model_changed"]
    assert all(row["dead"] is None for row in explorer.tree), "what was measured is of the network before"
    click(explorer, "dismiss", id="model_changed")
    assert explorer.notices == []


def test_a_layer_that_other_code_replaces_is_in_the_tree(explorer: Any) -> None:
    exp = explorer.experiment
    show(explorer, layer="conv2")
    exp.model.conv2 = nn.Sequential(nn.Conv2d(6, 6, 5, padding=2), nn.Tanh())
    panel = show(explorer, channel=1)
    assert [row["id"] for row in explorer.tree][2:5] == ["conv2", "conv2.0", "conv2.1"]
    assert stands_for(panel["raster"], maps_of(explorer, "conv2")) and "987 parameters" in explorer.about["subtitle"]
    show(explorer, layer="conv2.1")
    exp.model.conv2 = nn.Conv2d(6, 6, 3, padding=1)
    explorer.channel = 2
    assert explorer.wait(60)
    assert "no such row; did you mean 'conv2'" in explorer.error["message"]
    show(explorer, layer="conv2")


def test_row_33_nan_weights_are_a_message_until_they_are_mended(explorer: Any) -> None:
    weight = explorer.experiment.model.fc.weight
    sound, before = weight.detach().clone(), explorer.panel
    with torch.no_grad():
        weight[0, 0] = math.nan
    for channel in (1, 2):
        explorer.channel = channel
        assert explorer.wait(60)
        assert explorer.status == "error" and "fc.weight: 1 of 18 values are NaN" in explorer.error["message"]
    assert explorer.panel == before
    with torch.no_grad():
        weight.copy_(sound)
    show(explorer, channel=3)


def test_nan_weights_at_birth_are_a_message_too() -> None:
    exp = small_experiment()
    with torch.no_grad():
        exp.model.fc.weight[0, 0] = math.nan
    explorer = nw.LayerExplorer(exp)
    assert explorer.wait(60)
    assert explorer.status == "error" and "NaN" in explorer.error["message"]
    explorer.close()
    exp.close()


class Divides(nn.Module):
    """Answers NaN where the first pixel is not above 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x).mean((2, 3))) * (x[:, 0, 0, :1] > 0) / (x[:, 0, 0, :1] > 0)
        return logits


def test_an_answer_of_nan_is_said_and_is_no_class() -> None:
    exp = small_experiment(Divides().eval())
    explorer = nw.LayerExplorer(exp)
    sound = (exp.val.images[:, 0, 0, 0] > 0).tolist()
    assert any(sound) and not all(sound)
    for index, is_sound in enumerate(sound):
        show(explorer, image_index=index)
        assert ("answered" in explorer.input["caption"]) == is_sound and bool(explorer.answers["rows"]) == is_sound
        assert is_sound or explorer.answers["verdict"] == "the network answers NaN or infinity"
        assert json_of(explorer)
    explorer.close()
    exp.close()


def json_of(explorer: Any) -> str:
    state = {
        key: value for key, value in explorer.get_state().items() if key not in ("_esm", "_css", "layout", "tabbable", "tooltip")
    }
    return json.dumps(state, allow_nan=False, default=lambda value: len(bytes(value)))


def test_what_is_sent_is_json_without_nan_in_every_view(explorer: Any) -> None:
    for row in explorer.tree:
        for view in row["views"]:
            if view not in ("top9", "training"):
                show(explorer, layer=row["id"], view=view, scale="tile")
                assert json_of(explorer)


def test_images_without_labels_are_shown_and_cannot_be_chosen_by_label() -> None:
    exp = small_experiment(train=None)
    exp.test = E.Split(exp.test.images)
    explorer = nw.LayerExplorer(exp)
    show(explorer, view="histogram")
    assert [choice["value"] for choice in explorer.options["pick"]] == ["index"]
    assert explorer.input["title"] == "image 0" and "role" not in explorer.answers and explorer.unit["charts"] == {}
    for pick in ("class", "worst"):
        explorer.pick = pick
        assert explorer.wait(60)
        assert "labels" in explorer.error["message"]
    show(explorer, pick="index", view="maps", order="selectivity")
    exp.close()


# --- large layers -----------------------------------------------------------------------------------------------------


def test_a_large_layer_asks_first_and_the_button_shows_it() -> None:
    """48 maps of 256 x 256 are 12.6 MB."""
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 48, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 3)).eval()
    split = E.Split(torch.rand(6, 1, 256, 256), torch.arange(6) % 3)
    exp = E.Experiment(net, test=split)
    explorer = nw.LayerExplorer(exp)
    show(explorer)
    assert "1" not in {str(site) for site in explorer._work.inspection.known(explorer._work.picture(explorer._wish(0))[0]).maps}
    for view in ("maps", "deconvnet"):
        panel = show(explorer, layer="1", view=view)
        assert panel["ask"] == {"text": "This layer gives 12.6 MB for one image.", "label": "Show 12.6 MB"}
        assert panel["raster"] is None and explorer.unit is None
    assert show(explorer, view="filters")["ask"] is None, "weights are there already"
    assert show(explorer, view="maps")["ask"] is not None
    assert explorer.figure() is not None
    click(explorer, "show")
    panel = show(explorer)
    assert panel["ask"] is None and panel["raster"]["count"] == 48 and explorer.unit["map"]["height"] == 256
    assert show(explorer, image_index=2)["ask"] is None, "it was allowed once and for all"
    explorer.close()
    exp.close()


# --- several widgets --------------------------------------------------------------------------------------------------


def test_two_explorers_and_a_lab_on_one_experiment() -> None:
    exp = small_experiment()
    first, second, lab = nw.LayerExplorer(exp), nw.LayerExplorer(exp, layer="conv2"), nw.CompressionLab(exp)
    show(first, compare=True)
    show(second, layer="(relu)", compare=True, image_index=2)
    for amount in (0.3, 0.9):
        lab.sparsity = amount
        show(first), show(second)
        assert exp.recipe == E.Recipe(E.Pruning(amount))
        assert stands_for(first.panel["other"], maps_of(first, "conv1", 0, exp.compressed))
        assert stands_for(second.panel["other"], maps_of(second, "(relu)", 2, exp.compressed))
    with torch.no_grad():
        exp.model.conv1.weight.mul_(2)
    lab.sparsity = 0.5
    show(first), show(second)
    for explorer, layer, index in ((first, "conv1", 0), (second, "(relu)", 2)):
        assert stands_for(explorer.panel["raster"], maps_of(explorer, layer, index))
    first.close()
    lab.close()
    assert stands_for(show(second, layer="fc")["raster"], maps_of(second, "fc", 2)), "the others go on"
    second.close()
    exp.close()


# --- the end ----------------------------------------------------------------------------------------------------------


def test_row_14_running_a_cell_again_closes_what_its_last_run_made(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ["run 1"]
    monkeypatch.setattr(_cells, "_made", {})
    monkeypatch.setattr(_cells, "current_run", lambda: ("cell", run[0]))
    exp = small_experiment()
    first = nw.LayerExplorer(exp)
    show(first)
    own = weakref.ref(first._work.inspection.network)
    run[0] = "run 2"
    second = nw.LayerExplorer(small_experiment())
    assert first.comm is None and second.comm is not None and not exp.has_subscribers
    show(second)
    first.close()
    second.close()
    second.experiment.close()
    exp.close()
    del first
    gc.collect()
    assert own() is None


def test_row_48_close_leaves_no_widget_thread_hook_or_memory() -> None:
    before = set(threading.enumerate())
    exp = small_experiment()
    explorer = nw.LayerExplorer(exp)
    for view in ("filters", "deconvnet", "histogram", "maps"):
        show(explorer, view=view, compare=True)
    explorer.look_at(np.zeros((20, 20), np.uint8))
    show(explorer, layer="(add)")
    inspection = explorer._work.inspection
    gone = [weakref.ref(each) for each in (explorer, explorer._work, inspection, inspection.network, inspection.compressed())]
    model = exp.model
    explorer.layer = "fc"  # closed in the middle of work
    explorer.close()
    explorer.close()
    assert not exp.has_subscribers and exp.wait(10)
    exp.close()
    del explorer, inspection
    gc.collect()
    assert [reference() for reference in gone] == [None] * len(gone)
    assert hooks_of(model) == 0 and set(threading.enumerate()) <= before


@pytest.mark.slow
def test_a_thousand_moves_keep_no_memory() -> None:
    """At most 64 KiB more after them than before, no thread, hook or widget."""
    exp = small_experiment()
    explorer = nw.LayerExplorer(exp)
    layers = [row["id"] for row in explorer.tree]

    def moves(count: int) -> None:
        for move in range(count):
            view = ("maps", "filters", "deconvnet")[move % 3]
            from_front(explorer, layer=layers[move % 7], image_index=move % 7, channel=move % 5, view=view)
            if move % 4 == 0:
                assert explorer.wait(60)
        from_front(explorer, layer="conv1", image_index=0, channel=0, view="maps")
        show(explorer)
        gc.collect()

    tracemalloc.start()
    moves(300)
    before = tracemalloc.get_traced_memory()[0], threading.active_count(), len(ipywidgets.widgets.widget._instances)
    moves(1000)
    kept = tracemalloc.get_traced_memory()[0] - before[0]
    tracemalloc.stop()
    assert kept <= 64 * 1024
    assert threading.active_count() <= before[1] and len(ipywidgets.widgets.widget._instances) == before[2]
    assert hooks_of(exp.model) == hooks_of(explorer._work.inspection.network) == 0
    explorer.close()
    exp.close()


def test_a_closed_explorer_takes_no_more_work() -> None:
    exp = small_experiment()
    explorer = nw.LayerExplorer(exp)
    show(explorer)
    seq = explorer.seq
    explorer.close()
    explorer.layer = "fc"
    explorer.show()
    assert exp.wait(10) and explorer.seq == seq
    exp.close()


def open_widgets() -> int:
    """Widgets that ipywidgets keeps; not counted are layouts, which it keeps of every widget that was closed."""
    return sum(not isinstance(each, ipywidgets.Layout) for each in ipywidgets.widgets.widget._instances.values())


def test_it_is_born_closed_and_collected_again_and_again() -> None:
    """20 explorers on one experiment leave as many widgets as before."""
    exp = small_experiment()
    before = open_widgets()
    references = []
    for _ in range(20):
        explorer = nw.LayerExplorer(exp)
        references.append(weakref.ref(explorer))
        explorer.close()
    del explorer
    assert exp.wait(30)
    gc.collect()
    assert all(reference() is None for reference in references) and not exp.has_subscribers
    assert open_widgets() == before
    exp.close()


def test_the_figure_button_sends_a_file(explorer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, Any]] = []
    monkeypatch.setattr(explorer, "send", lambda content, buffers=None: sent.append((content, buffers)))
    click(explorer, "figure", format="svg")
    assert explorer.wait(60)
    assert sent[0][0] == {"kind": "file", "name": "layer_explorer.svg", "mime": "image/svg+xml"}
    assert sent[0][1][0].startswith(b"<?xml")
    click(explorer, "figure", format="exe")
    assert "figure format: got 'exe', expected one of svg, png, pdf" in explorer.error["message"]


def test_the_input_is_drawn_as_a_person_sees_it(explorer: Any) -> None:
    """Floats without mean and deviation from their smallest to their largest."""
    pixels = pixels_of(explorer.input["raster"])[0].astype(float)
    image = explorer.experiment.val.images[0, 0]
    wanted = 255 * (image - image.min()) / (image.max() - image.min())
    assert np.abs(pixels - wanted.numpy()).max() <= 0.51
