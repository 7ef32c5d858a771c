"""Follow the boxes of all tensors through one forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from nnwidgets.engine.inspect._reach import Reach, aligned
from nnwidgets.engine.inspect._reach_call import Call
from nnwidgets.engine.inspect._reach_rules import MIXING, rule_of
from nnwidgets.engine.trace import operations, tensors_in
from nnwidgets.engine.trace._ops import is_allocation, writes_to

__all__ = ["Reaching"]


class Reaching:
    """What each tensor of a forward pass can depend on.

    Convolutions and matrix products are not computed: their results are zeros, as nothing here depends on a number.

    Args:
        image: the tensor (1, *input_shape) that the network will be given. size: its rows and columns.

    Attributes:
        unknown: names of operations that were taken to join the whole image because nothing better is known.
    """

    def __init__(self, image: Tensor, size: tuple[int, int]) -> None:
        self.unknown: dict[str, None] = {}
        self._size, self._time = size, 0
        self._table = WeakTensorKeyDictionary()
        self._writes: dict[int, list[tuple[int, Reach, Tensor]]] = {}  # the tensor is kept so that its memory keeps its name
        self._table[image] = (0, Reach.of_image(image.shape))

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Follow what runs in this block."""
        with operations(self._answer):
            yield

    def reach(self, tensor: Tensor) -> Reach | None:
        """What is known of a tensor; None for a constant."""
        time, known = self._table.get(tensor, (-1, None))  # type: ignore[no-untyped-call]
        later = [hull for when, hull, _ in self._writes.get(_memory(tensor), ()) if when > time] if self._writes else []
        if not later:
            return known  # type: ignore[no-any-return]
        # Into some part of it something was written: taken to have been written to all of it.
        parts = [replace(hull, planes=hull.planes.view(-1, *(1,) * tensor.dim()), shape=tuple(tensor.shape)) for hull in later]
        return aligned([*([known] if known is not None else []), *parts], tensor.shape)

    def _answer(self, op: Any, args: Any, kwargs: Any) -> Any:
        used = [] if is_allocation(op) else list(tensors_in([args, kwargs]))
        live = any(self.reach(tensor) is not None for tensor in used)
        if not live:
            return op(*args, **kwargs)
        self._time += 1
        names = [argument.name for argument in op._schema.arguments]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        result = _zeros_instead(op, given)
        result = op(*args, **kwargs) if result is None else result
        made = list(tensors_in(result))
        if made:
            self._note(made, self._reaches(op, given, made), [id(tensor) for tensor in writes_to(op, args, kwargs)])
        return result

    def _reaches(self, op: Any, given: dict[str, Any], made: list[Tensor]) -> list[Reach]:
        name = op._schema.name.rpartition("::")[2]
        name = name[:-1] if name.endswith("_") and not name.endswith("__") else name
        call = Call(op, name, given, tuple(made[0].shape), self.reach, self._size)
        rule = rule_of(name, torch.Tag.pointwise in op.tags)
        found = rule(call) if rule is not None and not (name == "view" and "dtype" in given) else None
        if found is None:
            if name not in MIXING:
                self.unknown[name] = None
            return [Reach.everywhere(tensor.shape, self._size) for tensor in made]
        return found if isinstance(found, list) else [found] * len(made)

    def _note(self, made: list[Tensor], reaches: list[Reach], written: list[int]) -> None:
        for tensor, reach in zip(made, reaches, strict=True):
            if tuple(tensor.shape) != reach.shape:
                continue  # such as the statistics beside a norm
            before = self.reach(tensor) if id(tensor) in written else None
            if id(tensor) in written and (before is None or not _same(before, reach)):
                self._writes.setdefault(_memory(tensor), []).append((self._time, reach.hull(), tensor))
            self._table[tensor] = (self._time, reach)


def _same(a: Reach, b: Reach) -> bool:
    return bool((a.planes == b.planes).all())


def _memory(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse, or a subclass without memory of its own
        return 0


def _zeros_instead(op: Any, given: dict[str, Any]) -> Tensor | None:
    """The result of a costly operation, as zeros; None for any other."""
    name = op._schema.name
    if name == "aten::convolution":
        image, weight = given["input"], given["weight"]
        return torch.zeros(_convolved_shape(given, image.shape, weight.shape), dtype=image.dtype, device=image.device)
    if name in ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"):
        names = {"mm": ("self", "mat2"), "bmm": ("self", "mat2"), "addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2")}
        left, right = (given[each] for each in names[name.removeprefix("aten::")])
        return torch.zeros((*left.shape[:-1], right.shape[-1]), dtype=left.dtype, device=left.device)
    return None


def _convolved_shape(given: dict[str, Any], image: torch.Size, weight: torch.Size) -> list[int]:
    count = len(image) - 2
    stride, padding, spread, extra = (
        [int(size) for size in given[name]] * (count if len(given[name]) == 1 else 1)
        for name in ("stride", "padding", "dilation", "output_padding")
    )
    spans = [spread[i] * (weight[2 + i] - 1) for i in range(count)]
    if given["transposed"]:
        places = [(image[2 + i] - 1) * stride[i] - 2 * padding[i] + spans[i] + extra[i] + 1 for i in range(count)]
        return [image[0], weight[1] * given["groups"], *places]
    return [image[0], weight[0], *[(image[2 + i] + 2 * padding[i] - spans[i] - 1) // stride[i] + 1 for i in range(count)]]
