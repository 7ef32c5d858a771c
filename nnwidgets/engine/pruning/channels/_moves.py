"""Operations that only move values: views, transpositions, slices, joins, padding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from nnwidgets.engine.pruning.channels._labels import Factors, reshaped, trimmed
from nnwidgets.engine.pruning.channels._rules import Watch, rule

__all__ = ["axis_of", "first_of", "held"]

Args = dict[str, Any]


def first_of(arguments: Args) -> Tensor:
    """The first tensor of some arguments."""
    return next(value for value in arguments.values() if isinstance(value, Tensor))


def axis_of(arguments: Args, dims: int) -> int:
    """The axis that an operation works along, from 0."""
    return int(arguments["dim"]) % max(dims, 1)


@rule("alias", "detach", "clone", "_to_copy", "lift_fresh", "lift_fresh_copy", "contiguous", "positive", "resolve_conj")
@rule("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "bernoulli", "fill", "zero")
def _same(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    return [watch.of(first_of(arguments))]


@rule("new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided", "_local_scalar_dense", "sym_size")
def _nothing(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    return [[] for _ in results]


@rule("view", "_unsafe_view", "_reshape_alias", "_reshape_copy", "reshape", "unsqueeze", "squeeze", "flatten", "unflatten")
def _view(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    return [_viewed(watch, watch.of(given), given.shape, results[0].shape)]


def _viewed(watch: Watch, factors: Factors, old: Any, new: Any) -> Factors:
    """Labels of a view; what cannot be said of it stays."""
    if not factors:
        return []
    kept, split, lost = reshaped(factors, old, new)
    for factor in split:
        watch.ties.split(factor, watch.where())
    for factor in lost:
        watch.ties.freeze(factor, f"two kinds of channels are merged into one axis in {watch.where()}")
    return kept


@rule("permute", "transpose", "t", "swapaxes", "movedim", "numpy_T", "adjoint")
def _permuted(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    dims = given.dim()
    order = list(range(dims))
    if "dims" in arguments:
        order = [int(axis) % dims for axis in arguments["dims"]]
    elif dims > 1:
        a, b = (int(arguments.get(name, default)) % dims for name, default in (("dim0", 0), ("dim1", 1)))
        order[a], order[b] = order[b], order[a]
    return [[factor.transpose(order) for factor in watch.of(given)]]


@rule("expand")
def _expand(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    more = results[0].dim() - first_of(arguments).dim()
    return [[factor.reshape((1,) * more + factor.shape) for factor in watch.of(first_of(arguments))]]


@rule("repeat")
def _repeat(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given, times = first_of(arguments), [int(n) for n in arguments["repeats"]]
    more = len(times) - given.dim()
    found = []
    for factor in watch.of(given):
        wide = factor.reshape((1,) * more + factor.shape)
        found.append(np.tile(wide, [n if size > 1 else 1 for n, size in zip(times, wide.shape, strict=True)]))
    return [found]


def held(watch: Watch, factors: Factors, axis: int, reason: str, stays: bool = False) -> Factors:
    """All labels after the size of an axis was fixed; see `Ties.hold`."""
    left = [watch.ties.hold(factor, axis, reason, stays) if factor.shape[axis] > 1 else factor for factor in factors]
    return [factor for factor in left if factor is not None and factor.size > 1]


@rule("pixel_shuffle")
def _pixel_shuffle(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given, times = first_of(arguments), int(arguments["upscale_factor"]) ** 2
    found = []
    for factor in watch.of(given):
        axis = given.dim() - 3
        if factor.size != factor.shape[axis]:
            watch.ties.freeze(factor, f"places are shuffled in {watch.where()}")
            continue
        cut = factor.reshape(-1, times)
        first = watch.ties.tie_along(cut, 1)
        if first.size > 1:
            found.append(first.reshape([-1 if each == axis else 1 for each in range(given.dim())]))
    return [found]


@rule("channel_shuffle", "native_channel_shuffle")
def _channel_shuffle(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given, groups = first_of(arguments), int(arguments["groups"])
    found = []
    for factor in watch.of(given):
        if factor.size != factor.shape[1]:
            watch.ties.freeze(factor, f"places are shuffled in {watch.where()}")
            continue
        cut = factor.reshape(groups, -1)
        watch.ties.tie_along(cut, 0)
        found.append(np.ascontiguousarray(cut.T).reshape(factor.shape))
    return [found]


@rule("im2col")
def _im2col(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given, kernel = first_of(arguments), math.prod(int(n) for n in arguments["kernel_size"])
    found = []
    for factor in watch.of(given):
        if factor.size != factor.shape[1]:
            watch.ties.freeze(factor, f"places are gathered in {watch.where()}")
            continue
        found.append(trimmed(np.repeat(factor.reshape(-1), kernel).reshape(1, -1, 1)))
    return [found]
