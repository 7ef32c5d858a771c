"""Stop a pass behind a layer, and go on from there with some of its channels off.

Two ways: along the graph of the network, where what is alive behind the layer is kept; or the layers up to it answer from
memory, for networks without a graph. Each is tried against the network itself with half of the channels off, and taken only if it
gives the same answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.inspect._ablate import Ablated, switched_off
from nnwidgets.engine.inspect._axes import Frame
from nnwidgets.engine.inspect._layout import Layout
from nnwidgets.engine.inspect._maps import frame_of, view_as_maps
from nnwidgets.engine.inspect._sites import Site, first_tensor
from nnwidgets.engine.inspect._taps import Taps, Visitor
from nnwidgets.engine.trace import Point, tensors_in, weight_layers
from nnwidgets.engine.trace._graph import GraphRun
from nnwidgets.engine.trace._replay import LayerRun
from nnwidgets.engine.trace.suffix import UnfitError

__all__ = ["Channels", "Fold", "Target", "Way", "finding"]

Channels = tuple[int, ...]
Fold = tuple[Tensor, Tensor]

_ROUNDING = 1e-5  # of the largest number: attention is computed in another way while it is watched


@dataclass(frozen=True)
class Target:
    """A layer in the copy of a network in which it is switched.

    Attributes:
        site: where it is switched there. asked: the layer that was asked for, in the network as given.
        fold: (scale, shift), each (C,), where the two differ, as a convolution has become one with its batch-norm: what is x
            at ``asked`` is x * scale + shift at ``site``. Else None.
        count: C. in_place: the layer writes over its input.
        result: (B, ...) what the site gives for the first images. test: a number that it does not give there.
        layout, frame: where its channels are, as `as_maps` takes them.
        answer: of the network, with every other channel at ``test``. (Zero would tell nothing of a layer that gives zeros.)
    """

    site: Site
    asked: Site
    fold: Fold | None
    count: int
    in_place: bool
    result: Tensor
    test: float
    answer: Any
    layout: Layout | None
    frame: Frame

    @classmethod
    def of(
        cls, network: nn.Module, images: Tensor, site: Site, asked: Site, fold: Fold | None, layout: Layout | None = None
    ) -> Target:
        """Run the network and see what the site gives."""
        module, frame = dict(network.named_modules()).get(site.name), frame_of(images)
        found: list[Target] = []

        def visit(result: Any, writes: bool) -> Any:
            tensor = first_tensor(result, site)
            count = view_as_maps(tensor, len(images), site, module, layout, frame).values.shape[1]
            test = 1.5 * float(tensor.abs().max()) or 1.0
            found.append(cls(site, asked, fold, count, writes, tensor.clone(), test, None, layout, frame))
            return found[-1].off(result, len(images), module, found[-1].half, writes, test)

        answer = Taps(writes=True).run(network, images, lambda: {site: visit})
        return replace(found[-1], answer=answer)

    @property
    def half(self) -> Channels:
        """Every other channel."""
        return tuple(range(0, self.count, 2))

    def ablated(self, plain: nn.Module) -> Ablated:
        """The network as given, with every other channel at ``test``."""
        return Ablated(plain, {self.asked: self.half}, self.test, {self.asked: self.layout})

    def is_given(self, value: Any) -> bool:
        """True where a value is what the site gives for the first images, up to rounding."""
        tensor = next(tensors_in(value), None)
        return tensor is not None and tensor.shape == self.result.shape and _alike(self.result, tensor, _ROUNDING)

    def off(
        self, result: Any, batch: int, module: nn.Module | None, channels: Channels, in_place: bool, value: float = 0.0
    ) -> Any:
        """The layer's result with some channels at a number."""
        made: float | Tensor = value
        if self.fold is not None:
            scale, shift = self.fold
            made = (scale * value + shift)[list(channels)]
        return switched_off(result, batch, self.site, module, channels, in_place, made, self.layout, self.frame)


class Way(ABC):
    """How a pass is stopped at a layer and gone on with.

    Attributes:
        method: "graph" or "layers". note: what it means, in words.
    """

    method: str
    note: str

    @abstractmethod
    def prefix(self, images: Tensor) -> Point:
        """Run up to the layer."""

    @abstractmethod
    def suffix(self, point: Point, batch: int, channels: Channels, value: float = 0.0) -> Any:
        """Go on with some channels off (at a number) and return the answer. The point stays as it is."""

    def release(self) -> None:  # noqa: B027  the graph leaves the network as it is
        """Leave the network as it was given."""

    @abstractmethod
    def is_separate(self, point: Point) -> bool:
        """True where the tensors of a point may be copied one by one: none of them has to share memory with another one."""


class GraphWay(Way):
    """Along the graph: behind the layer only what is alive there is kept."""

    method = "graph"
    note = "Only what comes behind the layer is run."

    def __init__(self, run: GraphRun, place: int, key: Hashable, target: Target, module: nn.Module | None) -> None:
        self._run, self._place, self._key, self._target, self._module = run, place, key, target, module

    def prefix(self, images: Tensor) -> Point:
        return self._run.go(self._run.start(images.clone()), self._place)

    def suffix(self, point: Point, batch: int, channels: Channels, value: float = 0.0) -> Any:
        if channels:
            in_place = self._target.in_place

            def change(made: Any) -> Any:
                return self._target.off(made, batch, self._module, channels, in_place, value)

            point = self._run.changed(point, self._key, change, in_place)
        return self._run.finish(point)

    def is_separate(self, point: Point) -> bool:
        storages = [tensor.untyped_storage().data_ptr() for tensor in tensors_in(point.kept)]
        return len(set(storages)) == len(storages) or not (self._target.in_place or self._run.is_written(point))


class LayerWay(Way):
    """The layers before the last weight up to the layer answer from memory; a hook switches channels off."""

    method = "layers"

    def __init__(self, run: LayerRun, network: nn.Module, stop: str, target: Target, reason: str) -> None:
        self._run, self._network, self._stop, self._target = run, network, stop, target
        self.note = f"Layers before this one answer from memory. There is no graph to go by: {reason}."

    def prefix(self, images: Tensor) -> Point:
        return self._run.advance(self._run.start(images.clone()), self._stop)

    def suffix(self, point: Point, batch: int, channels: Channels, value: float = 0.0) -> Any:
        modules = dict(self._network.named_modules())

        def visit(result: Any, writes: bool) -> Any:
            return self._target.off(result, batch, modules.get(self._target.site.name), channels, writes, value)

        visits: Mapping[Site, Visitor] = {self._target.site: visit} if channels else {}
        with Taps(writes=True).hooks(visits, modules):
            return self._run.finish(point)

    def release(self) -> None:
        self._run.release()

    def is_separate(self, point: Point) -> bool:
        return True  # outputs are copied when they are kept, and when they are used


def finding(
    quick: nn.Module,
    plain: nn.Module,
    spare: Callable[[], nn.Module],
    images: Tensor,
    target: Target,
    graph: GraphRun | str,
    tolerance: float,
) -> Generator[None, None, Way | str]:
    """Find a way for a layer, in steps of a few forward passes; returns it, or why there is none.

    Args:
        quick: the copy that is switched. plain: as it was given, to compare with. spare: makes another one, which the second way
            keeps. images: a few, as ``quick`` likes them. graph: that of ``quick``, or why there is none. tolerance: of the
            answers, as a share of the largest.
    """
    with torch.no_grad():
        wanted = target.answer if quick is plain else target.ablated(plain)(images.clone())

    def is_right(way: Way, point: Point) -> bool:
        return _alike(wanted, way.suffix(point, len(images), target.half, target.test), tolerance)

    yield
    why_no_graph = graph if isinstance(graph, str) else "no step of it stands for the layer"
    if not isinstance(graph, str):
        try:
            ways = _by_graph(quick, images, target, graph)
            while True:
                with torch.no_grad():
                    way, point = next(ways, (None, None))
                    if way is None or point is None:
                        break
                    if is_right(way, point):
                        return way
                yield
        except Exception as error:  # the forward pass is anybody's code, run in a way it was not written for
            why_no_graph = _reason(error)
    yield
    try:
        with torch.no_grad():
            other = _by_layers(spare(), images, target, why_no_graph)
            right = is_right(other, other.prefix(images))
    except Exception as error:
        why_no_layers = _reason(error)
    else:
        if right:
            return other
        other.release()
        why_no_layers = "the answers differ"
    return f"It has no graph to go by: {why_no_graph}. Outputs of its layers cannot be kept either: {why_no_layers}."


def _reason(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{first:.200}".rstrip(".") if isinstance(error, NnwError | UnfitError) else f"{type(error).__name__}: {first:.160}"


def _by_graph(quick: nn.Module, images: Tensor, target: Target, graph: GraphRun) -> Generator[tuple[GraphWay, Point], None, None]:
    """Places behind the steps that make what the layer gives, or write it over what is kept, each with its point."""
    module = dict(quick.named_modules()).get(target.site.name)
    point = graph.start(images.clone())
    before: set[Hashable] = set()
    for step in range(graph.size):
        point = graph.go(point, step + 1)
        made = graph.made_by(step)
        looked_at = point.kept if target.in_place else {made} & point.kept.keys()
        keys = {key for key in looked_at if target.is_given(point.kept[key])}
        for key in [made] if made in keys else keys - before if target.in_place else ():
            yield GraphWay(graph, step + 1, key, target, module), point
        before = keys


def _by_layers(spare: nn.Module, images: Tensor, target: Target, reason: str) -> LayerWay:
    """From the last weight that is used up to the layer.

    Raises:
        UnfitError: there is none, or the place is no layer. And what the network raises.
    """
    if target.asked.name not in dict(spare.named_modules()):
        raise UnfitError(f"{target.asked} is no layer")
    run = LayerRun(spare, {layer.name: layer for layer in weight_layers(spare)}, images)
    try:
        stop = _last_weight(spare, images, target.asked, run.order)
        if stop is None:
            raise UnfitError("no weight is used up to it")
    except BaseException:
        run.release()
        raise
    return LayerWay(run, spare, stop, replace(target, site=target.asked, fold=None), reason)


def _last_weight(network: nn.Module, images: Tensor, site: Site, order: tuple[str, ...]) -> str | None:
    """Of the weight layers, in the order of their first use, the last one that is used before the site is done."""
    used: set[nn.Module] = set()
    done = False

    def note(module: nn.Module, args: Any) -> None:
        if not done:
            used.add(module)

    def visit(result: Any, writes: bool) -> None:
        nonlocal done
        done = True

    layers = {layer.name: network.get_submodule(layer.module_name) for layer in weight_layers(network)}
    handles = [module.register_forward_pre_hook(note) for module in dict.fromkeys(layers.values())]
    try:
        Taps().run(network, images, lambda: {site: visit})
    finally:
        for handle in handles:
            handle.remove()
    return next((name for name in reversed(order) if layers[name] in used), None)


def _alike(wanted: Any, found: Any, tolerance: float) -> bool:
    a, b = list(tensors_in(wanted)), list(tensors_in(found))
    return len(a) == len(b) and all(
        x.shape == y.shape and bool(((x - y).abs() <= tolerance * x.abs().max().clamp_min(1e-6)).all())
        for x, y in zip(a, b, strict=True)
    )
