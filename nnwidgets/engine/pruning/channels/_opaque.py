"""Modules that are taken as one unit: attention, whose heads can be removed, and recurrent layers, where nothing can."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nnwidgets.engine.pruning.channels._labels import Factor, Factors, axes_of
from nnwidgets.engine.pruning.channels._rules import Watch

__all__ = ["attend", "recur"]


def attend(
    watch: Watch, module: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, list[Factors]]:
    """The results of attention (zeros) and their labels."""
    given = dict(zip(("query", "key", "value", "key_padding_mask", "need_weights"), args, strict=False)) | kwargs
    q, k, v = (given[name] for name in ("query", "key", "value"))
    heads, size = module.num_heads, module.head_dim
    packed = module.in_proj_weight is not None
    weights = [module.in_proj_weight] if packed else [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
    for x, weight in zip((q, k, v), weights * 3 if packed else weights, strict=False):
        if x.shape[-1] != weight.shape[1]:
            raise RuntimeError(f"attention reads {weight.shape[1]} values of a token, got {x.shape[-1]}")
        _read(watch, watch.of(x), x.dim() - 1, watch.of(weight))
    parts = [_rows(watch, weight, 0) for weight in weights]
    parts += [_rows(watch, tensor, axis) for tensor, axis in ((module.in_proj_bias, 0), (module.bias_k, 2), (module.bias_v, 2))]
    parts.append(_rows(watch, module.out_proj.weight, 1))
    unit: Factor | None = None
    for rows in parts:
        if rows is None:
            continue
        cut = rows.reshape(-1, heads, size) if rows.size % (heads * size) == 0 else None
        if cut is None:
            raise RuntimeError(f"attention with {heads} heads of {size} got a projection to {rows.size}")
        first = watch.ties.tie_along(watch.ties.tie_along(cut, 0), 2)
        if unit is not None:
            watch.ties.tie(first, unit, "", watch.where())
        unit = first if unit is None else unit
        watch.ties.heads.append(first.reshape(-1))
    outs, bias = _rows(watch, module.out_proj.weight, 0), _rows(watch, module.out_proj.bias, 0)
    if outs is not None and bias is not None:
        watch.ties.tie(outs, bias, "", watch.where())
    result = q.new_zeros((*q.shape[:-1], module.out_proj.weight.shape[0]))
    labels = [] if outs is None else [outs.reshape([1] * (q.dim() - 1) + [-1])]
    shown = None
    if given.get("need_weights", True):
        first_axis = int(q.dim() == 3 and not module.batch_first)
        axis = 1 - first_axis if q.dim() == 3 else 0
        batch = (q.shape[first_axis],) if q.dim() == 3 else ()
        shown = q.new_zeros((*batch, q.shape[axis], k.shape[axis]))
    return (result, shown), [labels, []]


def _rows(watch: Watch, tensor: Tensor | None, axis: int) -> Factor | None:
    factor = next((f for f in watch.of(tensor) if f.shape[axis] > 1), None)
    return None if factor is None else np.ascontiguousarray(factor).reshape(-1)


def _read(watch: Watch, x: Factors, axis: int, weight: Factors) -> None:
    columns = next((f.reshape(-1) for f in weight if f.shape[1] > 1), None)
    factor = next((f for f in x if f.shape[axis] > 1), None)
    if factor is not None and (axes_of(factor) != (axis,) or columns is None):
        watch.ties.freeze(factor, f"attention reads them in a way that is not understood in {watch.where()}")
        factor = None
    if columns is None:
        return
    if factor is None:
        watch.ties.freeze(columns, f"attention reads values that must all stay in {watch.where()}")
    else:
        watch.ties.tie(factor.reshape(-1), columns, "", watch.where())


def recur(
    watch: Watch,
    module: nn.Module,
    run: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    inputs: Iterable[Tensor],
) -> Any:
    """Run a module of which nothing can be removed; its parameters and what it reads stay."""
    kind = type(module).__name__
    reason = f"{watch.where()} ({kind}) is a layer of which nothing can be removed"
    for tensor in [*inputs, *module.parameters()]:
        for factor in watch.of(tensor):
            watch.ties.freeze(factor, reason)
    with torch.no_grad():
        return run(*args, **kwargs)
