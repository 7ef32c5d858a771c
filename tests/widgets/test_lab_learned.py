"""Steps that are learned (LSQ) in the lab, without a browser: chosen, trained, kept, dropped, undone, told; losses drawn live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from front import click, moved
from small_data import dense, lab_on_vectors

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.widgets._lab_controls import CONTROLS, fitted


@pytest.fixture
def lab() -> Iterator[Any]:
    made = lab_on_vectors(dense(12, 24, 3), 6)
    yield made
    made.close()
    made.experiment.close()


def scales(lab: Any) -> Any:
    return lab.experiment.recipe.quantization.scales


def trained(lab: Any, **controls: Any) -> None:
    moved(lab, weight_bits=3, observer="learned", learning_rate=0.01, **controls)
    assert lab.error is None and scales(lab) is None
    click(lab, "fine_tune")
    assert lab.wait(120) and lab.error is None and scales(lab) is not None


@pytest.mark.parametrize("pruned", [{}, {"sparsity": 0.5}])
def test_fine_tune_learns_them_and_the_figures_are_those_of_the_trained_network(lab: Any, pruned: dict[str, Any]) -> None:
    """Before, the state stands where training begins, and says so."""
    moved(lab, weight_bits=3, observer="learned", **pruned)
    exp = lab.experiment
    start = E.evaluate(E.compress(exp.model, exp.recipe), exp.test)
    assert lab.accuracy == start.accuracy and "3 bit steps not learned yet" in repr(lab._shown["charts"]["pareto"])
    trained(lab)
    assert lab.accuracy == E.evaluate(E.bake(exp.compressed), exp.test).accuracy
    assert "3 bit steps learned" in repr(lab._shown["charts"]["pareto"]) and lab.observer == "learned"
    assert {name: len(steps) for name, steps in scales(lab).items()} == {"0": 24, "2": 3}


def test_they_stay_until_something_moves_that_they_were_found_for(lab: Any) -> None:
    """Undo brings them back; what was applied is what the controls say."""
    trained(lab)
    found = scales(lab)
    moved(lab, sparsity=0.3, gesture=1)
    assert scales(lab) == found and lab.experiment.recipe.pruning is not None
    moved(lab, activation_bits=8, gesture=2)
    assert scales(lab) == found
    for number, (name, value) in enumerate({"weight_bits": 4, "granularity": "tensor", "observer": "mse"}.items(), 3):
        before = lab.experiment.state
        moved(lab, **{name: value, "gesture": number})
        assert scales(lab) is None and getattr(lab, name) == value and lab.error is None
        click(lab, "undo")
        assert lab.wait(60) and lab.experiment.state == before and scales(lab) == found


def test_levels_that_do_not_go_with_them_bring_min_max_back(lab: Any) -> None:
    """And they bring levels that go with them; nothing is refused."""
    moved(lab, weight_bits=4, symmetric=False, power_of_two=True)
    moved(lab, observer="learned")
    assert (lab.symmetric, lab.power_of_two, lab.method) == (True, False, "affine")
    for name, value in {"symmetric": False, "power_of_two": True, "method": "ternary"}.items():
        moved(lab, observer="learned")
        moved(lab, **{name: value})
        assert lab.observer == "minmax" and getattr(lab, name) == value and lab.error is None
    now = {name: getattr(lab, name) for name in CONTROLS}
    assert fitted(now, "weight_bits") == {}
    assert fitted({**now, "observer": "learned"}, "observer") == {"method": "affine"}


def test_the_code_is_short_and_gives_the_same_weights(lab: Any) -> None:
    """Learned steps are taken from the state that training led to."""
    trained(lab)
    assert "scales" not in lab.code and "exp.fine_tune(" in lab.code
    moved(lab, sparsity=0.2)
    assert "scales=exp.recipe.quantization.scales" in lab.code and len(lab.code) < 1000
    exp = lab.experiment
    again = E.Experiment(exp.model, train=exp.train, test=exp.test, val=exp.val, goal=exp.goal)
    lines = [line for line in lab.code.splitlines() if line.startswith("exp.") and not line.startswith("exp.compressed")]
    exec("\n".join(lines), {"exp": again, "E": E})
    assert again.state.recipe == exp.recipe and again.state.weights_key == exp.state.weights_key
    again.close()


def test_rounding_step_by_step_tells_the_learned_step(lab: Any) -> None:
    """A row of its own while it is chosen; at one bit the step is not the mean size."""
    trained(lab)
    moved(lab, rounding_open=True)
    row = lab.rounding_view["rows"][-1]
    report = lab.experiment.bench(lab.experiment.state.weights_key).plan.rounding(lab.experiment.recipe, "0")
    assert (row["value"], row["now"], row["sqnr"]) == ("learned", True, f"{report.sqnr_db:.1f} dB")
    assert [each["now"] for each in lab.rounding_view["rows"]] == [False] * 4 + [True]
    moved(lab, weight_bits=1)
    assert not any("mean" in line for line in lab.rounding_view["steps"])
    moved(lab, observer="minmax")
    assert [each["value"] for each in lab.rounding_view["rows"]] == ["minmax", "percentile", "mse", "kl"]


def losses(lab: Any, command: str) -> list[Any]:
    """The loss charts of a task, as they were published."""
    seen: list[Any] = []
    lab.observe(lambda change: change["new"] and seen.append(change["new"].get("chart")), "task")
    click(lab, command)
    assert lab.wait(120) and lab.error is None
    return seen


@pytest.mark.parametrize("command", ["fine_tune", "bits_run"])
def test_losses_are_drawn_from_the_first_moment_on(lab: Any, command: str) -> None:
    """The chart is there before the first step and never goes away while the task runs, so that nothing on the page moves."""
    lab.bits_epochs, lab.epochs, lab.weight_bits, lab.observer = 3, 12, 2, "learned"
    assert lab.wait(60)
    seen = losses(lab, command)
    assert len(seen) > 1 and all(chart is not None for chart in seen)
    assert len({(chart["width"], chart["height"]) for chart in seen}) == 1
    lengths = [len(chart["series"][0]["x"]) for chart in seen]
    assert lengths[0] == 0 and max(lengths) > 1 and all(now > 0 for now in lengths[lengths.index(max(lengths)) :])
