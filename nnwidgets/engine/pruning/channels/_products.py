"""Operations that sum over an axis of two operands: convolutions, matrix products, attention."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from nnwidgets.engine.pruning.channels._labels import Factor, Factors, axes_of, covering
from nnwidgets.engine.pruning.channels._pointwise import united
from nnwidgets.engine.pruning.channels._rules import Watch, rule

Args = dict[str, Any]


def contracted(watch: Watch, x: Factors, axis: int, y: Factors, other: int) -> tuple[Factors, Factors]:
    """Sum over axis ``axis`` of x and ``other`` of y: tie their labels, and return both without those of these axes."""
    fx, fy = covering(x, axis), covering(y, other)
    x, y = [f for f in x if f is not fx], [f for f in y if f is not fy]
    if fx is None and fy is None:
        return x, y
    if fx is not None and fy is not None and axes_of(fx) == (axis,) and axes_of(fy) == (other,):
        watch.ties.tie(fx.reshape(-1), fy.reshape(-1), "", watch.where())
        return x, y
    for factor, at, rest in ((fx, axis, x), (fy, other, y)):
        if factor is not None:
            left = watch.ties.hold(factor, at, f"they are multiplied with something of a fixed size in {watch.where()}")
            if left is not None:
                watch.ties.heads.append(left.reshape(-1))
                rest.append(left)
    return x, y


def product(watch: Watch, x: Factors, y: Factors) -> Factors:
    """Labels of a matrix product (..., n, k) @ (..., k, m)."""
    dims = max([f.ndim for f in [*x, *y]], default=2)
    x, y = contracted(watch, x, dims - 1, y, dims - 2)
    found: Factors = []
    for factor in [*x, *y]:
        for known in list(found):
            shared = [axis for axis in axes_of(factor) if known.shape[axis] > 1]
            if not shared:
                continue
            if max(shared) >= dims - 2 or _incomparable(factor, known):
                watch.ties.freeze(known, f"they are multiplied in a way that is not understood in {watch.where()}")
                watch.ties.freeze(factor, f"they are multiplied in a way that is not understood in {watch.where()}")
            else:  # the batch axis of attention: a head's weights and its values
                watch.ties.tie(factor, known, "", watch.where())
                watch.ties.heads.append(factor.reshape(-1))
            found = [f for f in found if f is not known]
            factor = known if known.size > factor.size else factor
        found.append(factor)
    return found


def _incomparable(a: Factor, b: Factor) -> bool:
    mine, its = set(axes_of(a)), set(axes_of(b))
    return not (mine <= its or its <= mine)


@rule("mm", "bmm")
def _mm(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    a, b = arguments["self"], arguments.get("mat2")
    return [_batched(watch, a, b)]


def _batched(watch: Watch, a: Tensor, b: Any) -> Factors:
    x, y = watch.of(a), watch.of(b)
    for mine, other, its in ((x, b, y), (y, a, x)):
        for axis in range(a.dim() - 2):  # no labels on the batch axis of the other one: its size is fixed
            for factor in [f for f in mine if f.shape[axis] > 1]:
                if other.shape[axis] > 1 and covering(its, axis) is None:
                    left = watch.ties.hold(factor, axis, f"they are multiplied with something of a fixed size in {watch.where()}")
                    mine[:] = [f for f in mine if f is not factor] + ([left] if left is not None and left.size > 1 else [])
    return product(watch, x, y)


@rule("addmm", "baddbmm")
def _addmm(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    a, b = (arguments["mat1"], arguments["mat2"]) if "mat1" in arguments else (arguments["batch1"], arguments["batch2"])
    bias = arguments["self"]
    found = _batched(watch, a, b)
    return [united(watch, [(found, tuple(results[0].shape)), (watch.of(bias), tuple(bias.shape))], "")]


@rule("mv", "dot")
def _mv(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    a, b = (arguments[name] for name in (("self", "vec") if "vec" in arguments else ("self", "tensor")))
    x, _ = contracted(watch, watch.of(a), a.dim() - 1, watch.of(b), 0)
    return [[factor.squeeze(-1) for factor in x]]


@rule("convolution", "_convolution")
def _convolution(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    x, weight = watch.of(arguments["input"]), watch.of(arguments["weight"])
    groups, transposed = int(arguments["groups"]), bool(arguments["transposed"])
    dims = arguments["weight"].dim()
    for factor in [f for f in x if any(axis > 1 for axis in axes_of(f))]:
        watch.ties.freeze(factor, f"a convolution slides along them in {watch.where()}")
    x = [f for f in x if all(axis < 2 for axis in axes_of(f))]
    w = [_single(watch, weight, axis, dims) for axis in (0, 1)]
    if groups == 1:
        inner, outer = (0, 1) if transposed else (1, 0)
        y = [w[inner]] if w[inner] is not None else []
        x, _ = contracted(watch, x, 1, [f for f in y if f is not None], inner)
        found, out = x, w[outer]
    else:
        main = covering(x, 1)
        found = [f for f in x if f is not main]
        if main is not None and main.size != main.shape[1]:
            left = watch.ties.hold(main, 1, f"a grouped convolution reads them in {watch.where()}")
            found, main = [*found, *([left] if left is not None else [])], None
        flat = None if main is None else main.reshape(-1)
        rows, columns = (None if f is None else f.reshape(-1) for f in w)
        out = _grouped(watch, flat, rows, columns, groups, transposed, arguments["weight"])
    bias = watch.of(arguments["bias"])
    axis1 = None if out is None else out.reshape([-1 if axis == 1 else 1 for axis in range(results[0].dim())])
    if bias and axis1 is not None:
        watch.ties.tie(axis1.reshape(-1), bias[0].reshape(-1), "", watch.where())
    return [[*found, *([axis1] if axis1 is not None else [])]]


def _single(watch: Watch, weight: Factors, axis: int, dims: int) -> Factor | None:
    factor = covering(weight, axis)
    if factor is None or axes_of(factor) == (axis,):
        return factor
    watch.ties.freeze(factor, f"its weight is made of channels of other kinds in {watch.where()}")
    return None


def _grouped(
    watch: Watch,
    x: Factor | None,
    rows: Factor | None,
    columns: Factor | None,
    groups: int,
    transposed: bool,
    weight: Tensor,
) -> Factor | None:
    """Labels of the outputs. With one input channel a group, groups go; else the j-th channels of all groups go together."""
    ties, where = watch.ties, watch.where()
    fixed = f"a grouped convolution reads channels that must all stay in {where}"
    shape, known = tuple(weight.shape), watch.channelwise(weight)
    inside = shape[0] // groups if transposed else shape[1]
    # A smaller network may have one channel a group left where there were more: that makes it no depthwise convolution.
    if inside == 1 if known is None else known:
        times = shape[1] if transposed else shape[0] // groups
        outs = (None if rows is None else np.repeat(rows, times)) if transposed else rows
        if transposed and columns is not None:
            ties.freeze(columns, fixed)
        if outs is not None:
            if x is None:
                ties.freeze(outs, fixed)
            else:
                ties.tie(outs, np.repeat(x, times), f"works channel by channel with {{}} in {where}", where)
        return outs
    if x is not None:
        ties.tie_along(x.reshape(groups, inside), 0)
    if transposed:
        if rows is not None:
            ties.tie_along(rows.reshape(groups, inside), 0)
            ties.tie(rows, x, "", where) if x is not None else ties.freeze(rows, fixed)
        return None if columns is None else np.tile(columns, groups)
    if columns is not None:
        ties.tie(columns, x.reshape(groups, inside)[0], "", where) if x is not None else ties.freeze(columns, fixed)
    if rows is not None:
        ties.tie_along(rows.reshape(groups, -1), 0)
    return rows


@rule(
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
)
@rule("_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math")
@rule("_scaled_dot_product_cudnn_attention")
def _attention(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    q, k, v = (arguments[name] for name in ("query", "key", "value"))
    reason = f"attention divides by the root of their number in {watch.where()}"
    held = []
    for tensor in (q, k):
        factors = [watch.ties.hold(f, 3, reason) if f.shape[3] > 1 else f for f in watch.of(tensor)]
        held.append([f for f in factors if f is not None and f.size > 1])
    for tensor, its in zip((q, k, v), [*held, watch.of(v)], strict=True):
        for factor in its:
            if factor.shape[2] > 1 or (factor.shape[1] > 1 and tensor.shape[1] != q.shape[1]):
                watch.ties.freeze(factor, f"attention reads them in a way that is not understood in {watch.where()}")
    found = united(watch, [(held[0], (1, q.shape[1], 1, 1)), (held[1], (1, k.shape[1], 1, 1))], "")
    out: Factors = []
    for factor in watch.of(v):
        heads = covering(found, 1)
        if factor.shape[1] > 1 and heads is not None:
            watch.ties.tie(heads, factor, "", watch.where())
            watch.ties.heads.append(factor.reshape(-1))
        elif factor.shape[1] > 1:
            watch.ties.freeze(factor, f"attention has a fixed number of heads in {watch.where()}")
        out.append(factor)
    if not any(f.shape[1] > 1 for f in out):
        for factor in found:
            watch.ties.freeze(factor, f"attention has a fixed number of heads in {watch.where()}")
    return [out, *[[] for _ in results[1:]]]
