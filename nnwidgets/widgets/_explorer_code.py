"""The Python that gives what the layer explorer shows."""

from __future__ import annotations

from torch.nn.modules.conv import _ConvNd

from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.experiment.inspection import MOST_IMAGES
from nnwidgets.engine.inspect import Row
from nnwidgets.widgets._code import steps_code
from nnwidgets.widgets._explorer_work import ExplorerWork, Wish, place_in

__all__ = ["code_of"]


def code_of(experiment: Experiment, wish: Wish, work: ExplorerWork) -> str:
    """Lines of Python without a widget, for the present view, layer and image."""
    lines = ["import nnwidgets as nw", "from nnwidgets import engine as E", ""]
    if experiment.example is not None:
        lines.append(f"exp = nw.load_example({experiment.example!r})")
    else:
        lines.append(f"exp = nw.Experiment(model, train=train, test=test, goal={experiment.goal!r})")
    row = work.inspection.structure.find(wish.layer)
    if wish.compare and wish.view in ("maps", "filters"):
        lines += steps_code(experiment, experiment.state)
    if wish.view in ("maps", "attention", "deconvnet"):
        lines.append(_image(wish, work))
    if wish.view == "training":
        lines.insert(0, "import copy")
    return "\n".join([*lines, *_shown(experiment, wish, row, work)]) + "\n"


def _image(wish: Wish, work: ExplorerWork) -> str:
    if work.own is not None:
        return "images = ...  # your image, (1, *exp.input_shape) as the network takes it"
    picture, _, _ = work.picture(wish)
    return f"images = exp.{wish.sample}.inputs([{picture.index}])"


def _shown(experiment: Experiment, wish: Wish, row: Row, work: ExplorerWork) -> list[str]:
    layer, call = repr(row.name), f", call={row.call}" if row.call else ""
    networks = ("model", "compressed") if wish.compare else ("model",)
    if wish.view == "maps":
        return [f"E.feature_maps(exp.{network}, images, {layer}{call})[0]  # (C, H, W)" for network in networks]
    if wish.view == "filters":
        part = _part(wish, row, work)
        return [f"E.filters(exp.{network}, {layer}, exp.input_shape){part}" for network in networks]
    if wish.view == "histogram":
        return _statistics(experiment, wish, row)
    channel, place = _unit(wish, row, work)
    return {
        "attention": [f"E.attention_maps(exp.model, images, {layer}{call})[0]  # (heads, queries, keys)"],
        "deconvnet": [f"E.deconvnet(exp.model, images, {layer}, {channel}{place}{call}).pixels[0]"],
        "top9": [f"E.top_activations(exp.model, exp.{wish.sample}, {layer}{call}).images[{channel}]"],
        "training": ["for record in E.fit(copy.deepcopy(exp.model), exp.train, setup=E.TrainingSetup(epochs=1)): ..."],
    }[wish.view]


def _part(wish: Wish, row: Row, work: ExplorerWork) -> str:
    """What is shown of the filters: all of them, one slice, or their mean over the input channels."""
    module = work.inspection.network.get_submodule(row.name) if row.filters else None
    slices = module.in_channels // module.groups if isinstance(module, _ConvNd) else 1
    if slices in (1, 3):
        return ".tiles"
    return f".tile({wish.input_channel})" if 0 <= wish.input_channel < slices else ".mean()"


def _statistics(experiment: Experiment, wish: Wish, row: Row) -> list[str]:
    count = len(getattr(experiment, wish.sample))
    lines, few = [], f"exp.{wish.sample}"
    if count > MOST_IMAGES:
        lines = [
            "import torch",
            "",
            "draw = torch.Generator().manual_seed(0)",
            f"few = exp.{wish.sample}.take(torch.randperm({count}, generator=draw)[:{MOST_IMAGES}].sort().values)",
        ]
        few = "few"
    if row.call == 0:
        return [*lines, f"E.statistics(exp.model, {few}, {row.name!r}).units[0]"]
    return [*lines, f"E.statistics(exp.model, {few}).of({row.name!r}, {row.call})"]


def _unit(wish: Wish, row: Row, work: ExplorerWork) -> tuple[int, str]:
    """The channel, and the place as an argument, as far as the layer has them."""
    count = work.inspection.channels_of(row)
    channel = wish.channel if count is None else min(wish.channel, count - 1)
    forward = work.inspection.known(work.picture(wish)[0], row.site)
    maps = None if forward is None else forward.maps.get(row.site)
    place = None if maps is None else place_in(wish.position, maps.values[0, channel])
    return channel, "" if place is None else f", position={place}"
