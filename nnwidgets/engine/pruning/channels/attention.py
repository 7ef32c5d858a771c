"""Multi-head attention whose heads need not fill the width of what it reads."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

__all__ = ["FewerHeads"]


class FewerHeads(nn.MultiheadAttention):
    """As ``nn.MultiheadAttention`` (same call, same parameter names) with H heads of d values each, H * d != the width.

    Attributes:
        embed_dim: values of a token that it reads and answers. num_heads, head_dim: H and d.
    """

    def __init__(self, source: nn.MultiheadAttention) -> None:
        """Take over everything from another module; its parameters are to be made smaller by the caller."""
        nn.Module.__init__(self)
        for name in ("embed_dim", "kdim", "vdim", "num_heads", "head_dim", "dropout", "batch_first", "add_zero_attn"):
            setattr(self, name, getattr(source, name))
        self.packed = source.in_proj_weight is not None
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "bias_k", "bias_v"):
            self.register_parameter(name, getattr(source, name))
        self.out_proj = source.out_proj
        self._qkv_same_embed_dim = False  # what torch asks before it takes a fast path that knows full heads only
        self.training = source.training

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(L, B, E), or (B, L, E) with ``batch_first``, or (L, E) -> the same, and the weights (B, L, S) or (B, H, L, S)."""
        batched = query.dim() == 3
        q, k, v = (x if batched else x.unsqueeze(0 if self.batch_first else 1) for x in (query, key, value))
        if not self.batch_first:
            q, k, v = (x.transpose(0, 1) for x in (q, k, v))
        q, k, v = self._projected(q, k, v)
        keys = k.shape[1]
        if self.bias_k is not None and self.bias_v is not None:
            k, v = torch.cat([k, self.bias_k.expand(len(k), -1, -1)], 1), torch.cat([v, self.bias_v.expand(len(v), -1, -1)], 1)
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
        q, k, v = (x.view(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2) for x in (q, k, v))
        scores = q @ k.transpose(2, 3) / math.sqrt(self.head_dim)
        mask = self._mask(scores, key_padding_mask, attn_mask, batched)
        if mask is not None:
            scores = scores + F.pad(mask, (0, scores.shape[3] - keys))
        weights = F.dropout(scores.softmax(3), self.dropout, self.training)
        out = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        out = out if self.batch_first else out.transpose(0, 1)
        shown = weights.mean(1) if average_attn_weights else weights
        if not batched:
            out, shown = out.squeeze(0 if self.batch_first else 1), shown.squeeze(0)
        return out, shown if need_weights else None

    def _projected(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        own = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        weights = self.in_proj_weight.chunk(3) if self.packed else own
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return tuple(F.linear(x, weight, bias) for x, weight, bias in zip((q, k, v), weights, biases, strict=True))

    def _mask(self, scores: Tensor, padding: Tensor | None, mask: Tensor | None, batched: bool) -> Tensor | None:
        """What is added to the scores (B, H, L, S)."""
        total = None
        if mask is not None:
            mask = _added(mask, scores)
            total = mask.view(scores.shape[0], -1, *mask.shape[1:]) if mask.dim() == 3 else mask
        if padding is not None:
            padding = _added(padding if batched else padding.unsqueeze(0), scores)[:, None, None]
            total = padding if total is None else total + padding
        return total


def _added(mask: Tensor, scores: Tensor) -> Tensor:
    if mask.dtype is not torch.bool:
        return mask.to(scores.dtype)
    return torch.zeros_like(mask, dtype=scores.dtype).masked_fill(mask, -math.inf)
