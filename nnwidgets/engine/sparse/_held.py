"""Masks of single weights that hold while a plain network is trained: half the time of a parametrization, the same bits."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from nnwidgets.engine.trace import weight_layers, weight_of
from nnwidgets.engine.values.mask import Mask

__all__ = ["bool_masks", "held"]


def bool_masks(masks: Mapping[str, Mask], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Layer -> bool tensor, True where a weight is kept."""
    return {name: torch.from_numpy(mask.to_array()).to(device) for name, mask in masks.items()}


@contextlib.contextmanager
def held(network: nn.Module, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Set masked weights to zero, and their gradients in each step, until the block ends.

    Where weight and gradient are zero, so are decay, momentum and moments: no optimizer of ours moves it.
    """
    weights = {layer.name: weight_of(network, layer) for layer in weight_layers(network)}
    hooks = []
    try:
        for name, keep in masks.items():
            weight = weights[name]
            kept = keep.to(weight.device)
            with torch.no_grad():
                weight.masked_fill_(~kept, 0)

            clear = functools.partial(_clear, factor=kept.to(weight.dtype))
            hooks.append(weight.register_post_accumulate_grad_hook(clear))  # type: ignore[no-untyped-call]
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _clear(parameter: Tensor, factor: Tensor) -> None:
    if parameter.grad is not None:
        parameter.grad.mul_(factor)  # a twentieth of the time of masked_fill_
