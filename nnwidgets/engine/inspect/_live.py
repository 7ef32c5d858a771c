"""What depends on the image while a network runs, also where no gradient tells: masks, comparisons, detached copies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from nnwidgets.engine.trace import operations, tensors_in
from nnwidgets.engine.trace._ops import is_allocation

__all__ = ["Live"]


class Live:
    """Memory that holds something computed from the image.

    Attributes:
        replaces: a ``threshold`` with another value than 0 was seen, whose derivative looks like that of a ReLU.
    """

    def __init__(self, image: Tensor) -> None:
        # A weak reference lets go of the numbers but not of the address, which so never names anything else.
        self._memory: dict[int, StorageWeakRef] = {}
        self._note(image)
        self.replaces = False

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch a forward pass in this block."""
        with operations(self._answer):
            yield

    def has(self, tensor: Tensor) -> bool:
        """True where a tensor was computed from the image."""
        try:
            return tensor.untyped_storage()._cdata in self._memory
        except (NotImplementedError, RuntimeError):  # sparse, or a subclass without memory of its own
            return False

    def _note(self, tensor: Tensor) -> None:
        with contextlib.suppress(NotImplementedError, RuntimeError):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._memory:
                self._memory[storage._cdata] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]

    def _answer(self, op: Any, args: Any, kwargs: Any) -> Any:
        alive = not is_allocation(op) and any(self.has(tensor) for tensor in tensors_in([args, kwargs]))
        result = op(*args, **kwargs)
        if alive:
            for tensor in tensors_in(result):
                self._note(tensor)
            if op._schema.name in ("aten::threshold", "aten::threshold_"):
                self.replaces |= args[1] == 0 and args[2] != 0
        return result
