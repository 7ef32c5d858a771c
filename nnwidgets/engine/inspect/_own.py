"""A copy of the modules of a network that shares its numbers."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.trace import plain_copy, tensors_in, unvisited_copy

__all__ = ["own_copy"]


def own_copy(network: nn.Module) -> nn.Module:
    """Return a copy in eval mode that shares all tensors; parametrized weights are computed once.

    Hooks set on it, and what takes the place of its forward passes, are not seen by whoever else runs the network, in another
    thread perhaps. Hooks of the network are kept, but for those of functions of the engine.

    Raises:
        ModelError: the network cannot be copied.
    """
    if any(parametrize.is_parametrized(module) for module in network.modules()):
        return plain_copy(network)
    memo = {id(t): t for module in network.modules() for t in tensors_in([module._parameters, module._buffers, vars(module)])}
    try:
        return unvisited_copy(network, memo).eval()
    except Exception as error:
        raise ModelError(
            f"the network cannot be copied: {type(error).__name__}: {error}. Keep what cannot be copied (locks, files, loaders) "
            "outside the module."
        ) from error
