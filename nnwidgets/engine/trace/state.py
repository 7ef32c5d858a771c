"""Leave a network and the random generators as they were found."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["preserved", "preserved_buffers", "preserved_rng", "restore_rng", "rng_states", "same_rng"]


@contextlib.contextmanager
def preserved(model: nn.Module) -> Iterator[nn.Module]:
    """Restore a network when the block ends, however it ends.

    Restored: the training flag of each module, ``requires_grad`` and ``.grad`` of each parameter (the same tensor object; its
    numbers are not copied), all buffers (batch-norm statistics, counters), and the random states of `preserved_rng`. Parameters
    are not copied: the block must not write to them. Hooks are the business of whoever sets them.
    """
    flags = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    buffers = _save_buffers(model)
    try:
        with preserved_rng():
            yield model
    finally:
        for module, training in flags:
            module.training = training
        for parameter, requires_grad, grad in gradients:
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)
            if parameter.grad is not grad:
                parameter.grad = grad
        _restore_buffers(buffers)


@contextlib.contextmanager
def preserved_buffers(model: nn.Module) -> Iterator[nn.Module]:
    """Restore all buffers of a network when the block ends, however it ends, and nothing else."""
    buffers = _save_buffers(model)
    try:
        yield model
    finally:
        _restore_buffers(buffers)


@contextlib.contextmanager
def preserved_rng() -> Iterator[None]:
    """Restore the global random states of torch (each device in use), numpy and Python, where the block has changed them."""
    before = rng_states()
    try:
        yield
    finally:
        restore_rng(before)


def restore_rng(states: dict[str, Any]) -> None:
    """Put the global random states back to what ``rng_states`` told, where they differ."""
    now = rng_states()
    if not torch.equal(states["torch"], now["torch"]):
        torch.set_rng_state(states["torch"])
    if states["python"] != now["python"]:
        random.setstate(states["python"])
    if _numpy_changed(states["numpy"], now["numpy"]):
        np.random.set_state(states["numpy"])
    # A device that woke up since has no earlier state to go back to.
    for device, state in states["cuda"].items():
        torch.cuda.set_rng_state(state, device)
    if states["mps"] is not None:
        torch.mps.set_rng_state(states["mps"])


def same_rng(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """True if nothing was drawn from any global generator between two ``rng_states``."""
    devices = [(state, b["cuda"].get(device)) for device, state in a["cuda"].items()] + [(a["mps"], b["mps"])]
    return (
        torch.equal(a["torch"], b["torch"])
        and a["python"] == b["python"]
        and not _numpy_changed(a["numpy"], b["numpy"])
        and len(a["cuda"]) == len(b["cuda"])
        and all(x is y or (x is not None and y is not None and torch.equal(x, y)) for x, y in devices)
    )


def rng_states() -> dict[str, Any]:
    """The global random states of torch (each device in use), numpy and Python."""
    cuda = range(torch.cuda.device_count()) if _cuda_awake() else range(0)
    return {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cuda": {index: torch.cuda.get_rng_state(index) for index in cuda},
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def _cuda_awake() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _numpy_changed(before: Any, after: Any) -> bool:
    same_keys = np.array_equal(before[1], after[1])
    return not same_keys or before[0] != after[0] or before[2:] != after[2:]


_Saved = tuple[nn.Module, str, torch.Tensor | None, torch.Tensor | None]


def _save_buffers(model: nn.Module) -> list[_Saved]:
    saved: list[_Saved] = []
    for module in model.modules():
        for name, buffer in module._buffers.items():
            copy = None if buffer is None else buffer.detach().clone()
            saved.append((module, name, buffer, copy))
    return saved


def _restore_buffers(saved: list[_Saved]) -> None:
    for module, name, buffer, copy in saved:
        if module._buffers.get(name) is not buffer:
            module._buffers[name] = buffer
        if buffer is None or copy is None or buffer.is_meta:
            continue
        # The numbers are compared: batch-norm writes its statistics without counting it in the version of the tensor.
        if torch.equal(buffer, copy):
            continue
        with torch.inference_mode(buffer.is_inference()), torch.no_grad():
            buffer.copy_(copy)
