"""What all panels of the error analysis are made with."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.diagnosis._analysis import Analysis
from nnwidgets.engine.experiment.pictures import picture_of
from nnwidgets.engine.values.split import Split

__all__ = ["MOST_TILES", "BoardWish", "Marks", "Steps", "empty", "names_of", "note", "tiles_of"]

MOST_TILES = 60
_SIDE = 64  # pixels of a tile's side at most
Steps = Generator[None, None, dict[str, Any]]


@dataclass
class Marks:
    """What a person said of images: tags of errors by (sample, row)."""

    tags: dict[tuple[str, int], str] = field(default_factory=dict)


@dataclass(frozen=True)
class BoardWish:
    """What is to be shown: name of the panel, sample, order and pair of the worst errors, share of the suspects."""

    name: str
    sample: str
    order: str
    pair: str
    threshold: float


def empty(name: str, title: str, why: str = "", run: str = "") -> dict[str, Any]:
    """A panel with nothing in it."""
    return {
        "name": name, "title": title, "text": "", "empty": why, "charts": {}, "columns": [], "rows": [], "matrix": None,
        "tiles": None, "items": [], "notes": [], "can_run": run,
    }  # fmt: skip


def note(words: str, name: str, raw: float) -> dict[str, Any]:
    """A figure below a panel, in words and as a number."""
    return {"text": words, "name": name, "raw": raw}


def names_of(analysis: Analysis, k: int) -> list[str]:
    """Names of k classes; numbers where there are no more."""
    names = list(analysis.experiment.class_names)
    return (names + [str(i) for i in range(len(names), k)])[:k]


def tiles_of(split: Split, rows: list[int]) -> dict[str, Any] | None:
    """Images as a raster of one size; large ones are made smaller."""
    if not rows or len(split.sample_shape) not in (2, 3):
        return None
    pixels = np.stack([picture_of(split, "", row).pixels for row in rows])
    colour = pixels.ndim == 4
    side = max(pixels.shape[1:3])
    if side > _SIDE:
        images = torch.from_numpy(pixels).float()
        images = images.permute(0, 3, 1, 2) if colour else images[:, None]
        size = [max(1, round(_SIDE * extent / side)) for extent in pixels.shape[1:3]]
        smaller = F.interpolate(images, size, mode="area").round().clamp(0, 255).to(torch.uint8)
        pixels = (smaller.permute(0, 2, 3, 1) if colour else smaller[:, 0]).contiguous().numpy()
    return {
        "count": len(pixels),
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "channels": 3 if colour else 1,
        "kind": "colour" if colour else "grey",
        "low": 0.0,
        "high": 255.0,
        "data": np.ascontiguousarray(pixels).tobytes(),
    }
