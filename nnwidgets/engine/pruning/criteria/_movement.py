"""Where weights move while a network is fine-tuned."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor, nn

from nnwidgets.engine.pruning.criteria._loss import Loss
from nnwidgets.engine.trace import unvisited_copy, weight_layers, weight_of
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["movement"]

_SETUP = TrainingSetup(lr=5e-4, epochs=1, schedule="cosine")


def movement(model: nn.Module, split: Split, loss: Loss | None, seed: int) -> Generator[float, None, dict[str, Tensor]]:
    """Return layer -> minus the sum over the steps of an epoch of w g: positive where a weight moves away from zero."""
    with torch.inference_mode(False), torch.no_grad():
        network = unvisited_copy(model)
        for parameter in network.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
    weights = {layer.name: weight_of(network, layer) for layer in weight_layers(network)}
    sums = {name: torch.zeros_like(weight, requires_grad=False) for name, weight in weights.items()}
    setup = TrainingSetup(**{**vars(_SETUP), "seed": seed})
    done = 0.0
    for record in fit(network, split, setup=setup, loss=loss).in_parts():
        if record is None:
            _note(weights, sums)
        else:
            done = record.step / record.steps
        yield done
    return sums


def _note(weights: dict[str, Tensor], sums: dict[str, Tensor]) -> None:
    """Add what a step says; gradients are there between the backward pass and the update only."""
    with torch.no_grad():
        for name, weight in weights.items():
            if weight.grad is not None:
                sums[name].addcmul_(weight, weight.grad, value=-1.0)
