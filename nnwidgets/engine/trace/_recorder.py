"""Watch one forward pass: hooks see the layers, a function mode the functions between them, a dispatch mode the arithmetic."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.trace._modes import operations
from nnwidgets.engine.trace._ops import is_allocation, is_movement, name_of, writes_to
from nnwidgets.engine.trace._state import Provenance, TensorTable
from nnwidgets.engine.trace._tensors import tensors_in
from nnwidgets.engine.trace.macs import macs_of
from nnwidgets.engine.trace.records import INPUT
from nnwidgets.engine.trace.weights import kind_of, parametrizations_of

__all__ = ["OpenCall", "OpenEntry", "Recorder", "Visit"]

Visit = Callable[[str, int, Any], Any]
_Kind = tuple[torch.Size, torch.dtype]


@dataclass
class OpenCall:
    """A call while it is being recorded. Shapes are still those of the batch, ``macs`` too except ``fixed``."""

    index: int
    name: str
    call: int
    kind: str
    parent: str
    is_module: bool
    inputs: list[torch.Size]
    outputs: list[_Kind] = field(default_factory=list)
    params: int = 0
    macs: int = 0
    fixed: int = 0
    weights: dict[str, int] = field(default_factory=dict)
    fixed_weights: dict[str, int] = field(default_factory=dict)
    producers: set[int] = field(default_factory=set)
    moves: bool = True


@dataclass
class OpenEntry:
    """A container while it runs; ``call`` is None until it has ended well."""

    name: str
    kind: str
    within: int
    first: int
    last: int = 0
    call: int | None = None
    outputs: list[_Kind] = field(default_factory=list)
    ends: set[int] = field(default_factory=set)


@dataclass
class _Function:
    """A function being executed outside the layers; it becomes a call when it first touches data."""

    name: str
    inputs: list[torch.Tensor]
    call: OpenCall | None = None


class Recorder:
    """Records the calls of one forward pass of a copy.

    Args:
        model: the copy. inputs: the tensors it will be given. owners: id of a parameter -> name of its weight layer.
        visit: called with (name, call, result) of each layer, function and container as it ends; what it returns, unless None,
            takes the place of the result.
    """

    def __init__(
        self, model: nn.Module, inputs: list[torch.Tensor], owners: Mapping[int, str], visit: Visit | None = None
    ) -> None:
        self.calls: list[OpenCall] = []
        self.entries: list[OpenEntry] = []
        self.tensors = TensorTable(model.parameters(), inputs)
        self._model = model
        self._owners = owners
        self._sizes = {id(parameter): parameter.numel() for parameter in model.parameters()}
        self._counted: set[int] = set()
        self._times: dict[str, int] = {}
        self._path: list[tuple[nn.Module, str]] = []
        self._entered: list[int] = []
        self._ended: dict[str, int] = {}
        self._layer: OpenCall | None = None
        self._function: _Function | None = None
        self._parametrizing = 0
        self._failed: tuple[BaseException, nn.Module, str] | None = None
        self._visit = visit
        self._visits: dict[str, int] = {}

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Watch the forward pass in this block; hooks and modes are taken away at its end."""
        with contextlib.ExitStack() as stack:
            hidden: set[int] = set()
            for module in self._model.modules():
                for weight in parametrizations_of(module).values():
                    hidden.add(id(module.get_submodule("parametrizations")))
                    hidden.update(id(inner) for inner in weight.modules())
                    self._watch_parametrization(weight, stack)
            for name, module in self._model.named_modules():
                if id(module) not in hidden:
                    stack.callback(module.register_forward_pre_hook(self._entering(name), with_kwargs=True).remove)
                    stack.callback(module.register_forward_hook(self._leave, always_call=True).remove)
            stack.enter_context(operations(self.call_operation))
            stack.enter_context(_Functions(self))
            yield

    def where(self, error: BaseException) -> str:
        """Name the innermost module that an exception came from, for a message."""
        if self._failed is None or self._failed[0] is not error:
            return "the network"
        _, module, name = self._failed
        return f"layer {name!r} ({kind_of(module)})" if name else f"the network ({kind_of(module)})"

    # Layers

    def _entering(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            parent = self._path[-1][1] if self._path else ""
            self._path.append((module, name))
            self._refuse_unbatched(module, args)
            if self._layer is not None or self._parametrizing:
                return
            if self._is_layer(module):
                self._layer = self._open(name, kind_of(module), parent, True, list(tensors_in([args, kwargs])))
                self._count({id(parameter) for parameter in module.parameters()}, self._layer)
            elif module is not self._model:
                within = self._entered[-1] if self._entered else -1
                self._entered.append(len(self.entries))
                self.entries.append(OpenEntry(name, kind_of(module), within, len(self.calls)))

        return enter

    def _leave(self, module: nn.Module, args: Any, output: Any) -> Any:
        # Also called when the module raised, as the network may catch that and go on.
        _, name = self._path.pop()
        error = sys.exc_info()[1]
        if error is not None and (self._failed is None or self._failed[0] is not error):
            self._failed = (error, module, name)
        if self._layer is not None and self._layer.name == name:
            self._layer.outputs = _kinds(output)
            self._layer = None
        elif self._layer is None and self._entered and self.entries[self._entered[-1]].name == name:
            self._close(self.entries[self._entered.pop()], output, error)
        if self._layer is None and error is None and self._parametrizing == 0:
            return self._visited(name, output)
        return None

    def _close(self, entry: OpenEntry, output: Any, error: BaseException | None) -> None:
        entry.last = len(self.calls)
        if error is not None:
            return
        entry.call = self._ended.get(entry.name, 0)
        self._ended[entry.name] = entry.call + 1
        entry.outputs = _kinds(output)
        for tensor in tensors_in(output):
            entry.ends = self.tensors.producers(tensor)
            break

    def _visited(self, name: str, output: Any) -> Any:
        """Let whoever watches see a result, and perhaps replace it."""
        if self._visit is None:
            return None
        times = self._visits.get(name, 0)
        self._visits[name] = times + 1
        return self._visit(name, times, output)

    def _refuse_unbatched(self, module: nn.Module, args: Any) -> None:
        """A convolution takes an input without a batch axis too: an input_shape without channels would pass for that."""
        if not isinstance(module, _ConvNd) or not args or not isinstance(args[0], torch.Tensor):
            return
        axes = len(module.kernel_size) + 2
        if args[0].dim() < axes and INPUT in self.tensors.producers(args[0]):
            got = tuple(args[0].shape[1:])
            raise ModelError(
                f"The {kind_of(module)} {self._path[-1][1]!r} got samples of shape {got}; expected {axes - 1} axes, channels "
                f"first. Give input_shape as {(module.in_channels, *got[2 - axes :])} for {module.in_channels} channels."
            )

    def _is_layer(self, module: nn.Module) -> bool:
        """True for what is shown as one row: modules without children, and attention, which never calls its child."""
        if module is self._model:
            return isinstance(module, nn.MultiheadAttention)
        children = [child for name, child in module.named_children() if name != "parametrizations"]
        return not children or isinstance(module, nn.MultiheadAttention)

    def _watch_parametrization(self, weight: nn.Module, stack: contextlib.ExitStack) -> None:
        """Make a parametrized weight known as that weight, whatever arithmetic gives it."""
        sources = frozenset(id(parameter) for parameter in weight.parameters(recurse=False))

        def enter(inner: nn.Module, args: Any) -> None:
            self._parametrizing += 1

        def leave(inner: nn.Module, args: Any, output: Any) -> None:
            self._parametrizing -= 1
            for tensor in tensors_in(output):
                self.tensors.note(tensor, Provenance(sources=sources))

        stack.callback(weight.register_forward_pre_hook(enter).remove)
        stack.callback(weight.register_forward_hook(leave).remove)

    # Functions

    def call_function(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Run a torch function that the network called; outside the layers it is a call of its own."""
        if self._layer is not None or self._function is not None or self._parametrizing:
            return function(*args, **kwargs)
        self._function = running = _Function(name_of(function), list(tensors_in([args, kwargs])))
        try:
            result = function(*args, **kwargs)
        finally:
            self._function = None
        if running.call is not None:
            running.call.outputs = _kinds(result)
            return _first_of(self._visited(running.call.name, result), result)
        return result

    # Operations

    def call_operation(self, op: Any, args: Any, kwargs: Any) -> Any:
        """Run an aten operation and note what it used, cost and made."""
        used = [] if is_allocation(op) else list(tensors_in([args, kwargs]))
        live = any(self.tensors.is_live(tensor) for tensor in used)
        producers: set[int] = set().union(*(self.tensors.producers(tensor) for tensor in used))
        result = op(*args, **kwargs)
        if self._parametrizing:
            return result
        macs = macs_of(op, args, kwargs, result)
        call = self._current(op, used, live or macs > 0)
        sources = frozenset().union(*(self.tensors.get(tensor).sources for tensor in used if not self.tensors.is_live(tensor)))
        if call is not None:
            call.producers |= producers - {call.index}
            call.moves &= is_movement(op)
            self._count(sources, call)
            self._charge(call, macs, sources, live)
        made = list(tensors_in(result))
        if call is not None and not call.is_module and self._function is None:
            call.outputs = _kinds(made)
        index = None if call is None else call.index
        for tensor in writes_to(op, args, kwargs):
            self.tensors.wrote(tensor, index, live)
        for tensor in made:
            self.tensors.note(tensor, Provenance(index, live, frozenset() if live or macs else sources))
        if call is not None and not call.is_module and self._function is None:
            return _first_of(self._visited(call.name, result), result)
        return result

    def _current(self, op: Any, used: list[torch.Tensor], worth: bool) -> OpenCall | None:
        """The call that an operation belongs to; arithmetic on parameters alone outside the layers belongs to none."""
        if self._layer is not None:
            return self._layer
        if self._function is not None and self._function.call is not None:
            return self._function.call
        if not worth:
            return None
        parent = self._path[-1][1] if self._path else ""
        if self._function is None:
            return self._open(_bracketed(parent, name_of(op)), name_of(op), parent, False, used)
        function = self._function
        function.call = self._open(_bracketed(parent, function.name), function.name, parent, False, function.inputs)
        return function.call

    def _open(self, name: str, kind: str, parent: str, is_module: bool, inputs: list[torch.Tensor]) -> OpenCall:
        times = self._times.get(name, 0)
        self._times[name] = times + 1
        data = inputs if is_module else [tensor for tensor in inputs if not self.tensors.get(tensor).sources]
        shapes = [tensor.shape for tensor in data]
        call = OpenCall(len(self.calls), name, times, kind, parent, is_module, shapes)
        if is_module:
            call.producers.update(*(self.tensors.producers(tensor) for tensor in inputs))
        self.calls.append(call)
        return call

    def _count(self, parameters: set[int] | frozenset[int], call: OpenCall) -> None:
        new = parameters - self._counted
        self._counted |= new
        call.params += sum(self._sizes.get(parameter, 0) for parameter in new)

    def _charge(self, call: OpenCall, macs: int, sources: frozenset[int], live: bool) -> None:
        if macs == 0:
            return
        call.macs += macs if live else 0
        call.fixed += 0 if live else macs
        shares = call.weights if live else call.fixed_weights
        sizes: dict[str, int] = {}
        for source in sources & self._owners.keys():
            sizes[self._owners[source]] = sizes.get(self._owners[source], 0) + self._sizes[source]
        left, total = macs, sum(sizes.values())
        for name in sorted(sizes):  # several where weights were joined before they were used: by their sizes
            share = left if total == sizes[name] else left * sizes[name] // total
            shares[name] = shares.get(name, 0) + share
            left, total = left - share, total - sizes[name]


def _kinds(value: Any) -> list[_Kind]:
    return [(tensor.shape, tensor.dtype) for tensor in tensors_in(value)]


def _first_of(replaced: Any, result: Any) -> Any:
    return result if replaced is None else replaced


def _bracketed(parent: str, function: str) -> str:
    return f"{parent}.({function})" if parent else f"({function})"


class _Functions(TorchFunctionMode):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._recorder.call_function(func, args, kwargs or {})
