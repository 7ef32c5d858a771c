"""An input shape for a network of which none was said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from nnwidgets.engine.errors import ModelError, NnwError
from nnwidgets.engine.trace import Trace, WeightLayer, trace, weight_layers

__all__ = ["guess_trace"]

_SIDES = (28, 32, 224, 64, 96, 128, 16, 8, 299, 227, 256, 4, 1)


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
        "This recipe needs the order of the layers, and the network accepted none of the usual input shapes. "
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
