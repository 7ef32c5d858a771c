"""A copy of a network made quick for passes: batch-norm folded into convolutions, channels last, no parametrizations."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.trace import Trace, plain_copy, preserved_buffers, trace

__all__ = ["Frozen", "Prepared"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_MANY_WEIGHTS, _ROUNDS = 4_000_000, 3
_PROBE_NUMBERS = 200_000  # in the images that a copy is tried on: eight of an EfficientNet would take 250 MB
_ENOUGH_S = 0.5  # of passes tell which layout is quicker
_TOLERANCE = 1e-4  # of the largest logit; folding rounds differently, and nothing else may


@dataclass(frozen=True)
class _Pair:
    """A convolution and the batch-norm that alone reads it."""

    name: str
    convolution: nn.Module
    norm: nn.Module
    has_bias: bool


@dataclass(frozen=True)
class Frozen:
    """A network of the caller's own in eval mode, for passes without a copy; nobody else changes its flags meanwhile."""

    network: nn.Module

    def inputs(self, images: Tensor) -> Tensor:
        """Images as they are."""
        return images


class Prepared:
    """A network's own copy for evaluation on one thread at a time. The network it was made from is not touched.

    Args:
        model: a network without parametrizations, or with some: those are computed once. It is copied.
        input_shape: without the batch. probe: a few inputs, on which the quick copy has to answer as the plain one does; where it
            does not, nothing is folded. Of large images the first ones are enough.
        traced: a trace of the network, if there is one already.

    Attributes:
        network: the copy, in eval mode. folded: names of the convolutions that hold their batch-norm. channels_last: how it wants
            images.
    """

    def __init__(self, model: nn.Module, input_shape: Sequence[int], probe: Tensor, traced: Trace | None = None) -> None:
        self.network = plain_copy(model)
        probe = probe[: max(1, _PROBE_NUMBERS // max(1, math.prod(input_shape)))]
        self.channels_last = len(input_shape) == 3 and any(type(module) is nn.Conv2d for module in self.network.modules())
        if self.channels_last:
            usual = self._answer(probe, plain=True)
            self.network.to(memory_format=torch.channels_last)
            unlike = usual is not None and not _alike(
                usual, self._answer(probe)
            )  # such as x.view(len(x), -1) behind a convolution
            if unlike or self._slower(probe):
                self.channels_last = False
                self.network.to(memory_format=torch.contiguous_format)
        self._pairs: tuple[_Pair, ...] = ()
        pairs = _pairs(self.network, input_shape, traced)
        plain = self._answer(probe) if pairs else None
        if plain is None:
            return
        kept = [(pair, {name: copy.deepcopy(value) for name, value in pair.convolution._parameters.items()}) for pair in pairs]
        self._pairs = pairs
        for pair in pairs:
            pair.norm.forward = _unchanged
        self._fold(None)
        if not _alike(plain, self._answer(probe)):
            self._pairs = ()
            for pair, parameters in kept:
                pair.convolution._parameters.update(parameters)
                del pair.norm.forward

    def _slower(self, probe: Tensor) -> bool:
        """Whether channels last is the slower layout here: measured where weights are many, else it is taken as the quicker one.

        (AVX-512, one thread: small VGG x1.5 and ResNet-20 x1.07 quicker; VGG16, 14.7 M weights, x0.9: slower.)
        """
        if sum(parameter.numel() for parameter in self.network.parameters()) < _MANY_WEIGHTS:
            return False
        seconds, spent = {False: float("inf"), True: float("inf")}, 0.0
        for last in (True, False) * _ROUNDS:
            if last and spent > _ENOUGH_S:
                break
            self.channels_last = last
            self.network.to(memory_format=torch.channels_last if last else torch.contiguous_format)
            began = time.perf_counter()
            self._answer(probe)
            took = time.perf_counter() - began
            seconds[last], spent = min(seconds[last], took), spent + took
        self.channels_last = True
        self.network.to(memory_format=torch.channels_last)
        return seconds[False] < seconds[True]

    @property
    def folded(self) -> tuple[str, ...]:
        """Names of the convolutions that hold their batch-norm."""
        return tuple(pair.name for pair in self._pairs)

    @property
    def norms(self) -> dict[str, str]:
        """Convolutions that hold their batch-norm, each with its name."""
        names = {id(module): name for name, module in self.network.named_modules()}
        return {pair.name: names[id(pair.norm)] for pair in self._pairs}

    def write(self, load: Callable[[nn.Module], None], only: Collection[str] | None = None) -> None:
        """Let ``load`` write weights into ``network`` as if nothing were folded, then fold again.

        Args:
            load: has to write weight and bias of each convolution in ``folded``, and of its batch-norm if that was changed;
                or, with ``only``, of those convolutions alone.
        """
        with torch.no_grad():
            load(self.network)
            self._fold(only)

    def inputs(self, images: Tensor) -> Tensor:
        """Lay images out as the network likes them."""
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last and images.dim() == 4 else images

    def _fold(self, only: Collection[str] | None) -> None:
        for pair in self._pairs:
            if only is None or pair.name in only:
                _fold(pair)

    def _answer(self, probe: Tensor, plain: bool = False) -> Tensor | None:
        with torch.inference_mode(), preserved_buffers(self.network):
            try:
                answer = self.network(probe.clone() if plain else self.inputs(probe.clone()))
            except Exception:  # whoever runs the network next says what is wrong with it
                return None
        return answer if isinstance(answer, Tensor) else None


def _fold(pair: _Pair) -> None:
    norm, parameters = pair.norm, pair.convolution._parameters
    weight, variance, mean = parameters["weight"], norm._buffers["running_var"], norm._buffers["running_mean"]
    assert weight is not None and variance is not None and mean is not None
    scale = torch.rsqrt(variance.double() + norm.eps)  # type: ignore[operator]
    if norm._parameters["weight"] is not None:
        scale = scale * norm._parameters["weight"].double()
    shift = -mean.double()
    old = parameters["bias"]
    if pair.has_bias and old is not None:
        shift = shift + old.double()
    shift = shift * scale
    if norm._parameters["bias"] is not None:
        shift = shift + norm._parameters["bias"].double()
    with torch.no_grad():
        weight.mul_(scale.to(weight.dtype).view(-1, *(1,) * (weight.dim() - 1)))
        if old is None:
            parameters["bias"] = nn.Parameter(shift.to(weight.dtype), requires_grad=False)
        else:
            old.copy_(shift)


def _pairs(network: nn.Module, input_shape: Sequence[int], traced: Trace | None) -> tuple[_Pair, ...]:
    if not any(type(module) in _NORMS for module in network.modules()):
        return ()
    if traced is None:
        try:
            traced = trace(network, input_shape)
        except NnwError:  # what cannot be traced can still be run
            return ()
    modules = dict(network.named_modules(remove_duplicate=False))
    found = []
    for layer in traced.layers:
        convolution, name = modules[layer.module_name], traced.norm_after(layer.name) if traced.calls_of(layer.name) else None
        if name is None or layer.aliases or type(convolution) not in _CONVOLUTIONS or traced.followed_by(layer.name) != [name]:
            continue
        norm = modules.get(name)
        if type(norm) not in _NORMS or norm is None or norm._buffers.get("running_var") is None:
            continue
        if _plain(convolution) and _plain(norm) and len(traced.calls_of(layer.name)) == len(traced.calls_of(name)):
            found.append(_Pair(layer.name, convolution, norm, convolution._parameters["bias"] is not None))
    return tuple(found)


def _plain(module: nn.Module) -> bool:
    """No hook would see other numbers than it should, and nobody has replaced the forward."""
    return not module._forward_hooks and not module._forward_pre_hooks and "forward" not in vars(module)


def _unchanged(maps: Tensor) -> Tensor:
    return maps


def _alike(plain: Tensor, quick: Tensor | None) -> bool:
    if quick is None or plain.shape != quick.shape:
        return False
    return bool(((plain - quick).abs() <= _TOLERANCE * plain.abs().max().clamp_min(1e-6)).all())
