"""Every tensor that a network stores, and what it costs to store and to compute with it."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnwidgets.engine.costs import Arithmetic
from nnwidgets.engine.costs.packed import container_bytes, description_bytes
from nnwidgets.engine.costs.sizes import Encoded, best_encoding, dense_bytes
from nnwidgets.engine.trace import WeightLayer, weight_layers
from nnwidgets.engine.values.frozen import FrozenDict
from nnwidgets.engine.values.records import Cost, LayerCost

__all__ = ["Entry", "Inventory", "Stored"]

TABLE_COLUMNS = 4  # encoding, bits, nonzero weights, scheme


@dataclass(frozen=True)
class Entry:
    """A parameter or stored buffer: where it is, and ``layer``, its name among the weights, None for the others."""

    module_name: str
    attribute: str
    is_parameter: bool
    layer: str | None
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes as stored."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize

    def of(self, model: nn.Module) -> Tensor:
        """Return the tensor of a network of the same shape."""
        found: Tensor = getattr(model.get_submodule(self.module_name), self.attribute)
        return found


@dataclass(frozen=True)
class Stored:
    """How one weight is stored.

    Attributes:
        bits: a value. n_scales: float32 numbers that go with them: scales, or the values of a codebook.
        symmetric: codes, or not; None for the numbers as they are. codebook: codes are places in one.
    """

    bits: int
    n_scales: int = 0
    symmetric: bool | None = None
    codebook: bool = False

    @classmethod
    def shared(cls, bits: int) -> Stored:
        """Codes of so many bits and their codebook."""
        return cls(bits, 2**bits, False, True)

    def encode(self, shape: tuple[int, ...], nonzero: int) -> Encoded:
        """Return the best encoding for this many nonzero weights."""
        return best_encoding(shape, nonzero, self.bits, not (self.symmetric and self.bits == 1))

    @property
    def zero_points(self) -> int:
        """Bytes of zero points, one each."""
        return self.n_scales if self.symmetric is False and not self.codebook else 0

    @property
    def scheme(self) -> int:
        """0 as stored, 1 symmetric, 2 affine; 2 more for a scale a channel (one channel is a tensor); 5 for a codebook."""
        if self.codebook:
            return 5
        return 0 if self.symmetric is None else (1 if self.symmetric else 2) + (2 if self.n_scales > 1 else 0)


class Inventory:
    """The tensors of a network, each once however many names it has; buffers that are not saved are left out.

    Attributes:
        entries: the weights in order of definition, then all others in order of definition.
        layers: weight layers by name.
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers: dict[str, WeightLayer] = {layer.name: layer for layer in weight_layers(model)}
        found = {
            layer.name: _entry(model, layer.module_name, layer.parameter, True, layer.name) for layer in self.layers.values()
        }
        seen = {id(entry.of(model)) for entry in found.values()}
        others: list[Entry] = []
        for name, module in model.named_modules():
            for attribute, tensor in (*module._parameters.items(), *module._buffers.items()):
                is_parameter = attribute in module._parameters
                if tensor is None or id(tensor) in seen or attribute in module._non_persistent_buffers_set:
                    continue
                seen.add(id(tensor))
                others.append(_entry(model, name, attribute, is_parameter, None))
        self.weights, self.others = tuple(found.values()), tuple(others)
        self.entries = (*self.weights, *self.others)
        self._description_length = description_bytes(self.description())
        self._other_bytes = sum(entry.nbytes for entry in others)

    def description(self) -> list[list[object]]:
        """Return what a file says about its tensors: name, type, shape, and 1 for the weights."""
        return [
            [
                f"{e.module_name}.{e.attribute}" if e.module_name else e.attribute,
                str(e.dtype)[6:],
                list(e.shape),
                int(e.layer is not None),
            ]
            for e in self.entries
        ]

    @functools.cached_property
    def params(self) -> int:
        """All parameters."""
        return sum(math.prod(entry.shape) for entry in self.entries if entry.is_parameter)

    def other_nonzero(self, model: nn.Module, vectors: Mapping[tuple[str, str], Tensor]) -> int:
        """Count the parameters besides the weights that are not zero, those that ``vectors`` masks left out."""
        total = 0
        for entry in self.others:
            if entry.is_parameter:
                flags, keep = entry.of(model).detach() != 0, vectors.get((entry.module_name, entry.attribute))
                total += int(torch.count_nonzero(flags if keep is None else flags & keep))
        return total

    def file_bytes(self, stored: Mapping[str, Stored], encoded: Mapping[str, Encoded]) -> int:
        """Return the size of a packed file, to the byte."""
        scales = sum(s.n_scales for s in stored.values())
        lengths = {
            "codes": sum(e.value_bytes for e in encoded.values()),
            "index": sum(e.index_bytes for e in encoded.values()),
            "scales": scales,
            "zero_points": sum(s.zero_points for s in stored.values()),
            "others": self._other_bytes,
            "table": TABLE_COLUMNS * len(self.weights),
        }
        return container_bytes(self._description_length, lengths)

    def price(self, arithmetic: Arithmetic, nonzero: Mapping[str, int], other_nonzero: int, stored: Mapping[str, Stored]) -> Cost:
        """Return the cost of a network with this many nonzero weights, stored in this way."""
        encoded = {name: stored[name].encode(layer.shape, nonzero[name]) for name, layer in self.layers.items()}
        rows = {n: _row(layer, nonzero[n], arithmetic, stored[n], encoded[n]) for n, layer in self.layers.items()}
        return Cost(
            params=self.params,
            nonzero=sum(nonzero.values()) + other_nonzero,
            macs=arithmetic.total,
            macs_nonzero=sum(row.macs_nonzero for row in rows.values()) + arithmetic.other_macs,
            bytes_nominal=sum(row.bytes_nominal for row in rows.values()) + self._other_bytes,
            bytes_encoded=self.file_bytes(stored, encoded),
            bytes_on_disk=None,
            layers=FrozenDict(rows),
            other_macs=arithmetic.other_macs,
        )


def _row(layer: WeightLayer, nonzero: int, arithmetic: Arithmetic, stored: Stored, encoded: Encoded) -> LayerCost:
    return LayerCost(
        name=layer.name,
        kind=layer.kind,
        shape=layer.shape,
        params=layer.numel,
        nonzero=nonzero,
        macs=arithmetic.macs[layer.name],
        macs_nonzero=arithmetic.macs_nonzero(layer.name, nonzero) if layer.numel else 0,
        bits=stored.bits,
        bytes_nominal=dense_bytes(nonzero, stored.bits),
        bytes_encoded=encoded.total + 4 * stored.n_scales + stored.zero_points,
        encoding=encoded.encoding,
    )


def _entry(model: nn.Module, module_name: str, attribute: str, is_parameter: bool, layer: str | None) -> Entry:
    tensor: Tensor = getattr(model.get_submodule(module_name), attribute)
    return Entry(module_name, attribute, is_parameter, layer, tuple(tensor.shape), tensor.dtype)
