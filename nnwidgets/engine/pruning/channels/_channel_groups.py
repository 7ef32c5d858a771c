"""Find what can be removed from a network, and what goes with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

import nnwidgets.engine.pruning.channels._moves
import nnwidgets.engine.pruning.channels._parts
import nnwidgets.engine.pruning.channels._products
import nnwidgets.engine.pruning.channels._statistics  # noqa: F401  these fill the table of rules
from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.pruning.channels._blank import blank_copy, check_plain
from nnwidgets.engine.pruning.channels._bundles import Solved, bundled
from nnwidgets.engine.pruning.channels._run import FailedRunError, Run
from nnwidgets.engine.pruning.channels._slots import Slots
from nnwidgets.engine.pruning.channels._trial import without_failing
from nnwidgets.engine.pruning.channels.records import ChannelGroups
from nnwidgets.engine.trace import WeightLayer, check_one_input, checked_shape, preserved_rng, weight_layers

__all__ = ["channel_groups"]


def channel_groups(model: nn.Module, input_shape: Sequence[int]) -> ChannelGroups:
    """Follow the channels of each weight through one forward pass, operation by operation.

    A copy without numbers is run in eval mode; products and convolutions are not computed, only their shapes. An operation that
    is not known makes all channels that it touches stay. The bundles are then tried: a copy without a third of all units must run
    and must read at each place what the network reads there; bundles that break it are refused.

    Args:
        model: in any mode, on any device, the meta device too; it is not touched. input_shape: without the batch.

    Raises:
        InputError: a malformed shape. ModelError: the forward pass fails, or takes other inputs.
        UnsupportedError: TorchScript, or parametrized weights.
    """
    shape = checked_shape(input_shape)
    check_plain(model)
    check_one_input(model)
    dtype = next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), torch.float32)
    layers = weight_layers(model)
    slots = Slots(model, layers)
    failed: FailedRunError | None = None
    for batch in (1, 2):  # some networks squeeze a batch of one away
        x = torch.zeros((batch, *shape), dtype=dtype)
        try:
            with preserved_rng():
                return _found(model, layers, slots, x)
        except FailedRunError as error:
            failed = failed or error
    raise ModelError(
        f"The network failed on one sample of shape {shape}, {dtype}: {failed}. input_shape is that of one sample, as the "
        "network expects it after the batch axis."
    ) from failed


def _found(model: nn.Module, layers: tuple[WeightLayer, ...], slots: Slots, x: torch.Tensor) -> ChannelGroups:
    blank = blank_copy(model)
    run = Run(blank, slots)
    run.forward(x)
    for key in slots.by_tensor.keys() - run.used:
        for place in slots.by_tensor[key]:
            unused = np.arange(place.start, place.start + place.size)
            run.ties.freeze(unused, "the forward pass in eval mode does not use it")
    solved = Solved(*run.ties.solve(slots.total))
    groups = bundled(model, layers, slots, run, solved)
    return without_failing(model, blank, groups, slots, solved, x, run.numbers)
