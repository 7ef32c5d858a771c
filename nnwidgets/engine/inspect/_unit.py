"""One unit of a layer for each image, with the graph that leads back from it to the image."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import InputError, ModelError, UnsupportedError
from nnwidgets.engine.inspect._live import Live
from nnwidgets.engine.inspect._maps import Layouts, Reader
from nnwidgets.engine.inspect._sites import Site, reading, run
from nnwidgets.engine.inspect._way import Way, way_back
from nnwidgets.engine.trace import unvisited_copy

__all__ = ["Unit", "recording", "unit_of"]


@dataclass(frozen=True)
class Unit:
    """A forward pass that has stopped at a unit.

    Attributes:
        image: (B, *input_shape), the leaf of the graph. chosen: (B,) activations of the unit, with their history.
        positions: (B, 2) where it is, (y, x). way: what a gradient meets. note: how the axes of the layer were read.
    """

    image: Tensor
    chosen: Tensor
    positions: Tensor
    way: Way
    note: str


def unit_of(
    model: nn.Module,
    images: Tensor,
    site: Site,
    channel: int,
    position: object,
    own: bool = False,
    layouts: Layouts | None = None,
) -> Unit:
    """Run a network up to a unit and record the way back.

    Gradients are recorded for the images, not for the parameters: that halves the memory. The network is as before afterwards.

    Args:
        own: the network is the caller's own copy in eval mode, whose random states and flags need no guard. layouts: known ones.

    Raises:
        InputError: no such layer, channel or position. ModelError: the unit is NaN. UnsupportedError: no gradient gets back.
    """
    with recording(), reading(_usable(model), own) as network, _without_gradients(network):
        image = images.detach().clone().requires_grad_()
        fed = image.clone()  # a network may write into its input, which a leaf forbids
        start, live = fed.grad_fn, Live(fed)
        assert start is not None
        found: list[Any] = []
        with live.watching():
            run(network, fed, {site: found.append}, stop=True)
        # No copy: the pass has ended there, so that no ReLU in place behind the layer has written over it.
        reader = Reader(network, fed, site, layouts)
        reader.know(found[0], len(fed))
        with live.watching():
            maps, note = reader.arranged(found[0], len(fed))
        positions = _positions(maps.detach(), site, channel, position)
        places = positions[:, :1] * maps.shape[3] + positions[:, 1:]
        chosen = maps[:, channel].flatten(1).gather(1, places)[:, 0]
        way = way_back(chosen, start, live)
    if not bool(torch.isfinite(chosen).all()):
        raise ModelError(f"channel {channel} of {site} is NaN or infinite; look at the weights and at the images.")
    if way is None:
        raise UnsupportedError(
            f"no gradient gets from {site} back to the image: the network detaches it, rounds it, or computes without gradients "
            "on the way. Choose a layer before that, or look at its feature maps."
        )
    return Unit(image, chosen, positions, way, note)


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Gradients are recorded in this block, whatever the caller has switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _usable(model: nn.Module) -> nn.Module:
    """The network; or a copy, where it was made in inference mode: autograd refuses such weights."""
    if not any(tensor.is_inference() for tensors in (model.parameters(), model.buffers()) for tensor in tensors):
        return model
    try:
        return unvisited_copy(model).eval()
    except Exception as error:
        raise UnsupportedError(
            "the network was made in torch.inference_mode(), so that no gradient can be taken, and it cannot be copied "
            f"({type(error).__name__}: {error}). Make it outside inference mode."
        ) from error


@contextlib.contextmanager
def _without_gradients(network: nn.Module) -> Iterator[None]:
    changed = [parameter for parameter in network.parameters() if parameter.requires_grad and parameter.is_leaf]
    try:
        for parameter in changed:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in changed:
            parameter.requires_grad_(True)


def _positions(maps: Tensor, site: Site, channel: int, position: object) -> Tensor:
    """(B, 2) of each image: as given, else where the channel is strongest; (0, 0) where the map is one number."""
    batch, channels, height, width = maps.shape
    if isinstance(channel, bool) or not isinstance(channel, int) or not 0 <= channel < channels:
        raise InputError(f"channel: got {channel!r}, expected a whole number from 0 to {channels - 1}: {site} has {channels}.")
    if height * width == 1:
        return torch.zeros(batch, 2, dtype=torch.int64, device=maps.device)
    if position is None:
        strongest = maps[:, channel].flatten(1).argmax(1)
        return torch.stack([strongest // width, strongest % width], 1)
    wanted = _as_positions(position, batch).to(maps.device)
    limit = torch.tensor([height, width], device=maps.device)
    if bool(((wanted < 0) | (wanted >= limit)).any()):
        raise InputError(f"position: got {position!r:.80}, expected (y, x) within {height} x {width}, the map of {site}.")
    return wanted


def _as_positions(position: object, batch: int) -> Tensor:
    try:
        wanted = torch.as_tensor(position)
    except (TypeError, ValueError, RuntimeError):
        wanted = torch.zeros(0)
    whole = not wanted.is_floating_point() and not wanted.is_complex() and wanted.dtype != torch.bool
    if not whole or wanted.shape not in ((2,), (batch, 2)):
        raise InputError(
            f"position: got {position!r:.80}, expected (y, x) in whole numbers, ({batch}, 2) of them for one an image, or None "
            "for the strongest."
        )
    return wanted.to(torch.int64).expand(batch, 2).contiguous()
