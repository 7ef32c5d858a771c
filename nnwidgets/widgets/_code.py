"""The Python that reproduces what is on the screen."""

from __future__ import annotations

from typing import Any

from nnwidgets.engine.compression.knowledge import needs_pass
from nnwidgets.engine.experiment import Experiment, State
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.values.schedule import Schedule
from nnwidgets.engine.values.setup import TrainingSetup

__all__ = ["code_for", "recipe_code", "steps_code"]

_LONG = {"masks": "pruning", "scales": "quantization"}
"""Settings that are a number for each weight or channel: taken from the state that training led to."""


def code_for(experiment: Experiment, state: State) -> str:
    """Lines of Python that lead from the dense network to ``state``, training runs included."""
    lines = ["import nnwidgets as nw", "from nnwidgets import engine as E", ""]
    if experiment.example is not None:
        lines.append(f"exp = nw.load_example({experiment.example!r})")
    else:
        lines.append(f"exp = nw.Experiment(model, train=train, test=test, goal={experiment.goal!r})")
    lines += steps_code(experiment, state)
    lines.append("exp.compressed  # masks and rounding, simulated, in a copy")
    lines.append(_cost_code(experiment, state))
    return "\n".join(lines) + "\n"


def _cost_code(experiment: Experiment, state: State) -> str:
    pruning = state.recipe.pruning
    if state.weights_key is not None or (pruning is not None and pruning.allocation == "sensitivity"):
        return "exp.recipe"
    asked = ""
    if needs_pass(pruning):
        asked = f", calibration=exp.{'val' if experiment.train is None else 'train'}"
        asked += "" if experiment.loss is None else ", loss=exp.loss"
    return f"E.cost(exp.model, exp.input_shape, exp.recipe{asked})"


def steps_code(experiment: Experiment, state: State) -> list[str]:
    """Lines that lead ``exp`` from the dense network to ``state``."""
    lines: list[str] = []
    if state.attempt is not None:
        made = state.attempt
        before = next((s for s in experiment.history if s.weights_key == made.weights_key and s.recipe == made.recipe), None)
        start = before or State(made.recipe, made.weights_key)
        lines += steps_code(experiment, start) if start != state else []
        setup = "" if made.setup is None else _call("E.TrainingSetup", made.setup, TrainingSetup())
        if made.kind == "recalibrate":
            lines.append(f"exp.recalibrate({made.images})")
        elif made.kind == "untrained":
            lines.append(f"exp.start_untrained({made.setup.seed if made.setup else 0})")
        elif made.schedule is None:
            lines.append(f"exp.fine_tune({setup})")
        else:
            schedule = _call("E.Schedule", made.schedule, Schedule(), always=("kind",))
            some = f", rounds={made.round}" if made.round < made.schedule.phases else ""
            lines.append(f"exp.prune({schedule}, {setup}{some})")
        if state.recipe == made.result:
            return lines
    lines.append(f"exp.apply({recipe_code(state.recipe)})")
    return lines


def recipe_code(recipe: Recipe) -> str:
    """A recipe as an expression, defaults left out."""
    parts = []
    if recipe.pruning is not None:
        parts.append("pruning=" + _call("E.Pruning", recipe.pruning, Pruning(0.5), always=("amount",)))
    if recipe.quantization is not None:
        parts.append("quantization=" + _call("E.Quantization", recipe.quantization, Quantization()))
    return f"E.Recipe({', '.join(parts)})"


def _call(name: str, value: Any, default: Any, always: tuple[str, ...] = ()) -> str:
    arguments = []
    for field in value.__dataclass_fields__:
        given = getattr(value, field)
        if field in _LONG and given:
            arguments.append(f"{field}=exp.recipe.{_LONG[field]}.{field}")
        elif field in always or given != getattr(default, field):
            arguments.append(f"{field}={_literal(given)}")
    return f"{name}({', '.join(arguments)})"


def _literal(value: Any) -> str:
    if hasattr(value, "items"):
        return repr(dict(value.items()))
    return repr(getattr(value, "value", value))
