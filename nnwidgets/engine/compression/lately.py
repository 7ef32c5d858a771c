"""Remember the last few things that were made."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Lately"]

V = TypeVar("V")

_KEPT = 3  # each may hold a number for every weight


class Lately(Generic[V]):
    """By key, from several threads; what was not asked for longest is forgotten."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, V] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def find(self, key: Hashable) -> V | None:
        """Return what is kept under a key, None where there is nothing."""
        with self._lock:
            return self._kept.get(key)

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return what is kept under a key, made now where there is nothing. Two threads may make the same: the first is kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            made = self._kept.setdefault(key, made)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made
