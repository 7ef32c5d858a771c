"""Weights held in few bits and made into float32 again at every pass: what saves memory alone, and what it costs in time."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Held", "WeightsOnly", "held_bits"]

_HELD = (1, 2, 4, 8)  # bits that fill a byte without a rest


def held_bits(bits: int) -> int:
    """Bits a code takes in memory where it is read at every pass: 1, 2, 4 or 8, the next that holds it."""
    return next(width for width in _HELD if width >= bits)


class Held:
    """Codes of one weight, as many to a byte as fit.

    Args:
        codes: int8, of the shape of the weight. scale: (O,) of each output channel, the first axis. bits: of a symmetric code.
        channels_last: lay the weight out so, as quick convolutions like it.
    """

    def __init__(self, codes: Tensor, scale: Tensor, bits: int, channels_last: bool = False) -> None:
        self._last = channels_last
        codes = codes.permute(0, 2, 3, 1) if channels_last else codes
        if bits == 1 and not bool(codes.all()):
            bits = 2  # what was pruned is a third level
        self.bits, self._shape = held_bits(bits), codes.shape
        self._scale = scale.reshape(-1, *(1,) * (codes.dim() - 1)).float()
        self._low = -(2 ** (self.bits - 1))
        if self.bits == 1:
            self._low = -1
        fit = 8 // self.bits
        flat = (codes.reshape(-1).to(torch.int16) - self._low) // (2 if self.bits == 1 else 1)
        flat = torch.nn.functional.pad(flat, (0, -flat.numel() % fit)).reshape(-1, fit)
        shifts = torch.arange(fit, dtype=torch.int16) * self.bits
        self._bytes = (flat << shifts).sum(1).to(torch.uint8)

    @property
    def nbytes(self) -> int:
        """Codes and scales."""
        return self._bytes.nbytes + self._scale.nbytes

    def weight(self) -> Tensor:
        """float32, made now."""
        n, fit = self._shape.numel(), 8 // self.bits
        if fit == 1:
            codes = self._bytes.float()
        else:
            found = torch.empty(len(self._bytes), fit)
            for place in range(fit):
                found[:, place] = (self._bytes >> (place * self.bits)) & (2**self.bits - 1)
            codes = found.reshape(-1)[:n]
        step = 2.0 if self.bits == 1 else 1.0
        weight = codes.mul_(step).add_(float(self._low)).reshape(self._shape).mul_(self._scale)
        return weight.permute(0, 3, 1, 2) if self._last else weight


class WeightsOnly(nn.Module):
    """A copy of a network whose layers make their weight from codes before each call and drop it after.

    Args:
        network: in eval mode, on the CPU; copied. held: module -> its codes.

    Attributes:
        nbytes: of all codes and scales, and of the weights that have none.
    """

    def __init__(self, network: nn.Module, held: Mapping[str, Held]) -> None:
        super().__init__()
        with torch.no_grad():
            self.network = copy.deepcopy(network).eval()
        self.nbytes = sum(own.nbytes for own in held.values())
        for name, own in held.items():
            module = self.network.get_submodule(name)
            module._parameters["weight"] = None
            module.register_forward_pre_hook(_Make(own))
            module.register_forward_hook(_drop)
        self.nbytes += sum(parameter.nbytes for parameter in self.network.parameters())
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """As the network does."""
        answer: Tensor = self.network(images)
        return answer


class _Make:
    def __init__(self, held: Held) -> None:
        self._held = held

    def __call__(self, module: nn.Module, _: Any) -> None:
        module._parameters["weight"] = nn.Parameter(self._held.weight(), requires_grad=False)


def _drop(module: nn.Module, _: Any, __: Any) -> None:
    module._parameters["weight"] = None
