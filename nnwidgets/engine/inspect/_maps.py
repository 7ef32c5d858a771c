"""What a layer gives, as maps: (B, C, H, W), whatever its axes mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.inspect._axes import Frame, arranged, channel_axis, guessed
from nnwidgets.engine.inspect._layout import Layout, layout_of_module, layouts
from nnwidgets.engine.inspect._sites import Site, as_inputs, first_tensor, quiet, reading, run, running, site_of
from nnwidgets.engine.trace import trace

__all__ = ["Maps", "arranged", "as_maps", "channel_axis", "feature_maps", "view_as_maps"]


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
        frame = tuple(inputs.shape[2:]) if inputs.dim() == 4 else ()
        module = dict(model.named_modules()).get(site.name)
        layout = _layout(model, inputs, site, module, found[0], frame)
        return arranged(found[0], len(inputs), site, module, layout, frame)[0].contiguous()


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


def _layout(model: nn.Module, inputs: Tensor, site: Site, module: nn.Module | None, given: Tensor, frame: Frame) -> Layout | None:
    """The layout that only a trace can tell, None where the layer or the shape tells it."""
    is_open = given.dim() == 3 and given.shape[0] == given.shape[1] == len(inputs)  # as many places as images
    if not is_open and (layout_of_module(module, given.shape) is not None or guessed(given.shape, frame)[1]):
        return None
    try:
        traced = trace(model, tuple(inputs.shape[1:]), inputs.dtype)
    except NnwError:  # what cannot be traced can still be run
        return None
    return layouts(traced, dict(model.named_modules())).get(site)
