"""See, and perhaps replace, what each layer and each function between the layers gives while a network runs on real data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from nnwidgets.engine.trace._recorder import Recorder, Visit

__all__ = ["watching"]


@contextmanager
def watching(network: nn.Module, images: Tensor, visit: Visit) -> Iterator[None]:
    """Within the block, call ``visit(name, call, result)`` for each layer, function and container; run the network once in it.

    Names and calls are those of `trace`. What ``visit`` returns, unless None, takes the place of the result. Gradients can be
    recorded meanwhile. Nothing of it is left when the block ends.

    Args:
        images: the very tensor that the network will be given.
    """
    with Recorder(network, [images], {}, visit).recording():
        yield
