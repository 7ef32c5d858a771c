"""Attention maps: how much each token takes from each other one, head by head."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.inspect._attending import ATTENTION, SOFTMAX
from nnwidgets.engine.inspect._sites import Site, as_inputs, quiet, reading, run, running, site_of, unknown_site
from nnwidgets.engine.trace.weights import kind_of

__all__ = ["Attention", "attention", "attention_maps"]


@dataclass(frozen=True)
class Attention:
    """Attention weights, and what their second axis counts.

    Attributes:
        weights: (B, windows * heads, Q, K). heads, windows: head h of window w is at w * heads + h; one window is all.
    """

    weights: Tensor
    heads: int
    windows: int


def attention_maps(model: nn.Module, images: Tensor, layer: str, call: int = 0) -> Tensor:
    """Return the attention weights of a layer: softmax(Q K^T / sqrt(d) + bias) of each head (Vaswani et al. 2017, eq. 1).

    The layer is an ``nn.MultiheadAttention`` (its weights are computed by itself, whether or not the network asks for them), or
    any module in which exactly one attention takes place: one such layer, one ``scaled_dot_product_attention``, or one softmax
    over the last axis of a tensor (B, heads, Q, K) or (B, windows, heads, Q, K). A block with one attention in it will do: a
    ``TransformerEncoderLayer``, whose fused path is not taken while it is looked at. Dropout is not applied.

    Args:
        model: any network; it is left as it is. images: floating (B, *input_shape) as the network takes them.
        layer: dotted name of a module, "" for the network itself. call: which call of a layer that is called again.

    Returns:
        (B, heads, Q, K), a copy; each row (the last axis) sums to 1. Where a network attends within windows (Swin, MaxViT), all
        windows of an image stand one after the other, the heads of each window together: (B, windows * heads, Q, K), head h of
        window w at w * heads + h, the windows in the order in which the network cuts them (for Swin row by row, after its shift).

    Raises:
        InputError: there is no such layer, the nearest are offered. ModelError: the network takes other inputs.
        UnsupportedError: no attention, or more than one, takes place in it, or one that cannot be told apart by image.
    """
    return attention(model, images, layer, call).weights


def attention(model: nn.Module, images: Tensor, layer: str, call: int = 0) -> Attention:
    """As `attention_maps`, with the number of heads and windows."""
    inputs, site = as_inputs(model, images), site_of(layer, call)
    module = dict(model.named_modules()).get(site.name)
    seen = _Seen(site, len(inputs))
    with reading(model), quiet(), running(inputs):
        if module is None:
            raise _no_module(model, inputs, site)
        with _looking(module, site, seen):
            run(model, inputs, {site: lambda result: None}, stop=True)
    if not seen.found:
        raise UnsupportedError(
            f"{site} ({kind_of(module)}) computes no attention that can be seen: expected nn.MultiheadAttention, "
            "scaled_dot_product_attention or a softmax over (B, heads, Q, K) in it. Choose a layer that attends."
        )
    return _by_image(seen.only(module), len(inputs), site)


class _Seen:
    """The attention weights that came by, while the wanted call of a layer runs."""

    def __init__(self, site: Site, batch: int) -> None:
        self.site, self.batch, self.active, self.found = site, batch, False, 0
        self._weights: Tensor | None = None

    def add(self, weights: Tensor) -> None:
        """Keep the first, with an axis of heads."""
        self.found += 1
        if self._weights is None:
            self._weights = (weights[:, None] if weights.dim() == 3 else weights).detach().clone()

    def only(self, module: nn.Module) -> Tensor:
        """The one that there is."""
        if self.found != 1 or self._weights is None:
            inner = [name for name, part in module.named_modules() if name and isinstance(part, nn.MultiheadAttention)]
            names = ", ".join(f"{self.site.name}.{name}" if self.site.name else name for name in inner[:4])
            raise UnsupportedError(
                f"{self.site} ({kind_of(module)}) attends {self.found} times; expected a layer with one attention in it"
                f"{f', such as {names}' if names else ''}. Choose one further inside."
            )
        return self._weights


@contextlib.contextmanager
def _looking(module: nn.Module, site: Site, seen: _Seen) -> Iterator[None]:
    """Listen to one call of a module; nothing of it is left when the block ends."""
    times = 0

    def begin(_: nn.Module, args: Any) -> None:
        nonlocal times
        seen.active = times == site.call
        times += 1

    with contextlib.ExitStack() as stack:
        stack.callback(module.register_forward_pre_hook(begin, prepend=True).remove)
        for part in module.modules():
            if isinstance(part, nn.MultiheadAttention):
                stack.callback(part.register_forward_pre_hook(_ask_of(seen), with_kwargs=True).remove)
        stack.enter_context(_Functions(seen))
        yield


def _ask_of(seen: _Seen) -> Any:
    """A hook that has an ``nn.MultiheadAttention`` compute its weights from what it is about to get."""

    def ask(module: nn.MultiheadAttention, args: Any, kwargs: Any) -> None:
        if not seen.active:
            return
        seen.active = False  # what it computes is its own
        try:
            given = inspect.signature(nn.MultiheadAttention.forward).bind(module, *args, **kwargs)
            given.arguments.update(need_weights=True, average_attn_weights=False)
            _, weights = module.forward(*given.args[1:], **given.kwargs)
        finally:
            seen.active = True
        if weights is not None:
            _refuse_mixed_images(module, given.arguments["query"].shape, seen)
            seen.add(weights)

    return ask


def _refuse_mixed_images(module: nn.MultiheadAttention, query: torch.Size, seen: _Seen) -> None:
    """A layer that takes (L, B, D), torch's default, and is given (B, L, D) runs without a word."""
    if len(query) < 3:
        raise UnsupportedError(f"{seen.site} gets tokens without a batch axis, {tuple(query)}; expected (B, L, D) or (L, B, D).")
    if not module.batch_first and query[0] == seen.batch != query[1]:
        raise UnsupportedError(
            f"{seen.site} gets a query of shape {tuple(query)} and takes its first axis for tokens (batch_first=False): it "
            "attends from image to image, not from token to token. Build the layer with batch_first=True, or give it (L, B, D)."
        )


class _Functions(TorchFunctionMode):
    """Sees softmax and fused attention among the functions that a network calls."""

    def __init__(self, seen: _Seen) -> None:
        self._seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given: Mapping[str, Any] = kwargs or {}
        name = getattr(func, "__name__", "") if self._seen.active else ""
        if name == ATTENTION:
            self._seen.add(_weights_of_fused(*args, **given))
        result = func(*args, **given)
        if name == SOFTMAX and isinstance(result, Tensor) and result.dim() in (4, 5) and _is_over_the_last(result, args, given):
            self._seen.add(result)
        return result


def _is_over_the_last(result: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return axis in (-1, result.dim() - 1)


def _weights_of_fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The weights that ``scaled_dot_product_attention`` uses and does not give, by the formula in its documentation."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(-1)


def _by_image(weights: Tensor, batch: int, site: Site) -> Attention:
    """Of (B * windows, heads, Q, K) or (B, windows, heads, Q, K)."""
    shape = tuple(weights.shape)
    if len(shape) == 5 and shape[0] == batch:
        return Attention(weights.flatten(1, 2), shape[2], shape[1])
    if len(shape) != 4 or shape[0] % batch:
        raise UnsupportedError(
            f"{site} attends with weights of shape {shape} for a batch of {batch}; expected (B, heads, Q, K) or windows of each "
            "image one after the other. They cannot be told apart by image."
        )
    return Attention(weights.reshape(batch, -1, *shape[2:]), shape[1], shape[0] // batch)


def _no_module(model: nn.Module, inputs: Tensor, site: Site) -> Exception:
    around, bracket, _ = site.name.rpartition("(")
    if not bracket:
        return unknown_site(model, inputs, site)
    return UnsupportedError(
        f"{site} is a function; attention maps are those of a module. Choose the one around it, {around.rstrip('.')!r}."
    )
