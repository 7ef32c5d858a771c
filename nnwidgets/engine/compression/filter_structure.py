"""Which filters of a network may be removed, and which batch-norm belongs to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from nnwidgets.engine.errors import ModelError, NnwError
from nnwidgets.engine.trace import Trace, WeightLayer, trace, weight_layers

__all__ = ["FilterStructure", "filter_structure", "guess_trace"]

_SIDES = (28, 32, 224, 64, 96, 128, 16, 8, 299, 227, 256, 4, 1)


@dataclass(frozen=True)
class FilterStructure:
    """Attributes:
    layers: convolutions whose filters may go: all that are called, but not one that gives the answer.
    norms: of these, the name of the batch-norm that directly follows, or None.
    """

    layers: tuple[str, ...]
    norms: Mapping[str, str | None]


def filter_structure(found: Trace) -> FilterStructure:
    """Read the structure from a trace."""
    names = [x.name for x in found.layers if x.is_conv and x.name not in found.output_layers and found.calls_of(x.name)]
    return FilterStructure(tuple(names), {name: found.norm_after(name) for name in names})


def guess_trace(model: nn.Module) -> Trace:
    """Trace a network whose input shape was not said: the first usual shape that it accepts will do, for the order of calls does
    not depend on the size of the picture.

    Raises:
        ModelError: it accepts none of them.
    """
    layers = weight_layers(model)
    for shape in _shapes(layers[0]) if layers else ():
        try:
            return trace(model, shape)
        except NnwError:
            continue
    raise ModelError(
        "Pruning filters needs the order of the layers, and the network accepted none of the usual input shapes. "
        "Give input_shape=(C, H, W), or calibration=split."
    )


def _shapes(first: WeightLayer) -> Iterator[Sequence[int]]:
    channels = first.shape[0] if first.out_axis else first.shape[1] * first.groups
    if not first.is_conv:
        yield (channels,)
        if channels == 784:
            yield (1, 28, 28)
        return
    for side in _SIDES:
        yield (channels, *[side] * (len(first.shape) - 2))
