"""One forward pass of a blank copy, operation by operation, with labels on its tensors."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from nnwidgets.engine.pruning.channels._labels import Factors, covering
from nnwidgets.engine.pruning.channels._opaque import attend, recur
from nnwidgets.engine.pruning.channels._pointwise import is_pointwise, pointwise
from nnwidgets.engine.pruning.channels._rules import RULES, bound
from nnwidgets.engine.pruning.channels._shortcuts import SHORTCUTS
from nnwidgets.engine.pruning.channels._slots import Ids, Slots, named_tensors
from nnwidgets.engine.pruning.channels._ties import Ties
from nnwidgets.engine.trace import operations, tensors_in

__all__ = ["FailedRunError", "Run"]

_MARK = "_nnwidgets_labels"


class FailedRunError(Exception):
    """The forward pass raised; ``place`` is the innermost module that did."""

    def __init__(self, message: str, place: str) -> None:
        super().__init__(message)
        self.place = place


class Run:
    """Watches one pass; see `Watch`.

    Args:
        model: a blank copy. slots: those of the whole network.
        kept: (module, attribute, axis) -> indexes that a smaller copy still has.

    Attributes:
        ties: what it found. used: (module, attribute) of the tensors that took part.
        counted: (module, attribute, labels) of whole numbers that say how many channels a module without tensors reads.
        numbers: the plain numbers that labelled tensors were computed with, by place, in order.
    """

    def __init__(self, model: nn.Module, slots: Slots, kept: dict[tuple[str, str, int], Ids] | None = None) -> None:
        self.ties = Ties()
        self.used: set[tuple[str, str]] = set()
        self.counted: list[tuple[str, str, Ids]] = []
        self.numbers: list[tuple[str, tuple[float, ...]]] = []
        self._model, self._slots = model, slots
        self._path: list[str] = []
        self._operation = ""
        self._blind = 0
        self._failed: tuple[BaseException, str] | None = None
        self._owners: dict[int, tuple[str, str]] = {}
        for module_name, _, attribute, tensor in named_tensors(model):
            setattr(tensor, _MARK, slots.of(module_name, attribute, tensor.dim(), kept))
            self._owners[id(tensor)] = (module_name, attribute)

    # What rules ask

    def of(self, value: Any) -> Factors:
        """The labels of a tensor."""
        return list(getattr(value, _MARK, ())) if isinstance(value, Tensor) else []

    def channelwise(self, weight: Tensor) -> bool | None:
        """Whether a weight has one input channel a group in the whole network; None where it is computed."""
        return self._slots.channelwise.get(self._owners.get(id(weight), ("", "")))

    def where(self) -> str:
        """The module and operation at work, as in a trace."""
        place = self._path[-1] if self._path else ""
        return ".".join(part for part in (place, f"({self._operation})" if self._operation else "") if part)

    # The pass

    def forward(self, x: Tensor) -> None:
        """Run the network on one batch.

        Raises:
            FailedRunError: it raised.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
            for name, module in self._model.named_modules():
                stack.callback(self._unwatch, module, vars(module).get("forward"))
                self._watch(name, module)
            stack.enter_context(operations(self._answer))
            try:
                output = self._model(x)
            except Exception as error:
                place = self._failed[1] if self._failed is not None else ""
                text = " ".join(str(error).split())[:200].rstrip(".")
                raise FailedRunError(f"{type(error).__name__} in {place or 'the network'}: {text}", place) from error
        single = isinstance(output, Tensor)
        for tensor in tensors_in(output):
            for factor in self.of(tensor):
                self.ties.freeze(factor, "they are the network's answer" if single else "they are among the network's answers")

    def _watch(self, name: str, module: nn.Module) -> None:
        """Let a module of the copy say where it is; one that is taken as a unit is run by its own rule."""
        forward = module.forward
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0  # or torch takes a fast path in which nothing can be seen
        if isinstance(module, nn.MultiheadAttention):
            inner: Callable[..., Any] = lambda *args, **kwargs: self._attend(module, name, args, kwargs)  # noqa: E731
        elif isinstance(module, nn.RNNBase):
            inner = lambda *args, **kwargs: self._recur(module, forward, args, kwargs)  # noqa: E731
        elif isinstance(module, _NormBase) and not any(x is not None for x in (module.weight, module.running_mean)):
            inner = lambda *args, **kwargs: self._count(name, forward, args, kwargs)  # noqa: E731
        else:
            inner = forward

        def run(*args: Any, **kwargs: Any) -> Any:
            self._path.append(name)
            try:
                return inner(*args, **kwargs)
            except Exception as error:
                if self._failed is None or self._failed[0] is not error:
                    self._failed = (error, name)
                raise
            finally:
                self._path.pop()

        module.forward = run

    def _unwatch(self, module: nn.Module, forward: Any) -> None:
        del module.forward
        if forward is not None:
            module.forward = forward

    @contextlib.contextmanager
    def _unseen(self) -> Iterator[None]:
        self._blind += 1
        before, self._operation = self._operation, ""
        try:
            yield
        finally:
            self._blind -= 1
            self._operation = before

    def _attend(self, module: nn.MultiheadAttention, name: str, args: Any, kwargs: Any) -> Any:
        for tensor in module.parameters():
            self.used.add(self._owners.get(id(tensor), ("", "")))
        with self._unseen():
            (result, shown), labels = attend(self, module, args, kwargs)
        setattr(result, _MARK, labels[0])
        return result, shown

    def _recur(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        with self._unseen():
            return recur(self, module, forward, args, kwargs, tensors_in([args, kwargs]))

    def _count(self, name: str, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """A norm without any tensor knows its number of channels by an attribute alone."""
        factor = covering(self.of(args[0]), 1) if args else None
        if factor is not None and factor.size == factor.shape[1]:
            self.counted.append((name, "num_features", factor.reshape(-1)))
        return forward(*args, **kwargs)

    def _answer(self, op: Any, args: Any, kwargs: Any) -> Any:
        if self._blind:
            return op(*args, **kwargs)
        full = str(op._schema.name).split("::")[-1]
        in_place = full.endswith("_") and not full.endswith("__")
        name = full.rstrip("_") if in_place else full
        arguments = bound(op, args, kwargs)
        short = None if in_place else SHORTCUTS.get(name)
        result = op(*args, **kwargs) if short is None else short(arguments)
        used = list(tensors_in([args, kwargs]))
        for tensor in used:
            owner = self._owners.get(id(tensor))
            if owner is not None:
                self.used.add(owner)
        made = list(tensors_in(result))
        if used and any(getattr(tensor, _MARK, None) for tensor in used):
            self._operation = name
            if is_pointwise(op, name):
                self.numbers.append((self.where(), _numbers(arguments)))
            self._label(op, name, arguments, used, made, in_place)
            self._operation = ""
        return result

    def _label(self, op: Any, name: str, arguments: Any, used: list[Tensor], made: list[Tensor], in_place: bool) -> None:
        rule = RULES.get(name)
        # A write changes what other views see: it may tie labels but not give any.
        before = self.of(made[0]) if in_place and made else []
        if rule is not None and op._overloadname != "out":
            labels = rule(self, arguments, made)
        elif is_pointwise(op, name):
            labels = pointwise(self, name, arguments, made)
        else:
            for tensor in used:
                for factor in self.of(tensor):
                    self.ties.freeze(factor, f"what {name} in {self.where()} does to channels is not known")
            labels = [[] for _ in made]
        for tensor, factors in zip(made, labels, strict=False):
            if in_place and {f.shape for f in before} != {f.shape for f in factors}:
                for factor in [*before, *factors]:
                    self.ties.freeze(factor, f"they are written into another tensor in {self.where()}")
            for factor in factors:
                if any(size not in (1, real) for size, real in zip(factor.shape, tensor.shape, strict=True)):
                    raise AssertionError(f"labels {factor.shape} for a tensor {tuple(tensor.shape)} in {self.where()}")
            setattr(tensor, _MARK, factors)


def _numbers(arguments: dict[str, Any]) -> tuple[float, ...]:
    plain = [x for x in arguments.values() if isinstance(x, (int, float)) or (isinstance(x, Tensor) and x.dim() == 0)]
    numbers = [0.0 if isinstance(x, Tensor) and x.is_complex() else float(x) for x in plain]
    return tuple(0.0 if math.isnan(x) else x for x in numbers)
