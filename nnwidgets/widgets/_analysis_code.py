"""The Python that gives what the error analysis shows."""

from __future__ import annotations

from nnwidgets.engine.diagnosis._analysis import Analysis
from nnwidgets.engine.experiment import Experiment

__all__ = ["code_of"]


def code_of(experiment: Experiment, analysis: Analysis) -> str:
    """Lines of Python without a widget: the diagnosis, and the attempts that led to what is shown."""
    lines = ["import nnwidgets as nw", "from nnwidgets import engine as E", ""]
    if experiment.example is not None:
        lines.append(f"exp = nw.load_example({experiment.example!r})")
        lines.append(f"exp.goal = {round(experiment.goal, 6)!r}")
    else:
        lines.append(f"exp = nw.Experiment(model, train=train, test=test, goal={round(experiment.goal, 6)!r})")
    way: list[str] = []
    by_id = {trial.id: trial for trial in analysis.trials}
    at = by_id.get(analysis.present)
    while at is not None and at.id != 0:
        way.append(f"trial = E.try_remedy(exp, {at.remedy!r}, seeds={max(2, len(at.after))})  # {at.change}: {at.verdict}")
        way.append("exp = trial.experiment")
        at = by_id.get(at.parent)
    pairs = [way[i : i + 2] for i in range(0, len(way), 2)]
    lines += [line for pair in reversed(pairs) for line in pair]
    lines.append("print(E.diagnose(exp, budget_s=60))")
    return "\n".join(lines) + "\n"
