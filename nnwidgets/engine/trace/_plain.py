"""A plain copy of a network: eval mode, parametrizations computed once."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.trace._visits import unvisited_copy
from nnwidgets.engine.trace.weights import kind_of

__all__ = ["plain_copy"]


def plain_copy(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode whose parametrized weights are plain parameters with the values of now. Hooks are kept,
    but for those of functions of the engine that are looking at it just now, in whichever thread.

    Raises:
        ModelError: the network cannot be copied.
    """
    with torch.inference_mode(False), torch.no_grad():
        try:
            twin = unvisited_copy(model).eval()
        except Exception as error:
            raise ModelError(
                f"The network ({kind_of(model)}) cannot be copied: {type(error).__name__}: {error}. Keep what cannot be copied "
                "(locks, files, loaders) outside the module."
            ) from error
        for module in list(twin.modules()):
            if parametrize.is_parametrized(module):
                _strip(module)
    return twin


def _strip(module: nn.Module) -> None:
    """Make a module plain. remove_parametrizations() would change the generated class, which copies share with the original."""
    lists: Any = module.parametrizations
    values = {name: getattr(module, name).detach().clone() for name in lists}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module._modules["parametrizations"]
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=value.is_floating_point()))
