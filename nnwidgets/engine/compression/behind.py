"""Which batch-norm takes up what is done to a layer."""

from __future__ import annotations

from torch import nn

from nnwidgets.engine.trace import Trace, WeightLayer

__all__ = ["norm_behind"]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def norm_behind(network: nn.Module, found: Trace, layer: WeightLayer) -> str | None:
    """Name of the batch-norm with running statistics that alone reads a layer which is called once."""
    if layer.aliases or not found.calls_of(layer.name) or layer.parameter != "weight" or layer.out_axis:
        return None
    name = found.norm_after(layer.name)
    if name is None or found.followed_by(layer.name) != [name] or len(found.calls_of(name)) != 1:
        return None
    norm = network.get_submodule(name)
    return name if isinstance(norm, _NORMS) and norm.running_var is not None else None
