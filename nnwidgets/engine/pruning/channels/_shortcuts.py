"""Heavy operations without their arithmetic: only the shapes are needed, and they are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["SHORTCUTS"]

Args = dict[str, Any]


def _check(fits: bool, what: str, *shapes: Sequence[int]) -> None:
    if not fits:
        raise RuntimeError(f"{what}: shapes {', '.join(str(tuple(shape)) for shape in shapes)} do not fit")


def _wide(values: Sequence[int], count: int) -> list[int]:
    return [int(value) for value in values] * (count if len(values) == 1 else 1)


def _convolution(arguments: Args) -> Tensor:
    x, weight, bias, groups = (arguments[name] for name in ("input", "weight", "bias", "groups"))
    count = weight.dim() - 2
    stride, padding, dilation, extra = (
        _wide(arguments[name], count) for name in ("stride", "padding", "dilation", "output_padding")
    )
    transposed = arguments["transposed"]
    inside, outside = (weight.shape[0], weight.shape[1] * groups) if transposed else (weight.shape[1] * groups, weight.shape[0])
    fits = x.dim() == count + 2 and x.shape[1] == inside and weight.shape[0] % groups == 0
    _check(fits, f"convolution with {groups} groups", x.shape, weight.shape)
    _check(
        bias is None or tuple(bias.shape) == (outside,), "bias of a convolution", (outside,), () if bias is None else bias.shape
    )
    sizes = []
    for n, k, s, p, d, e in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, extra, strict=True):
        reach = d * (k - 1)
        sizes.append((n - 1) * s - 2 * p + reach + e + 1 if transposed else (n + 2 * p - reach - 1) // s + 1)
    _check(min(sizes) > 0, "kernel larger than the maps", x.shape, weight.shape)
    return torch.zeros((x.shape[0], outside, *sizes), dtype=x.dtype)


def _matrix(a: Tensor, b: Tensor) -> Tensor:
    _check(a.dim() == b.dim() and a.shape[-1] == b.shape[-2] and a.shape[:-2] == b.shape[:-2], "matrix product", a.shape, b.shape)
    return a.new_zeros((*a.shape[:-1], b.shape[-1]))


def _with_bias(result: Tensor, bias: Tensor) -> Tensor:
    sizes = result.shape[result.dim() - bias.dim() :]
    fits = all(mine in (1, size) for mine, size in zip(bias.shape, sizes, strict=True))
    _check(fits, "bias of a matrix product", result.shape, bias.shape)
    return result


def _batch_norm(arguments: Args) -> tuple[Tensor, Tensor, Tensor]:
    x = arguments["input"]
    for name in ("weight", "bias", "running_mean", "running_var"):
        vector = arguments.get(name)
        _check(
            vector is None or tuple(vector.shape) == (x.shape[1],),
            f"{name} of a batch norm",
            x.shape,
            getattr(vector, "shape", ()),
        )
    return torch.zeros_like(x), x.new_empty(0), x.new_empty(0)


SHORTCUTS: dict[str, Callable[[Args], Any]] = {
    "convolution": _convolution,
    "mm": lambda a: _matrix(a["self"], a["mat2"]),
    "bmm": lambda a: _matrix(a["self"], a["mat2"]),
    "addmm": lambda a: _with_bias(_matrix(a["mat1"], a["mat2"]), a["self"]),
    "baddbmm": lambda a: _with_bias(_matrix(a["batch1"], a["batch2"]), a["self"]),
    "native_batch_norm": _batch_norm,
}
