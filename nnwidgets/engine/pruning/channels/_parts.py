"""Operations that take channels apart and put them together: slices, splits, joins, padding, look-ups."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from nnwidgets.engine.pruning.channels._labels import Factor, Factors
from nnwidgets.engine.pruning.channels._moves import axis_of, first_of, held
from nnwidgets.engine.pruning.channels._pointwise import united
from nnwidgets.engine.pruning.channels._rules import Watch, rule

Args = dict[str, Any]


@rule("slice")
def _slice(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    axis = axis_of(arguments, given.dim())
    size, step = given.shape[axis], int(arguments["step"])
    start = arguments["start"] or 0
    start = min(max(start + size if start < 0 else start, 0), size)
    length = results[0].shape[axis]
    factors = watch.of(given)
    if step == 1 and length == size:
        return [factors]
    if step == 1 and length and size % length == 0 and start % length == 0:  # an n-th of the axis: as chunk would give
        return [_part(_in_parts(watch, factors, axis, size // length), axis, start // length)]
    return [held(watch, factors, axis, f"a slice with fixed bounds is taken of them in {watch.where()}")]


@rule("select")
def _select(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    axis = axis_of(arguments, given.dim())
    factors = held(watch, watch.of(given), axis, f"one of them is picked by its number in {watch.where()}")
    return [[factor.squeeze(axis) for factor in factors]]


@rule("unbind")
def _unbind(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    return _select(watch, arguments, results) * len(results)


def _in_parts(watch: Watch, factors: Factors, axis: int, parts: int) -> list[tuple[Factor, bool]]:
    """Cut an axis into equal parts whose i-th entries go together; (labels, whether the parts are an axis)."""
    found: list[tuple[Factor, bool]] = []
    for factor in factors:
        if factor.shape[axis] == 1:
            found.append((factor, False))
            continue
        shape = (*factor.shape[:axis], parts, factor.shape[axis] // parts, *factor.shape[axis + 1 :])
        cut = factor.reshape(shape)
        watch.ties.tie_along(cut, axis)
        found.append((cut, True))
    return found


def _part(cut: list[tuple[Factor, bool]], axis: int, number: int) -> Factors:
    found = [factor[(slice(None),) * axis + (number,)] if is_cut else factor for factor, is_cut in cut]
    return [factor for factor in found if factor.size > 1]


@rule("split", "split_with_sizes", "unsafe_split", "unsafe_chunk", "chunk", "tensor_split")
def _split(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    axis = axis_of(arguments, given.dim())
    if len({part.shape[axis] for part in results}) == 1:
        cut = _in_parts(watch, watch.of(given), axis, len(results))
        return [_part(cut, axis, number) for number in range(len(results))]
    return [held(watch, watch.of(given), axis, f"they are split into parts of fixed, unequal sizes in {watch.where()}")] * len(
        results
    )


@rule("cat")
def _cat(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    tensors = [tensor for tensor in arguments["tensors"] if tensor.numel() or tensor.dim() > 1]
    axis = axis_of(arguments, results[0].dim())
    beside = [[factor for factor in watch.of(tensor) if factor.shape[axis] == 1] for tensor in tensors]
    shapes = [[1 if each == axis else size for each, size in enumerate(tensor.shape)] for tensor in tensors]
    found = united(watch, list(zip(beside, shapes, strict=True)), "stands beside {} in " + watch.where())
    along = [next((factor for factor in watch.of(tensor) if factor.shape[axis] > 1), None) for tensor in tensors]
    if any(factor is not None for factor in along):
        parts = []
        for factor, tensor in zip(along, tensors, strict=True):
            if factor is not None and factor.size != factor.shape[axis]:
                factor = watch.ties.hold(factor, axis, f"they are joined along another axis in {watch.where()}")
                found.append(factor) if factor is not None else None
                factor = None
            flat = np.full(tensor.shape[axis], -1) if factor is None else factor.reshape(-1)
            parts.append(flat)
        joined = np.concatenate(parts).astype(np.int64)
        if (joined >= 0).any():
            found.append(joined.reshape([-1 if each == axis else 1 for each in range(results[0].dim())]))
    return [_disjoint(watch, found)]


def _disjoint(watch: Watch, factors: Factors) -> Factors:
    taken: set[int] = set()
    kept: Factors = []
    for factor in factors:
        axes = {axis for axis, size in enumerate(factor.shape) if size > 1}
        if axes & taken:
            watch.ties.freeze(factor, f"they are joined with others in a way that is not understood in {watch.where()}")
            continue
        taken |= axes
        kept.append(factor)
    return kept


@rule("stack")
def _stack(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    axis = axis_of(arguments, results[0].dim())
    both = [(watch.of(tensor), tuple(tensor.shape)) for tensor in arguments["tensors"]]
    found = united(watch, both, "is stacked with {} in " + watch.where())
    return [[np.expand_dims(factor, axis) for factor in found]]


@rule("flip", "roll")
def _moved(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    factors = watch.of(given)
    for axis in arguments["dims"] or range(given.dim()):
        factors = held(watch, factors, int(axis) % given.dim(), f"they change places in {watch.where()}", stays=True)
    return [factors]


@rule("constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
@rule("replication_pad1d", "replication_pad2d", "replication_pad3d")
def _pad(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given, pad = first_of(arguments), [int(n) for n in arguments.get("pad") or arguments["padding"]]
    factors = watch.of(given)
    for number in range(len(pad) // 2):
        axis, before, after = given.dim() - 1 - number, pad[2 * number], pad[2 * number + 1]
        if before == after == 0:
            continue
        padded: Factors = []
        for factor in factors:
            if factor.shape[axis] == 1:
                padded.append(factor)
            elif factor.size == factor.shape[axis] and "value" in arguments and before >= 0 and after >= 0:
                width = [(before, after) if each == axis else (0, 0) for each in range(factor.ndim)]
                padded.append(np.pad(factor, width, constant_values=-1))
            else:
                padded += held(watch, [factor], axis, f"they are padded by a fixed number in {watch.where()}")
        factors = padded
    return [factors]


@rule("index_select")
def _index_select(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    axis = axis_of(arguments, given.dim())
    return [held(watch, watch.of(given), axis, f"some of them are picked by their numbers in {watch.where()}")]


@rule("index")
def _index(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given, indexes = first_of(arguments), list(arguments["indices"])
    used = [axis for axis, index in enumerate(indexes) if index is not None]
    factors = watch.of(given)
    for axis in used:
        factors = held(watch, factors, axis, f"some of them are picked by their numbers in {watch.where()}")
    if not factors or used != list(range(used[0], used[-1] + 1)):
        for factor in factors:
            watch.ties.freeze(factor, f"they are indexed in a way that is not understood in {watch.where()}")
        return [[]]
    new = results[0].dim() - (given.dim() - len(used))
    first, last = used[0], used[-1]
    return [[factor.reshape((*factor.shape[:first], *[1] * new, *factor.shape[last + 1 :])) for factor in factors]]


@rule("embedding")
def _embedding(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    weight = watch.of(arguments["weight"])
    left = held(watch, weight, 0, f"rows are looked up by their numbers in {watch.where()}")
    more = results[0].dim() - 2
    return [[factor.reshape((1,) * more + factor.shape) for factor in left]]


@rule("glu")
def _glu(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    axis = axis_of(arguments, given.dim())
    return [_part(_in_parts(watch, watch.of(given), axis, 2), axis, 0)]
