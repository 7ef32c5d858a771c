"""A network without some channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from nnwidgets.engine.errors import InputError, UnsupportedError
from nnwidgets.engine.inspect._axes import Frame
from nnwidgets.engine.inspect._layout import Layout, usual_layout
from nnwidgets.engine.inspect._maps import Layouts, channel_axis, frame_of, traced_layouts, view_as_maps
from nnwidgets.engine.inspect._sites import Site, first_tensor, site_of
from nnwidgets.engine.inspect._taps import Taps, Visitor
from nnwidgets.engine.trace import unattended
from nnwidgets.engine.values._fields import nearest

__all__ = ["Ablated", "ablate", "check_site", "checked_channels", "switched_off"]

_COUNTS = ("out_channels", "out_features", "num_features", "num_channels")  # attributes of torch's layers


def ablate(
    model: nn.Module,
    layer: str | Site | Mapping[str | Site, int | Iterable[int]],
    channels: int | Iterable[int] = (),
    call: int = 0,
) -> nn.Module:
    """Return a network that answers as the given one does with some channels of a layer's output set to zero.

    The given network is held by reference and not changed: it carries a hook while an answer is being made, and none between.
    The result can be evaluated, copied and ablated again. Channels are those of `feature_maps`: of tokens (B, N, D) the D
    features, in all tokens, a class token included. Where a layer writes over its input, the zeros are written there too.

    Args:
        model: any network. layer: name as in `layers`, also of a container or of a function between layers ("layer1.0.(add)");
            or a mapping from names (or `Site`) to channels. channels: numbers from 0. call: which call of a layer that is called
            again.

    Raises:
        InputError: there is no such layer or channel, with those that there are. What only a forward pass can tell (functions
            between layers, the channels of a container) is raised by the first one. UnsupportedError, then: what the layer gives
            has no channels.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model: got {type(model).__name__}, expected a torch.nn.Module.")
    network, off = (model.network, dict(model.off)) if isinstance(model, Ablated) else (model, {})
    known = dict(model.layouts) if isinstance(model, Ablated) else {}
    asked = layer if isinstance(layer, Mapping) else {site_of(layer, call): channels}
    for key, numbers in asked.items():
        site = site_of(key)
        check_site(network, site)
        chosen = checked_channels(numbers)
        _check_early(network, site, chosen)
        off[site] = tuple(sorted({*off.get(site, ()), *chosen}))
    return Ablated(network, off, layouts=known)


class Ablated(nn.Module):
    """What `ablate` returns.

    Attributes:
        network: as it was given. off: places with the channels that are off there. value: what those become, zero.
        layouts: where the channels are, as far as it is known; else the network is traced once, before its first answer.
    """

    def __init__(
        self, network: nn.Module, off: Mapping[Site, tuple[int, ...]], value: float = 0.0, layouts: Layouts | None = None
    ) -> None:
        super().__init__()
        self.network, self.value = network, value
        self.layouts: dict[Site, Layout | None] = dict(layouts or {})
        self.off = dict(off)
        self.training = network.training
        self._taps = Taps(writes=True)

    def forward(self, images: Tensor) -> Any:
        """(B, *input_shape) -> what the network answers."""
        self._locate(images)
        return self._taps.run(self.network, images, lambda: self._visits(len(images), frame_of(images)))

    def extra_repr(self) -> str:
        return ", ".join(f"{site}: {len(channels)} channels off" for site, channels in self.off.items())

    def _locate(self, images: Tensor) -> None:
        """Find out where the channels are that neither a class of layers nor (B, F) tells."""
        modules = dict(self.network.named_modules())
        unclear = {site for site in self.off if site not in self.layouts and usual_layout(modules.get(site.name)) is None}
        if unclear and images.dim() > 2:
            with unattended():  # whoever watches this pass has not asked for that one
                found = traced_layouts(self.network, tuple(images.shape[1:]), images.dtype)
            self.layouts |= {site: found.get(site) for site in unclear}

    def _visits(self, batch: int, frame: Frame) -> dict[Site, Visitor]:
        modules = dict(self.network.named_modules())

        def visitor(site: Site, channels: tuple[int, ...]) -> Visitor:
            module, layout = modules.get(site.name), self.layouts.get(site)
            return lambda result, writes: switched_off(result, batch, site, module, channels, writes, self.value, layout, frame)

        return {site: visitor(site, channels) for site, channels in self.off.items()}


def switched_off(
    result: Any,
    batch: int,
    site: Site,
    module: nn.Module | None,
    channels: tuple[int, ...],
    in_place: bool = False,
    value: float | Tensor = 0.0,
    layout: Layout | None = None,
    frame: Frame = None,
) -> Any:
    """What a layer gave, with some channels at a constant.

    Args:
        module: that gave it, None for a function. in_place: write into the given tensor, else a copy takes its place.
        value: what the channels become, a number or one for each of them. layout, frame: as `as_maps` takes them.

    Raises:
        InputError: no such channel. UnsupportedError: it has no channels.
    """
    tensor = first_tensor(result, site)
    count = view_as_maps(tensor, batch, site, module, layout, frame).values.shape[1]
    _check_count(site, channels, count)
    made = tensor if in_place else tensor.clone()
    if channels:
        index = torch.tensor(channels, device=made.device)
        made.movedim(channel_axis(made, module, layout, frame), -1)[..., index] = value
    if made is tensor or result is tensor:
        return made if result is tensor else None
    return _put(result, tensor, made, site)


def check_site(network: nn.Module, site: Site) -> None:
    """Raise InputError for a name that no forward pass can have."""
    modules = dict(network.named_modules())
    parent, bracket, _ = site.name.rpartition("(")
    if site.name not in modules and not (bracket and parent.rstrip(".") in modules):
        raise InputError(f"there is no layer {site.name!r}; {nearest(site.name, [name for name in modules if name])}")


def checked_channels(channels: object) -> tuple[int, ...]:
    """Numbers of channels, each once, sorted.

    Raises:
        InputError: they are not whole numbers from 0.
    """
    numbers = [channels] if isinstance(channels, int) else channels
    if isinstance(numbers, Tensor) or hasattr(numbers, "tolist"):
        numbers = numbers.tolist()
    if isinstance(numbers, (str, bytes)) or not isinstance(numbers, Iterable):
        raise InputError(f"channels: got {channels!r:.60}, expected numbers from 0, such as [3, 17].")
    found = set()
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InputError(f"channels: got {number!r:.60} among them, expected whole numbers from 0, such as [3, 17].")
        found.add(number)
    return tuple(sorted(found))


def _check_early(network: nn.Module, site: Site, channels: tuple[int, ...]) -> None:
    module = dict(network.named_modules()).get(site.name)
    for attribute in _COUNTS:
        count = getattr(module, attribute, None)
        if isinstance(count, int) and type(module).__module__.startswith("torch.nn."):
            return _check_count(site, channels, count)
    return None


def _check_count(site: Site, channels: tuple[int, ...], count: int) -> None:
    if channels and channels[-1] >= count:
        raise InputError(f"{site} has {count} channels, 0 to {count - 1}; got channel {channels[-1]}.")


def _put(result: Any, tensor: Tensor, made: Tensor, site: Site) -> Any:
    """A tuple, list or dict with one of its tensors replaced."""
    leaves, shape = pytree.tree_flatten(result)
    if not any(leaf is tensor for leaf in leaves):
        raise UnsupportedError(
            f"{site} gives a {type(result).__name__}, in which nothing can be replaced; choose a layer before or after it."
        )
    return pytree.tree_unflatten([made if leaf is tensor else leaf for leaf in leaves], shape)
