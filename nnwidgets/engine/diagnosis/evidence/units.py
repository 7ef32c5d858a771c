"""Dead units."""

from __future__ import annotations

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.inspect import statistics_steps, structure
from nnwidgets.engine.values.steps import retold

__all__ = ["Units"]

_IMAGES = 300
_MANY = 8  # units of a layer


class Units(EvidenceTest):
    """A ReLU that answers zero for every image learns no more, and what comes behind it sees nothing."""

    name = "units"
    title = "Dead units"
    causes = ("dead_units",)
    method = "share of channels behind each ReLU that give one constant for every image"
    source = "Glorot, Bordes and Bengio 2011; Lu et al. 2020 (dying ReLU)"
    seconds = 0.3

    def steps(self, ctx: Context) -> Steps:
        split = ctx.splits["train" if "train" in ctx.splits else "test"]
        few = split.take(range(min(_IMAGES, len(split))))
        found = structure(ctx.network, ctx.exp.input_shape, ctx.exp.bench(None).trace)
        rows = [row for row in found.rows if row.maps and "relu" in row.kind.lower()]
        if not rows:
            return {}, "", {}
        layouts = {row.site: row.layout for row in found.rows}
        steps = statistics_steps(ctx.network, few, [row.site for row in rows], own=True, layouts=layouts)
        measured = yield from retold(steps, lambda: None)
        shares = {unit.site.name: float(unit.dead.mean()) for unit in measured.units}
        sizes = {unit.site.name: len(unit.dead) for unit in measured.units}
        worst = max(shares, key=lambda name: shares[name], default="")
        share = shares.get(worst, 0.0)
        if share < 0.5:
            return {"dead_units": -1.0}, "", {"largest share of dead units": share}
        text = f"{100 * share:.0f} % of the units behind {worst} give one constant for every image"
        # What is dead does not move, but for what weight decay does to it.
        sure = min(1.0, sizes[worst] / _MANY)  # of two units one is soon dead: the layer is too narrow, rather
        weights = {"dead_units": (7.0 * share - 1.0) * sure, "learning_rate_high": 1.0}
        weights |= {"learning_rate_low": -5.0, "regularization_too_strong": -4.0}
        return weights, text, {"largest share of dead units": share}
