"""What the lab offers to remove, by what, and how it is spread: without a browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from front import click, from_front

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.pruning.criteria import CRITERIA

pytestmark = pytest.mark.slow
LOOKING = [name for name, facts in CRITERIA.items() if facts.needs != "weights" and name != "movement"]


def made(experiment: E.Experiment) -> Any:
    lab = nw.CompressionLab(experiment)
    assert lab.wait(60)
    return lab


@pytest.fixture
def lab() -> Iterator[Any]:
    found = made(nw.load_example("digits/lenet5"))
    yield found
    found.close()
    found.experiment.close()


def choices(lab: Any, control: str) -> dict[Any, str]:
    """Value -> why it cannot be chosen, "" where it can."""
    return {each["value"]: each.get("disabled", "") for each in lab.options[control]}


def until(ready: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.002)


def test_what_the_network_lacks_is_offered_with_the_reason(lab: Any) -> None:
    """LeNet-5 has filters and neurons, no attention and no batch-norm."""
    structures = choices(lab, "structure")
    assert not structures["filter"] and not structures["neuron"] and not structures["2:4"] and not structures["kernel"]
    assert structures["head"] == "this network has no layer with it"
    criteria = choices(lab, "criterion")
    assert set(criteria) == set(CRITERIA) and "judges whole units" in criteria["activation"] and not criteria["taylor"]
    assert all(not why for why in choices(lab, "allocation").values())
    lab.structure = "filter"
    assert not choices(lab, "criterion")["activation"]
    assert "rule for single weights" in choices(lab, "allocation")["erk"]


def test_layers_tell_what_can_go_and_what_goes_with_it(lab: Any) -> None:
    """As the engine says."""
    layers = {layer["name"]: layer for layer in lab.layers}
    assert {"weight", "kernel", "filter"} <= set(layers["conv2"]["prunable_as"]) and "filter" not in layers["fc1"]["prunable_as"]
    assert "neuron" in layers["fc1"]["prunable_as"] and "2:4" not in layers["conv1"]["prunable_as"]
    assert layers["conv2"]["coupled"] == [{"what": "read by", "names": ["fc1"], "why": ["reads them"]}]
    assert layers["fc2"]["refused"] == "They are the network's answer." and not layers["conv2"]["refused"]


def test_layers_that_are_coupled_are_marked_together() -> None:
    """In the chart of layers, and in the words over each bar; only where units go."""
    lab = made(nw.load_example("digits/resnet20"))
    lab.selected_layer = "layer1.0.conv2"
    assert lab.wait(60)
    bars = lab._shown["charts"]["layers"]["series"][1]
    assert bars["roles"].count("alt") == 1
    lab.structure, lab.sparsity = "filter", 0.1
    assert lab.wait(120)
    series = lab._shown["charts"]["layers"]["series"]
    names = [name for name, role in zip(series[0]["ids"], series[1]["roles"], strict=True) if role == "alt"]
    assert names == list(lab.experiment.bench(None).plan.groups.of("layer1.0.conv2")[0].producers) and len(names) > 3
    title = series[0]["titles"][series[0]["ids"].index("layer1.0.conv2")]
    assert "loses the same units as conv1, layer1.1.conv2" in title
    lab.close()
    lab.experiment.close()


@pytest.mark.parametrize("criterion", LOOKING)
def test_a_criterion_looks_once_and_its_figures_are_the_engines(lab: Any, criterion: str) -> None:
    """On S_train; a move of the slider afterwards does not look again."""
    seen: list[Any] = []
    lab.observe(lambda change: seen.append(change["new"]), "scoring")
    lab.structure, lab.criterion, lab.sparsity = "filter", criterion, 0.05
    assert lab.wait(120) and lab.error is None and lab.scoring is None
    exp = lab.experiment
    recipe = E.Recipe(E.Pruning(0.05, "filter", criterion))
    assert exp.recipe == recipe
    assert exp.live.cost == E.cost(exp.model, exp.input_shape, recipe, calibration=exp.train)
    assert seen and all(told["text"] == f"{CRITERIA[criterion].label} looks at images" for told in seen if told)
    assert seen[-1] is None and any(told["can_cancel"] for told in seen if told)
    seen.clear()
    lab.sparsity = 0.1
    assert lab.wait(60) and exp.recipe.pruning is not None and exp.recipe.pruning.amount == 0.1 and not seen


def test_looking_can_be_cancelled_and_goes_on_where_it_was(lab: Any) -> None:
    """The controls go back to what is applied, nothing else has changed; the second time it takes up what it saw."""
    exp = lab.experiment
    lab.sparsity = 0.3
    assert lab.wait(60)
    before, position = exp.recipe, exp.position
    from_front(lab, criterion="movement", gesture=7)
    until(lambda: lab.scoring is not None and lab.scoring["progress"] > 0.05)
    assert lab.status == "running" and exp.recipe == before
    reached = lab.scoring["progress"]
    click(lab, "cancel_scoring")
    assert lab.wait(60)
    assert lab.criterion == "magnitude" and exp.recipe == before and exp.position == position
    assert lab.scoring is None and lab.status == "idle" and lab.error is None
    seen: list[Any] = []
    lab.observe(lambda change: seen.append(change["new"]), "scoring")
    from_front(lab, criterion="movement", gesture=8)
    assert lab.wait(120)
    assert next(told for told in seen if told)["progress"] >= reached
    assert exp.recipe.pruning is not None and exp.recipe.pruning.criterion == "movement"


def test_a_new_structure_takes_the_other_controls_along(lab: Any) -> None:
    """A pattern has one share; what does not go together falls back to what always does."""
    lab.structure = "2:4"
    assert lab.wait(60) and lab.sparsity == 0.5 and lab.error is None
    assert lab.experiment.recipe == E.Recipe(E.Pruning(0.5, "2:4"))
    lab.allocation = {"fc1": 0.5, "fc2": 0.0}
    assert lab.wait(60) and lab.error is None
    lab.structure = "filter"
    assert lab.wait(60) and lab.allocation == "global" and lab.error is None
    lab.sparsity, lab.criterion = 0.1, "activation"
    assert lab.wait(120) and lab.error is None
    lab.structure = "weight"
    assert lab.wait(60) and lab.criterion == "magnitude" and lab.error is None
    lab.allocation = "erk"
    assert lab.wait(60) and lab.error is None
    lab.structure = "neuron"
    assert lab.wait(60) and lab.allocation == "global" and lab.error is None
    assert lab.experiment.recipe == E.Recipe(E.Pruning(0.1, "neuron"))


def test_what_is_applied_from_code_is_not_settled_anew(lab: Any) -> None:
    """A pattern for one layer alone has no place in the menus, and stays as it was applied; so after undo and redo."""
    recipe = E.Recipe(E.Pruning(0.0, "2:4", allocation={"fc1": 0.5}))
    lab.experiment.apply(recipe)
    assert lab.wait(60) and lab.experiment.recipe == recipe and lab.structure == "2:4" and lab.allocation == {"fc1": 0.5}
    for move in ("undo", "redo"):
        click(lab, move)
        assert lab.wait(60)
    assert lab.experiment.recipe == recipe and len(lab.experiment.history) == 2


def test_any_pattern_can_be_set_from_code_and_nonsense_cannot(lab: Any) -> None:
    """The menu gets a line for it; a front end cannot send what is no structure."""
    lab.experiment.apply(E.Recipe(E.Pruning(0.4, "3:5")))
    assert lab.wait(60) and lab.structure == "3:5" and "3:5" in choices(lab, "structure")
    from_front(lab, structure="5:3")
    from_front(lab, structure="<b>")
    assert lab.structure == "3:5"


def test_weights_that_make_up_for_others_are_drawn_as_they_are(lab: Any) -> None:
    """None falls out of the histogram, however far it has grown."""
    lab.selected_layer, lab.criterion, lab.sparsity = "conv2", "obs", 0.9
    assert lab.wait(120) and lab.error is None
    exp = lab.experiment
    weight = exp.compressed.get_submodule("conv2").weight.detach()
    removed, kept = (lab._shown["charts"]["histogram"]["series"][i] for i in (0, 1))
    assert sum(kept["y1"]) == int((weight != 0).sum()) and sum(removed["y1"]) == weight.numel()
    assert kept["x1"][-1] >= float(weight.abs().max()) > float(exp.model.get_submodule("conv2").weight.detach().abs().max())


def test_shares_by_sensitivity_scan_the_layers_first(lab: Any) -> None:
    """On S_val, with progress, once; all together lose the share that the slider says."""
    seen: list[Any] = []
    lab.observe(lambda change: seen.append(change["new"]), "scoring")
    lab.sparsity, lab.allocation = 0.8, "sensitivity"
    assert lab.wait(180) and lab.error is None
    assert any("pruned alone" in told["text"] for told in seen if told) and seen[-1] is None
    exp = lab.experiment
    now = exp.live.cost
    assert now is not None
    shares = {name: 1 - layer.nonzero / layer.params for name, layer in now.layers.items()}
    total = sum(layer.params for layer in now.layers.values())
    assert sum(share * now.layers[name].params for name, share in shares.items()) == pytest.approx(0.8 * total, abs=3)
    assert max(shares.values()) - min(shares.values()) > 0.1
    seen.clear()
    lab.sparsity = 0.7
    assert lab.wait(60) and not any(seen)


def test_what_has_no_images_to_look_at_says_so() -> None:
    """Nothing is chosen on S_test: of an experiment with nothing else these choices are closed, and refused from code."""
    example = nw.load_example("digits/lenet300")
    lab = made(E.Experiment(example.model, test=example.test))
    assert choices(lab, "criterion")["taylor"] == "it looks at images, and there is no S_train to look at"
    lab.sparsity = 0.5
    assert lab.wait(60)
    lab.criterion = "taylor"
    assert lab.wait(60) and lab.status == "error" and "needs images with labels" in lab.error["message"]
    assert lab.experiment.recipe == E.Recipe(E.Pruning(0.5)) and not lab.experiment.pending
    lab.criterion, lab.allocation = "magnitude", "sensitivity"
    assert lab.wait(60) and lab.status == "error" and "nothing is chosen on S_test" in lab.error["message"]
    lab.allocation = "uniform"
    assert lab.wait(60) and lab.error is None
    lab.close()


def test_latency_before_and_after_stands_beside_the_macs(lab: Any) -> None:
    """Of the state that is shown, and of no other."""
    lab.structure, lab.allocation, lab.sparsity = "filter", "uniform", 0.5
    assert lab.wait(60)
    click(lab, "measure_latency")
    assert lab.wait(60)
    figure = lab._shown["figures"]["latency"]
    assert "than dense" in figure["notes"][0]["text"] and "fewer MACs" in figure["notes"][0]["text"]
    assert figure["notes"][0]["raw"] > 1
    lab.sparsity = 0.6
    assert lab.wait(60)
    assert all("than dense" not in note["text"] for note in lab._shown["figures"]["latency"]["notes"])


@pytest.mark.parametrize("allocation", ["global", "sensitivity"])
def test_the_code_of_a_criterion_reproduces_the_screen(lab: Any, allocation: str) -> None:
    """What it has to look at is looked at again."""
    lab.criterion, lab.allocation, lab.sparsity = "taylor", allocation, 0.9
    assert lab.wait(180) and lab.error is None
    names: dict[str, Any] = {}
    exec(lab.code, names)
    again = names["exp"]
    assert again.recipe == lab.experiment.recipe
    assert E.evaluate(again.compressed, again.test).accuracy == lab.accuracy
    text = lab.experiment.to_json()
    restored = E.Experiment.from_json(text, lab.experiment.model, train=again.train, val=again.val, test=again.test)
    assert restored.recipe == lab.experiment.recipe
    again.close()
    restored.close()
