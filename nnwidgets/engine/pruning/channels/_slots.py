"""One number for each index along each axis of each parameter and buffer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from nnwidgets.engine.pruning.channels._labels import Factors
from nnwidgets.engine.trace import WeightLayer

__all__ = ["Place", "Slots", "named_tensors"]

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """An axis of a tensor: its slots are start ... start + size - 1."""

    module_name: str
    attribute: str
    axis: int
    start: int
    size: int
    layer: str
    role: str

    @property
    def name(self) -> str:
        """The weight layer, or the dotted name of the tensor."""
        return self.layer or (f"{self.module_name}.{self.attribute}" if self.module_name else self.attribute)


class Slots:
    """The slots of a network. Axes of size 1 have none, nor have the kernel axes of convolutions.

    Attributes:
        places: in order. by_tensor: (module, attribute) -> its places. total: number of slots.
        channelwise: (module, attribute) of a weight -> whether it works channel by channel.
    """

    def __init__(self, model: nn.Module, layers: tuple[WeightLayer, ...]) -> None:
        self.places: list[Place] = []
        self.by_tensor: dict[tuple[str, str], list[Place]] = {}
        self.channelwise: dict[tuple[str, str], bool] = {}
        self.total = 0
        weights = {(layer.module_name, layer.parameter): layer for layer in layers}
        for module_name, module, attribute, tensor in named_tensors(model):
            layer = weights.get((module_name, attribute))
            if layer is not None:
                self.channelwise[module_name, attribute] = _is_channelwise(layer)
            for axis in range(min(tensor.dim(), 2) if layer else tensor.dim()):
                if tensor.shape[axis] < 2:
                    continue
                role = _role(module, attribute, layer, axis)
                name = layer.name if layer else ""
                place = Place(module_name, attribute, axis, self.total, tensor.shape[axis], name, role)
                self.places.append(place)
                self.by_tensor.setdefault((module_name, attribute), []).append(place)
                self.total += place.size
        self._starts = np.array([place.start for place in self.places], dtype=np.int64)

    def of(self, module_name: str, attribute: str, dims: int, kept: dict[tuple[str, str, int], Ids] | None = None) -> Factors:
        """The factors of a tensor; ``kept``: (module, attribute, axis) -> the indexes that a smaller network still has."""
        found: Factors = []
        for place in self.by_tensor.get((module_name, attribute), ()):
            slots = np.arange(place.start, place.start + place.size, dtype=np.int64)
            if kept is not None and (module_name, attribute, place.axis) in kept:
                slots = slots[kept[module_name, attribute, place.axis]]
            if len(slots) > 1:
                found.append(slots.reshape([-1 if axis == place.axis else 1 for axis in range(dims)]))
        return found

    def number(self, slots: Ids) -> Ids:
        """The number of the place that each slot is in."""
        return np.searchsorted(self._starts, slots, side="right") - 1

    def place(self, slot: int) -> Place:
        """The place that a slot is in."""
        return self.places[int(self.number(np.array([slot]))[0])]


def named_tensors(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    """Yield (module name, module, attribute, tensor) of all parameters and buffers, a shared one once."""
    seen: set[int] = set()
    for module_name, module in model.named_modules():
        for tensors in (module._parameters, module._buffers):
            for attribute, tensor in tensors.items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield module_name, module, attribute, tensor


def _is_channelwise(layer: WeightLayer) -> bool:
    """True for a convolution with one input channel a group."""
    return layer.groups > 1 and (layer.shape[0] == layer.groups if layer.out_axis else layer.shape[1] == 1)


def _role(module: nn.Module, attribute: str, layer: WeightLayer | None, axis: int) -> str:
    if layer is not None:
        return "out" if axis == (0 if _is_channelwise(layer) else layer.out_axis) else "in"
    if isinstance(module, (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)):
        return "norm"
    return "bias" if attribute.endswith("bias") else "scale"
