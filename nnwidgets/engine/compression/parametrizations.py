"""Put masks and fake quantization on a network, find them again, and take them off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.pruning import MaskWeights
from nnwidgets.engine.quantization import FakeQuantize, LearnedSteps, rounded_inputs
from nnwidgets.engine.trace import unvisited_copy, weight_layers

__all__ = ["add", "holders", "is_compressed", "learned_steps", "refuse_compressed", "taken_off"]

_Part = MaskWeights | FakeQuantize
_Place = tuple[str, str]


def holders(model: nn.Module, tensor: Tensor) -> list[_Place]:
    """Return (module, attribute) of every place that uses this parameter; more than one where weights are tied."""
    return [
        (name, attribute)
        for name, module in model.named_modules()
        for attribute, parameter in module._parameters.items()
        if parameter is tensor
    ]


def add(model: nn.Module, places: Sequence[_Place], parts: Callable[[], Sequence[_Part]]) -> None:
    """Register new parametrizations, in order, wherever a parameter is used."""
    for module_name, attribute in places:
        module = model.get_submodule(module_name)
        order = _order(module) or tuple(module._parameters)
        for part in parts():
            part.order = order
            parametrize.register_parametrization(module, attribute, part)
        container: Any = module.parametrizations
        container.train(module.training)


def is_compressed(model: nn.Module) -> bool:
    """True where masks or fake quantization of this package are registered, of weights or of inputs."""
    return any(True for _ in _ours(model)) or bool(rounded_inputs(model))


def refuse_compressed(model: object) -> None:
    """Raises:
    ModelError: it is no network, or has masks or grids on it.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"Got {type(model).__name__}; expected a torch.nn.Module.")
    if is_compressed(model):
        raise ModelError("The network has masks or grids on it. Give the network it was made from, or bake(network).")


def learned_steps(model: nn.Module) -> dict[str, tuple[float, ...]]:
    """Layer -> the steps that its grid has now, of those layers whose steps are learned."""
    found = {
        (name, attribute): part.found
        for name, attribute, parts in _ours(model)
        for part in parts
        if isinstance(part, LearnedSteps)
    }
    places = {layer.name: (layer.module_name, layer.parameter) for layer in weight_layers(model)} if found else {}
    return {name: found[place] for name, place in places.items() if place in found}


def taken_off(model: nn.Module, quantized: bool) -> nn.Module:
    """Return a plain copy whose parameters hold what the masks, and where ``quantized`` the grids, made of them."""
    values = {(name, attribute): _value(parts, quantized) for name, attribute, parts in _ours(model)}
    with torch.inference_mode(False), torch.no_grad():
        plain = unvisited_copy(model)
        for name in {name for name, _ in values}:
            _strip(plain.get_submodule(name))
        for (module_name, attribute), value in values.items():
            getattr(plain.get_submodule(module_name), attribute).copy_(value)
    return plain


def _strip(module: nn.Module) -> None:
    """Make a module plain again.

    remove_parametrizations() would take the property off the generated class, which copies share with what they were copied from.
    """
    order, originals = _order(module), {attribute: parts.original for attribute, parts in _lists(module).items()}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module._modules["parametrizations"]
    parameters: dict[str, Any] = {**module._parameters, **originals}
    module._parameters = {key: parameters[key] for key in sorted(parameters, key=order.index)}


def _ours(model: nn.Module) -> Iterator[tuple[str, str, parametrize.ParametrizationList]]:
    for name, module in model.named_modules():
        if not parametrize.is_parametrized(module):
            continue
        lists = _lists(module)
        if all(isinstance(part, (MaskWeights, FakeQuantize)) for parts in lists.values() for part in parts):
            yield from ((name, attribute, parts) for attribute, parts in lists.items())


def _lists(module: nn.Module) -> dict[str, parametrize.ParametrizationList]:
    """The parametrizations of a module, by attribute."""
    found: Any = module.parametrizations
    return dict(found.items())


def _order(module: nn.Module) -> tuple[str, ...]:
    """The order of a module's parameters before the first of ours was registered, () where there is none."""
    if parametrize.is_parametrized(module):
        for parts in _lists(module).values():
            for part in parts:
                if isinstance(part, (MaskWeights, FakeQuantize)):
                    return part.order
    return ()


def _value(parts: parametrize.ParametrizationList, quantized: bool) -> Tensor:
    with torch.no_grad():
        value: Tensor = parts.original.detach()
        for part in parts:
            if quantized or isinstance(part, MaskWeights):
                value = part(value)
        return value.clone()
