"""What a layer gives, as maps: (B, C, H, W), whatever its axes mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.inspect._axes import Frame, arranged, channel_axis, guessed
from nnwidgets.engine.inspect._layout import Layout, layout_of_module, layouts
from nnwidgets.engine.inspect._sites import Site, as_inputs, first_tensor, quiet, reading, run, running, site_of
from nnwidgets.engine.trace import trace

__all__ = [
    "Layouts",
    "Maps",
    "Reader",
    "arranged",
    "as_maps",
    "channel_axis",
    "feature_maps",
    "frame_of",
    "is_open",
    "traced_layouts",
    "view_as_maps",
]

Layouts = Mapping[Site, Layout | None]
"""What is known of places already, from ``Row.layout``; None: nothing tells it."""


@dataclass(frozen=True)
class Maps:
    """Activations as maps.

    Attributes:
        values: (B, C, H, W); a dense layer has maps of one number each. note: how axes were read, "" where nothing had to be.
    """

    values: Tensor
    note: str = ""


def feature_maps(model: nn.Module, images: Tensor, layer: str, call: int = 0) -> Tensor:
    """Return what a layer gives for some images, as maps.

    Tokens (B, N, D) become D maps of the token grid, without a class token; dense outputs (B, F) become F maps of one number; of
    a tuple or a dict its first tensor is shown. Where a shape does not tell which axis holds the channels, the network is traced.

    Args:
        model: any network; it is left as it is. images: floating (B, *input_shape) as the network takes them.
        layer: name as in `layers`, also of a container or of a function between layers ("layer1.0.(add)"); "" for the answer.
        call: which call of a layer that is called again.

    Returns:
        (B, C, H, W), a copy: what the network does in place afterwards does not show in it.

    Raises:
        InputError: there is no such layer, the nearest names are offered. ModelError: the network takes other inputs.
        UnsupportedError: what the layer gives cannot be shown as maps.
    """
    inputs, site = as_inputs(model, images), site_of(layer, call)
    found: list[Tensor] = []
    with reading(model), quiet(), running(inputs):
        run(model, inputs, {site: lambda result: found.append(first_tensor(result, site).detach().clone())}, stop=True)
        return Reader(model, inputs, site).arranged(found[0], len(inputs))[0].contiguous()


def as_maps(
    result: Any, batch: int, site: Site, module: nn.Module | None = None, layout: Layout | None = None, frame: Frame = None
) -> Maps:
    """Read the axes of what a layer gave and copy it as (B, C, H, W).

    Args:
        module: that gave it, None for a function. layout: of its channels, from ``Row.layout``; guessed by shape where None.
        frame: (H, W) of the input images, () where the input is no image; square where None.

    Raises:
        UnsupportedError: its axes cannot be read as batch, channels and places.
    """
    maps = view_as_maps(result, batch, site, module, layout, frame)
    return Maps(maps.values.clone(memory_format=torch.contiguous_format), maps.note)


def view_as_maps(
    result: Any, batch: int, site: Site, module: nn.Module | None = None, layout: Layout | None = None, frame: Frame = None
) -> Maps:
    """As `as_maps` without a copy where there need be none: what is done in place afterwards shows in it."""
    view, note = arranged(result, batch, site, module, layout, frame)
    return Maps(view.detach(), note)


class Reader:
    """Reads what one place gives, batch after batch. Where a shape does not tell the axes, the network is traced, once.

    Args:
        model, inputs: the network, and images as it takes them. layouts: known ones, so that nothing has to be traced.
    """

    def __init__(self, model: nn.Module, inputs: Tensor, site: Site, layouts: Layouts | None = None) -> None:
        self._model, self._shape, self._dtype = model, tuple(inputs.shape[1:]), inputs.dtype
        self._site, self._module = site, dict(model.named_modules()).get(site.name)
        self._frame, self._known = frame_of(inputs), dict(layouts or {})

    def arranged(self, result: Any, batch: int) -> tuple[Tensor, str]:
        """As the function `arranged`. Not while the network runs: it may have to be traced.

        Raises:
            UnsupportedError: the axes cannot be read as batch, channels and places.
        """
        self.know(result, batch)
        return arranged(result, batch, self._site, self._module, self._known.get(self._site), self._frame)

    def know(self, result: Any, batch: int) -> None:
        """Find out what `arranged` needs to know of such a result."""
        if self._site not in self._known and is_open(first_tensor(result, self._site).shape, batch, self._module, self._frame):
            self._known = {self._site: None, **traced_layouts(self._model, self._shape, self._dtype)}


def frame_of(inputs: Tensor) -> tuple[int, ...]:
    """(H, W) of images (B, C, H, W), () of other inputs."""
    return tuple(inputs.shape[2:]) if inputs.dim() == 4 else ()


def is_open(shape: torch.Size, batch: int, module: nn.Module | None, frame: Frame) -> bool:
    """True where neither the layer nor the shape (batch included) tells for any batch which axis holds the channels."""
    if len(shape) == 3 and shape[1] == batch > 1:  # the batch stands second, or there are as many places as images
        return True
    return layout_of_module(module, shape) is None and not guessed(shape, frame)[1]


def traced_layouts(model: nn.Module, input_shape: tuple[int, ...], dtype: torch.dtype | None = None) -> dict[Site, Layout]:
    """Layouts that a trace tells; none where the network cannot be traced: it can still be run."""
    try:
        traced = trace(model, input_shape, dtype)
    except NnwError:
        return {}
    return layouts(traced, dict(model.named_modules()))
