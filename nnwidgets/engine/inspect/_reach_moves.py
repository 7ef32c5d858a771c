"""Reach through operations that only move values: each is run on the boxes themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nnwidgets.engine.inspect import _reach_taps as _taps
from nnwidgets.engine.inspect._reach import BOXES, Reach, aligned, closed_up
from nnwidgets.engine.inspect._reach_call import Call, Rule, dims_of
from nnwidgets.engine.inspect._reach_windows import along_places

__all__ = ["MOVES"]

_LOOKS = ("index", "indices")  # arguments that tell where to look
_LARGE = 2**19  # values; beyond, joined channels are not told apart


def _moved(call: Call) -> Reach | list[Reach] | None:
    known = call.known()
    if call.known(*_LOOKS):
        return None  # where it looks depends on the image
    planes = [_run(call, index) for index in range(2 * BOXES)]
    made = []
    for place, first in enumerate(planes[0]):
        alike = [dim for dim in range(first.dim()) if first.stride(dim) == 0 and first.shape[dim] > 1]
        parts = [_narrowed(plane[place], alike) for plane in planes]
        made.append(replace(known[0], planes=closed_up(torch.stack(parts)), shape=tuple(first.shape)))
    return made


def _narrowed(plane: Tensor, dims: list[int]) -> Tensor:
    for dim in dims:
        plane = plane.narrow(dim, 0, 1)
    return plane


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


def _joined(call: Call) -> Reach:
    """``cat``: dimensions along which nothing changes in any part stay closed up."""
    (at,) = dims_of([call.given.get("dim", 0)], len(call.shape))
    tensors = [tensor for tensor in call.given["tensors"] if tensor.dim() == len(call.shape)]  # an empty one may have fewer
    parts = [call.reach(tensor) or Reach.nowhere(tensor.shape, call.image) for tensor in tensors]
    if math.prod(call.shape) > _LARGE and all(part.planes.shape[at + 1] == 1 for part in parts):
        return aligned([replace(part, shape=call.shape) for part in parts], call.shape)
    sizes = [max(part.planes.shape[dim] for part in parts) for dim in range(len(call.shape) + 1)]
    wide = [part.planes.expand(*[part.shape[at] if dim == at + 1 else size for dim, size in enumerate(sizes)]) for part in parts]
    step = max(part.step[0] for part in parts), max(part.step[1] for part in parts)
    return Reach(closed_up(torch.cat(wide, at + 1)), call.shape, call.image, step)


def _rolled(call: Call) -> Reach | list[Reach] | None:
    """What does not change along a dimension does not change by rolling or turning it."""
    if not call.given.get("dims"):
        return _moved(call)
    reach = call.known()[0]
    dims = [dim + 1 for dim in dims_of(call.given["dims"], len(call.shape))]
    planes = reach.planes.flip(dims) if call.name == "flip" else reach.planes.roll(call.given["shifts"], dims)
    return replace(reach, planes=planes)


def _padded(call: Call) -> Reach | list[Reach] | None:
    """Padding of places goes on for ever as that of a convolution does; of other dimensions, such as channels, it is nothing."""
    pad = [int(size) for size in call.given["pad"]]
    if len(pad) > 4 or len(call.shape) < 3:
        return _moved(call)

    def way(i: int, _: int, places: int) -> tuple[Tensor, float]:
        return _taps.window(places, 1, 1, ([*pad[2:3], 0][0], pad[0])[i], 1), 1.0

    return along_places(call.one("self"), call.shape, len(call.shape) - 2, way)


_NAMES = """
    _reshape_alias _unsafe_view channel_shuffle diagonal expand gather im2col index index_select movedim
    narrow native_channel_shuffle permute pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d reflection_pad3d repeat
    replication_pad1d replication_pad2d replication_pad3d reshape rot90 select slice split split_with_sizes squeeze stack t
    take transpose tril triu unbind unfold unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze view
"""
MOVES: dict[str, Rule] = {
    **dict.fromkeys(_NAMES.split(), _moved),
    "cat": _joined,
    "constant_pad_nd": _padded,
    "flip": _rolled,
    "roll": _rolled,
}
