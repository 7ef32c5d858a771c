"""Operations that meet their operands place by place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nnwidgets.engine.pruning.channels._labels import Factor, Factors, axes_of
from nnwidgets.engine.pruning.channels._rules import Watch, rule
from nnwidgets.engine.pruning.channels._ties import Choice, shared_or_tied

__all__ = ["is_pointwise", "pointwise", "united"]

_ALSO = frozenset(
    [
        "hardswish",
        "mish",
        "celu",
        "softshrink",
        "hardshrink",
        "threshold",
        "_prelu_kernel",
        "native_dropout",
        "masked_fill",
        "where",
        "log_sigmoid_forward",
        "lerp",
        "rrelu_with_noise",
    ]
)
_WORDS = {
    "add": "is added to {}",
    "sub": "stands in a difference with {}",
    "mul": "is multiplied with {}",
    "div": "stands in a quotient with {}",
    "maximum": "is compared with {}",
}


def is_pointwise(op: Any, name: str) -> bool:
    """True where each place of the result depends on that place of the operands alone."""
    return torch.Tag.pointwise in op.tags or name in _ALSO


def pointwise(watch: Watch, name: str, arguments: dict[str, Any], results: list[Tensor]) -> list[Factors]:
    """Labels of such a result: those of its operands, tied."""
    operands = [value for value in arguments.values() if isinstance(value, Tensor)]
    if len(operands) == 1:
        return [watch.of(operands[0])] * len(results)
    words = _WORDS.get(name, "meets {}")
    found = united(watch, [(watch.of(x), tuple(x.shape)) for x in operands], f"{words} in {watch.where()}")
    return [found] * len(results)


def united(watch: Watch, operands: Sequence[tuple[Factors, Sequence[int]]], why: str) -> Factors:
    """Tie the labels of operands that are broadcast together.

    Args:
        operands: (labels, shape) of each. why: with {} for the name of the other one.
    """
    dims = max((len(shape) for _, shape in operands), default=0)
    wide = [
        (
            [factor.reshape((1,) * (dims - len(shape)) + factor.shape) for factor in factors],
            (1,) * (dims - len(shape)) + tuple(shape),
        )
        for factors, shape in operands
    ]
    clean: list[Factors] = []
    for number, (factors, _) in enumerate(wide):
        others = [wide[other] for other in range(len(wide)) if other != number]
        clean.append([left for factor in factors if (left := _without_plain(watch, factor, others)) is not None])
    result: Factors = []
    for factors in clean:
        for factor in factors:
            result = _merged(watch, result, factor, why)
    return result


def _without_plain(watch: Watch, factor: Factor, others: Sequence[tuple[Factors, Sequence[int]]]) -> Factor | None:
    """Where another operand has places without labels, the number of places is fixed."""
    left: Factor | None = factor
    for axis in axes_of(factor):
        for factors, shape in others:
            if left is not None and shape[axis] > 1 and left.shape[axis] > 1 and all(f.shape[axis] == 1 for f in factors):
                left = watch.ties.hold(left, axis, f"they meet a tensor whose size is fixed in {watch.where()}", stays=True)
    return left


def _merged(watch: Watch, known: Factors, new: Factor, why: str) -> Factors:
    kept: Factors = []
    for factor in known:
        mine, its = set(axes_of(factor)), set(axes_of(new))
        if not mine & its:
            kept.append(factor)
        elif mine == its:
            watch.ties.tie(new, factor, why, watch.where())
            new = new if (factor < 0).any() and not (new < 0).any() else factor
        elif mine < its or its < mine:
            small, large = (factor, new) if mine < its else (new, factor)
            watch.ties.choices.append(Choice(large, shared_or_tied(small, large), watch.where()))
            new = large
        else:
            watch.ties.freeze(factor, f"they meet channels of another kind in {watch.where()}")
            watch.ties.freeze(new, f"they meet channels of another kind in {watch.where()}")
            return [each for each in known if each is not factor]
    return [*kept, new]


@rule("copy")
def _copy(watch: Watch, arguments: dict[str, Any], results: list[Tensor]) -> list[Factors]:
    both = [(watch.of(arguments[name]), tuple(arguments[name].shape)) for name in ("self", "src")]
    return [united(watch, both, "is written with {} in " + watch.where())]
