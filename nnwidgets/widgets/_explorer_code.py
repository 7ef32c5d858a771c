"""The Python that gives what the layer explorer shows."""

from __future__ import annotations

from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.inspect import Row
from nnwidgets.widgets._explorer_work import ExplorerWork, Wish

__all__ = ["code_of"]


def code_of(experiment: Experiment, wish: Wish, work: ExplorerWork) -> str:
    """Lines of Python without a widget, for the present view, layer and image."""
    lines = ["import nnwidgets as nw", "from nnwidgets import engine as E", ""]
    if experiment.example is not None:
        lines.append(f"exp = nw.load_example({experiment.example!r})")
    else:
        lines.append(f"exp = nw.Experiment(model, train=train, test=test, goal={experiment.goal!r})")
    row = work.inspection.structure.find(wish.layer)
    if work.own is None:
        picture, _, _ = work.picture(wish)
        lines.append(f"images = exp.{wish.sample}.inputs([{picture.index}])")
    else:
        lines.append("images = ...  # your image, (1, *exp.input_shape) as the network takes it")
    if wish.view == "training":
        lines.insert(0, "import copy")
    return "\n".join([*lines, _shown(wish, row)]) + "\n"


def _shown(wish: Wish, row: Row) -> str:
    call = f", call={row.call}" if row.call else ""
    layer, channel = repr(row.name), wish.channel
    place = f", position=({wish.position})" if wish.position else ""
    return {
        "maps": f"E.feature_maps(exp.model, images, {layer}{call})[0]  # (C, H, W)",
        "filters": f"E.filters(exp.model, {layer}, exp.input_shape).tiles",
        "attention": f"E.attention_maps(exp.model, images, {layer}{call})[0]  # (heads, queries, keys)",
        "histogram": f"E.statistics(exp.model, exp.{wish.sample}, {layer}).units[0]",
        "deconvnet": f"E.deconvnet(exp.model, images, {layer}, {channel}{place}{call}).pixels[0]",
        "top9": f"E.top_activations(exp.model, exp.{wish.sample}, {layer}{call}).images[{channel}]",
        "training": "for record in E.fit(copy.deepcopy(exp.model), exp.train, setup=E.TrainingSetup(epochs=1)): ...",
    }[wish.view]
