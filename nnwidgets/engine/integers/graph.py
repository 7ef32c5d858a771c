"""The thin graph that integer products run in: which values are bytes, which stay float32, and what is done in one go.

A value is bytes where all that read it are integer products with the same grid, directly or behind what does not change an order
(ReLU, max pooling, views, concatenation): rounding before is the same as rounding after. All else (adding, average pooling,
batch-norm that follows no product) is float32, as it is where rounding is simulated.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.integers.kernels import Engine, Product, to_bytes
from nnwidgets.engine.quantization import Bytes

__all__ = ["Codes", "Compiled", "compiled"]

_RELU = {nn.ReLU, F.relu, torch.relu, torch.relu_, "relu", "relu_"}
_RELU6 = {nn.ReLU6, F.relu6}
_MAX_POOL = {nn.MaxPool2d, F.max_pool2d, torch.max_pool2d}
_VIEWS = {nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d, torch.flatten, "flatten", "view", "reshape", "contiguous"}
_CAT = {torch.cat, torch.concat}
_IN_PLACE = {operator.iadd, operator.isub, operator.imul, torch.relu_}
_ADD = {operator.add, operator.iadd, torch.add}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True, eq=False)
class Codes:
    """Of one layer: int8 codes of the shape of its weight, the scale of each output channel, and the grid of its inputs."""

    values: Tensor
    scale: Tensor
    grid: Bytes


_Step = Callable[[dict[Any, Any]], Any]
_Pair = tuple[int, int]


@dataclass(eq=False)
class Compiled:
    """Steps in order; each reads and adds values.

    Attributes:
        done: layer -> the engine that does its products.
        weight_bytes: of their codes, scales and biases, and of the parameters of all other layers that are called.
    """

    steps: list[tuple[Any, _Step, tuple[Any, ...]]] = field(default_factory=list)
    done: dict[str, Engine] = field(default_factory=dict)
    weight_bytes: int = 0
    images: Any = None
    answer: Any = None

    def run(self, images: Tensor) -> Any:
        """The forward pass."""
        values: dict[Any, Any] = {self.images: images}
        for node, step, ended in self.steps:
            values[node] = step(values)
            for each in ended:
                values.pop(each, None)
        return torch.fx.node.map_arg(self.answer, values.__getitem__)


def compiled(graph: torch.fx.GraphModule, codes: Mapping[str, Codes], engine: Engine) -> Compiled:
    """Make the steps of a network.

    Args:
        graph: of a plain network in eval mode. codes: of the layers that are done in integers, by module.

    Raises:
        UnsupportedError: a value is written to while something else still reads it.
    """
    return _Compiler(graph, codes, engine).compiled()


@dataclass(frozen=True, eq=False)
class _Done:
    """A product with what is done in one go: something is added, a function applied, rounded on the grid of who reads it."""

    product: Product
    post: tuple[str, tuple[float, ...]]
    out: Bytes | None
    other: Any


class _Compiler:
    def __init__(self, graph: torch.fx.GraphModule, codes: Mapping[str, Codes], engine: Engine) -> None:
        self._modules = dict(graph.named_modules(remove_duplicate=False))
        self._nodes, self._codes, self._engine = list(graph.graph.nodes), codes, engine
        self._wants: dict[Any, Bytes | None] = {}
        self._same: dict[Any, Any] = {}  # a node that was taken up by a product -> the node of the product
        self._place = {node: i for i, node in enumerate(self._nodes)}
        self._products: dict[Any, _Done] = {}
        self._rounded_too: dict[Any, set[Any]] = {}  # a value -> what is kept of it in bytes, until its last reader

    def compiled(self) -> Compiled:
        found = Compiled()
        for node in self._nodes:
            self._refuse_shared_writes(node)
        for node in reversed(self._nodes):
            if node.op == "get_attr" and not node.users:
                self._nodes.remove(node)  # parameters of layers
        for node in reversed(self._nodes):
            self._wants[node] = self._wanted(node)
        for node in self._nodes:
            if self._is_product(node):
                self._products[node] = self._product(node)
                found.done[str(node.target)] = self._engine
        order: list[tuple[Any, _Step]] = []
        for node in self._nodes:
            if node.op == "placeholder":
                found.images = node
                if self._wants[node] is not None:
                    order.append((("bytes", node), self._rounding(node, self._wants[node])))
            elif node.op == "output":
                found.answer = torch.fx.node.map_arg(node.args[0], self._source)
            elif node not in self._same:
                order.append((node, self._step(node)))
        found.steps = self._with_ends(order, found.answer)
        found.weight_bytes = self._weight_bytes()
        return found

    def _weight_bytes(self) -> int:
        products: dict[Any, int] = {node.target: done.product.nbytes for node, done in self._products.items()}
        called = [node for node in self._nodes if node not in self._same and node not in self._products]
        layers = {node.target: self._modules[node.target] for node in called if node.op == "call_module"}
        held = {node.target: operator.attrgetter(node.target)(self._modules[""]) for node in called if node.op == "get_attr"}
        floats = {id(p): p for layer in layers.values() for p in layer.parameters()}
        floats |= {id(value): value for value in held.values() if isinstance(value, nn.Parameter)}
        return sum(products.values()) + sum(int(each.nbytes) for each in floats.values())

    # Which values are bytes

    def _kind(self, node: Any) -> Any:
        """What a node calls: the class of a module, a function, or the name of a method."""
        return type(self._modules[node.target]) if node.op == "call_module" else node.target

    def _is_product(self, node: Any) -> bool:
        return node.op == "call_module" and node.target in self._codes and len(node.args) == 1 and not node.kwargs

    def _passes_on(self, node: Any) -> bool:
        """True for what gives the same whether it is rounded before or after."""
        if node.op not in ("call_module", "call_function", "call_method"):
            return False
        kind = self._kind(node)
        if kind in _MAX_POOL:
            return self._window(node) is not None
        return kind in _RELU or kind in _VIEWS or kind in _CAT

    def _window(self, node: Any) -> tuple[_Pair, _Pair, _Pair] | None:
        """Kernel, stride and padding of max pooling; None where it has something else too."""
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
        if node.op == "call_module":
            module = self._modules[node.target]
            given = {name: getattr(module, name) for name in names}
        else:
            usual = dict(zip(names, (None, None, 0, 1, False, False), strict=True))
            given = {**usual, **dict(zip(names, node.args[1:], strict=False)), **node.kwargs}
        kernel, stride, padding, dilation, ceil, indices = (given[name] for name in names)
        sizes = [kernel, stride or kernel, padding, dilation]
        flat = [each for size in sizes for each in (size if isinstance(size, tuple | list) else (size,))]
        if ceil or indices or not all(isinstance(each, int) for each in flat) or _pair(dilation) != (1, 1):
            return None
        return _pair(kernel), _pair(stride or kernel), _pair(padding)

    def _wanted(self, node: Any) -> Bytes | None:
        """The grid on which all readers want a value; None where it has to be float32."""
        readers = [user for user in node.users if not self._asks_shape(user)]
        grids = {self._codes[user.target].grid if self._is_product(user) else self._behind(user, node) for user in readers}
        return grids.pop() if len(grids) == 1 else None

    def _asks_shape(self, node: Any) -> bool:
        return node.target in ("size", "dim") or (node.target is getattr and node.args[1] == "shape")

    def _behind(self, reader: Any, node: Any) -> Bytes | None:
        """What the readers of a reader want, where that passes on the numbers of this value (and not its size)."""
        numbers = reader.args[0] if reader.args else None
        read = node is numbers or (isinstance(numbers, list | tuple) and node in numbers)
        return self._wants[reader] if read and self._passes_on(reader) else None

    # Products, with what follows them

    def _product(self, node: Any) -> _Done:
        layer, own = self._modules[node.target], self._codes[node.target]
        scale, bias = own.scale.double(), None if layer.bias is None else layer.bias.detach().double()
        last = node
        norm = self._alone(last)
        if norm is not None and self._folds(norm, layer):
            module = self._modules[norm.target]
            factor = torch.rsqrt(module.running_var.double() + module.eps)
            if module.weight is not None:
                factor = factor * module.weight.detach().double()
            shift = -module.running_mean.double() if bias is None else bias - module.running_mean.double()
            bias = shift * factor + (0.0 if module.bias is None else module.bias.detach().double())
            scale = scale * factor
            last = self._taken(norm, node)
        product = Product(layer, own.values, scale, bias, own.grid, self._engine)
        other = self._summand(last, node) if product.can_add else None
        if other is not None:
            last = self._taken(self._alone(last), node)
        post: tuple[str, tuple[float, ...]] = ("none", ())
        after = self._alone(last)
        if after is not None and after.op in ("call_module", "call_function", "call_method"):
            if self._kind(after) in _RELU:
                post, last = ("relu", ()), self._taken(after, node)
            elif self._kind(after) in _RELU6:
                post, last = ("hardtanh", (0.0, 6.0)), self._taken(after, node)
        return _Done(product, post, self._wants[last], other)

    def _summand(self, node: Any, product: Any) -> Any:
        """What is added to a product, if it may be written to from then on; None where it may not, or nothing is added."""
        add = self._alone(node)
        if add is None or add.op != "call_function" or self._kind(add) not in _ADD or len(add.args) != 2 or add.kwargs:
            return None
        other = add.args[1] if add.args[0] is node else add.args[0]
        if not isinstance(other, torch.fx.Node) or other is node or self._wants[other] is not None:
            return None
        own_memory = self._source(other) in self._products
        readers = [user for user in other.users if user is not add]
        before = all(self._is_product(user) and self._place[user] <= self._place[product] for user in readers)
        return other if own_memory and before and self._place[self._source(other)] < self._place[product] else None

    def _alone(self, node: Any) -> Any:
        """The only reader of a value, None where there are more."""
        return next(iter(node.users)) if len(node.users) == 1 else None

    def _taken(self, node: Any, product: Any) -> Any:
        self._same[node] = product
        return node

    def _folds(self, node: Any, layer: nn.Module) -> bool:
        if node.op != "call_module" or not isinstance(self._modules[node.target], _NORMS):
            return False
        module, product = self._modules[node.target], nn.Conv2d if self._kind(node) is nn.BatchNorm2d else nn.Linear
        calls = sum(other.op == "call_module" and other.target == node.target for other in self._nodes)
        return module.running_var is not None and isinstance(layer, product) and calls == 1

    # Steps

    def _source(self, node: Any) -> Any:
        return self._same.get(node, node)

    def _bytes_of(self, node: Any, grid: Bytes) -> Callable[[dict[Any, Any]], Tensor]:
        """How a product or what passes bytes on gets at them."""
        source = self._source(node)
        if self._wants[node] == grid:
            key: Any = ("bytes", node) if node.op == "placeholder" else source
            return lambda values: values[key]
        shared = ("rounded", source, grid)  # several products of one value round it once
        self._rounded_too.setdefault(source, set()).add(shared)

        def rounded(values: dict[Any, Any]) -> Tensor:
            if shared not in values:
                values[shared] = to_bytes(values[source], grid)
            found: Tensor = values[shared]
            return found

        return rounded

    def _rounding(self, node: Any, grid: Bytes | None) -> _Step:
        assert grid is not None
        return lambda values: to_bytes(values[node], grid)

    def _step(self, node: Any) -> _Step:
        if node in self._products:
            done = self._products[node]
            product, post, out = done.product, done.post, done.out
            take = self._bytes_of(node.args[0], product.grid)
            if done.other is None:
                return lambda values: product(take(values), out, post)
            other = self._source(done.other)
            return _rounded(lambda values: product.added(take(values), values[other], post), out)
        if node.op == "get_attr":
            held: Any = operator.attrgetter(node.target)
            owner = self._modules[""]
            return lambda values: held(owner)
        args = torch.fx.node.map_arg(node.args, self._source)
        kwargs = torch.fx.node.map_arg(node.kwargs, self._source)
        grid = self._wants[node]
        if grid is not None and self._passes_on(node):
            return self._on_bytes(node, grid)

        def filled(values: dict[Any, Any]) -> tuple[Any, Any]:
            return torch.fx.node.map_arg(args, values.__getitem__), torch.fx.node.map_arg(kwargs, values.__getitem__)

        if node.op == "call_method":
            name = _laid_out_anyhow(node.target)

            def method(values: dict[Any, Any]) -> Any:
                (own, *rest), named = filled(values)
                return getattr(own, name)(*rest, **named)

            return _rounded(method, grid)
        target = self._modules[node.target] if node.op == "call_module" else node.target

        def function(values: dict[Any, Any]) -> Any:
            own, named = filled(values)
            return target(*own, **named)

        return _rounded(function, grid)

    def _on_bytes(self, node: Any, grid: Bytes) -> _Step:
        """What does not change an order, done to bytes."""
        kind = self._kind(node)
        if kind in _CAT:
            parts, axis = node.args[0], node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
            takes = [self._bytes_of(part, grid) for part in parts]
            return lambda values: torch.cat([take(values) for take in takes], axis)
        take = self._bytes_of(node.args[0], grid)
        if kind in _RELU:
            return take if grid.zero == 0 else lambda values: take(values).clamp(min=grid.zero)
        if kind in _MAX_POOL:
            window = self._window(node)
            assert window is not None
            return lambda values: _largest(take(values), *window)
        rest, named = node.args[1:], node.kwargs
        if kind in (nn.Identity, nn.Dropout, nn.Dropout2d):
            return take
        if node.op == "call_module":
            module = self._modules[node.target]
            return lambda values: module(take(values))
        call = getattr(Tensor, _laid_out_anyhow(node.target)) if node.op == "call_method" else node.target
        more = torch.fx.node.map_arg((rest, dict(named)), self._source)

        def viewed(values: dict[Any, Any]) -> Any:
            own, by_name = torch.fx.node.map_arg(more, values.__getitem__)
            return call(take(values), *own, **by_name)

        return viewed

    def _refuse_shared_writes(self, node: Any) -> None:
        """In-place code is run as it is written; it must not change what another reader still needs."""
        kind = self._kind(node) if node.op in ("call_module", "call_function", "call_method") else None
        named = isinstance(kind, str) and kind.endswith("_") and not kind.endswith("__")
        inner = node.op == "call_module" and getattr(self._modules[node.target], "inplace", False)
        flagged = bool(node.kwargs.get("inplace", False))
        if not (kind in _IN_PLACE or kind is operator.setitem or named or inner or flagged):
            return
        written = node.args[0]
        if not isinstance(written, torch.fx.Node) or kind is operator.setitem or len(written.users) > 1:
            raise UnsupportedError(f"{node.name} writes in place into a value that other code reads")

    def _with_ends(self, order: list[tuple[Any, _Step]], answer: Any) -> list[tuple[Any, _Step, tuple[Any, ...]]]:
        """Each step with the values that nothing reads after it."""
        last: dict[Any, int] = {}
        place = {key: i for i, (key, _) in enumerate(order)}
        for node in self._nodes:
            at = place.get(self._source(node)) if node.op not in ("placeholder", "output") else None
            if at is None:
                continue
            others = [self._products[node].other] if node in self._products and self._products[node].other is not None else []
            for read in [*node.all_input_nodes, *others]:
                source = self._source(read)
                if source != self._source(node):
                    last[source] = max(last.get(source, -1), at)
        kept: set[Any] = set()
        torch.fx.node.map_arg(answer, kept.add)
        ends: dict[int, list[Any]] = {}
        for source, at in last.items():
            if source in kept:
                continue
            ends.setdefault(at, []).extend([source, *self._rounded_too.get(source, ())])
            if source.op == "placeholder":
                ends[at].append(("bytes", source))
        return [(key, step, tuple(ends.get(i, ()))) for i, (key, step) in enumerate(order)]


def _rounded(step: _Step, grid: Bytes | None) -> _Step:
    """A step in float32 whose readers all want bytes."""
    return step if grid is None else lambda values: to_bytes(step(values), grid)


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _largest(codes: Tensor, window: tuple[int, int], stride: tuple[int, int], edge: tuple[int, int]) -> Tensor:
    """Max pooling of bytes, along one axis and then the other. (torch's own counts places in bytes: it refuses large maps.)"""
    if any(edge):
        codes = F.pad(codes, (edge[1], edge[1], edge[0], edge[0]))  # zero is the smallest
    for axis, size, step in ((2, window[0], stride[0]), (3, window[1], stride[1])):
        places = (codes.shape[axis] - size) // step * step + 1
        parts = [codes.narrow(axis, first, places) for first in range(size)]
        if step > 1:
            parts = [part[:, :, ::step] if axis == 2 else part[:, :, :, ::step] for part in parts]
        codes = parts[0] if size > 1 else parts[0].contiguous(memory_format=torch.channels_last)
        for part in parts[1:]:
            codes = torch.maximum(codes, part)
    return codes


def _laid_out_anyhow(method: str) -> str:
    """Maps have their channels last in memory here: what was a view may have to copy."""
    return "reshape" if method == "view" else method
