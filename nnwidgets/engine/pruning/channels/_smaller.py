"""Make a network without some of its channels, neurons or heads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.pruning.channels._blank import blank_copy, copy_with, zeros
from nnwidgets.engine.pruning.channels.attention import FewerHeads
from nnwidgets.engine.pruning.channels.records import ChannelGroups

__all__ = ["Flags", "checked_kept", "cut_down", "left_indexes", "smaller"]

Flags = npt.NDArray[np.bool_]
Left = dict[tuple[str, str, int], npt.NDArray[np.int64]]


def checked_kept(groups: ChannelGroups, kept: Mapping[str, Flags | Tensor]) -> dict[str, Flags]:
    """Bundle -> (n,) bool, True for units that stay; only bundles that lose some.

    Raises:
        RecipeError: an unknown bundle, flags of another length, or none left (``.largest`` is the largest share that leaves one).
    """
    found: dict[str, Flags] = {}
    for name, flags in kept.items():
        bundle = groups[name]
        plain = np.asarray(flags.detach().cpu() if isinstance(flags, Tensor) else flags)
        if plain.dtype != np.bool_ or plain.shape != (bundle.n,):
            raise RecipeError(f"Bundle {name!r}: got {plain.dtype} of shape {plain.shape}; expected bool of shape ({bundle.n},).")
        if not plain.any():
            raise RecipeError(
                f"All {bundle.n} units of {name!r} would be removed; one at least must stay. The largest share that leaves one "
                f"is {math.floor(1000 * (bundle.n - 1) / bundle.n) / 1000:.1%}; lower the amount, or leave this layer out.",
                largest=(bundle.n - 1) / bundle.n,
            )
        if not plain.all():
            found[name] = plain
    return found


def left_indexes(groups: ChannelGroups, kept: Mapping[str, Flags]) -> Left:
    """(module, attribute, axis) -> indexes that stay, for all tensors that get smaller."""
    flags: dict[tuple[str, str, int], Flags] = {}
    for name, stays in kept.items():
        for member in groups[name].members:
            key = (member.module_name, member.attribute, member.axis)
            mine = (member.index < 0) | stays[member.index]
            flags[key] = flags[key] & mine if key in flags else mine
    return {key: np.flatnonzero(mine) for key, mine in flags.items()}


def smaller(model: nn.Module, groups: ChannelGroups, kept: Mapping[str, Flags | Tensor], blank: bool = False) -> nn.Module:
    """A copy whose parameters and buffers lack the removed units, with the attributes of its modules set accordingly.

    Args:
        kept: bundle -> (n,) bool, True for units that stay; bundles that are not named keep all. blank: without numbers.

    Raises:
        RecipeError: see `checked_kept`. ModelError: the network cannot be copied.
    """
    flags = checked_kept(groups, kept)
    stand_ins = _stand_ins(model, groups, flags, blank)
    twin = blank_copy(model, stand_ins) if blank else copy_with(model, stand_ins)
    _fit(twin, groups, flags, stand_ins)
    return twin


def cut_down(blank: nn.Module, groups: ChannelGroups, flags: Mapping[str, Flags]) -> None:
    """Make a blank copy itself smaller."""
    stand_ins = _stand_ins(blank, groups, flags, True)
    for module in blank.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if id(tensor) in stand_ins:
                    tensors[name] = stand_ins[id(tensor)]  # type: ignore[assignment]
    _fit(blank, groups, flags, stand_ins)


def _stand_ins(model: nn.Module, groups: ChannelGroups, flags: Mapping[str, Flags], blank: bool) -> dict[int, Tensor]:
    """Id of a tensor -> what is left of it."""
    by_tensor: dict[tuple[str, str], dict[int, npt.NDArray[np.int64]]] = {}
    for (module_name, attribute, axis), indexes in left_indexes(groups, flags).items():
        by_tensor.setdefault((module_name, attribute), {})[axis] = indexes
    found: dict[int, Tensor] = {}
    with torch.inference_mode(False), torch.no_grad():
        for (module_name, attribute), axes in by_tensor.items():
            tensor = getattr(model.get_submodule(module_name), attribute)
            found[id(tensor)] = _cut(tensor, axes, blank)
    return found


def _fit(twin: nn.Module, groups: ChannelGroups, flags: Mapping[str, Flags], stand_ins: Mapping[int, Tensor]) -> None:
    """Set what the modules say of their sizes."""
    for name, stays in flags.items():
        for module_name, attribute in groups[name].attributes:
            setattr(twin.get_submodule(module_name), attribute, int(stays.sum()))
    touched = {id(tensor) for tensor in stand_ins.values()}
    for name, module in list(twin.named_modules()):
        if isinstance(module, nn.MultiheadAttention):
            _fewer_heads(twin, name, module)
        elif any(tensor is not None and id(tensor) in touched for tensor in _vectors(module)):
            _resize(module)


def _cut(tensor: Tensor, axes: Mapping[int, npt.NDArray[np.int64]], blank: bool) -> Tensor:
    if blank:
        shape = [len(axes[axis]) if axis in axes else size for axis, size in enumerate(tensor.shape)]
        cut = zeros(tuple(shape), tensor.dtype)
    else:
        cut = tensor.detach()
        for axis, indexes in axes.items():
            cut = cut.index_select(axis, torch.from_numpy(indexes).to(cut.device))
    return nn.Parameter(cut, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else cut


def _vectors(module: nn.Module) -> Iterator[Tensor | None]:
    yield from module._parameters.values()
    yield from module._buffers.values()


def _resize(module: nn.Module) -> None:
    """Set the attributes of a layer by the shapes of its tensors."""
    weight = module._parameters.get("weight")
    if isinstance(module, _NormBase):
        module.num_features = next(len(tensor) for tensor in _vectors(module) if tensor is not None and tensor.dim() == 1)
    elif weight is None:
        return
    elif isinstance(module, _ConvTransposeNd):
        if 1 < module.groups == module.in_channels:
            module.groups = weight.shape[0]
        module.in_channels, module.out_channels = weight.shape[0], weight.shape[1] * module.groups
    elif isinstance(module, _ConvNd):
        if 1 < module.groups == module.in_channels:
            module.groups = weight.shape[0] * module.groups // module.out_channels
        module.in_channels, module.out_channels = weight.shape[1] * module.groups, weight.shape[0]
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = weight.shape
    elif isinstance(module, nn.Embedding):
        module.embedding_dim = weight.shape[1]
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(weight)


def _fewer_heads(twin: nn.Module, name: str, module: nn.MultiheadAttention) -> None:
    """Put an attention that can be narrower than its tokens in place of one that cannot."""
    packed = module.in_proj_weight is not None
    weight = module.in_proj_weight if packed else module.q_proj_weight
    heads, width = weight.shape[0] // (3 if packed else 1) // module.head_dim, weight.shape[1]
    if (
        heads == module.num_heads
        and width == module.embed_dim
        and module.out_proj.out_features == module.out_proj.weight.shape[0]
    ):
        return
    _resize(module.out_proj)
    if type(module) not in (nn.MultiheadAttention, FewerHeads):
        raise RecipeError(
            f"{name!r} is a {type(module).__name__}, an own kind of attention; its heads cannot be removed. Exclude it."
        )
    if type(module) is nn.MultiheadAttention:
        new = FewerHeads(module)
        parent, _, last = name.rpartition(".")
        if name:
            setattr(twin.get_submodule(parent), last, new)
        module = new
    module.num_heads, module.embed_dim = heads, width
    module.kdim = width if packed else module.k_proj_weight.shape[1]
    module.vdim = width if packed else module.v_proj_weight.shape[1]
