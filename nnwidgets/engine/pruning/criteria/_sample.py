"""What a criterion needs of a sample, and on which copy it looks at it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.trace import WeightLayer, unvisited_copy, weight_layers, weight_of
from nnwidgets.engine.values.split import Split

__all__ = ["needs_labels", "with_gradients"]


def needs_labels(criterion: str, split: Split | None) -> Split:
    """The sample of a criterion that needs the loss.

    Raises:
        DataError: there is none, or it has no labels.
    """
    if split is None:
        raise DataError(
            f"criterion={criterion!r} looks at the loss and needs images with labels; got none. Give calibration=Split(images, "
            "labels) to compress(), or train=... to the Experiment; criterion='magnitude' needs none."
        )
    if split.labels is None:
        raise DataError(
            f"criterion={criterion!r} looks at the loss; the {len(split)} images have no labels. Give Split(images, labels), or "
            "use 'magnitude', 'wanda' or 'activation'."
        )
    return split


def with_gradients(model: nn.Module) -> tuple[nn.Module, dict[str, WeightLayer], dict[str, Tensor]]:
    """Return a copy in eval mode that shares the numbers of a network and has gradients of its own, its weights and them."""
    with torch.inference_mode(False):
        shared = {id(each): nn.Parameter(each.detach(), True) for each in model.parameters() if each.is_floating_point()}
        twin = unvisited_copy(model, shared).eval()
    layers = {layer.name: layer for layer in weight_layers(twin)}
    return twin, layers, {name: weight_of(twin, layer) for name, layer in layers.items()}
