"""Hooks that functions of the engine set on a network while they look at it: another thread may meet them half-way."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

__all__ = ["unvisited_copy", "visited"]

_PARTS = ("nnwidgets.engine.trace.", "nnwidgets.engine.inspect.")  # none of them leaves a hook behind
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_BESIDE = ("_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs")
_TRIES = 5


def visited(model: nn.Module) -> bool:
    """True while a function of the engine, in whichever thread, has hooks on a network. They are no change of it."""
    return next(_own(model), None) is not None


def unvisited_copy(model: nn.Module, shared: Mapping[int, Any] | None = None) -> nn.Module:
    """A deep copy, as ``copy.deepcopy``, without the hooks of functions of the engine that are at work on it just now.

    Args:
        shared: id of a part -> what stands for it in the copy.
    """
    for left in reversed(range(_TRIES)):
        visits = list(_own(model))  # held, so that no id is used again
        try:
            twin = copy.deepcopy(model, {**(shared or {}), **{id(hook): _gone for hook in visits}})
        except Exception:  # such as hooks that came or went while they were copied
            if not left or not (visits or visited(model)):
                raise
            continue
        return _without_visits(twin)
    raise AssertionError("unreachable")


def _own(model: nn.Module) -> Iterator[Any]:
    for module in list(model.modules()):
        for name in _HOOKS:
            yield from (hook for hook in list(getattr(module, name).values()) if _is_own(hook))


def _is_own(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith(_PARTS)


def _gone(*_: Any) -> None:
    """Stands in a copy for a hook that is to be taken off it."""


def _without_visits(model: nn.Module) -> nn.Module:
    for module in model.modules():
        for name in _HOOKS:
            hooks = getattr(module, name)
            for key in [key for key, hook in hooks.items() if _is_own(hook)]:
                for each in (name, *_BESIDE):
                    getattr(module, each).pop(key, None)
    return model
