"""What a layer gives, as maps: (B, C, H, W), whatever its axes mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.inspect._sites import Site, as_inputs, first_tensor, quiet, reading, run, site_of

__all__ = ["Maps", "as_maps", "channel_axis", "feature_maps", "view_as_maps"]

_CHANNELS_LAST = (nn.LayerNorm, nn.Linear, nn.RMSNorm)
_SEQUENCES = (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d)


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

    Tokens (B, N, D) become D maps of the token grid, without a class token; dense outputs (B, F) become F maps of one number.

    Args:
        model: any network; it is left as it is. images: floating (B, *input_shape) as the network takes them.
        layer: name as in `layers`, also of a container or of a function between layers ("layer1.0.(add)"); "" for the answer.
        call: which call of a layer that is called again.

    Returns:
        (B, C, H, W), a copy: what the network does in place afterwards does not show in it.

    Raises:
        InputError: there is no such layer, the nearest names are offered; or the images do not fit.
        UnsupportedError: what the layer gives cannot be shown as maps.
    """
    inputs, site = as_inputs(model, images), site_of(layer, call)
    found: list[Maps] = []
    kind = dict(model.named_modules()).get(site.name)
    with reading(model), quiet():
        run(model, inputs, {site: lambda result: found.append(as_maps(result, len(inputs), site, kind))}, stop=True)
    return found[0].values


def as_maps(result: Any, batch: int, site: Site, module: nn.Module | None = None) -> Maps:
    """Read the axes of what a layer gave and copy it as (B, C, H, W).

    Args:
        module: that gave it, None for a function.

    Raises:
        UnsupportedError: its axes cannot be read as batch, channels and places.
    """
    maps = view_as_maps(result, batch, site, module)
    return Maps(maps.values.clone(memory_format=torch.contiguous_format), maps.note)


def view_as_maps(result: Any, batch: int, site: Site, module: nn.Module | None = None) -> Maps:
    """As `as_maps` without a copy where there need be none: what is done in place afterwards shows in it."""
    tensor = first_tensor(result, site).detach()
    note = ""
    if tensor.dim() == 3 and tensor.shape[0] != batch and tensor.shape[1] == batch:
        tensor, note = tensor.transpose(0, 1), "places first, batch second"
    if tensor.dim() < 2 or tensor.dim() > 4 or len(tensor) != batch or not tensor.dtype.is_floating_point:
        raise UnsupportedError(
            f"{site} gives {tensor.dtype} of shape {tuple(tensor.shape)} for a batch of {batch}; expected (B, C, H, W), tokens "
            "(B, N, D) or (B, F). It cannot be shown as maps; choose a layer before or after it."
        )
    if tensor.dim() == 2:
        return Maps(tensor[:, :, None, None], note)
    if tensor.dim() == 3:
        return _of_three(tensor, module, note)
    if _last_axis_holds_channels(tensor, module):
        return Maps(tensor.permute(0, 3, 1, 2), "channels last")
    return Maps(tensor, note)


def channel_axis(tensor: Tensor, module: nn.Module | None = None) -> int:
    """The axis of what a layer gave that `as_maps` reads as channels; the tensor is one that it can read."""
    if tensor.dim() == 3:
        return 1 if isinstance(module, _SEQUENCES) else 2
    return 3 if tensor.dim() == 4 and _last_axis_holds_channels(tensor, module) else 1


def _of_three(tensor: Tensor, module: nn.Module | None, note: str) -> Maps:
    if isinstance(module, _SEQUENCES):
        return Maps(tensor[:, :, None], "a sequence")
    tokens = tensor.shape[1]
    for extra in (0, 1):  # a class token stands first
        side = math.isqrt(tokens - extra)
        if side > 1 and side * side == tokens - extra:
            grid = tensor[:, extra:].transpose(1, 2).reshape(len(tensor), tensor.shape[2], side, side)
            words = f"{tokens - extra} tokens as {side} x {side}" + (", without the class token" if extra else "")
            return Maps(grid, words)
    return Maps(tensor.transpose(1, 2)[:, :, None], note or f"{tokens} tokens in a row")


def _last_axis_holds_channels(tensor: Tensor, module: nn.Module | None) -> bool:
    _, first, second, last = tensor.shape
    if isinstance(module, _CHANNELS_LAST):
        return True
    return first == second != last and not isinstance(module, nn.Conv2d | nn.BatchNorm2d)
