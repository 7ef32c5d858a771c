"""The weights of a layer as pictures: filters as tiles, matrices as heat maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from nnwidgets.engine.errors import InputError, ModelError, NnwError, UnsupportedError
from nnwidgets.engine.inspect._sites import reading
from nnwidgets.engine.trace import INPUT, checked_shape, trace
from nnwidgets.engine.trace.weights import kind_of
from nnwidgets.engine.values._fields import nearest

__all__ = ["Filters", "filters", "weight_names"]

_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_STILL = frozenset({"flatten", "reshape", "view", "contiguous", "Flatten", "Identity", "Dropout", "dropout"})


@dataclass(frozen=True)
class Filters:
    """The weights of a layer.

    Attributes:
        name: of the weight: that of its layer where it is the layer's "weight", else "attn.in_proj_weight" and the like.
        kind: class of the layer. weight: a copy, as the layer uses it (after masks and fake quantization), of its own shape.
        tiles: of a convolution (out, in / groups, kh, kw); of a matrix (out, in), or (out, C, H, W) where it reads the image.
        colour: the three input channels of a tile are to be shown as red, green and blue.
        matrix: it is one heat map (out, in); ``tiles`` may still be images.
        groups: of a convolution, else 1. note: how the weight was arranged, "" where it was not.
        names: of all weights of this layer that can be shown.
    """

    name: str
    kind: str
    weight: Tensor
    tiles: Tensor
    colour: bool
    matrix: bool
    groups: int
    note: str
    names: tuple[str, ...]

    @property
    def input_channels(self) -> int:
        """Input channels of one tile, 0 where there are no tiles but a matrix."""
        return self.tiles.shape[1] if self.tiles.dim() == 4 else 0

    def tile(self, input_channel: int) -> Tensor:
        """What each filter does to one input channel (of its group): (out, kh, kw).

        Raises:
            InputError: there is no such channel. UnsupportedError: a matrix has none.
        """
        if isinstance(input_channel, bool) or not isinstance(input_channel, int):
            raise InputError(f"input_channel: got {input_channel!r}, expected a whole number from 0.")
        count = self._tiles().shape[1]
        if not 0 <= input_channel < count:
            raise InputError(f"input_channel: got {input_channel}, {self.name!r} has {count} a group; expected 0 to {count - 1}.")
        return self.tiles[:, input_channel]

    def mean(self) -> Tensor:
        """Mean of each filter over its input channels: (out, kh, kw).

        Raises:
            UnsupportedError: a matrix has no input channels.
        """
        return self._tiles().mean(1)

    def _tiles(self) -> Tensor:
        if self.tiles.dim() != 4:
            raise UnsupportedError(f"{self.name!r} is a matrix (out, in), shown whole: see Filters.weight.")
        return self.tiles


def filters(model: nn.Module, layer: str, input_shape: Sequence[int] | None = None) -> Filters:
    """Return the weights of a convolution, a dense layer, an attention projection or a recurrent layer, for a picture of them.

    Filters over time (Conv1d) are one row high; those of Conv3d have their slices below each other. A transposed convolution is
    turned so that its first axis is that of its outputs. Of several weights of a layer the first is shown; ``Filters.names`` has
    the others, which are names of layers too.

    Args:
        layer: dotted name of a module, or of one of its weights ("lstm.weight_hh_l0").
        input_shape: of one sample: the rows of a dense layer that reads the image itself become images (C, H, W).

    Raises:
        InputError: there is no such layer, the nearest are offered. ModelError: it has no numbers (meta, lazy).
        UnsupportedError: it has no weights that can be shown.
    """
    name, owner, parameter = _located(model, layer)
    module = model.get_submodule(owner)
    with reading(model), torch.no_grad():  # what computes a weight may draw numbers or count its calls
        weight = getattr(module, parameter)
    if nn.parameter.is_lazy(weight) or weight.is_meta:
        raise ModelError(f"{name!r} has no numbers yet (a lazy layer, or the meta device); load weights or run one batch first.")
    if not weight.is_floating_point():
        raise UnsupportedError(f"the weight of {name!r} is {weight.dtype}; only floating weights can be shown.")
    weight = weight.detach().clone()
    shape = None if input_shape is None else checked_shape(input_shape)
    if isinstance(module, _ConvNd):
        tiles, note = _tiles_of(module, weight)
    else:
        tiles, note = _images_of(model, module, name, weight, shape)
    return Filters(
        name=name,
        kind=kind_of(module),
        weight=weight,
        tiles=tiles,
        colour=tiles.dim() == 4 and tiles.shape[1] == 3,
        matrix=not isinstance(module, _ConvNd),
        groups=module.groups if isinstance(module, _ConvNd) else 1,
        note=note or _rows_of(module, parameter),
        names=weight_names(owner, module),
    )


def weight_names(name: str, module: nn.Module) -> tuple[str, ...]:
    """Names under which `filters` shows the weights of a module of this name, () where it has none to show."""
    prefix = f"{name}." if name else ""
    if isinstance(module, _ConvNd | nn.Linear):
        return (name or "weight",)
    if isinstance(module, nn.MultiheadAttention):
        own = [f"{prefix}{part}" for part in _PROJECTIONS if getattr(module, part, None) is not None]
        return (*own, f"{prefix}out_proj")
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return tuple(f"{prefix}{part}" for part, value in module.named_parameters(recurse=False) if value.dim() == 2)
    return ()


def _located(model: nn.Module, layer: object) -> tuple[str, str, str]:
    """(name of the weight, name of its module, the attribute)."""
    if not isinstance(layer, str):
        raise InputError(f"layer: got {type(layer).__name__}, expected a name as in layers(model, input_shape), such as 'conv1'.")
    modules: Mapping[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    known = {shown: name for name, module in modules.items() for shown in weight_names(name, module)}
    if layer in modules and layer not in known:
        names = weight_names(layer, modules[layer])
        if not names:
            inside = [shown for shown in known if shown.startswith(f"{layer}.")] if layer else list(known)
            hint = f"; choose a layer inside it: {', '.join(inside[:6])}{', ...' if len(inside) > 6 else ''}" if inside else ""
            raise UnsupportedError(f"{layer or 'the network'} ({kind_of(modules[layer])}) has no filters or weight matrix{hint}.")
        layer = names[0]
    if layer not in known:
        raise InputError(f"there is no layer {layer!r} with weights to show; {nearest(layer, known)}")
    owner = known[layer]
    return layer, owner, "weight" if layer in (owner, "weight") else layer.rpartition(".")[2]


def _tiles_of(module: _ConvNd, weight: Tensor) -> tuple[Tensor, str]:
    """(out, in / groups, kh, kw) of any convolution."""
    notes = []
    if isinstance(module, _ConvTransposeNd):
        groups, inside = module.groups, weight.shape[0] // module.groups
        grouped = weight.reshape(groups, inside, *weight.shape[1:]).transpose(1, 2)
        weight = grouped.reshape(module.out_channels, inside, *weight.shape[2:])
        notes.append("transposed: what one input cell adds to the output")
    if weight.dim() == 3:
        weight = weight[:, :, None]
    elif weight.dim() == 5:
        notes.append(f"{weight.shape[2]} slices of depth below each other")
        weight = weight.flatten(2, 3)
    if module.groups > 1:
        notes.append(f"{module.groups} groups: a filter sees {weight.shape[1]} of {module.in_channels} input channels")
    return weight.contiguous(), ", ".join(notes)


def _images_of(
    model: nn.Module, module: nn.Module, name: str, weight: Tensor, shape: tuple[int, ...] | None
) -> tuple[Tensor, str]:
    """(out, C, H, W) where a dense layer reads the image itself, else the matrix."""
    if shape is None or len(shape) != 3 or not isinstance(module, nn.Linear) or weight.shape[1] != math.prod(shape):
        return weight, ""
    if not _reads_the_image(model, name, shape):
        return weight, ""
    return weight.reshape(-1, *shape), "each row as an image: what this unit looks for in the input"


def _reads_the_image(model: nn.Module, name: str, shape: tuple[int, ...]) -> bool:
    """True where nothing but reshaping stands between the input and a layer."""
    try:
        calls = trace(model, shape).calls
    except NnwError:
        return False
    users = [call for call in calls if call.name == name or any(used == name for used, _ in call.weights)]
    todo = [producer for call in users[:1] for producer in call.producers]
    while todo:
        index = todo.pop()
        if index == INPUT:
            continue
        if calls[index].kind not in _STILL:
            return False
        todo += calls[index].producers
    return bool(users)


def _rows_of(module: nn.Module, parameter: str) -> str:
    """Which rows of a stacked weight are what."""
    if parameter == "in_proj_weight" and isinstance(module, nn.MultiheadAttention):
        width = module.embed_dim
        return f"rows 0-{width - 1} query, {width}-{2 * width - 1} key, {2 * width}-{3 * width - 1} value"
    gates = {"LSTM": ("input", "forget", "cell", "output"), "GRU": ("reset", "update", "new")}.get(
        kind_of(module).removesuffix("Cell")
    )
    if gates is None or not parameter.startswith("weight_") or "_hr_" in parameter:
        return ""
    width = int(module.hidden_size)  # type: ignore[arg-type]
    return "rows " + ", ".join(f"{i * width}-{(i + 1) * width - 1} {gate}" for i, gate in enumerate(gates))
