"""Answer the operations of a block by a function, without loading torch's compiler."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

__all__ = ["Answer", "operations", "unattended"]

Answer = Callable[[Any, Any, Any], Any]
"""``answer(op, args, kwargs)`` gives the result of an aten operation, usually ``op(*args, **kwargs)``."""


class _Operations(TorchDispatchMode):
    def __init__(self, answer: Answer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answer = answer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._answer(func, args, kwargs or {})

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: else torch loads its compiler (150 MB and some seconds) to be told that nothing is to be compiled."""
        return False


class _OperationsUncompiled(_Operations):  # type: ignore[no-untyped-call]
    """For a process in which the compiler is loaded already: without telling it, it would compile what watches the network."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_dispatch__(func, types, args, kwargs)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return True


def operations(answer: Answer) -> TorchDispatchMode:
    """A context in which ``answer`` is asked for each aten operation of this thread; what it does itself is not asked again."""
    return (_OperationsUncompiled if "torch._dynamo" in sys.modules else _Operations)(answer)


@contextlib.contextmanager
def unattended() -> Iterator[None]:
    """Nobody watches what is done in this block: modes of this thread (`operations`, torch's flop counter ...) are set aside."""
    aside = []
    try:
        while torch._C._len_torch_function_stack():
            aside.append(torch._C._pop_torch_function_stack())
        with _disable_current_modes():
            yield
    finally:
        for mode in reversed(aside):
            torch._C._push_on_torch_function_stack(mode)
