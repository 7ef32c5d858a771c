"""The axes of what a layer gave: which is the batch, which holds the channels, and what the others are places of."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.inspect._layout import Layout, layout_of_module
from nnwidgets.engine.inspect._sites import Site, first_tensor
from nnwidgets.engine.trace import Result, tensors_in

__all__ = ["Frame", "arranged", "channel_axis", "guessed", "why_not"]

Frame = tuple[int, ...] | None
"""Height and width of the input image, () where the input is no image, None where nobody said."""

_EXTRA = (0, 1, 2, 5)  # tokens before those of the image: a class token, DeiT's distillation token, DINOv2's four registers


def arranged(
    result: Any, batch: int, site: Site, module: nn.Module | None = None, layout: Layout | None = None, frame: Frame = None
) -> tuple[Tensor, str]:
    """As `as_maps`, but with its gradient history and perhaps in the same memory: (B, C, H, W), and how the axes were read."""
    tensor, words = _batch_first(first_tensor(result, site), batch, module, layout)
    why = _refusal(tuple(tensor.shape), tensor.dtype, tensor.dim() > 0 and len(tensor) == batch)
    if why:
        raise UnsupportedError(
            f"{site} {why} (batch of {batch}); expected floating numbers (B, C, H, W), tokens (B, N, D) or (B, F). "
            "It cannot be shown as maps; choose a layer before or after it."
        )
    if tensor.dim() == 2:
        return tensor[:, :, None, None], _first_of(result)
    found = Layout.LAST if words else layout_of_module(module, tensor.shape) or layout or guessed(tensor.shape, frame)[0]
    if tensor.dim() == 3:
        maps, how = _of_places(tensor if found is Layout.FIRST else tensor.transpose(1, 2), found, module, frame)
    elif found is Layout.LAST:
        maps, how = tensor.permute(0, 3, 1, 2), "channels last"
    else:
        maps, how = tensor, ""
    return maps, ", ".join(word for word in (_first_of(result), words, how) if word)


def channel_axis(tensor: Tensor, module: nn.Module | None = None, layout: Layout | None = None, frame: Frame = None) -> int:
    """The axis of what a layer gave that `as_maps` reads as channels; the tensor is one that it can read."""
    if tensor.dim() not in (3, 4):
        return 1
    found = layout_of_module(module, tensor.shape) or layout or guessed(tensor.shape, frame)[0]
    return 1 if found is Layout.FIRST else tensor.dim() - 1


def guessed(shape: torch.Size, frame: Frame) -> tuple[Layout, bool]:
    """The layout that a shape (B, ...) suggests, and whether it suggests one at all."""
    if len(shape) == 3 and shape[0] == shape[1]:
        return Layout.LAST, False  # (B, N, D) or (N, B, D)
    if len(shape) == 3:
        fits = [_grid(shape[axis], frame) is not None for axis in (2, 1)]
        return Layout.LAST, fits == [False, True]  # that a width is a square number means nothing
    if len(shape) != 4:
        return Layout.FIRST, True
    fits = [_has_form(shape[axis], shape[axis + 1], frame) for axis in (2, 1)]
    return Layout.LAST if fits == [False, True] else Layout.FIRST, fits[0] != fits[1]


def why_not(results: tuple[Result, ...]) -> str:
    """Why what a traced call gave cannot be shown as maps, "" where it can."""
    if not results:
        return "gives no tensor"
    result = results[0]
    has_batch = result.batch_axis == 0 or (result.batch_axis == 1 and len(result.shape) == 3)
    shape = ("B", *result.shape) if result.batch_axis == 0 else result.shape
    return _refusal(shape, result.dtype, has_batch)


def _refusal(shape: tuple[object, ...], dtype: torch.dtype, has_batch: bool) -> str:
    text = f"({', '.join(map(str, shape))})"
    if not dtype.is_floating_point:
        return f"gives {str(dtype).removeprefix('torch.')} of shape {text}"
    if not has_batch:
        return f"gives shape {text}, which is not one result for each image"
    if len(shape) < 2:
        return "gives one number for each image"
    return "" if len(shape) <= 4 else f"gives shape {text}, {len(shape) - 1} axes for each image"


def _first_of(result: Any) -> str:
    count = sum(1 for _ in tensors_in(result))
    return f"the first of {count} tensors" if count > 1 else ""


def _batch_first(tensor: Tensor, batch: int, module: nn.Module | None, layout: Layout | None) -> tuple[Tensor, str]:
    """Sequences may come as (places, batch, channels)."""
    if tensor.dim() != 3 or tensor.shape[1] != batch:
        return tensor, ""
    if tensor.shape[0] == batch and layout is not Layout.LAST_BATCH_SECOND and not _puts_batch_second(module):
        return tensor, ""
    return tensor.transpose(0, 1), Layout.LAST_BATCH_SECOND.value


def _puts_batch_second(module: nn.Module | None) -> bool:
    """True for torch's own sequence layers with ``batch_first=False``, their usual setting."""
    inner = next((part for part in module.modules() if hasattr(part, "batch_first")), None) if module is not None else None
    kinds = (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
    return isinstance(module, kinds) and inner is not None and not inner.batch_first


def _of_places(places: Tensor, layout: Layout, module: nn.Module | None, frame: Frame) -> tuple[Tensor, str]:
    """(B, C, N) as a grid where the places are patches of an image, else in a row."""
    tokens = places.shape[2]
    is_sequence = isinstance(module, nn.RNNBase) or (frame is None and layout is Layout.FIRST)
    grid = None if is_sequence else _grid(tokens, frame)
    if grid is None:
        return places[:, :, None], "a sequence" if layout is Layout.FIRST else f"{tokens} tokens in a row"
    extra, height, width = grid
    maps = places[:, :, extra:].reshape(*places.shape[:2], height, width)
    left_out = {0: "", 1: ", without the class token"}.get(extra, f", without the {extra} tokens before them")
    return maps, f"{tokens - extra} tokens as {height} x {width}{left_out}"


def _grid(tokens: int, frame: Frame) -> tuple[int, int, int] | None:
    """(tokens before the grid, its height, its width) where so many tokens are square patches of an image of this form."""
    if frame == ():
        return None
    extras = [extra for extra in (_EXTRA if frame else _EXTRA[:2]) if tokens - extra > 3]
    for is_exact in (True, False):
        for extra in extras:
            for height, width in _sides(tokens - extra, frame, is_exact):
                if height * width == tokens - extra:
                    return extra, height, width
    return None


def _sides(count: int, frame: Frame, is_exact: bool) -> list[tuple[int, int]]:
    """Grids of about so many square patches: those that fit the image, or those with a rest, which is left out or padded."""
    if not frame or frame[0] == frame[1]:
        return [(math.isqrt(count),) * 2]
    height, width = frame
    strides = range(1, min(frame) + 1)
    if is_exact:
        return [(height // s, width // s) for s in strides if height % s == width % s == 0]
    return [(height // s, width // s) for s in strides] + [(-(-height // s), -(-width // s)) for s in strides]


def _has_form(height: int, width: int, frame: Frame) -> bool:
    """True where a map has the proportions of an image, up to what padding adds or takes at the stride of its other side."""
    if not frame or frame[0] == frame[1]:
        return height == width
    stride = max(frame[0] / height, frame[1] / width)
    return max(abs(frame[0] / stride - height), abs(frame[1] / stride - width)) <= 1.0
