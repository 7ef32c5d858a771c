"""Channels, neurons and heads: what is coupled goes together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from nnwidgets.engine.compression.choices._base import Chosen
from nnwidgets.engine.pruning.channels import Bundle
from nnwidgets.engine.trace import WeightLayer

__all__ = ["Units", "units"]


class Units(Chosen):
    """Whole units are removed: what makes them, what normalises them and what reads them is zero, so that they are without effect
    whatever function they go through.

    Attributes:
        kept: bundle -> (n,) bool.
    """

    def __init__(
        self,
        kept: Mapping[str, Tensor],
        flags: Mapping[tuple[str, str], Mapping[int, Tensor]],
        layers: Mapping[str, WeightLayer],
        vectors: Mapping[tuple[str, str], Tensor],
        devices: Mapping[str, torch.device],
    ) -> None:
        self.kept, self.vectors = kept, vectors
        self._flags, self._layers, self._devices = flags, layers, devices

    def keep(self, name: str) -> Tensor | None:
        layer = self._layers[name]
        flags = self._flags.get((layer.module_name, layer.parameter))
        return None if flags is None else _outer(flags, layer.shape).to(self._devices[name])

    def nonzero(self, name: str, size: int, zeros: int) -> int | None:
        layer = self._layers[name]
        flags = self._flags.get((layer.module_name, layer.parameter))
        if flags is None:
            return size - zeros
        if zeros:
            return None
        for axis, kept in flags.items():
            size = size // layer.shape[axis] * int(kept.sum())
        return size


def units(
    kept: Mapping[str, Tensor],
    bundles: Iterable[Bundle],
    model: nn.Module,
    layers: Mapping[str, WeightLayer],
    weights: Mapping[str, Tensor],
) -> Units:
    """Spread the units that are kept over all tensors of which they are parts.

    Args:
        kept: bundle -> (n,) bool; bundles that are not named are kept whole.
    """
    flags: dict[tuple[str, str], dict[int, Tensor]] = {}
    for bundle in bundles:
        chosen = kept.get(bundle.name)
        if chosen is None or bool(chosen.all()):
            continue
        for member in bundle.members:
            if member.attribute not in model.get_submodule(member.module_name)._parameters:
                continue  # running statistics keep what they hold: a scale of zero makes them silent
            axes = flags.setdefault((member.module_name, member.attribute), {})
            own = torch.from_numpy(np.where(member.index < 0, True, chosen.cpu().numpy()[np.maximum(member.index, 0)]))
            axes[member.axis] = own if member.axis not in axes else axes[member.axis] & own
    places = {(layer.module_name, layer.parameter) for layer in layers.values()}
    vectors = {}
    for (module_name, attribute), axes in flags.items():
        parameter = model.get_submodule(module_name)._parameters[attribute]
        if (module_name, attribute) not in places and parameter is not None:
            vectors[module_name, attribute] = _outer(axes, tuple(parameter.shape)).to(parameter.device)
    return Units(kept, flags, layers, vectors, {name: weight.device for name, weight in weights.items()})


def _outer(flags: Mapping[int, Tensor], shape: tuple[int, ...]) -> Tensor:
    """Flags along several axes as one bool tensor: kept where all of them keep."""
    together = torch.ones((), dtype=torch.bool)
    for axis, kept in flags.items():
        together = together & kept.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return together.expand(shape).contiguous()
