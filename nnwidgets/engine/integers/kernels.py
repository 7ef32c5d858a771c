"""Products of 8-bit numbers: which integer operators this machine has, and convolution and linear layers by them.

Inputs are bytes u in [0, most] that stand for (u - zero) * scale; weights are int8 codes with a scale for each output channel.
The product is summed in int32 and leaves as float32, or as bytes on the grid of whoever reads it (Jacob et al. 2018):
y = scale_x * scale_w * sum((u - zero) * w) + bias.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.quantization import Bytes

__all__ = ["Engine", "Geometry", "Product", "engines", "to_bytes"]

Engine = Literal["onednn", "int_mm"]
_PART = 131_072  # numbers
_ROUND = 12582912.0  # 1.5 * 2^23: added to a float32, what is left of its digits is the nearest whole number


def to_bytes(values: Tensor, grid: Bytes) -> Tensor:
    """float32 of any shape -> uint8, rounded half to even. Large ones in parts that stay in the cache."""
    low, high = -grid.zero * grid.scale, (grid.most - grid.zero) * grid.scale
    factor, lift = 1.0 / grid.scale, _ROUND + grid.zero
    if values.numel() <= 2 * _PART:
        return values.clamp(low, high).mul_(factor).add_(lift).view(torch.int32).to(torch.uint8)
    found = torch.empty_like(values, dtype=torch.uint8)
    each = max(1, _PART * len(values) // values.numel())
    room = torch.empty_like(values[:each])
    for first in range(0, len(values), each):
        part = values[first : first + each]
        steps = torch.clamp(part, low, high, out=room[: len(part)])
        found[first : first + each] = steps.mul_(factor).add_(lift).view(torch.int32)
    return found


@functools.cache
def engines() -> tuple[Engine, ...]:
    """The integer operators that give right sums here, the preferred one first; () where there are none.

    Each is tried on products at the ends of the range: some processors saturate pairs of them at 16 bits.
    """
    return tuple(name for name in ("onednn", "int_mm") if _is_right(name))


def _is_right(engine: Engine) -> bool:
    layer = nn.Conv2d(32, 3, 3, padding=1)
    codes = torch.full((3, 32, 3, 3), 127, dtype=torch.int8)
    codes[1], codes[2, ::2] = -127, -127
    grid = Bytes(1.0, 3, 255)
    images = torch.full((2, 32, 4, 4), 255, dtype=torch.uint8)
    images[1, :, ::2] = 0
    try:
        with torch.inference_mode():
            found = Product(layer, codes, torch.ones(3), None, grid, engine)(images)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    expected = F.conv2d(images.double() - grid.zero, codes.double(), padding=1)
    return torch.equal(found.double(), expected)


class Product:
    """A convolution or a linear layer on bytes.

    Args:
        layer: nn.Conv2d with zero padding, or nn.Linear. codes: int8, of the shape of its weight. scale: (O,) of each channel.
        bias: (O,) or None. grid: of its inputs. engine: which operators do it.
    """

    def __init__(self, layer: nn.Module, codes: Tensor, scale: Tensor, bias: Tensor | None, grid: Bytes, engine: Engine) -> None:
        self.grid, self.engine = grid, engine
        self._scale, self._bias = scale.float().contiguous(), None if bias is None else bias.float().contiguous()
        self._layer, self._numel = Geometry.of(layer), codes.numel()
        make = {"onednn": self._onednn, "int_mm": self._int_mm}[engine]
        self._run: Callable[[Tensor, Bytes | None, _Post], Tensor] = make(codes.to(torch.int8).contiguous())

    def __call__(self, codes: Tensor, out: Bytes | None = None, post: _Post = ("none", ())) -> Tensor:
        """uint8 in; float32 out, or uint8 on ``out``. ``post``: what is done to the numbers before they are rounded."""
        return self._run(codes, out, post)

    @property
    def nbytes(self) -> int:
        """Of codes, scales and bias."""
        return self._numel + self._scale.nbytes + (0 if self._bias is None else self._bias.nbytes)

    @property
    def can_add(self) -> bool:
        """True where `added` is one operation."""
        return self.engine == "onednn" and self._layer is not None

    def added(self, codes: Tensor, other: Tensor, post: _Post = ("none", ())) -> Tensor:
        """The product plus ``other``, float32 of the same shape, which is written to."""
        at, grid, scale = self._layer, self.grid, self._scale
        assert at is not None
        kind, numbers = post
        if tuple(other.shape) != (len(codes), len(scale), *at.size_of(codes)):  # such as one number for a whole map
            return _after(self(codes) + other, post)
        other = other.contiguous(memory_format=torch.channels_last)
        ops: Any = torch.ops.onednn
        found: Tensor = ops.qconv2d_pointwise.binary(
            codes, grid.scale, grid.zero, self._packed, scale, self._zeros, other, self._bias, at.stride, at.padding, at.dilation,
            at.groups, 1.0, 0, torch.float32, 1.0, 0, "sum", 1.0, kind, list(numbers), "",
        )  # fmt: skip
        return found

    def _onednn(self, codes: Tensor) -> Callable[[Tensor, Bytes | None, _Post], Tensor]:
        ops: Any = torch.ops.onednn
        scale, bias, grid, at = self._scale, self._bias, self.grid, self._layer
        zeros = self._zeros = torch.zeros(len(scale), dtype=torch.int8)
        if at is None:
            packed = ops.qlinear_prepack(codes, None)
        else:
            packed = ops.qconv_prepack(codes, scale, grid.scale, grid.zero, at.stride, at.padding, at.dilation, at.groups, None)
        self._packed: Tensor = packed

        def run(images: Tensor, out: Bytes | None, post: _Post) -> Tensor:
            kind, numbers = post
            to = (1.0, 0, torch.float32) if out is None else (out.scale, out.zero, torch.uint8)
            if at is None:
                rows = images.reshape(-1, images.shape[-1])
                found: Tensor = ops.qlinear_pointwise(
                    rows, grid.scale, grid.zero, packed, scale, zeros, bias, *to, kind, list(numbers), ""
                )
                found = found.reshape(*images.shape[:-1], -1)
            else:
                found = ops.qconv_pointwise(
                    images, grid.scale, grid.zero, packed, scale, zeros, bias, at.stride, at.padding, at.dilation, at.groups,
                    *to, kind, list(numbers), "",
                )  # fmt: skip
            return found if out is None or out.most == 255 else found.clamp_(max=out.most)

        return run

    def _int_mm(self, codes: Tensor) -> Callable[[Tensor, Bytes | None, _Post], Tensor]:
        """Windows as rows of a matrix (im2col), and torch's product of int8 matrices."""
        at, grid, bias = self._layer, self.grid, self._bias
        if at is not None:
            codes = codes.permute(0, 2, 3, 1)  # the order in which windows lie in memory
        codes = codes.reshape(len(codes), -1)
        width, fit = codes.shape
        # Sizes that the operator refuses elsewhere (multiples of 8) are filled up with zeros.
        more_in, more_out = -fit % 8, -width % 8
        columns = F.pad(codes, (0, more_in, 0, more_out)).t().contiguous()
        lift = (grid.zero - 128) * columns.sum(0, dtype=torch.int32)
        factor = self._scale * grid.scale

        def run(images: Tensor, out: Bytes | None, post: _Post) -> Tensor:
            signed = (images ^ 128).view(torch.int8)  # u - 128
            rows = signed if at is None else at.windows(signed, grid.zero - 128)
            shape = rows.shape[:-1]
            rows = rows.reshape(-1, fit)
            more_rows = max(0, 17 - len(rows))  # so few rows are refused elsewhere
            total = torch._int_mm(F.pad(rows, (0, more_in, 0, more_rows)), columns).sub_(lift)
            answer = total[: len(rows), :width].float().mul_(factor)
            answer = _after(answer if bias is None else answer.add_(bias), post).reshape(*shape, width)
            if at is not None:
                answer = answer.permute(0, 3, 1, 2)  # channels last in memory
            return answer if out is None else to_bytes(answer, out)

        return run


_Post = tuple[str, tuple[float, ...]]


def _after(values: Tensor, post: _Post) -> Tensor:
    kind, numbers = post
    if kind == "relu":
        return values.relu_()
    return values.clamp_(*numbers) if kind == "hardtanh" else values


@dataclass(frozen=True)
class Geometry:
    """Of a convolution; (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(cls, layer: nn.Module) -> Geometry | None:
        """None for a linear layer."""
        if not isinstance(layer, nn.Conv2d):
            return None
        assert not isinstance(layer.padding, str)
        pairs: Any = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        kernel, stride, padding, dilation = ((int(a), int(b)) for a, b in pairs)
        return cls(kernel, stride, padding, dilation, layer.groups)

    def size_of(self, images: Tensor) -> tuple[int, int]:
        """(rows, columns) of the answer to images (B, C, H, W)."""
        tall, broad = (
            (size + 2 * edge - gap * (width - 1) - 1) // step + 1
            for size, edge, gap, width, step in zip(
                images.shape[-2:], self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        )
        return tall, broad

    def windows(self, images: Tensor, edge: int) -> Tensor:
        """(B, C, H, W) -> (B, rows, columns, kernel height * kernel width * C); what is beyond the image is ``edge``."""
        (high, wide), (down, right), (below, beside) = self.kernel, self.dilation, self.padding
        padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, beside, beside, below, below), value=edge).contiguous()
        batch, channels = images.shape[:2]
        tall, broad = self.size_of(images)
        b, h, w, c = padded.stride()
        steps = (b, h * self.stride[0], w * self.stride[1], h * down, w * right, c)
        return padded.as_strided((batch, tall, broad, high, wide, channels), steps).reshape(batch, tall, broad, -1)
