"""Places that are met again in pass after pass, at little cost.

The recorder, which knows the functions between the layers by name, looks at each operation: it more than doubles the time of a
small network. It is asked once; from then on the number of a function's call is enough.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.inspect._own import own_copy
from nnwidgets.engine.inspect._sites import Site, unknown_site
from nnwidgets.engine.trace import tensors_in, watching

__all__ = ["Taps", "Visitor"]

Visitor = Callable[[Any, bool], Any]
"""Gets the result of a place, and whether it was written over what the place was given, where that was asked for. What it
returns, unless None, takes the place of the result."""

_Key = tuple[Any, int]  # a function and the number of its call


class Taps:
    """Runs a network, or copies of it, and lets what some places give be seen and replaced.

    Args:
        writes: also tell visitors of results that were written over what the place was given. Whoever keeps that sees the result.
    """

    def __init__(self, writes: bool = False) -> None:
        self._writes = writes
        self._known: dict[_Key, Site] = {}
        self._times: dict[Any, int] = {}
        self._learned: frozenset[Site] = frozenset()

    def run(self, network: nn.Module, images: Tensor, visits: Callable[[], Mapping[Site, Visitor]]) -> Any:
        """Run a network once in its present mode and return its answer. No hook is left, however it ends.

        Args:
            images: (B, *input_shape). visits: gives what visits the places. It is asked once more, and the network run once more,
                where the network turns out to take another way than before.

        Raises:
            InputError: a place was never reached. And whatever the network or a visitor raises.
        """
        seen = visits()
        modules = dict(network.named_modules())
        between = frozenset(site for site in seen if site.name not in modules)
        if between <= self._learned:
            with contextlib.suppress(_AstrayError):
                return self._quickly(network, images, seen, modules)
            seen = visits()
        return self._slowly(network, images, seen, between)

    def _quickly(self, network: nn.Module, images: Tensor, visits: Mapping[Site, Visitor], modules: dict[str, nn.Module]) -> Any:
        functions = {key: visits[site] for key, site in self._known.items() if site in visits}
        with self.hooks(visits, modules) as waiting, _Numbered(functions) if functions else contextlib.nullcontext() as numbered:
            answer = network(images)
        if waiting or (numbered and any(numbered.times[name] != self._times[name] for name, _ in functions)):
            raise _AstrayError
        return answer

    def _slowly(
        self,
        network: nn.Module,
        images: Tensor,
        visits: Mapping[Site, Visitor],
        between: frozenset[Site],
    ) -> Any:
        listing, known, found = _Listing(), dict[_Key, Site](), set[Site]()
        network = _undisturbed(network) if between else network
        modules = dict(network.named_modules())

        def come_by(name: str, call: int, result: Any) -> Any:
            site = Site(name, call)
            if site not in between:
                return None
            found.add(site)
            made = listing.last
            if made is None or made.result is not result:  # an operation that no function of torch stands for
                return visits[site](result, False)
            known[made.key] = site
            return visits[site](result, made.writes)

        watched = watching(network, images, come_by) if between else contextlib.nullcontext()
        with self.hooks(visits, modules) as waiting, listing if between else contextlib.nullcontext(), watched:
            answer = network(images)
        for site in sorted(waiting | (between - found)):
            raise unknown_site(network, images, site)
        if len(known) == len(between):
            self._known, self._learned = known, between
            self._times = {function: listing.times[function] for function, _ in known}
        return answer

    @contextlib.contextmanager
    def hooks(self, visits: Mapping[Site, Visitor], modules: Mapping[str, nn.Module]) -> Iterator[set[Site]]:
        """Visit the layers alone while the block lasts; gives those that were not reached yet."""
        waiting = {site for site in visits if site.name in modules}
        with contextlib.ExitStack() as stack:
            for name in sorted({site.name for site in waiting}):
                hook = _LayerHook(name, visits, waiting, self._writes and not _is_torchs(modules[name]))
                if hook.compare:
                    stack.callback(modules[name].register_forward_pre_hook(hook.before, with_kwargs=True).remove)
                stack.callback(modules[name].register_forward_hook(hook.after).remove)
            yield waiting


class _AstrayError(Exception):
    """The network does not take the way that it took when its places were found."""


class _LayerHook:
    """Lets the results of one layer be seen, call by call."""

    def __init__(self, name: str, visits: Mapping[Site, Visitor], waiting: set[Site], compare: bool) -> None:
        self._name, self._visits, self._waiting, self.compare = name, visits, waiting, compare
        self._times, self._thread = 0, threading.get_ident()
        self._given: list[tuple[Tensor, Tensor]] = []  # with copies

    def before(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if self.compare and threading.get_ident() == self._thread and Site(self._name, self._times) in self._visits:
            with torch._C.DisableTorchFunction():
                self._given = [(tensor, tensor.clone()) for tensor in tensors_in([args, kwargs])]

    def after(self, module: nn.Module, args: Any, output: Any) -> Any:
        if threading.get_ident() != self._thread:  # somebody else runs the same network
            return None
        site = Site(self._name, self._times)
        self._times += 1
        self._waiting.discard(site)
        if site not in self._visits:
            return None
        with torch._C.DisableTorchFunction():  # what a visitor does is no function of the network
            if self.compare:
                same = {_memory(tensor) for tensor in tensors_in(output)}
                writes = any(_memory(given) in same and not torch.equal(given, copy) for given, copy in self._given)
            else:
                writes = bool(getattr(module, "inplace", False))
            self._given = []
            return self._visits[site](output, writes)


class _Numbered(TorchFunctionMode):
    """Lets the results of some calls of functions be seen."""

    def __init__(self, visits: Mapping[_Key, Visitor]) -> None:
        super().__init__()
        self.times: Counter[Any] = Counter()
        self._visits, self._functions = visits, {function for function, _ in visits}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func not in self._functions:
            return result
        number = self.times[func]
        self.times[func] = number + 1
        visit = self._visits.get((func, number))
        replaced = visit(result, _writes(func, args, kwargs or {})) if visit is not None else None
        return result if replaced is None else replaced


@dataclass(frozen=True)
class _Made:
    """The result of one call of a function."""

    key: _Key
    result: Any
    writes: bool


class _Listing(TorchFunctionMode):
    """Numbers all calls. The recorder calls functions too, but only such as compute nothing, which are no places."""

    def __init__(self) -> None:
        super().__init__()
        self.times: Counter[Any] = Counter()
        self.last: _Made | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") != "__get__":  # the recorder asks for shapes
            number = self.times[func]
            self.times[func] = number + 1
            self.last = _Made((func, number), result, _writes(func, args, kwargs or {}))
        return result


_AUGMENTED = frozenset(
    f"__i{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or")
)


def _writes(function: Any, args: Any, kwargs: Mapping[str, Any]) -> bool:
    """True where a function writes into what it was given, by torch's conventions: ``relu_``, ``+=``, ``inplace``, ``out``."""
    name = str(getattr(function, "__name__", ""))
    if name in _AUGMENTED or (name.endswith("_") and not name.endswith("__")) or kwargs.get("out") is not None:
        return True
    place = _place_of_inplace(function)
    return bool(kwargs.get("inplace", False)) or (place is not None and place < len(args) and bool(args[place]))


@functools.lru_cache(maxsize=1024)
def _place_of_inplace(function: Any) -> int | None:
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None
    return names.index("inplace") if "inplace" in names else None


def _undisturbed(network: nn.Module) -> nn.Module:
    """A copy that shares all numbers, since the recorder's hooks would take the calls of another thread for its own.

    The network itself in train mode, where its state has to change, and where it has hooks, which may want to see its own layers.
    """
    if any(module.training or module._forward_hooks or module._forward_pre_hooks for module in network.modules()):
        return network
    try:
        return own_copy(network)
    except ModelError:
        return network


def _is_torchs(module: nn.Module) -> bool:
    """A layer of torch, which says itself whether it writes over its input."""
    return type(module).__module__.startswith("torch.nn.") and next(module.children(), None) is None


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
