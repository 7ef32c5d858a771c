"""A copy of a network without its numbers, on the CPU: enough to see what its forward pass does with shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nnwidgets.engine.errors import ModelError, UnsupportedError
from nnwidgets.engine.trace import tensors_in, unvisited_copy

__all__ = ["blank_copy", "check_plain", "copy_with", "zeros"]

_PLAIN = (bool, int, float, str, type(None))


def blank_copy(model: nn.Module, stand_ins: Mapping[int, Tensor] | None = None) -> nn.Module:
    """A copy in eval mode without hooks, whose floating tensors are zeros; the numbers of others (indexes) are kept.

    Args:
        stand_ins: id of a tensor -> what stands for it in the copy.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for name, value in vars(module).items():
            if "_hooks" in name and isinstance(value, dict):
                memo[id(value)] = type(value)()
            elif not isinstance(value, _PLAIN) and name != "_modules":
                for tensor in tensors_in(value):
                    if id(tensor) not in memo:
                        memo[id(tensor)] = _twin(tensor)
    return copy_with(model, {**memo, **(stand_ins or {})}).eval()


def copy_with(model: nn.Module, stand_ins: Mapping[int, Any]) -> nn.Module:
    """A copy with some of its parts replaced.

    Raises:
        ModelError: it cannot be copied.
    """
    # To copy an empty OrderedDict by the general protocol takes 20 us, and each module has eight of them for hooks.
    empty = {id(v): type(v)() for m in model.modules() for n, v in vars(m).items() if "_hooks" in n and v == {}}
    with torch.inference_mode(False), torch.no_grad():
        try:
            return unvisited_copy(model, {**empty, **stand_ins})
        except Exception as error:
            raise ModelError(
                f"The network ({type(model).__name__}) cannot be copied: {type(error).__name__}: {error}. Keep what cannot be "
                "copied (locks, files, loaders) outside the module."
            ) from error


def check_plain(model: nn.Module) -> None:
    """Raise UnsupportedError for TorchScript and parametrized weights, ModelError for what is no network or not ready."""
    if not isinstance(model, nn.Module):
        raise ModelError(f"Got {type(model).__name__}; expected a torch.nn.Module.")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise UnsupportedError(
                f"{name or 'The network'} is a TorchScript module; channels need the Python module. Give that."
            )
        if parametrize.is_parametrized(module):
            raise UnsupportedError(
                f"Layer {name!r} has a parametrization, so that its weight has no size of its own. Take the plain network: "
                "bake() for a compressed one, torch.nn.utils.parametrize.remove_parametrizations for others."
            )
        for tensor in module._parameters.values():
            if tensor is not None and nn.parameter.is_lazy(tensor):
                raise ModelError(f"Layer {name!r} is lazy and has no weights yet. Run one batch through the network first.")


def _twin(tensor: Tensor) -> Tensor:
    data = tensor.detach()
    if not data.dtype.is_floating_point or data.layout is not torch.strided:
        twin = torch.zeros(data.shape, dtype=data.dtype) if data.is_meta else data.to("cpu", copy=True)
    else:
        twin = zeros(tuple(data.shape), data.dtype)
    return nn.Parameter(twin, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else twin


def zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeros; large ones in memory that the system hands out once it is written to, which is never."""
    if dtype is torch.float32:
        return torch.from_numpy(np.zeros(shape, np.float32))
    return torch.zeros(shape, dtype=dtype)
