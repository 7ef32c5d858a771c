"""The layer explorer's records: what the engine found, as plain data and bytes for the front end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnwidgets.engine.experiment import Experiment, State
from nnwidgets.engine.experiment.pictures import Picture
from nnwidgets.engine.inspect import Maps, Raster, Row, colours, grid, pooled, sequential, signed
from nnwidgets.figures import text
from nnwidgets.figures.records import Figure, Note, to_wire
from nnwidgets.widgets._lab_view import recipe_words

__all__ = [
    "Ranked",
    "answers_record",
    "empty_panel",
    "field_words",
    "filter_raster",
    "input_record",
    "maps_panel",
    "name_of",
    "number",
    "panel",
    "ranked",
    "raster_record",
    "state_words",
    "strongest",
    "tile_side",
    "tree_record",
    "unit_record",
]

_MOST_TILES = 512
_PIXELS = 400_000  # of all tiles together: what a screen shows and a message carries
_SMALLEST, _LARGEST = 28, 112
_OPTIONAL = ("channels", "input_channels")


@dataclass(frozen=True)
class Ranked:
    """Channels in the order of their tiles, with what they were ranked by.

    Attributes:
        channels: at most 512 of ``total``. words: how they are ordered.
    """

    channels: npt.NDArray[np.int64]
    total: int
    words: str


def raster_record(raster: Raster) -> dict[str, Any]:
    """Tiles as the front end takes them; bytes travel as buffers."""
    pixels = raster.pixels
    found: dict[str, Any] = {
        "count": len(pixels),
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "channels": 3 if pixels.ndim == 4 else 1,
        "kind": raster.kind,
        "low": raster.low,
        "high": raster.high,
        "data": pixels.tobytes(),
    }
    if raster.ranges is not None:
        found["ranges"] = raster.ranges.tolist()
    if raster.clipped:
        found["clipped"] = True
    if raster.values is not None:
        found["values"] = raster.values.astype("<f4").tobytes()
    return found


def tile_side(count: int) -> int:
    """About how many pixels a tile's side has so that all of them fit a message and a screen."""
    return int(min(max((_PIXELS / max(count, 1)) ** 0.5, _SMALLEST), _LARGEST))


def tree_record(rows: Sequence[Row], dead: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """Rows of the structure tree; ``dead``: id -> (dead channels, channels)."""
    found = []
    for row in rows:
        gone = dead.get(row.id)
        views = [name for name, can in (("filters", row.filters), ("attention", row.attention)) if can]
        views += ["maps", *([] if row.container else ["histogram"]), "deconvnet", "top9"] if row.maps else []
        views += ["training"] if row.filters else []
        found.append(
            {
                "id": row.id,
                "name": row.label,
                "call": row.call,
                "path": row.path,
                "kind": row.kind,
                "depth": row.depth,
                "shape": " × ".join(map(str, row.shape)),
                "params": text.count(row.params) if row.params else "",
                "macs": "".join(text.scaled(row.macs, ("", " k", " M", " G"))) if row.macs else "",
                "share": row.share,
                "dead": None if gone is None else gone[0] / max(gone[1], 1),
                "dead_text": "" if gone is None else f"{gone[0]} of {gone[1]} dead" if gone[0] else "none dead",
                "container": row.container,
                "views": views,
                "reason": row.reason,
            }
        )
    return found


def _named(row: Row) -> str:
    """The short name of a row, with the number of its call as in its id: "(relu) #2"."""
    return row.label if row.call == 0 else f"{row.label} #{row.call}"


def panel(view: str, layer: str, title: str, **parts: Any) -> dict[str, Any]:
    """A middle panel; what is not given is empty."""
    empty: dict[str, Any] = {
        "view": view,
        "layer": layer,
        "title": title,
        "caption": "",
        "notes": [],
        "tiles": [],
        "raster": None,
        "other": None,
        "difference": None,
        "columns": [],
        "charts": {},
        "figures": {},
        "ask": None,
        "empty": "",
        "busy": "",
        "channels": None,
        "input_channels": None,
    }
    unknown = set(parts) - set(empty)
    assert not unknown, unknown
    return {name: value for name, value in {**empty, **parts}.items() if value is not None or name not in _OPTIONAL}


def empty_panel(view: str, layer: str, title: str, why: str, busy: str = "") -> dict[str, Any]:
    """Nothing to show, and why."""
    return panel(view, layer, title, empty=why, busy=busy)


def input_record(
    picture: Picture, place: int, count: int, answer: str, names: Sequence[str], right: bool | None
) -> dict[str, Any]:
    """The image card. ``place`` is its number among the ``count`` images that are gone through.

    A label that is a network's answer is not told as what the image shows, and nothing is right or wrong by it.
    """
    pixels = picture.pixels[None]
    raster = Raster(pixels, "colour" if pixels.ndim == 4 else "grey", 0.0, 255.0)
    if picture.index < 0:
        title, caption = "your image", picture.note
    else:
        label = "" if picture.label is None or picture.labelled_by else f": {name_of(names, picture.label)}"
        title = f"image {text.count(picture.index)}{label}"
        caption = f"of S_{picture.sample}" + (f", {picture.note}" if picture.note else "")
    found = {
        "raster": raster_record(raster),
        "title": title,
        "caption": caption + (f"; answered {answer}" if answer else ""),
        "index": place,
        "count": count,
        "drawable": picture.inputs.dim() == 4 and picture.inputs.shape[1] in (1, 3),
    }
    return found if right is None or picture.labelled_by else {**found, "role": "good" if right else "bad"}


def ranked(values: Tensor, order: str, selectivity: npt.NDArray[np.float64] | None) -> Ranked:
    """Order channels by their maps (C, H, W) of this image, or by what was measured over a sample."""
    total = len(values)
    if order == "selectivity" and selectivity is not None:
        scores, words = np.nan_to_num(selectivity, nan=-np.inf), "sorted by class selectivity"
    elif order in ("mean", "variance", "maximum"):
        flat = values.flatten(1)
        found = {"mean": flat.mean(1), "variance": flat.var(1, correction=0), "maximum": flat.amax(1)}[order]
        scores, words = found.numpy(), f"sorted by {order}"
    else:
        scores, words = -np.arange(total, dtype=np.float64), "in order of channels"
    channels = np.argsort(-scores, kind="stable")[:_MOST_TILES]
    return Ranked(channels, total, words)


def maps_panel(
    row: Row,
    maps: Maps,
    order: Ranked,
    per_tile: bool,
    off: frozenset[int],
    around: str,
    other: Maps | None = None,
    other_words: str = "",
) -> dict[str, Any]:
    """All channels of a layer for one image; with ``other`` the compressed network's beside them, and the difference."""
    values = _chosen(maps, order)
    lows, highs, means = values.flatten(1).amin(1), values.flatten(1).amax(1), values.flatten(1).mean(1)
    side = tile_side(len(values) * (3 if other is not None else 1))
    signs = bool((lows < 0).any()) or (bool(lows.isnan().any()) and bool((values < 0).any()))
    what = _count(order.total, "map" if values.shape[-1] * values.shape[-2] > 1 else "unit")
    shown = "" if len(values) == order.total else f", the first {len(values)} of {text.count(order.total)}"
    notes = [{"text": maps.note}] if maps.note else []
    notes += _not_numbers(lows, highs, "")
    rasters: dict[str, Any] = {"raster": raster_record(grid(values, side, signs, per_tile, clip=True))}
    if other is not None:
        twin = _chosen(other, order)
        rasters = _compared(values, twin, side, per_tile)
        ends = twin.flatten(1).amin(1), twin.flatten(1).amax(1)
        notes += [{"text": f"dense, {other_words}, and the difference"}, *_not_numbers(*ends, "compressed: ")]
    size = _size((values.shape[-2], values.shape[-1]), rasters["raster"])
    scale = "each on its own scale" if per_tile else "one scale"
    scale += ", the largest values cut off" if rasters["raster"].get("clipped") else ""
    caption = ", ".join(part for part in (around, size, scale, order.words) if part) + shown
    single = values[0].numel() == 1
    told = zip(order.channels.tolist(), means.tolist(), highs.tolist(), strict=True)
    tiles = [_tile(channel, mean, None if single else high, channel in off) for channel, mean, high in told]
    parts = {"caption": caption, "notes": notes, "tiles": tiles, **rasters}
    parts["channels"] = order.total if order.total > len(tiles) else None
    return panel("maps", row.id, f"{what} of {row.path}", **parts)


def _size(shape: tuple[int, int], raster: dict[str, Any]) -> str:
    """Size of the maps in words, and to what they were averaged; nothing for single numbers."""
    if shape == (1, 1):
        return ""
    small = raster["height"], raster["width"]
    words = f"{shape[0]} × {shape[1]}"
    return words if small == shape else f"{words} averaged to {small[0]} × {small[1]}"


def _compared(values: Tensor, twin: Tensor, side: int, per_tile: bool) -> dict[str, Any]:
    """Both on one scale, and the difference on a scale of its own."""
    small, second = pooled(values, side), pooled(twin, side)
    both = torch.cat([small, second], 1)
    drawn = signed if bool((both < 0).any()) else sequential
    first, other = (drawn(each, per_tile, of=both, clip=True) for each in (small, second))
    return {
        "raster": raster_record(first),
        "other": raster_record(other),
        "difference": raster_record(signed(second - small, per_tile, clip=True)),
    }


def _chosen(maps: Maps, order: Ranked) -> Tensor:
    """(n, H, W) the maps of some channels in their order, without a copy where that is the order they are in."""
    values, count = maps.values[0], len(order.channels)
    if np.array_equal(order.channels, np.arange(count)):
        return values[:count]
    return values[torch.from_numpy(order.channels)]


def _not_numbers(lows: Tensor, highs: Tensor, whose: str) -> list[dict[str, str]]:
    """A warning where maps hold NaN or infinity: (C,) the smallest and largest number of each."""
    maps = int((~(torch.isfinite(lows) & torch.isfinite(highs))).sum())
    return [{"text": f"{whose}NaN or infinity in {maps} of {len(lows)} channels", "role": "warn"}] if maps else []


def _tile(channel: int, mean: float, largest: float | None, off: bool) -> dict[str, Any]:
    """One tile's record; a single number has no largest one."""
    if largest is None:
        told = f"channel {channel}: {number(mean)}"
    else:
        told = f"channel {channel}: mean {number(mean)}, maximum {number(largest)}"
    return {"id": channel, "label": str(channel), "text": told + (", switched off" if off else ""), "off": off}


def number(value: float) -> str:
    """Three digits, with a real minus sign."""
    return f"{value:.3g}".replace("-", text.MINUS)


def _count(number: int, what: str) -> str:
    return f"{text.count(number)} {what}{'' if number == 1 else 's'}"


def unit_record(
    row: Row,
    channel: int,
    values: Tensor,
    position: tuple[int, int],
    field: tuple[int, int, int, int] | None,
    field_text: str,
    filters: tuple[Raster, str] | None,
    off: bool,
    figures: dict[str, Figure] | None = None,
    charts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One channel: its map (H, W) with exact values, the place that is looked at, and what it sees of the image."""
    signs = bool((values < 0).any())
    drawn = signed(values[None]) if signs else sequential(values[None], low=0.0)
    exact = Raster(drawn.pixels, drawn.kind, drawn.low, drawn.high, values=values.numpy())
    return {
        "layer": row.id,
        "channel": channel,
        "title": f"Channel {channel} of {_named(row)}",
        "map": raster_record(exact),
        "position": {"y": position[0], "x": position[1]},
        "field": None if field is None else dict(zip(("y0", "x0", "y1", "x1"), field, strict=True)),
        "field_text": field_text,
        "filter": None if filters is None else raster_record(filters[0]),
        "filter_text": "" if filters is None else filters[1],
        "figures": to_wire({**_map_figures(values, position), **(figures or {})}),
        "charts": to_wire(charts or {}),
        "off": off,
        "notes": [],
    }


def _map_figures(values: Tensor, position: tuple[int, int]) -> dict[str, Figure]:
    """Figures of a map (H, W); that of the place is left out where it is the maximum, and all are for a single number."""
    if values.numel() == 1:
        return {}
    found = {"maximum": _figure(values.max()), "mean": _figure(values.mean())}
    if bool(values[position] == values.max()):
        return found
    where = Note(f"at row {position[0]}, column {position[1]}")
    return {"here": _figure(values[position], where), **found}


def field_words(size: tuple[int, int], image: tuple[int, int], box: tuple[int, int, int, int]) -> str:
    """What a place sees of the image, in words.

    Args:
        size: (h, w) that it would see if the image went on for ever. image: (h, w). box: (y0, x0, y1, x1) that it sees.
    """
    y0, x0, y1, x1 = box
    cut = (y1 - y0 < size[0] and (y0 == 0 or y1 == image[0])) or (x1 - x0 < size[1] and (x0 == 0 or x1 == image[1]))
    words = f"it sees {size[0]} × {size[1]} pixels" + (", cut off at the border" if cut else "")
    if box == (0, 0, *image):
        return f"{words}: here the whole image"
    return f"{words}: rows {y0} to {y1 - 1}, columns {x0} to {x1 - 1}"


def _figure(value: Tensor, *notes: Note) -> Figure:
    """A printed number; JSON has neither NaN nor infinity."""
    raw = float(value)
    return Figure(raw if math.isfinite(raw) else None, number(raw), notes=notes, role="ink" if math.isfinite(raw) else "bad")


def answers_record(
    dense: Tensor, other: Tensor | None, other_title: str, names: Sequence[str], picture: Picture
) -> dict[str, Any]:
    """Probabilities of the likeliest classes, before and after a change; the class of the picture's label is always among them.

    Where the labels are a network's answers and not the truth, nothing is called right or wrong.
    """
    title, label = other_title if other is not None else "", picture.label
    whose = ("the network", "the changed network")[: 1 if other is None else 2]
    for probabilities, who in zip((dense, other), whose, strict=False):
        if probabilities is not None and not bool(torch.isfinite(probabilities).all()):
            return {"rows": [], "other_title": title, "verdict": f"{who} answers NaN or infinity", "role": "bad"}
    shown = dense if other is None else torch.maximum(dense, other)
    order = shown.argsort(descending=True, stable=True)[:5].tolist()
    if label is not None and label < len(dense) and label not in order:
        order = [*order[:4], label]
    rows = []
    for k in order:
        second = None if other is None else float(other[k])
        words = f"{text.share(float(dense[k]))} %" + ("" if second is None else f" → {text.share(second)} %")
        mark = _label_words(picture.labelled_by) if k == label else ""
        shares = {"dense": float(dense[k]), "other": second}
        rows.append({"name": name_of(names, k), **shares, "truth": mark == "truth", "mark": mark, "text": words})
    first = int(dense.argmax())
    last = first if other is None else int(other.argmax())
    verdict = name_of(names, first) if first == last else f"{name_of(names, first)} → {name_of(names, last)}"
    found: dict[str, Any] = {"rows": rows, "other_title": title, "verdict": verdict}
    if label is not None and not picture.labelled_by:
        found["verdict"] += ", right" if last == label else f", wrong: it is {name_of(names, label)}"
        found["role"] = "good" if last == label else "bad"
    return found


def _label_words(labelled_by: str) -> str:
    """What a label is."""
    return {"": "truth", "itself": "its own answer"}.get(labelled_by, f"answer of {labelled_by}")


def name_of(names: Sequence[str], k: int) -> str:
    """Name of a class, its number where there are fewer names."""
    return names[k] if k < len(names) else str(k)


def filter_raster(weight: Tensor) -> tuple[Raster, str] | None:
    """One filter (I, kh, kw): in colour for three inputs, else a tile for each input channel, at most 64."""
    if weight.dim() != 3 or weight.shape[-1] * weight.shape[-2] == 1:
        return None
    size = f"{weight.shape[-2]} × {weight.shape[-1]}"
    if len(weight) == 3:
        return colours(weight[None]), f"its filter, {size}, in colour: zero is mid-grey"
    most = min(len(weight), 64)
    words = f"its filter, {size}" + (f", a tile for each of {len(weight)} input channels" if len(weight) > 1 else "")
    return signed(weight[:most]), words + ("" if most == len(weight) else f", the first {most}")


def strongest(values: Tensor) -> tuple[int, int]:
    """(y, x) of the largest number of a map."""
    place = int(values.argmax())
    return place // values.shape[1], place % values.shape[1]


def state_words(experiment: Experiment) -> str:
    """The present recipe in words."""
    if experiment.state == State():
        return "the same (nothing is compressed yet: move the compression lab's slider, or apply a recipe)"
    return recipe_words(experiment.recipe) + (", trained" if experiment.state.weights_key is not None else "")
