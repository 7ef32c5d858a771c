"""When memory runs out: recognise it, let go of what the failed try held, and try half a batch."""

from __future__ import annotations

import traceback

import torch

from nnwidgets.engine.errors import OutOfMemoryError

__all__ = ["half_after", "out_of_memory"]

# What torch says on the CPU (c10's allocator on Linux, macOS and Windows), in C++ libraries under it (the last three are those of
# oneDNN), and on MPS.
_WORDS = (
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "bad_alloc",
    "could not create a memory",
    "could not create a primitive",
    "could not execute a primitive",
)


def out_of_memory(error: BaseException | None) -> bool:
    """True where an exception, or what it was raised from, says that memory ran out: of Python, numpy, or torch on any device."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS):
            return True
        error = error.__cause__
    return False


def half_after(error: BaseException, size: int) -> int:
    """Return the batch to try after one of ``size`` images failed with ``error``: half of it.

    The frames of the failed try are cleared first: they hold its activations.

    Raises:
        OutOfMemoryError: the batch was a single image already. And ``error`` itself, where it is something else.
    """
    if not out_of_memory(error):
        raise error
    traceback.clear_frames(error.__traceback__)
    if size <= 1:
        raise OutOfMemoryError(
            "there is not enough memory to run the network on a single image; expected room for its activations. "
            "Free memory (close other widgets or notebooks, delete large variables), or use a smaller network or images."
        ) from error
    return size // 2
