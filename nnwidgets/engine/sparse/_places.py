"""Masks on a network that is being trained: read, set, narrowed; what is masked is zero behind its mask too."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression.parametrizations import add
from nnwidgets.engine.pruning import MaskWeights
from nnwidgets.engine.quantization import LearnedSteps
from nnwidgets.engine.trace import weight_layers
from nnwidgets.engine.trace.weights import parametrizations_of, sources_of
from nnwidgets.engine.training import Run
from nnwidgets.engine.values.mask import Mask

__all__ = ["MaskedWeight", "Place", "begin_steps", "masked_weights", "masks_of", "narrow", "parts_of", "put", "sparsity_of"]

Place = tuple[str, str]
"""(module, attribute)."""


@dataclass(frozen=True, eq=False)
class MaskedWeight:
    """A weight with a mask.

    Attributes:
        name: of the layer. weight: the parameter behind the mask. parts: one mask for each place that uses it (tied weights).
    """

    name: str
    weight: nn.Parameter
    parts: tuple[MaskWeights, ...]

    @property
    def keep(self) -> Tensor:
        """Bool, of the shape of the weight."""
        return self.parts[0].keep


def parts_of(network: nn.Module) -> dict[Place, tuple[MaskWeights, nn.Parameter]]:
    """Each mask with the parameter behind it."""
    found = {}
    for name, module in network.named_modules():
        for attribute, parts in parametrizations_of(module).items():
            source = sources_of(module, attribute)[0]
            for part in parts.children():
                if isinstance(part, MaskWeights) and isinstance(source, nn.Parameter):
                    found[name, attribute] = part, source
    return found


def begin_steps(network: nn.Module) -> None:
    """Learned steps that are not trained yet begin once more: other weights are kept now."""
    for module in network.modules():
        for attribute, parts in parametrizations_of(module).items():
            for part in parts.children():
                if isinstance(part, LearnedSteps):
                    part.begin(sources_of(module, attribute)[0])


def masked_weights(network: nn.Module) -> dict[str, MaskedWeight]:
    """Weights of layers that have a mask, by layer."""
    parts = parts_of(network)
    found = {}
    for layer in weight_layers(network):
        own = parts.get((layer.module_name, layer.parameter))
        if own is not None:
            all_parts = tuple(part for part, source in parts.values() if source is own[1])
            found[layer.name] = MaskedWeight(layer.name, own[1], all_parts)
    return found


def masks_of(network: nn.Module) -> dict[str, Mask]:
    """Layer -> mask, of those layers that have one."""
    return {name: Mask.from_array(each.keep) for name, each in masked_weights(network).items()}


def sparsity_of(network: nn.Module) -> float:
    """Share of the weights of convolutions, linear layers and projections that masks remove."""
    total = sum(layer.numel for layer in weight_layers(network))
    gone = sum(int((~each.keep).sum()) for each in masked_weights(network).values())
    return gone / total if total else 0.0


def narrow(network: nn.Module, decided: nn.Module, run: Run | None = None, makes_up: bool = False) -> None:
    """Take over the masks of another copy of the network. What was removed stays removed.

    Args:
        makes_up: take over its weights too, where it has a mask: those that are left make up for those that went.

    The parameters stay the same objects, so that an optimizer at work on them goes on; it forgets what it knew of removed ones.
    """
    own = parts_of(network)
    for place, (wanted, _) in parts_of(decided).items():
        if place in own:
            own[place][0].keep.logical_and_(wanted.keep)
        else:
            add(network, [place], lambda keep=wanted.keep: [MaskWeights(keep)])  # type: ignore[misc]
    now = parts_of(network)
    if makes_up:
        with torch.no_grad():
            for place, (_, source) in parts_of(decided).items():
                now[place][1].copy_(source)
    for part, source in now.values():
        put(source, part.keep, run)


def put(weight: nn.Parameter, keep: Tensor, run: Run | None) -> None:
    """Zero behind the mask, and nothing to remember there: no decay and no momentum moves it."""
    gone = ~keep
    with torch.no_grad():
        weight.masked_fill_(gone, 0)
    if run is not None:
        run.forget(weight, gone)
