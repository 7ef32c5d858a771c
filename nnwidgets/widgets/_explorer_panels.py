"""Middle panels of the layer explorer besides maps: filters, Deconvnet, top 9."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnwidgets.engine.experiment.strongest import Strongest, projection_pixels
from nnwidgets.engine.experiment.training_watch import TrainingWatch
from nnwidgets.engine.inspect import (
    Filters,
    Projections,
    Raster,
    Row,
    UnitStatistics,
    colours,
    filters,
    pooled,
    signed,
)
from nnwidgets.figures import text
from nnwidgets.figures.compression_charts import loss_chart
from nnwidgets.figures.inspect_charts import channels_chart, layer_figures, outputs_chart, ratio_chart
from nnwidgets.figures.records import to_wire
from nnwidgets.widgets._explorer_view import number, panel, raster_record, tile_side

__all__ = ["deconvnet_panel", "filters_panel", "histogram_panel", "top_panel", "training_panel"]

_MOST = 512
_RULES = (
    ("deconvnet", "at each ReLU, what comes from above, where positive"),
    ("guided", "and only where the ReLU was on"),
    ("gradient", "what a change of each pixel would do"),
)


def filters_panel(
    row: Row,
    found: Filters,
    input_channel: int,
    per_tile: bool,
    off: frozenset[int] = frozenset(),
    twin: Filters | None = None,
    twin_words: str = "",
) -> dict[str, Any]:
    """The weights of a layer: tiles in colour, a slice or the mean of other filters, or one matrix.

    With ``twin``, the same layer of the compressed network, both are shown on one scale, and the difference.
    """
    weights, words = _slices(found, input_channel)
    small = _small(weights)
    other = None if twin is None else _small(_slices(twin, input_channel)[0])
    rasters = _rasters(small, other, per_tile)
    averaged = "" if small.shape == weights.shape else f" averaged to {small.shape[-2]} × {small.shape[-1]}"
    notes = [{"text": found.note}] if found.note else []
    if twin is not None:
        notes.append({"text": f"dense, {twin_words}, and the difference"})
    if found.tiles.dim() != 4:
        tiles = [{"id": 0, "label": "", "text": found.name}]
        caption = words + averaged
        return panel("filters", row.id, f"weights of {row.path}", caption=caption, notes=notes, tiles=tiles, **rasters)
    total = len(found.tiles)
    norms = found.tiles[:_MOST].flatten(1).norm(dim=1)
    tiles = [
        {"id": i, "label": str(i), "text": f"filter {i}: norm {number(float(norms[i]))}", "off": i in off}
        for i in range(len(norms))
    ]
    size = f"{found.tiles.shape[-2]} × {found.tiles.shape[-1]}{averaged}"
    scale = "each on its own scale" if per_tile else "one scale"
    shown = "" if total <= _MOST else f", the first {_MOST}"
    slices = found.input_channels if not found.colour and found.input_channels > 1 else None
    title = f"{text.count(total)} filters of {row.path}"
    caption = f"{size}, {words}, {scale}{shown}"
    return panel("filters", row.id, title, caption=caption, notes=notes, tiles=tiles, input_channels=slices, **rasters)


def _slices(found: Filters, input_channel: int) -> tuple[Tensor, str]:
    """What is shown of the weights: (n, 3, h, w) for colours, else (n, h, w); and what that is, in words."""
    if found.tiles.dim() != 4:
        matrix = found.weight.flatten(1)
        out, inside = (text.count(size) for size in matrix.shape)
        return matrix[None], f"{out} outputs (down) by {inside} inputs (across), zero is neutral"
    if found.colour:
        return found.tiles[:_MOST], "in colour, zero is mid-grey"
    if found.input_channels == 1:
        return found.tiles[:_MOST, 0], "zero is neutral"
    if 0 <= input_channel < found.input_channels:
        words = f"what they do to input channel {input_channel} of {found.input_channels}"
        return found.tile(input_channel)[:_MOST], words
    return found.mean()[:_MOST], f"mean over {found.input_channels} input channels"


def _small(weights: Tensor) -> Tensor:
    """As large as a screen shows them."""
    if len(weights) == 1 and weights.dim() == 3:  # one matrix
        return pooled(weights, (_MOST, _MOST))
    small = pooled(weights.flatten(0, -3), tile_side(len(weights)))
    return small.reshape(*weights.shape[:-2], *small.shape[-2:])


def _rasters(weights: Tensor, twin: Tensor | None, per_tile: bool) -> dict[str, Any]:
    draw = colours if weights.dim() == 4 else signed
    if twin is None or twin.shape != weights.shape:
        return {"raster": raster_record(draw(weights, per_tile))}
    both = torch.stack([weights, twin], 1)
    return {
        "raster": raster_record(draw(weights, per_tile, both)),
        "other": raster_record(draw(twin, per_tile, both)),
        "difference": raster_record(draw(twin - weights, per_tile)),
    }


def deconvnet_panel(
    row: Row, channel: int, place: tuple[int, int] | None, made: Projections, channels: int | None = None
) -> dict[str, Any]:
    """One unit taken back to pixels by three rules, side by side."""
    columns, notes = [], []
    for rule, words in _RULES:
        found = made.found.get(rule)
        if found is None:
            notes.append({"text": made.refused.get(rule, ""), "role": "warn"})
            continue
        raster = projection_raster(found.pixels[0])
        follow = words
        if rule != "gradient":
            k, n = found.rewritten, found.activations
            follow = (
                f"{k} of {n} activations follow the rule: {words}" if n else "no activation on the way: the same as the gradient"
            )
        columns.append({"title": found.label, "caption": follow, "raster": raster_record(raster)})
        notes += [{"text": note} for note in found.notes if {"text": note} not in notes]
    strongest = "its strongest position, " if len(row.shape) > 1 else ""
    where = strongest if place is None else f"row {place[0]}, column {place[1]}, "
    first = next(iter(made.found.values()), None)
    value = "" if first is None else f"activation {number(float(first.values[0]))}; "
    caption = f"{where}{value}contrast by the 99.5th percentile, zero is mid-grey"
    title = f"channel {channel} of {row.path}, back to pixels"
    return panel("deconvnet", row.id, title, caption=caption, notes=notes, columns=columns, channels=channels)


def projection_raster(pixels: Tensor) -> Raster:
    """A projection (C, H, W) as one picture: colours for three channels; another number of channels is summed up."""
    seen = projection_pixels(pixels)
    shown = pixels if seen.ndim == 3 or pixels.dim() != 3 else pixels.sum(0)
    sizes = shown[torch.isfinite(shown) & (shown != 0)].abs().cpu().numpy()  # as `contrast` finds its ends
    reach = float(np.percentile(sizes, 99.5)) if len(sizes) else 0.0
    values = shown.cpu().numpy().reshape(seen.shape) if seen.ndim == 2 else None  # exact: grey bytes have no level for zero
    return Raster(seen[None], "colour" if seen.ndim == 3 else "grey", 0.0 - reach, reach, values=values)


def _picture(pixels: npt.NDArray[np.uint8]) -> Raster:
    """Pictures (n, h, w) or (n, h, w, 3) as they are."""
    return Raster(pixels, "colour" if pixels.ndim == 4 else "grey", 0.0, 255.0)


def training_panel(row: Row, watch: TrainingWatch | None, per_tile: bool) -> dict[str, Any]:
    """A copy of the network while it is trained: loss, size of the updates, the layer's weights as they are now."""
    title = f"training a copy: {row.path}"
    if watch is None or not watch.records:
        why = "Start, or make single steps: a copy of the network is trained, and its weights are shown as they change."
        return panel("training", row.id, title, empty=why)
    charts = {
        "loss": loss_chart(watch.records, "Loss of the copy"),
        "ratio": ratio_chart([record.step for record in watch.records], watch.ratios, watch.records[-1].steps, row.name),
    }
    begun = "from new weights" if watch.fresh else "from the present weights"
    caption = f"{watch.text}, {begun}"
    if not row.filters:
        return panel("training", row.id, title, caption=caption, charts=to_wire(charts))
    shown = filters_panel(row, filters(watch.network, row.name), -1, per_tile)
    return {**shown, "view": "training", "title": title, "caption": f"{caption}; {shown['caption']}", "charts": to_wire(charts)}


def histogram_panel(row: Row, found: UnitStatistics, channel: int) -> dict[str, Any]:
    """Outputs of a layer over the sample."""
    channel = min(channel, found.channels - 1)
    charts = {"histogram": outputs_chart(found, channel), "channels": channels_chart(found, channel)}
    notes = [{"text": found.note}] if found.note else []
    caption = f"{text.count(found.n)} images, {text.count(found.positions)} positions each, {text.count(found.channels)} channels"
    return panel(
        "histogram",
        row.id,
        f"outputs of {row.path}",
        caption=caption,
        notes=notes,
        charts=to_wire(charts),
        figures=to_wire(layer_figures(found)),
        channels=found.channels,
    )


def top_panel(row: Row, channel: int, found: Strongest) -> dict[str, Any]:
    """The nine images that make a channel fire most: the patch it sees, its projection, the image with the field."""
    tiles = [
        {"id": rank, "label": label, "text": f"image {text.count(index)}, activation {number(value)}"}
        for rank, (label, index, value) in enumerate(zip(found.labels, found.images, found.values, strict=True))
    ]
    columns: list[dict[str, Any]] = [_column("patch", found.field, found.patches)]
    if found.projections is not None:
        columns.append(_column(found.rule, "of the unit", found.projections))
    boxes = [dict(zip(("y0", "x0", "y1", "x1"), box, strict=True)) for box in found.boxes]
    columns.append({**_column("image", "with its field", found.pictures), "boxes": boxes})
    notes = [{"text": note} for note in found.notes]
    return panel(
        "top9",
        row.id,
        f"strongest images of channel {channel} of {row.path}",
        caption=f"of {text.count(found.n)} images of S_{found.sample}",
        notes=notes,
        tiles=tiles,
        columns=columns,
        channels=found.channels,
    )


def _column(title: str, caption: str, pixels: npt.NDArray[np.uint8]) -> dict[str, Any]:
    return {"title": title, "caption": caption, "raster": raster_record(_picture(pixels))}
