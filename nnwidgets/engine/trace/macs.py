"""Multiply-accumulates of one torch operation, from the shapes of its operands.

Counted are convolutions, matrix products and fused attention, whatever the device calls them. Biases, normalisation, pooling,
activations and element-wise arithmetic are not. One MAC is two floating point operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["macs_of"]

_Formula = Callable[[tuple[Any, ...], Mapping[str, Any], Any], int]


def macs_of(op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> int:
    """Return the multiply-accumulates of one call of an aten operation.

    Args:
        op: the ``torch._ops.OpOverload`` that was dispatched; args, kwargs: as it got them; result: what it returned.

    Formulas: convolution ``Cout * (Cin / groups) * kh * kw * Ho * Wo`` (transposed: ``Hi * Wi``); matrix product ``n * k * m``;
    attention ``heads * N * M * (dk + dv)``; a fused recurrent layer: its matrices once a step.
    """
    formula = _FORMULAS.get(op._schema.name)
    return 0 if formula is None else formula(args, kwargs, result)


def _convolution(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> int:
    x, weight, transposed = args[0], args[1], args[6]
    positions = x.shape if transposed else result.shape
    spatial = math.prod(positions[2:])
    return int(weight.numel() * positions[0] * spatial)


def _product(left: int, right: int) -> _Formula:
    """A matrix product of two arguments given by position: (..., n, k) x (..., k, m)."""

    def formula(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> int:
        return int(args[left].numel() * (args[right].shape[-1] if args[right].dim() > 1 else 1))

    return formula


def _linear(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> int:
    return int(args[0].numel() * args[1].shape[0])


def _matmul(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> int:
    return int(result.numel() * args[0].shape[-1])


def _attention(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> int:
    query, key, value = args[0], args[1], args[2]
    # (B, heads, N, dk), (B, heads, M, dk), (B, heads, M, dv)
    rows = math.prod(query.shape[:-1])
    return int(rows * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


def _recurrent(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> int:
    # Input (T, B, inputs) or (B, T, inputs): each matrix is used once a step and sample.
    x, weights = args[0], args[1] if isinstance(args[1], (list, tuple)) else args[1:3]
    return int(x.shape[0] * x.shape[1] * sum(weight.numel() for weight in weights if weight.dim() == 2))


_FORMULAS: dict[str, _Formula] = {
    "aten::convolution": _convolution,
    "aten::_convolution": _convolution,
    "aten::convolution_overrideable": _convolution,
    "aten::mm": _product(0, 1),
    "aten::bmm": _product(0, 1),
    "aten::mv": _product(0, 1),
    "aten::dot": _product(0, 1),
    "aten::vdot": _product(0, 1),
    "aten::_int_mm": _product(0, 1),
    "aten::_scaled_mm": _product(0, 1),
    "aten::addmm": _product(1, 2),
    "aten::addmm_": _product(1, 2),
    "aten::_addmm_activation": _product(1, 2),
    "aten::addmv": _product(1, 2),
    "aten::baddbmm": _product(1, 2),
    "aten::baddbmm_": _product(1, 2),
    "aten::addbmm": _product(1, 2),
    "aten::linear": _linear,
    "aten::matmul": _matmul,
    "aten::_scaled_dot_product_attention_math": _attention,
    "aten::_scaled_dot_product_attention_math_for_mps": _attention,
    "aten::_scaled_dot_product_cudnn_attention": _attention,
    "aten::_scaled_dot_product_efficient_attention": _attention,
    "aten::_scaled_dot_product_flash_attention": _attention,
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten::_scaled_dot_product_fused_attention_overrideable": _attention,
    "aten::mkldnn_rnn_layer": _recurrent,
    "aten::_cudnn_rnn": _recurrent,
}
