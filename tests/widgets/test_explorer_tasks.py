"""Background work of the layer explorer: what belongs to which sample, what is cancelled, what is said about it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from explorer_wire import show, small_experiment
from front import click

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment import inspection


@pytest.fixture
def explorer() -> Iterator[Any]:
    exp = small_experiment()
    made = nw.LayerExplorer(exp)
    show(made)
    yield made
    made.close()
    exp.close()


def test_figures_are_those_of_the_chosen_sample(explorer: Any) -> None:
    exp = explorer.experiment
    means = {name: E.statistics(exp.model, getattr(exp, name), "conv2").units[0] for name in ("val", "test")}
    show(explorer, layer="conv2", view="histogram")
    assert explorer.panel["channels"] == 6
    told = {}
    for name in ("val", "test", "val"):
        show(explorer, sample=name)
        show(explorer)  # measured in the background, and then shown
        figures = explorer.unit["figures"]
        told[name] = explorer._work.inspection.statistics_of(explorer._work.inspection.structure.find("conv2").site, name)
        assert told[name].mean.tolist() == pytest.approx(means[name].mean.tolist(), rel=1e-9), "it is what the engine finds"
        assert figures["selectivity"]["raw"] == pytest.approx(float(means[name].selectivity[0]), rel=1e-6)
    assert told["val"].mean.tolist() != told["test"].mean.tolist()


def test_strongest_images_are_those_of_the_chosen_sample(explorer: Any) -> None:
    exp = explorer.experiment
    for name in ("val", "test"):
        panel = show(explorer, layer="conv2", view="top9", sample=name)
        panel = show(explorer)
        best = E.top_activations(exp.model, getattr(exp, name), "conv2", channel=0)
        found = [int(each["text"].split("image ")[1].split(",")[0]) for each in panel["tiles"]]
        assert found == best.images[0][best.images[0] >= 0].tolist()[: len(found)] and found
        assert f"S_{name}" in panel["caption"]


class Held:
    """Steps that wait until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.begun, self.go, real = threading.Event(), threading.Event(), getattr(inspection, name)

        def steps(*given: Any, **named: Any) -> Any:
            self.begun.set()
            while not self.go.wait(0.002):
                yield inspection.Progress(0.5, "half") if name == "top_steps" else E.inspect.StatisticsStep(0.5, "half", list)
            return (yield from real(*given, **named))

        monkeypatch.setattr(inspection, name, steps)


@pytest.mark.parametrize(
    ("view", "steps", "button", "words"),
    [
        ("histogram", "statistics_steps", "measure", "not measured over S_val"),
        ("top9", "top_steps", "find_top", "not looked for in S_val"),
    ],
)
def test_after_cancel_the_panel_says_so_and_the_button_begins_again(
    explorer: Any, monkeypatch: pytest.MonkeyPatch, view: str, steps: str, button: str, words: str
) -> None:
    held = Held(monkeypatch, steps)
    explorer.view = view
    assert held.begun.wait(30)
    click(explorer, "cancel")
    panel = show(explorer)
    assert words in panel["empty"] and not panel["busy"]
    assert explorer.last_task == {"text": "cancelled: nothing was kept", "role": "muted"}
    panel = show(explorer, channel=1)
    assert words in panel["empty"], "it is not begun again by itself"
    held.begun.clear()
    click(explorer, button)
    assert held.begun.wait(30)
    for _ in range(2000):
        if explorer.panel["busy"]:
            break
        threading.Event().wait(0.01)
    assert explorer.panel["busy"] and not explorer.panel["empty"], "while it runs the panel says that it does"
    held.go.set()
    panel = show(explorer)
    assert not panel["empty"] and not panel["busy"] and (panel["charts"] or panel["columns"])


def test_after_a_failure_the_panel_does_not_go_on_measuring(explorer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any, **named: Any) -> Any:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(inspection, "statistics_steps", broken)
    explorer.view = "histogram"
    assert explorer.wait(60)
    assert "not measured" in explorer.panel["empty"] and not explorer.panel["busy"]
    assert explorer.error["title"].startswith("Measuring outputs failed") and explorer.status == "error"


def test_what_ended_well_is_said_until_something_else_is_looked_at(explorer: Any) -> None:
    show(explorer, view="histogram")
    show(explorer)
    assert explorer.last_task["role"] == "good"
    show(explorer, layer="conv2")
    assert explorer.last_task is None


def test_other_images_than_those_that_were_measured_change_the_tree() -> None:
    """Dead on one sample, alive on the other."""
    exp = small_experiment()
    explorer = nw.LayerExplorer(exp)
    show(explorer, view="histogram")
    show(explorer)
    assert all(row["dead_text"] or row["dead"] is None for row in explorer.tree) and explorer.tree[0]["dead"] is not None
    show(explorer, view="maps", sample="test")
    assert explorer.tree[0]["dead"] is None, "not measured there yet"
    explorer.close()
    exp.close()


def test_the_image_card_is_told_only_when_it_says_something_new(explorer: Any) -> None:
    told: list[str] = []
    explorer.observe(lambda change: told.append(change["new"]["title"]), "input")
    for name, value in (("scale", "tile"), ("layer", "conv2"), ("channel", 2), ("scale", "layer")):
        show(explorer, **{name: value})
    assert told == []
    show(explorer, image_index=2)
    assert told and set(told) == {explorer.input["title"]} and "answered" in explorer.input["caption"]
