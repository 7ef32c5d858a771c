"""The network of an experiment with new random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.trace import unvisited_copy

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment

__all__ = ["built_anew", "drawn_anew"]

_FACTORY = "give Experiment(..., build=lambda width: MyNet(width))"


def built_anew(experiment: Experiment, network: nn.Module, width: float = 1.0, seed: int = 0) -> nn.Module:
    """A network in train mode, drawn by the seed; of another size where the experiment can build one.

    Args:
        network: what to draw anew where nothing can be built.

    Raises:
        ModelError: it cannot be made anew; says what is needed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return drawn_anew(experiment, network, width)


def drawn_anew(experiment: Experiment, network: nn.Module, width: float = 1.0) -> nn.Module:
    """As `built_anew`, from the present random state."""
    if experiment.build is not None:
        try:
            return experiment.build(width)
        except Exception as error:
            raise ModelError(f"build({width}) raised {type(error).__name__}: {error}") from error
    if width != 1.0:
        raise ModelError(f"another size needs a factory: {_FACTORY}.")
    network = unvisited_copy(network)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    for name, module in network.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            reset = getattr(module, "reset_parameters", None)
            if reset is None:
                what = name or type(module).__name__
                raise ModelError(f"{what} has no reset_parameters(), so it cannot be trained anew; {_FACTORY}.")
            reset()
    return network.train()
