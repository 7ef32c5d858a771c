"""Which axis holds the channels, from how a result came about: a shape alone does not tell (B, C, H, W) from (B, H, W, C)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from nnwidgets.engine.inspect._sites import Site
from nnwidgets.engine.trace import INPUT, Call, Entry, Trace

__all__ = ["Layout", "channels_of", "layout_of_module", "layouts", "usual_layout"]

_FAR = 24  # calls to look back


class Layout(Enum):
    """Where the channels are: behind the batch, at the end, or at the end of a sequence whose places stand before the batch."""

    FIRST = "channels first"
    LAST = "channels last"
    LAST_BATCH_SECOND = "places first, batch second"


_FIRST_KINDS = frozenset(
    [f"{kind}{axes}d" for kind in ("conv", "conv_transpose", "max_pool", "avg_pool", "lp_pool") for axes in (1, 2, 3)]
    + [f"adaptive_{kind}_pool{axes}d" for kind in ("max", "avg") for axes in (1, 2, 3)]
    + ["batch_norm", "group_norm", "instance_norm", "interpolate", "pixel_shuffle", "pixel_unshuffle", "local_response_norm"]
)
_LAST_KINDS = frozenset(["linear", "scaled_dot_product_attention", "multi_head_attention_forward", "embedding"])
_POOLS = ("MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool", "LPPool", "FractionalMaxPool", "InstanceNorm", "Pixel")
_TURNS = frozenset(["permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "T", "mT", "Permute"])


def layouts(traced: Trace, modules: Mapping[str, nn.Module]) -> dict[Site, Layout]:
    """Follow the channels axis through a traced pass: convolutions put it first, dense layers and token norms last.

    What turns its input turns it, what has more or fewer axes keeps it where its length is found again, all else takes it over
    from what it uses. A container has that of what made its result. Places that are not in the answer are unknown.

    Args:
        modules: by name, as ``dict(model.named_modules())``.
    """
    axis = _Axis(traced)
    for call in traced.calls:
        axis.follow(call, modules.get(call.name))
    known = {Site(call.name, call.call): axis.of[call.index] for call in traced.calls if call.index in axis.of}
    for entry in traced.entries:
        made_by = [axis.of[index] for index in entry.ends if index in axis.of]
        if made_by:
            known[Site(entry.name, entry.call)] = made_by[-1]
    places: list[Call | Entry] = [*traced.calls, *traced.entries]
    for item in places:
        if item.results and item.results[0].batch_axis == 1 and item.results[0].axes == 3:
            known[Site(item.name, item.call)] = Layout.LAST_BATCH_SECOND
    return known


def layout_of_module(module: nn.Module | None, shape: Sequence[int]) -> Layout | None:
    """Where a layer puts its channels in a result of a whole shape (batch included), None where its class does not tell.

    Its own number of channels decides: torchvision's ``LayerNorm2d`` is a LayerNorm with the channels first.
    """
    usual, channels = usual_layout(module), channels_of(module)
    if usual is None or channels is None or len(shape) < 3:
        return usual
    places = [layout for layout, axis in ((Layout.FIRST, 1), (Layout.LAST, -1)) if shape[axis] == channels]
    return places[0] if len(places) == 1 else usual


def channels_of(module: nn.Module | None) -> int | None:
    """Channels that a layer gives, as its settings tell; None where they do not."""
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return module.normalized_shape[-1] if len(module.normalized_shape) == 1 else None
    for name in ("out_channels", "out_features", "num_features", "num_channels", "embed_dim"):
        value = getattr(module, name, None)
        if isinstance(value, int):
            return value
    return None


def usual_layout(module: nn.Module | None) -> Layout | None:
    """Where layers of this class put their channels; None for functions, containers and unknown classes."""
    if isinstance(module, _ConvNd | _BatchNorm | nn.GroupNorm | nn.LocalResponseNorm | nn.Upsample | nn.Fold):
        return Layout.FIRST
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return Layout.LAST if len(module.normalized_shape) == 1 else None
    if isinstance(module, nn.Linear | nn.Bilinear | nn.Embedding | nn.MultiheadAttention | nn.RNNBase):
        return Layout.LAST
    return Layout.FIRST if type(module).__name__.startswith(_POOLS) else None


class _Axis:
    """The channels axis of each call, found in order of execution.

    Attributes:
        of: by index of the call; the input of the network is an image with channels first, or a sequence with them last.
    """

    def __init__(self, traced: Trace) -> None:
        self._calls = traced.calls
        self._shapes = {INPUT: traced.input_shape, **{call.index: call.output_shape for call in traced.calls}}
        self.of: dict[int, Layout] = {INPUT: Layout.FIRST if len(traced.input_shape) > 2 else Layout.LAST}

    def follow(self, call: Call, module: nn.Module | None) -> None:
        """Find the axis after a call, from those before it."""
        if not call.results:
            return
        found = self._own(call, module) or self._carried(call) or self._as_an_equal_before(call)
        if found is not None:
            self.of[call.index] = found

    def _own(self, call: Call, module: nn.Module | None) -> Layout | None:
        if call.is_module:
            result = call.results[0]
            return layout_of_module(module, (1, *result.shape) if result.batch_axis == 0 else result.shape)
        if call.kind in _FIRST_KINDS:
            return Layout.FIRST
        return Layout.LAST if call.kind in _LAST_KINDS else None

    def _carried(self, call: Call) -> Layout | None:
        """From the source that looks most like the result: of its own shape before others, later before earlier."""
        sources = [index for index in call.producers if index in self.of]
        if not sources:
            return None
        source = max(sources, key=lambda index: (self._shapes[index] == call.output_shape, index))
        return _moved(call, self.of[source], self._shapes[source])

    def _as_an_equal_before(self, call: Call) -> Layout | None:
        """Behind reshapes that hid the axis (a channel shuffle): as the last result of the same shape that led here."""
        seen, todo = set(call.producers), sorted(call.producers)
        while todo and len(seen) < _FAR:
            index = todo.pop()
            if index in self.of and self._shapes[index] == call.output_shape:
                return self.of[index]
            new = set(self._calls[index].producers) - seen if index != INPUT else set()
            seen |= new
            todo = sorted({*todo, *new})
        return None


def _moved(call: Call, layout: Layout, before: Sequence[int]) -> Layout | None:
    """Where the channels of a source of this shape are after a call that has no layout of its own."""
    after = call.output_shape
    if not before or not after:
        return None
    channels = before[0] if layout is Layout.FIRST else before[-1]
    if call.kind in _TURNS and len(before) == len(after):
        turned = Layout.LAST if layout is Layout.FIRST else Layout.FIRST
        return turned if after[0] == after[-1] and len(after) < 4 else _at_one_end(channels, after)
    is_found_again = len(before) == len(after) or after[0 if layout is Layout.FIRST else -1] == channels
    return layout if is_found_again else None


def _at_one_end(channels: int, shape: Sequence[int]) -> Layout | None:
    ends = (shape[0] == channels, shape[-1] == channels)
    return None if ends[0] == ends[1] else (Layout.FIRST if ends[0] else Layout.LAST)
