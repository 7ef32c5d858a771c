"""What a trace found, as frozen records."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.trace.weights import WeightLayer

__all__ = ["INPUT", "Call", "Entry", "Result", "Trace"]

INPUT = -1
"""Index that stands for the input of the network among the producers of a call."""

_Shape = tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """One tensor that a call gave.

    Attributes:
        shape: without the batch where the batch is its first axis, whole elsewhere; dtype: of its numbers.
        batch_axis: 0; 1 where the batch stands behind another axis, as in (T, B, D); None where no such axis is as long as the
            batch. With one sample in the trace any axis of length 1 passes for it.
    """

    shape: _Shape
    dtype: torch.dtype
    batch_axis: int | None

    @property
    def axes(self) -> int:
        """Number of axes, the batch included."""
        return len(self.shape) + (self.batch_axis == 0)


@dataclass(frozen=True)
class Entry:
    """One run of a container: a module that calls others or functions, and is no layer itself.

    Attributes:
        name: dotted name; call: 0, 1, ... for a container that is entered again; kind: class name.
        within: index in ``Trace.entries`` of the container around it, -1 for none.
        first, last: the calls inside are ``Trace.calls[first:last]``.
        results: the tensors that it gave; ends: indices of the calls that made the first of them, `INPUT` for the input.
    """

    name: str
    call: int
    kind: str
    within: int
    first: int
    last: int
    results: tuple[Result, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One call of a layer, or of a function outside the layers. Shapes are without the batch, figures for one sample.

    Attributes:
        index: its place in ``Trace.calls``, which is the order of execution.
        name: dotted name of the layer; of a function, the enclosing module's name and the function in brackets: "layer1.0.(add)".
        call: 0, 1, ... for a name that is called several times; (name, call) is unique.
        kind: class name of the layer, or name of the function.
        parent: dotted name of the enclosing module, "" for the network itself; depth: 1 for what the network calls itself.
        input_shapes, output_shapes: of its tensors; a tensor that does not begin with the batch keeps its whole shape.
        params: parameters that no earlier call has used; macs: multiply-accumulates.
        weights: (name of a weight layer, the MACs done with it); what is missing from ``macs`` belongs to no weight.
        producers: indices of the calls whose outputs it used, `INPUT` for the network's input.
        is_module: a layer, not a function.
        moves: it only views, copies or reorders its input and computes nothing.
        results: the tensors that it gave, with what ``output_shapes`` leaves open.
    """

    index: int
    name: str
    call: int
    kind: str
    parent: str
    depth: int
    input_shapes: tuple[_Shape, ...]
    output_shapes: tuple[_Shape, ...]
    params: int
    macs: int
    weights: tuple[tuple[str, int], ...]
    producers: tuple[int, ...]
    is_module: bool
    moves: bool
    results: tuple[Result, ...] = ()

    @property
    def input_shape(self) -> _Shape:
        """Shape of its first tensor, () where there is none."""
        return self.input_shapes[0] if self.input_shapes else ()

    @property
    def output_shape(self) -> _Shape:
        """Shape of its first result, () where there is none."""
        return self.output_shapes[0] if self.output_shapes else ()


@dataclass(frozen=True)
class Trace:
    """One forward pass of a network.

    Attributes:
        calls: in order of execution, views and copies included (``Call.moves``).
        input_shape: as given; output_shapes: of the network's result; both without the batch.
        dtype: of the input.
        layers: the weights that can be pruned and quantized, in order of definition, called or not.
        output_layers: weight layers from which the result is reached without passing another one, in order of execution.
        params: all parameters of the network, those of modules that were not called included.
        notes: what the reader should know, e.g. that the trace needed a real copy.
        entries: runs of containers, in the order in which they were entered, without the network itself.
    """

    calls: tuple[Call, ...]
    input_shape: _Shape
    output_shapes: tuple[_Shape, ...]
    dtype: torch.dtype
    layers: tuple[WeightLayer, ...]
    output_layers: tuple[str, ...]
    params: int
    notes: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    _consumers: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        consumers: list[list[int]] = [[] for _ in self.calls]
        for call in self.calls:
            for producer in call.producers:
                if producer != INPUT:
                    consumers[producer].append(call.index)
        object.__setattr__(self, "_consumers", tuple(tuple(found) for found in consumers))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample."""
        return sum(call.macs for call in self.calls)

    @property
    def output_layer(self) -> str | None:
        """Name of the weight layer that gives the answer (the last one called, where there are several), None without one."""
        return self.output_layers[-1] if self.output_layers else None

    @property
    def output_shape(self) -> _Shape:
        """Shape of the first result."""
        return self.output_shapes[0]

    def calls_of(self, name: str) -> tuple[Call, ...]:
        """Return the calls of a layer or function, or those that use the weight of that name; () where it is never called.

        Raises:
            InputError: nothing has this name.
        """
        found = tuple(call for call in self.calls if call.name == name or any(used == name for used, _ in call.weights))
        if not found and all(name != layer.name and name not in layer.aliases for layer in self.layers):
            names = dict.fromkeys(call.name for call in self.calls)
            raise InputError(f"Nothing in this network is called {name!r}. Names: {', '.join(list(names)[:20])} ...")
        return found

    def followed_by(self, name: str) -> list[str]:
        """Return the names of what uses the output of a layer directly, in order (a view counts as a user)."""
        users = [index for call in self.calls_of(name) for index in self._consumers[call.index]]
        return list(dict.fromkeys(self.calls[index].name for index in sorted(users)))

    def norm_after(self, name: str) -> str | None:
        """Return the batch-norm layer that normalises the output of this layer and of no other, None where there is none.

        Its channel c is then the layer's channel c, so that both can be removed together.
        """
        own = {call.index for call in self.calls_of(name)}
        for follower in self.followed_by(name):
            calls = [call for call in self.calls if call.name == follower]
            if all(call.kind in _NORMS and set(call.producers) <= own for call in calls):
                return follower
        return None


_NORMS = frozenset({"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"})
