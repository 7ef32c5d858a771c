"""A bench, or the reason in words why there can be none."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.experiment.bench import Bench, make_bench, with_memory
from nnwidgets.engine.experiment.weights import unlike
from nnwidgets.engine.jobs import give_back

__all__ = ["sound_bench"]


def sound_bench(model: nn.Module, input_shape: tuple[int, ...], weights: Mapping[str, Tensor] | None, probe: Tensor) -> Bench:
    """Make a bench for a network with trained weights, or with its own; ``probe`` as for ``make_bench``.

    Raises:
        ModelError: the network cannot be copied or traced, or has other layers now than when the weights were trained.
        OutOfMemoryError: its copies do not fit.
    """
    if weights is not None and (other := unlike(weights, model.state_dict())):
        raise ModelError(
            f"the trained weights of this state are of the network as it was before other code changed it ({other}). "
            "Undo to a state that was not trained, or give the network its former layers again."
        )
    made = with_memory(model, lambda: make_bench(model, input_shape, weights, probe))
    give_back()  # the network may have been run to trace it, in a thread whose memory no other one uses
    return made
