"""A copy of a network to trace: on the meta device without any numbers, or a real one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from nnwidgets.engine.errors import ModelError, UnsupportedError
from nnwidgets.engine.trace._tensors import tensors_in
from nnwidgets.engine.trace.weights import kind_of

__all__ = ["copy_for_trace", "home_of"]

_LARGE = 2**20  # bytes

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def copy_for_trace(model: nn.Module, device: torch.device, blank: bool = False) -> tuple[nn.Module, list[str]]:
    """Return a copy in eval mode without its hooks, and notes about what was left out.

    On the meta device no number is copied, so that a network of any size costs a few milliseconds. ``blank``, on the CPU, gives
    large weights of zeros: memory that is only read is none.

    Raises:
        ModelError: the network cannot be copied. UnsupportedError: TorchScript.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise UnsupportedError(
                "The network holds TorchScript modules, whose layers cannot be watched. Give the Python module."
            )
        # Plain tensor attributes too: they would stay on the old device, and those with a gradient history refuse to be copied.
        for tensor in tensors_in(vars(module)):
            memo[id(tensor)] = _twin(tensor, device, blank)
    try:
        twin = copy.deepcopy(model, memo)
    except Exception as error:
        raise ModelError(
            f"The network ({kind_of(model)}) cannot be copied: {type(error).__name__}: {error}. Keep what cannot be copied "
            "(locks, files, loaders) outside the module."
        ) from error
    return twin.eval(), _drop_hooks(twin)


def home_of(model: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer, the CPU where there is none."""
    for tensor in tensors_in([list(model.parameters()), list(model.buffers())]):
        return tensor.device
    return torch.device("cpu")


def _twin(tensor: torch.Tensor, device: torch.device, blank: bool = False) -> torch.Tensor:
    if nn.parameter.is_lazy(tensor):
        raise ModelError("A lazy layer has no weights yet. Run one batch through the network first, then use it here.")
    data = tensor.detach()
    if device.type == "meta":
        twin = torch.empty_like(data, device=device)
    elif blank and data.dtype is torch.float32 and data.nbytes >= _LARGE and data.layout is torch.strided:
        twin = torch.from_numpy(np.zeros(tuple(data.shape), np.float32))  # the system hands out such pages once they are written
    else:
        twin = data.to(device, copy=True)
    return nn.Parameter(twin, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else twin


def _drop_hooks(model: nn.Module) -> list[str]:
    """Take the user's hooks off a copy: they are for real data. Their functions are shared with the original, so none may run."""
    dropped = 0
    for module in model.modules():
        dropped += len(module._forward_hooks) + len(module._forward_pre_hooks)
        for name in _HOOKS:
            hooks = vars(module).get(name)
            if hooks:
                hooks.clear()
    return [f"{dropped} forward hooks of the network were not run"] if dropped else []
