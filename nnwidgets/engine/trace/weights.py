"""Which tensors of a network are weights that can be pruned and quantized."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrize

from nnwidgets.engine.errors import ModelError, RecipeError

__all__ = [
    "WeightLayer",
    "kind_of",
    "parametrizations_of",
    "skipped_weights",
    "sources_of",
    "weight_layers",
    "weight_of",
]

_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


@dataclass(frozen=True)
class WeightLayer:
    """One weight tensor.

    Attributes:
        name: dotted name of its module; for a projection of an attention module its own dotted name ("attn.in_proj_weight").
            The weight of a network that is itself one layer is called "weight".
        module_name: dotted name of the module, "" for the network itself; parameter: attribute of the module ("weight").
        kind: class name of the module; shape: of the tensor.
        out_axis: the axis of output channels, 0, or 1 for transposed convolutions (within a group).
        groups: of a convolution, else 1.
        aliases: other names under which the same tensor is used (tied weights, shared modules).
    """

    name: str
    module_name: str
    parameter: str
    kind: str
    shape: tuple[int, ...]
    out_axis: int = 0
    groups: int = 1
    aliases: tuple[str, ...] = ()

    @functools.cached_property
    def numel(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def is_conv(self) -> bool:
        """True for convolutions, transposed ones included (a weight of three axes and more)."""
        return len(self.shape) > 2


def weight_layers(model: nn.Module) -> tuple[WeightLayer, ...]:
    """Return the weights of convolutions, linear layers and attention projections, in order of definition.

    Subclasses and parametrized modules are included. A tensor that is used in several places appears once, under its first
    name. What has weights and is not listed here is named by `skipped_weights`.
    """
    found: dict[int, WeightLayer] = {}
    for module_name, module, attribute in _candidates(model):
        if not _is_own(module, attribute):
            continue
        key = id(sources_of(module, attribute)[0])
        name = _layer_name(module_name, attribute)
        if key in found:
            first = found[key]
            found[key] = WeightLayer(**{**vars(first), "aliases": (*first.aliases, name)})
        else:
            found[key] = _describe(name, module_name, module, attribute)
    return tuple(found.values())


def weight_of(model: nn.Module, layer: WeightLayer) -> torch.Tensor:
    """Return the weight as the forward pass uses it (after masks and fake quantization, where there are any).

    Raises:
        RecipeError: the network has no such layer.
    """
    try:
        module = model.get_submodule(layer.module_name)
        weight = getattr(module, layer.parameter)
    except AttributeError:
        raise RecipeError(
            f"This network has no weight {layer.parameter!r} in {layer.module_name!r}; the layer was taken from another network. "
            "Call weight_layers() on this one."
        ) from None
    if not isinstance(weight, torch.Tensor):
        raise RecipeError(f"Expected a tensor in {layer.name!r}, got {type(weight).__name__}.")
    return weight


def skipped_weights(model: nn.Module) -> dict[str, str]:
    """Return the parameters with two axes and more that `weight_layers` leaves out: dotted name -> the reason."""
    covered = {
        id(source)
        for _, module, attribute in _candidates(model)
        if _is_own(module, attribute)
        for source in sources_of(module, attribute)
    }
    skipped: dict[str, str] = {}
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in covered and parameter.dim() > 1:
                skipped[f"{module_name}.{name}" if module_name else name] = _reason(module, name)
    return skipped


def sources_of(module: nn.Module, attribute: str) -> tuple[torch.Tensor, ...]:
    """Return the parameters that a weight is made of: itself, or the originals of its parametrization."""
    if parametrize.is_parametrized(module, attribute):
        originals = parametrizations_of(module)[attribute]
        return tuple(originals.parameters(recurse=False)) or tuple(originals.buffers(recurse=False))
    return (getattr(module, attribute),)


def parametrizations_of(module: nn.Module) -> dict[str, nn.Module]:
    """Return the parametrizations of a module by attribute, {} where there are none."""
    if not parametrize.is_parametrized(module):
        return {}
    return dict(module.get_submodule("parametrizations").named_children())


def kind_of(module: nn.Module) -> str:
    """Return the class name of a module, of the original class where it is parametrized."""
    return str(parametrize.type_before_parametrizations(module).__name__)


def _candidates(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, (_ConvNd, nn.Linear)):
            yield name, module, "weight"
        elif isinstance(module, nn.MultiheadAttention):
            for attribute in _ATTENTION:
                if getattr(module, attribute, None) is not None:
                    yield name, module, attribute


def _is_own(module: nn.Module, attribute: str) -> bool:
    """True where the weight is a parameter (or parametrized), not a tensor that a forward hook computes."""
    if parametrize.is_parametrized(module, attribute):
        return True
    weight = module._parameters.get(attribute)
    if weight is not None and nn.parameter.is_lazy(weight):
        raise ModelError(
            f"A {kind_of(module)} has no weights yet (a lazy layer). Run one batch through the network first, then use it here."
        )
    return weight is not None


def _describe(name: str, module_name: str, module: nn.Module, attribute: str) -> WeightLayer:
    return WeightLayer(
        name=name,
        module_name=module_name,
        parameter=attribute,
        kind=kind_of(module),
        shape=tuple(getattr(module, attribute).shape),
        out_axis=1 if isinstance(module, _ConvTransposeNd) else 0,
        groups=module.groups if isinstance(module, _ConvNd) else 1,
    )


def _layer_name(module_name: str, attribute: str) -> str:
    if attribute == "weight" and module_name:
        return module_name
    return f"{module_name}.{attribute}" if module_name else attribute


def _reason(module: nn.Module, name: str) -> str:
    kind = kind_of(module)
    if isinstance(module, (_ConvNd, nn.Linear)) and name != "weight":
        return f"{kind} computes its weight from it in a forward hook (torch.nn.utils.prune, weight_norm); remove that first"
    return f"{kind} is not supported: only convolutions, linear layers and attention projections are pruned and quantized"
