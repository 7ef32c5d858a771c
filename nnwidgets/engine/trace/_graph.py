"""Go on from the middle of the graph of a forward pass: only the values that are alive at the cut are kept.

The graph is recorded with the proxies of torch.fx, on a copy whose layers answer with proxies. (The tracer of torch.fx patches
``nn.Module`` itself for a while: a network that another thread runs meanwhile would fail.)
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn
from torch.fx.proxy import GraphAppendingTracer
from torch.utils import _pytree as pytree

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.trace._copy import copy_for_trace
from nnwidgets.engine.trace._tensors import tensors_in
from nnwidgets.engine.trace.suffix import Point, Resumable, UnfitError, users_of
from nnwidgets.engine.trace.weights import WeightLayer

__all__ = ["GraphRun", "is_leaf", "portable_graph"]

_Step = Callable[[Mapping[Any, Any]], Any]


class _Proxy(torch.fx.Proxy):
    """Stands for a value. What is written in place is recorded as that: torch.fx would take ``x += y`` for ``x = x + y``."""

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, index, value), {})


def _in_place(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: self.tracer.create_proxy("call_function", function, (self, other), {})


for _name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul", "iand", "ior", "ixor"):
    setattr(_Proxy, f"__{_name}__", _in_place(getattr(operator, _name)))


class _Tracer(GraphAppendingTracer):
    def proxy(self, node: Any) -> _Proxy:
        return _Proxy(node, self)

    def create_arg(self, a: Any) -> Any:
        try:
            return super().create_arg(a)
        except NotImplementedError:
            return a  # a tensor or object that the forward pass holds: a constant


class GraphRun(Resumable):
    """The graph of a network, run node by node; see `Resumable`."""

    method = "graph"

    def __init__(self, network: nn.Module, layers: Mapping[str, WeightLayer], images: Tensor) -> None:
        self.note = "Only what comes after the changed layer is run for each candidate."
        recorded, self._input, self._output = _recorded(network)
        self._fixed = {node: _attribute(network, node.target) for node in recorded if node.op == "get_attr"}
        self._nodes = [node for node in recorded if node.op != "get_attr"]
        self._steps = [_step(network, node) for node in self._nodes]
        self._index = {node: i for i, node in enumerate(self._nodes)}
        self._places = {name: self._first_use(network, layer) for name, layer in layers.items()}
        self.order = tuple(sorted(layers, key=lambda name: self._places[name]))
        self._ending = self._last_uses()
        self._writes = self._watched(network, images)

    def start(self, images: Tensor) -> Point:
        return Point(0, {self._input: images})

    def advance(self, point: Point, layer: str) -> Point:
        stop = self._places[layer]
        if point.place > stop:
            raise ModelError(f"the pass has gone beyond {layer!r}; take the layers in this order: {', '.join(self.order)}.")
        return Point(stop, self._run(point.kept, point.place, stop))

    def finish(self, point: Point) -> Any:
        written = [node for node in point.kept if self._writes.get(node, -1) >= point.place]
        kept = _cloned(point.kept, written) if written else point.kept
        return _filled(self._output, {**self._fixed, **self._run(kept, point.place, len(self._nodes))})

    @property
    def size(self) -> int:
        """How many steps a pass has; the place of a point is a step, from 0 to this."""
        return len(self._nodes)

    def made_by(self, step: int) -> Hashable:
        """The key under which a point keeps what a step makes, from after the step until nothing needs it any more."""
        return self._nodes[step]  # type: ignore[no-any-return]

    def go(self, point: Point, place: int) -> Point:
        """Run on until just before a step. The old point is used up."""
        return Point(place, self._run(point.kept, point.place, place))

    def changed(self, point: Point, key: Hashable, change: Callable[[Any], Any], in_place: bool = False) -> Point:
        """A point with another value under a key; the old one stays as it is.

        Args:
            change: from the value to the new one. in_place: it writes into the value, and what shares its memory sees that.
        """
        kept = _cloned(point.kept, [key]) if in_place else dict(point.kept)
        kept[key] = change(kept[key])
        return Point(point.place, kept)

    def is_written(self, point: Point) -> bool:
        """True where something that a point keeps is written to later."""
        return any(self._writes.get(node, -1) >= point.place for node in point.kept)

    def _run(self, kept: Mapping[Hashable, Any], start: int, stop: int) -> dict[Hashable, Any]:
        values: dict[Any, Any] = {**kept, **self._fixed}
        for i in range(start, stop):
            values[self._nodes[i]] = self._steps[i](values)
            for node in self._ending[i]:
                del values[node]
        for node in self._fixed:
            del values[node]
        return values

    def _first_use(self, network: nn.Module, layer: WeightLayer) -> int:
        """Index of the first node that needs the weight; the number of nodes where none does."""
        sources = users_of(network, layer)
        found = [len(self._nodes)]
        for node, value in self._fixed.items():
            if id(value) in sources:
                found += [self._index.get(user, len(self._nodes)) for user in node.users]
        for node, index in self._index.items():
            if node.op == "call_module" and any(id(p) in sources for p in network.get_submodule(node.target).parameters()):
                found.append(index)
        return min(found)

    def _last_uses(self) -> list[list[Any]]:
        """For each node the values that nothing after it needs."""
        ending: list[list[Any]] = [[] for _ in self._nodes]
        for node in (self._input, *self._nodes):
            uses = [self._index.get(user, len(self._nodes)) for user in node.users]  # the result counts as the last one
            last = max(uses, default=self._index.get(node, 0))
            if last < len(self._nodes):
                ending[last].append(node)
        return ending

    def _watched(self, network: nn.Module, images: Tensor) -> dict[Any, int]:
        """Node -> index of the last node that writes into its value, as the version counters of tensors tell.

        Raises:
            UnfitError: the network writes into what it keeps from one pass to the next.
        """
        own = [*tensors_in([list(network.parameters()), list(network.buffers())]), *self._constants()]
        versions = _versions(own)
        writes: dict[Any, int] = {}
        values: dict[Any, Any] = {**self._fixed, self._input: images.clone()}
        for i, node in enumerate(self._nodes):
            before = {known: _versions(tensors_in(value)) for known, value in values.items()}
            made = self._steps[i](values)
            writes.update({known: i for known, old in before.items() if _versions(tensors_in(values[known])) != old})
            values[node] = made
            for ended in self._ending[i]:
                del values[ended]
        if _versions(own) != versions:
            raise UnfitError("it writes into its own parameters, buffers or constants")
        return writes

    def _constants(self) -> list[Tensor]:
        return list(tensors_in([pytree.tree_leaves((tuple(node.args), dict(node.kwargs))) for node in self._nodes]))


def _versions(tensors: Any) -> list[int]:
    return [tensor._version for tensor in tensors]


def _recorded(network: nn.Module) -> tuple[list[Any], Any, Any]:
    """(nodes in order, the input, what is returned) of a forward pass.

    Raises:
        UnfitError: the forward pass needs numbers, or hooks are set on what is not a layer of torch.
    """
    for name, module in network.named_modules():
        if not is_leaf(module) and (module._forward_hooks or module._forward_pre_hooks):
            raise UnfitError(f"hooks are set on {name or 'the network'}")
    graph = torch.fx.Graph()
    tracer = _Tracer(graph)
    twin, _ = copy_for_trace(network, torch.device("meta"))
    for name, module in twin.named_modules():
        for tensors in (module._parameters, module._buffers):
            for key in [key for key, value in tensors.items() if value is not None]:
                path = f"{name}.{key}" if name else key
                tensors[key] = tracer.create_proxy("get_attr", path, (), {})
        if is_leaf(module):
            module.forward = functools.partial(_proxied, tracer, name)
    images = tracer.create_proxy("placeholder", "images", (), {})
    try:
        answer = tracer.create_arg(twin(images))
    except Exception as error:  # the forward pass is anybody's code, and a proxy is no tensor
        raise UnfitError(f"its forward pass needs numbers ({(str(error).splitlines() or [''])[0]:.120})") from error
    graph.output(answer)
    nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    return nodes, images.node, answer


def portable_graph(network: nn.Module) -> torch.fx.GraphModule:
    """Return a network that computes the same, with the same tensors, and needs no class but those of torch: for another process.

    Raises:
        UnfitError: the forward pass needs numbers, or hooks are set on what is not a layer of torch.
    """
    _, images, _ = _recorded(network)
    return torch.fx.GraphModule(network, images.graph)


def _proxied(tracer: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    return tracer.create_proxy("call_module", name, args, kwargs)


def is_leaf(module: nn.Module) -> bool:
    """True for modules of torch itself, which are called as they are."""
    return type(module).__module__.startswith("torch.nn") and not isinstance(module, nn.Sequential)


def _attribute(network: nn.Module, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), network)


def _step(network: nn.Module, node: Any) -> _Step:
    """One node as a function of the values that there are."""
    target: Any = network.get_submodule(node.target) if node.op == "call_module" else node.target
    args, kwargs = node.args, node.kwargs

    def method(values: Mapping[Any, Any]) -> Any:
        owner, *rest = _filled(args, values)
        return getattr(owner, target)(*rest, **_filled(kwargs, values))

    def function(values: Mapping[Any, Any]) -> Any:
        return target(*_filled(args, values), **_filled(kwargs, values))

    return method if node.op == "call_method" else function


def _filled(template: Any, values: Mapping[Any, Any]) -> Any:
    """A structure of nodes with their values in their place."""
    return torch.fx.node.map_arg(template, values.__getitem__)


def _cloned(kept: Mapping[Hashable, Any], written: Sequence[Hashable]) -> dict[Hashable, Any]:
    """The values, with new memory under those that are written to and under all that share memory with them."""
    memory: dict[int, Tensor] = {}
    for tensor in tensors_in([kept[node] for node in written]):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in memory:
            memory[storage.data_ptr()] = tensor.as_strided((storage.nbytes() // tensor.element_size(),), (1,), 0).clone()

    def twin(value: Any) -> Any:
        new = memory.get(value.untyped_storage().data_ptr()) if isinstance(value, Tensor) else None
        if new is None:
            return value
        if new.dtype != value.dtype:
            raise UnfitError("memory that is written to is seen as two types")
        return new.as_strided(value.shape, value.stride(), value.storage_offset())

    return {node: pytree.tree_map(twin, value) for node, value in kept.items()}
