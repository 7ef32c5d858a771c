"""Reach through operations that only move values: each is run on the boxes themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nnwidgets.engine.inspect import _reach_taps as _taps
from nnwidgets.engine.inspect._reach import BOXES, Reach, aligned, closed_up
from nnwidgets.engine.inspect._reach_call import Call, Rule
from nnwidgets.engine.inspect._reach_windows import along_places

__all__ = ["MOVES"]

_LOOKS = ("index", "indices")  # arguments that tell where to look
_LARGE = 2**22  # values; beyond, joined channels are not told apart


def _moved(call: Call) -> Reach | list[Reach] | None:
    known = call.known()
    if call.known(*_LOOKS):
        return None  # where it looks depends on the image
    if call.name == "cat" and math.prod(call.shape) > _LARGE:
        dim = int(call.given.get("dim", 0)) % len(call.shape) + 1
        if all(reach.planes.shape[dim] == 1 for reach in known):
            return aligned([replace(reach, shape=call.shape) for reach in known], call.shape)
    planes = [_run(call, index) for index in range(2 * BOXES)]
    joined = [closed_up(torch.stack([plane[place] for plane in planes])) for place in range(len(planes[0]))]
    return [replace(known[0], planes=each, shape=tuple(first.shape)) for each, first in zip(joined, planes[0], strict=True)]


def _run(call: Call, index: int) -> list[Tensor]:
    """The operation on one plane; constants depend on no pixel, but what tells where to look stays what it is."""
    given = {name: _plane(call, name, value, index) for name, value in call.given.items()}
    if call.name in ("view", "_unsafe_view"):  # boxes are not laid out as the values are
        return [given["self"].reshape(call.shape)]
    if call.name == "constant_pad_nd":
        given["value"] = -math.inf
    made = call.op(**given)
    return [made] if isinstance(made, Tensor) else list(made)


def _plane(call: Call, name: str, value: Any, index: int) -> Any:
    if isinstance(value, Tensor) and name in _LOOKS:
        return value.cpu()
    if isinstance(value, Tensor):
        return (call.reach(value) or Reach.nowhere(value.shape, call.image)).plane(index)
    if isinstance(value, (list, tuple)) and any(isinstance(each, Tensor) for each in value):
        return [_plane(call, name, each, index) for each in value]
    return value


def _padded(call: Call) -> Reach | list[Reach] | None:
    """Padding of places goes on for ever as that of a convolution does; of other dimensions, such as channels, it is nothing."""
    pad = [int(size) for size in call.given["pad"]]
    if len(pad) > 4 or len(call.shape) < 3:
        return _moved(call)

    def way(i: int, _: int, places: int) -> tuple[Tensor, float]:
        return _taps.window(places, 1, 1, ([*pad[2:3], 0][0], pad[0])[i], 1), 1.0

    return along_places(call.one("self"), call.shape, len(call.shape) - 2, way)


_NAMES = """
    _reshape_alias _unsafe_view cat channel_shuffle diagonal expand flip gather im2col index index_select movedim
    narrow native_channel_shuffle permute pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d reflection_pad3d repeat
    replication_pad1d replication_pad2d replication_pad3d reshape roll rot90 select slice split split_with_sizes squeeze stack t
    take transpose tril triu unbind unfold unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze view
"""
MOVES: dict[str, Rule] = {**dict.fromkeys(_NAMES.split(), _moved), "constant_pad_nd": _padded}
