"""Reach through convolutions, pooling and interpolation: layers whose outputs see windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from nnwidgets.engine.inspect import _reach_taps as _taps
from nnwidgets.engine.inspect._reach import Reach, closed_up, within
from nnwidgets.engine.inspect._reach_call import Call, Rule

__all__ = ["WINDOWS", "along_places"]

Way = Callable[[int, int, int], tuple[Tensor, float]]
"""``way(i, inputs, outputs)`` gives the taps of the i-th axis of places, and the inputs between two neighbouring outputs."""


def along_places(reach: Reach, shape: tuple[int, ...], first: int, way: Way) -> Reach:
    """Change the dimensions from ``first`` on, of which the last two are rows and columns."""
    planes, step = reach.planes, [1.0] * max(0, len(shape) - first - 2) + list(reach.step)
    step = step[len(step) - (len(shape) - first) :]
    made = []
    for i, dim in enumerate(range(first, len(shape))):
        taps, stride = way(i, reach.shape[dim], shape[dim])
        planes = _taps.gathered(planes, dim + 1, reach.shape[dim], taps, step[i])
        made.append(step[i] * stride)
    rows, columns = [*reach.step, *made][-2:] if len(made) > 1 else (reach.step[0], made[0])
    return replace(reach, planes=planes, shape=shape, step=(rows, columns))


def _convolved(call: Call) -> Reach:
    reach, outputs, count = call.one("input"), call.shape[1], len(call.shape) - 2
    kernel = [int(size) for size in call.given["weight"].shape[2:]]
    stride, padding, spread = call.each("stride", count, 1), call.each("padding", count, 0), call.each("dilation", count, 1)

    def way(i: int, _: int, places: int) -> tuple[Tensor, float]:
        if call.given.get("transposed"):
            return _taps.transposed(places, kernel[i], stride[i], padding[i], spread[i]), 1 / stride[i]
        return _taps.window(places, kernel[i], stride[i], padding[i], spread[i]), stride[i]

    grouped = replace(reach, planes=_over_groups(reach.planes, int(call.given.get("groups", 1)), outputs))
    made = along_places(grouped, call.shape, 2, way)
    return replace(made, planes=closed_up(made.planes))


def _over_groups(planes: Tensor, groups: int, outputs: int) -> Tensor:
    """Each output channel sees the input channels of its group."""
    if planes.shape[2] == 1:
        return planes
    joined = planes.view(*planes.shape[:2], groups, -1, *planes.shape[3:]).amax(3)
    return joined if groups == 1 else joined.repeat_interleave(outputs // groups, 2)


def _pooled(call: Call) -> Reach:
    count = int(call.name.partition("pool")[2][0])  # max_pool2d, also where a batch axis is missing
    kernel = call.each("kernel_size", count, 1)
    stride = call.each("stride", count, 1) if call.given.get("stride") else kernel
    padding, spread = call.each("padding", count, 0), call.each("dilation", count, 1)

    def way(i: int, _: int, places: int) -> tuple[Tensor, float]:
        return _taps.window(places, kernel[i], stride[i], padding[i], spread[i]), stride[i]

    return along_places(call.one("self"), call.shape, len(call.shape) - count, way)


def _adaptive(call: Call) -> Reach:
    def way(_: int, inputs: int, places: int) -> tuple[Tensor, float]:
        return _taps.adaptive(inputs, places), inputs / places

    count = int(call.name.partition("pool")[2][0])
    made = along_places(call.one("self"), call.shape, len(call.shape) - count, way)
    same = made.shape == call.one("self").shape
    return made if same else replace(made, planes=within(made.planes, made.image))


def _resized(call: Call) -> Reach:
    kind = next(word for word in ("nearest_exact", "nearest", "cubic", "linear") if word in call.name)
    named = [call.given[name] for name in ("scales_d", "scales_h", "scales_w", "scales") if name in call.given]
    scales = list(call.given.get("scale_factors") or named)

    def way(i: int, inputs: int, places: int) -> tuple[Tensor, float]:
        scale = scales[i] if i < len(scales) else None
        return _taps.resized(inputs, places, scale, kind, bool(call.given.get("align_corners"))), inputs / places

    return along_places(call.one("self" if "self" in call.given else "input"), call.shape, 2, way)


WINDOWS: dict[str, Rule] = {
    "convolution": _convolved,
    "convolution_overrideable": _convolved,
    **{
        name: _pooled
        for name in (
            *("avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d"),
            *("max_pool2d_with_indices", "max_pool3d_with_indices", "mkldnn_max_pool2d"),
        )
    },
    **{
        name: _adaptive
        for name in (
            *("adaptive_avg_pool1d", "_adaptive_avg_pool2d", "adaptive_avg_pool2d", "_adaptive_avg_pool3d"),
            *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "mkldnn_adaptive_avg_pool2d"),
        )
    },
    **{
        f"{start}upsample_{kind}": _resized
        for start in ("", "_")
        for kind in (
            *("nearest1d", "nearest2d", "nearest3d", "nearest_exact1d", "nearest_exact2d", "nearest_exact3d"),
            *("linear1d", "bilinear2d", "trilinear3d", "bicubic2d"),
        )
    },
}
"""By name of the operation. Rules for interpolation with antialiasing are not known."""
