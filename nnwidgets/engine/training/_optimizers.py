"""The optimizers of torch, without the wrappers that load its compiler (150 MB and some seconds) at the first call."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from nnwidgets.engine.values.setup import TrainingSetup

__all__ = ["optimizer_for"]


class _Light:
    """What torch wraps, unwrapped: the very same functions."""

    add_param_group: Any = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad: Any = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict: Any = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict: Any = inspect.unwrap(torch.optim.Optimizer.load_state_dict)

    param_groups: list[dict[str, Any]]
    state: dict[Any, Any]

    def step(self) -> None:
        """One step without recording gradients; where memory does not suffice, it fails before a weight was changed."""
        kind = next(kind for kind in type(self).__mro__ if kind.__module__.startswith("torch.optim."))
        fresh = not self.state
        self._reserve(fresh)
        try:
            with torch.no_grad():
                inspect.unwrap(kind.step)(self)  # type: ignore[attr-defined]
        except BaseException:
            if fresh:
                self.state.clear()  # half of it may be there
            raise

    def _reserve(self, fresh: bool) -> None:
        """Take what a step needs and give it back: two copies of the largest weight, at first two of all as moments."""
        sizes = [value.nbytes for group in self.param_groups for value in group["params"] if value.grad is not None]
        if sizes:
            device = self.param_groups[0]["params"][0].device
            torch.empty(2 * max(sizes) + 2 * sum(sizes) * fresh, dtype=torch.uint8, device=device)


_SGD: Any = type("SGD", (_Light, torch.optim.SGD), {})
_ADAM: Any = type("Adam", (_Light, torch.optim.Adam), {})
_ADAMW: Any = type("AdamW", (_Light, torch.optim.AdamW), {})


def optimizer_for(
    parameters: list[nn.Parameter], setup: TrainingSetup, network: nn.Module | None = None
) -> torch.optim.Optimizer:
    """The optimizer that a setup asks for.

    Args:
        network: whose parameters they are. Weight decay leaves alone those that a module's class names in ``not_decayed``.
    """
    spared = set() if network is None or not setup.weight_decay else _not_decayed(network)
    decays = {False: setup.weight_decay, True: 0.0}
    parts = {apart: [each for each in parameters if (id(each) in spared) == apart] for apart in decays}
    groups = [{"params": own, "weight_decay": decays[apart]} for apart, own in parts.items() if own]
    momentum = {"momentum": setup.momentum} if setup.optimizer == "sgd" else {}
    kind = {"sgd": _SGD, "adam": _ADAM, "adamw": _ADAMW}[setup.optimizer]
    made: torch.optim.Optimizer = kind(groups, setup.lr, **momentum)
    return made


def _not_decayed(network: nn.Module) -> set[int]:
    """Ids of the parameters that are no weights, such as steps between levels: a smaller one is no simpler network."""
    named = ((module, name) for module in network.modules() for name in getattr(type(module), "not_decayed", ()))
    return {id(module._parameters.get(name)) for module, name in named}
