"""Networks that bear rounding better and answer the same: channels of like range (Nagel et al. 2019).

With ReLU and the like, channels may be scaled where they are made and scaled back where they are read. s = sqrt(r_out / r_in)
gives both weights the range sqrt(r_out r_in). In front of a batch-norm channels may even be scaled freely: its running statistics
take it up.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression.behind import norm_behind
from nnwidgets.engine.compression.parametrizations import refuse_compressed
from nnwidgets.engine.compression.same_answers import check_same
from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.evaluation.checks import check_weights
from nnwidgets.engine.pruning.channels import Bundle, channel_groups
from nnwidgets.engine.trace import preserved_rng, trace, unvisited_copy, weight_layers
from nnwidgets.engine.values.steps import result_of

__all__ = ["equalize", "equalizing"]

_FURTHEST = 1e4  # a channel is scaled by no more: what is nearly zero stays small


def equalize(model: nn.Module, input_shape: Sequence[int]) -> nn.Module:
    """Return a copy that answers the same, whose channels have ranges as alike as its functions allow.

    With one scale for a whole tensor, channels of small weights then no longer lose their levels to those of large ones. What the
    activation functions between two layers do not allow (ReLU6, GELU) is left as it is; each change is kept only where the
    answers on noise stay the same.

    Args:
        model: a plain network, which is not touched. input_shape: without the batch.

    Raises:
        ModelError: the network has masks or grids on it, is on several devices or on meta, holds NaN, or fails. And what `trace`
            raises.
    """
    refuse_compressed(model)
    check_weights(model)
    with preserved_rng():
        return result_of(equalizing(model, input_shape))


def equalizing(model: nn.Module, input_shape: Sequence[int]) -> Generator[float, None, nn.Module]:
    """As `equalize`, for a job: yields the share that is done after each change, which is tried on two images."""
    with torch.inference_mode(False), torch.no_grad():
        found, twin = trace(model, input_shape), unvisited_copy(model)
        layers = {layer.name: layer for layer in weight_layers(model)}
        norms = {name: norm for name in layers if (norm := norm_behind(twin, found, layers[name])) is not None}
        for name, norm in norms.items():
            _level(twin.get_submodule(layers[name].module_name), twin.get_submodule(norm))
        check_same(model, twin, found.input_shape)
    yield 0.1
    with torch.inference_mode(False), torch.no_grad():
        bundles = channel_groups(model, found.input_shape).bundles
    for done, bundle in enumerate(bundles):
        yield 0.2 + 0.8 * done / len(bundles)
        with torch.inference_mode(False), torch.no_grad():
            changed = unvisited_copy(twin)
            if _balance(changed, bundle, norms) and _same(model, changed, found.input_shape):
                twin = changed
    return twin


def _same(model: nn.Module, changed: nn.Module, input_shape: Sequence[int]) -> bool:
    try:
        check_same(model, changed, input_shape)
    except UnsupportedError:
        return False
    return True


def _ranges(weight: Tensor, axis: int) -> Tensor:
    return weight.detach().abs().movedim(axis, 0).flatten(1).amax(1)


def _level(module: Any, norm: Any) -> None:
    """Bring all channels in front of a batch-norm to the range of the widest one."""
    ranges = _ranges(module.weight, 0).double()
    factor = torch.where(ranges > 0, ranges.max() / ranges.clamp(min=1e-300), torch.ones_like(ranges)).clamp(max=_FURTHEST)
    module.weight.mul_(factor.to(module.weight).reshape(-1, *(1,) * (module.weight.dim() - 1)))
    if module.bias is not None:
        module.bias.mul_(factor.to(module.bias))
    norm.running_mean.mul_(factor.to(norm.running_mean))
    norm.running_var.copy_((norm.running_var.double() + norm.eps) * factor.square() - norm.eps)


def _balance(network: nn.Module, bundle: Bundle, norms: dict[str, str]) -> bool:
    """Scale the units of a bundle where they are made, and back where they are read; False where its parts do not allow it."""
    behind = {norms[name] for name in bundle.producers if name in norms}
    odd = any(member.role == "scale" or (member.role == "norm" and member.module_name not in behind) for member in bundle.members)
    if odd or bundle.structure == "head" or not bundle.producers or not bundle.consumers:
        return False
    made, read = (torch.zeros(bundle.n, dtype=torch.float64) for _ in range(2))
    for member in bundle.members:
        if member.role not in ("out", "in"):
            continue
        ranges = _ranges(network.get_submodule(member.module_name).get_parameter(member.attribute), member.axis).double().cpu()
        if member.role == "out" and member.layer in norms:
            norm: Any = network.get_submodule(norms[member.layer])
            if norm.weight is None:
                return False
            ranges *= (norm.weight.double().abs() * torch.rsqrt(norm.running_var.double() + norm.eps)).cpu()
        place = torch.from_numpy(member.index)
        (made if member.role == "out" else read).scatter_reduce_(0, place[place >= 0], ranges[place >= 0], "amax")
    step = torch.where((made > 0) & (read > 0), (made / read.clamp(min=1e-300)).sqrt(), torch.ones_like(made))
    step = step.clamp(1 / _FURTHEST, _FURTHEST)
    under_norm = {member.module_name for member in bundle.members if member.role == "out" and member.layer in norms}
    for member in bundle.members:
        tensor = network.get_submodule(member.module_name)._parameters.get(member.attribute)
        if tensor is None or (member.role in ("out", "bias") and member.module_name in under_norm):
            continue  # running statistics, and what is in front of a batch-norm, which would take it back
        place = torch.from_numpy(member.index)
        factor = torch.where(place >= 0, step[place.clamp(min=0)], torch.ones(1, dtype=torch.float64))
        shape = [1] * tensor.dim()
        shape[member.axis] = -1
        tensor.mul_((factor if member.role == "in" else 1 / factor).to(tensor).reshape(shape))
    return True
