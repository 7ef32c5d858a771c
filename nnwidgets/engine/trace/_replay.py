"""Go on from the outputs of the layers before a cut: the forward pass runs as it is, and those layers answer from memory.

For forward passes that have no fixed graph. What stands between the layers is run again: it sees the same numbers, and so takes
the same turns.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.trace._graph import is_leaf
from nnwidgets.engine.trace.suffix import Point, Resumable, UnfitError, users_of
from nnwidgets.engine.trace.weights import WeightLayer

__all__ = ["LayerRun"]

_Output = tuple[nn.Module, Any]
_IMAGES = -1  # the key of the images; outputs are numbered from 0


class _Reached(BaseException):
    """Leaves a forward pass at the cut; no ``except Exception`` on the way shall catch it."""


class LayerRun(Resumable):
    """A network whose layers can answer from memory; see `Resumable`."""

    method = "layers"

    def __init__(self, network: nn.Module, layers: Mapping[str, WeightLayer], images: Tensor) -> None:
        self.note = "Layers before the changed one answer from memory, what stands between layers is run again."
        self._network = network
        self._kept: list[_Output] = []
        self._called: list[nn.Module] | None = None
        self._next, self._record, self._stops = 0, False, frozenset[nn.Module]()
        self._layers = _outermost(network)
        own = [*network.parameters(), *network.buffers()]
        versions = [tensor._version for tensor in own]
        self._before = {module: module.__dict__.get("forward") for module in self._layers}
        for module in self._layers:
            module.forward = functools.partial(self._answer, module, module.forward)
        try:
            called: list[nn.Module] = []
            self._pass(images, [], frozenset(), called)
            if [tensor._version for tensor in own] != versions:
                raise UnfitError("it writes into its own parameters or buffers")
        except BaseException:
            self.release()
            raise
        self._users = {name: self._using(users_of(network, layer)) for name, layer in layers.items()}
        first = {name: [called.index(module) for module in users if module in called] for name, users in self._users.items()}
        self.order = tuple(sorted(layers, key=lambda name: min(first[name], default=len(called))))

    def start(self, images: Tensor) -> Point:
        return Point(0, {_IMAGES: images})

    def advance(self, point: Point, layer: str) -> Point:
        images: Tensor = point.kept[_IMAGES]
        kept = _outputs(point)
        self._record = True
        try:
            self._pass(images, kept, self._users[layer])
        except _Reached:
            kept = kept[: self._next]
            return Point(len(kept), {_IMAGES: images, **dict(enumerate(kept))})
        finally:
            self._record = False
        return self.start(images)  # no layer uses this weight in this pass; whether something else does is not known

    def finish(self, point: Point) -> Any:
        return self._pass(point.kept[_IMAGES], _outputs(point), frozenset())

    def release(self) -> None:
        for module, forward in self._before.items():
            module.__dict__.pop("forward", None)
            if forward is not None:
                module.forward = forward

    def _pass(
        self, images: Tensor, kept: list[_Output], stops: frozenset[nn.Module], called: list[nn.Module] | None = None
    ) -> Any:
        self._kept, self._next, self._stops, self._called = kept, 0, stops, called
        try:
            return self._network(images.clone())
        finally:
            self._kept, self._stops, self._called = [], frozenset(), None

    def _answer(self, module: nn.Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
        """What a layer answers: from memory where it is there."""
        if self._called is not None:
            self._called.append(module)
        if module in self._stops:
            raise _Reached
        index, self._next = self._next, self._next + 1
        if index < len(self._kept):
            owner, output = self._kept[index]
            if owner is not module:
                raise ModelError("the network calls its layers in another order from one pass to the next; it cannot be resumed.")
            return _copied(output)
        output = forward(*args, **kwargs)
        if self._record:
            self._kept.append((module, _copied(output)))
        return output

    def _using(self, sources: frozenset[int]) -> frozenset[nn.Module]:
        return frozenset(module for module in self._layers if any(id(p) in sources for p in module.parameters()))


def _outputs(point: Point) -> list[_Output]:
    return [value for key, value in point.kept.items() if key != _IMAGES]


def _copied(output: Any) -> Any:
    """An output with memory of its own: what follows may write into it."""
    return pytree.tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, output)


def _outermost(network: nn.Module) -> tuple[nn.Module, ...]:
    """The layers of torch that hold parameters, without those inside another one."""
    found: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for module in network.modules():
        if module in inside or not is_leaf(module) or next(module.parameters(), None) is None:
            continue
        if isinstance(module, nn.ModuleList | nn.ModuleDict | nn.ParameterList | nn.ParameterDict):
            continue
        found.append(module)
        inside.update(module.modules())
    return tuple(found)
