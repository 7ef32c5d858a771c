"""What a network draws while it is trained comes from generators of its own, even if others draw between two parts of a step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from nnwidgets.engine.trace import restore_rng, rng_states, same_rng

__all__ = ["Draws"]


class Draws:
    """The random states of one training step after the other.

    A guard in a background thread takes back what the user's own code draws meanwhile. So it is up only as long as it is needed:
    a network that drew nothing in a whole step is trained without it.

    Attributes:
        quiet: nothing was drawn in the last guarded step: the next one needs no guard.
        sure: it was quiet while something else drew: what draws now is somebody else.
    """

    def __init__(self) -> None:
        self.quiet = self.sure = False
        self._noisy = False
        self._seed = 0
        self._first: dict[str, Any] | None = None
        self._mine: dict[str, Any] | None = None

    def begin(self, seed: int) -> None:
        """A step begins; ``seed`` decides what it draws, on every device."""
        self._seed, self._first, self._mine = seed, None, None

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Draw from the step's own states, going on where its last guarded part ended; the global states are as before then."""
        before = rng_states()
        if self._mine is None:
            torch.manual_seed(self._seed)
            self._first = rng_states()
        else:
            restore_rng(self._mine)
        try:
            yield
        finally:
            self._mine = rng_states()
            restore_rng(before)

    def end(self) -> None:
        """The step is over: if it was guarded, it tells whether the next one has to be."""
        if self._first is not None and self._mine is not None:
            self.quiet = not self._noisy and same_rng(self._first, self._mine)

    def drew(self) -> bool:
        """Whether the guarded part just done drew, although the network seemed quiet. From now on it is known for what it is."""
        self._noisy = self._first is not None and self._mine is not None and not same_rng(self._first, self._mine)
        self.quiet, self.sure = not self._noisy, not self._noisy
        return self._noisy
