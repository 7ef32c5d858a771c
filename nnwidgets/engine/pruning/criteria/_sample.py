"""On which images a criterion looks, how many at a time, and on which copy."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.trace import Trace, WeightLayer, unvisited_copy, weight_layers, weight_of
from nnwidgets.engine.values.split import Split

__all__ = ["batches_of", "needs_labels", "sample_of", "with_gradients"]

_MOST, _FEWEST = 512, 16  # images
_MACS = 5e10  # forward, that looking may cost: some seconds on one core, backward passes included
_A_STEP = 1e8  # multiply-accumulates of a batch: some 20 ms with its backward pass


def sample_of(split: Split, macs: int, most: int = _MOST, seed: int = 0) -> Split:
    """The images that are looked at: all of a small sample, else a draw with a fixed seed, fewer for a large network."""
    count = min(len(split), most, max(_FEWEST, int(_MACS / max(macs, 1))))
    if count == len(split):
        return split
    return split.take(torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:count].sort().values)


def batches_of(split: Split, found: Trace, most: int = 64) -> Iterator[tuple[Tensor, Tensor | None, float]]:
    """Yield (inputs, labels, share of all images that is done once these are), as many at a time as take about 20 ms."""
    size = max(1, min(most, int(_A_STEP / max(found.macs, 1))))
    for start in range(0, len(split), size):
        stop = min(start + size, len(split))
        labels = None if split.labels is None else split.labels[start:stop]
        yield split.inputs(slice(start, stop)), labels, stop / len(split)


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
