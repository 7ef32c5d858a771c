"""Networks that are really smaller, checked against the same network with what was removed at zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression._compress import bake
from nnwidgets.engine.compression._correct_bias import network_of
from nnwidgets.engine.compression.decided import decision_for
from nnwidgets.engine.compression.decision import Decision
from nnwidgets.engine.compression.input_ranges import input_grids
from nnwidgets.engine.compression.knowledge import knowledge_for
from nnwidgets.engine.compression.same_answers import check_same
from nnwidgets.engine.compression.weights_only import weights_compressed_by
from nnwidgets.engine.errors import NnwError, UnsupportedError
from nnwidgets.engine.pruning.channels import ChannelGroups, checked_kept, smaller
from nnwidgets.engine.pruning.channels._smaller import Flags
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.quantization import round_inputs
from nnwidgets.engine.trace import unvisited_copy
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["masked", "materialize", "materialize_kept", "materialized_by", "shrink"]


Kept = Mapping[str, Flags | Tensor]


def materialize(
    model: nn.Module,
    recipe: Recipe,
    input_shape: Sequence[int],
    calibration: Split | None = None,
    *,
    loss: Loss | None = None,
    sensitivity: pd.DataFrame | None = None,
) -> nn.Module:
    """Return a plain copy in which removed filters, neurons and heads are gone: its tensors are really smaller.

    It answers as ``bake(compress(...))`` does, which is checked on random inputs. Single weights, kernels and n:m patterns have
    no smaller dense form: they stay as zeros. Quantized weights hold their rounded values in full precision, and rounded inputs
    stay simulated.

    Args:
        model, recipe, calibration, loss, sensitivity: as of `compress`. input_shape: of one sample, without the batch.

    Raises:
        UnsupportedError: the forward pass of the network cannot run with fewer units; the layers at fault are named.
        And what `compress` raises.
    """
    knowledge = knowledge_for(model, recipe, calibration, loss, sensitivity)
    return materialized_by(decision_for(model, recipe, input_shape, knowledge), input_shape)


def materialized_by(decision: Decision, input_shape: Sequence[int]) -> nn.Module:
    """Make a decision real, see `materialize`."""
    small = plain = bake(weights_compressed_by(network_of(decision), decision))
    if decision.chosen.kept:
        small = shrink(plain, decision.decider.chooser.groups, decision.chosen.kept)
        check_same(plain, small, input_shape)
    round_inputs(small, input_grids(decision))  # last: what differs in its last digit may be rounded a step apart
    return small


def materialize_kept(model: nn.Module, groups: ChannelGroups, kept: Kept, input_shape: Sequence[int]) -> nn.Module:
    """Shrink a network and check that it answers as the masked one does.

    Args:
        groups: of this network. kept: bundle -> (n,) bool, True for units that stay; bundles not named keep all.
        input_shape: without the batch.

    Raises:
        RecipeError: an unknown bundle, or one without a unit left (``.largest``).
        ModelError: the network has no numbers, or fails.
        UnsupportedError: the smaller network cannot run or answers something else; the bundles at fault are named.
    """
    flags = checked_kept(groups, kept)
    reference, small = masked(model, groups, flags), shrink(model, groups, flags)
    try:
        check_same(reference, small, input_shape)
    except UnsupportedError as error:
        raise _named(error, model, groups, flags, input_shape) from error
    return small


def shrink(model: nn.Module, groups: ChannelGroups, kept: Kept) -> nn.Module:
    """A copy whose parameters and buffers lack the removed units; its layers know their new sizes. See `materialize_kept`.

    Attention (``nn.MultiheadAttention``) with fewer heads becomes a `FewerHeads`, with the same call and parameter names. Layers
    that the forward pass in eval mode does not use (auxiliary classifiers) are left as they are.
    """
    return smaller(model, groups, kept)


def masked(model: nn.Module, groups: ChannelGroups, kept: Kept) -> nn.Module:
    """A copy of the full size in which removed units have no effect, whatever the activation function makes of a zero: what makes
    them, their bias, scale and shift are zero, and so is what reads them.
    """
    flags = checked_kept(groups, kept)
    with torch.inference_mode(False), torch.no_grad():
        twin = unvisited_copy(model)
        for name, stays in flags.items():
            for member in groups[name].members:
                parameter = twin.get_submodule(member.module_name)._parameters.get(member.attribute)
                if parameter is not None:  # running statistics stay: a variance of zero would be no better
                    gone = (member.index >= 0) & ~stays[member.index]
                    parameter.index_fill_(member.axis, torch.from_numpy(gone.nonzero()[0]).to(parameter.device), 0.0)
    return twin


def _named(
    error: UnsupportedError, model: nn.Module, groups: ChannelGroups, flags: Mapping[str, Flags], input_shape: Sequence[int]
) -> UnsupportedError:
    """The same error with the bundles that raise it alone."""
    guilty = []
    for name, stays in flags.items():
        try:
            check_same(masked(model, groups, {name: stays}), shrink(model, groups, {name: stays}), input_shape)
        except NnwError:
            guilty.append(name)
    where = ", ".join(repr(name) for name in guilty) or f"none of {len(flags)} bundles alone, only all together"
    return UnsupportedError(f"{error} At fault: {where}.")
