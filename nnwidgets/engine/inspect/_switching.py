"""Switch channels of one layer off again and again: what comes before the layer is run once."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError, InputError, ModelError
from nnwidgets.engine.evaluation import Prepared, Tally, answers, in_batches
from nnwidgets.engine.evaluation.checks import check_finite, check_logits
from nnwidgets.engine.inspect._ablate import Ablated, check_site, checked_channels
from nnwidgets.engine.inspect._layout import usual_layout
from nnwidgets.engine.inspect._maps import Layouts, traced_layouts
from nnwidgets.engine.inspect._own import own_copy
from nnwidgets.engine.inspect._prefix import Channels, Fold, Target, Way, finding
from nnwidgets.engine.inspect._sites import Site, as_inputs, site_of
from nnwidgets.engine.inspect._store import Layout, PointStore
from nnwidgets.engine.trace import Point
from nnwidgets.engine.trace._graph import GraphRun
from nnwidgets.engine.trace.suffix import UnfitError
from nnwidgets.engine.values.records import Estimate
from nnwidgets.engine.values.split import Split

__all__ = ["Switching"]

_BUDGET = 128 * 2**20
_LARGE = 256 * 2**20  # bytes; a network beyond that is not copied, only its modules are
_PROBE = 8
_FEW = 2 * 3 * 64 * 64  # numbers in the images that a way is tried on
_EXACT, _FOLDED = 1e-5, 1e-4  # of the largest answer; folding batch-norm rounds differently


class Switching:
    """Answers of a network with some channels of one layer off, for one set of channels after the other.

    Answers equal those of `ablate`, up to the rounding of batch-norm folded into convolutions (1e-4 of the largest). Use it on
    one thread at a time, and not while the network's weights change.

    Args:
        network: the caller's own, which does not change meanwhile; it is left as it is. Networks above 256 MB share their weights
            with the copy that is run here.
        input_shape: without the batch. probe: a few inputs (B, *input_shape), on which everything is tried first.
        budget_bytes: for activations kept by `stream`.

    Attributes:
        site: the layer chosen, None at first. note: how answers are found, in words; what is slower than it might be, and why.
        method: "graph", "layers", or "whole" where the whole network is run for each set of channels.
    """

    def __init__(self, network: nn.Module, input_shape: tuple[int, ...], probe: Tensor, budget_bytes: int = _BUDGET) -> None:
        probe = as_inputs(network, probe)
        if tuple(probe.shape[1:]) != tuple(input_shape):
            raise InputError(
                f"probe: got shape {tuple(probe.shape)}, expected a few inputs (B, {', '.join(map(str, input_shape))})."
            )
        self._plain = own_copy(network)
        self._shape, self._probe, self._budget = tuple(input_shape), probe, budget_bytes
        self._quick: Prepared | nn.Module | None = None
        self._graph: GraphRun | str = ""
        self._way: Way | None = None
        self._ablated: dict[Channels, Ablated] = {}
        self._point: tuple[Tensor, Point] | None = None
        self._store: tuple[Split, PointStore | None] | None = None
        self._layouts: Layouts = {}
        self._image_s = 0.0
        self.site: Site | None = None
        self.count = 0
        self.note = ""

    @property
    def method(self) -> str:
        """How answers are found."""
        return "whole" if self._way is None else self._way.method

    def choose(self, layer: str | Site, call: int = 0) -> None:
        """Choose the layer whose channels are switched; see `choosing`."""
        for _ in self.choosing(layer, call):
            pass

    def choosing(self, layer: str | Site, call: int = 0, layouts: Layouts | None = None) -> Generator[None, None, None]:
        """The same in steps of a few forward passes, for who has other things to do between.

        Args:
            layouts: known ones, from ``Row.layout``; else the network is traced where the layer's class does not tell.

        Raises:
            InputError: there is no such layer. UnsupportedError: it has no channels. ModelError: the network cannot be run.
        """
        site = site_of(layer, call)
        if site == self.site:
            return
        check_site(self._plain, site)
        self.forget()
        if self._quick is None:
            self._quick = self._prepare()
            yield
            self._graph = self._recorded()
            yield
        if layouts is None and usual_layout(dict(self._plain.named_modules()).get(site.name)) is None:
            layouts = traced_layouts(self._plain, self._shape, self._probe.dtype)
            yield
        layout = (layouts or {}).get(site)
        few = self._inputs(self._probe[: max(1, min(2, _FEW // self._probe[0].numel()))])
        network, where, fold = self._folded(site)
        began = time.perf_counter()
        with torch.no_grad():
            target = Target.of(network, few, where, site, fold, layout)
        self._image_s = (time.perf_counter() - began) / len(few)
        yield
        tolerance = _EXACT if network is self._plain else _FOLDED
        way = yield from finding(network, self._plain, lambda: own_copy(self._plain), few, target, self._graph, tolerance)
        self.site, self.count, self._layouts = site, target.count, {site: layout}
        self._way = way if isinstance(way, Way) else None
        self.note = way.note if isinstance(way, Way) else f"The whole network is run for each set of channels. {way}"

    def logits(self, images: Tensor, off: int | Iterable[int] = ()) -> Tensor:
        """Answers with some channels of the chosen layer off.

        The first call with some images runs all of the network, later ones with the same images only what comes behind the layer.

        Args:
            images: (B, *input_shape). off: numbers of channels from 0.

        Raises:
            InputError: no layer was chosen, or there is no such channel. ModelError: the answers are not logits (B, K).
        """
        channels = self._checked(off)
        images = as_inputs(self._plain, images)
        with torch.inference_mode():
            if self._way is None:
                return check_logits(self._whole(channels)(images), len(images))
            if self._point is None or not torch.equal(self._point[0], images):
                self._point = images.clone(), self._way.prefix(self._inputs(images))
            return check_logits(self._way.suffix(self._point[1], len(images), channels), len(images))

    def stream(self, split: Split, tally: Tally, off: int | Iterable[int] = ()) -> Generator[Estimate, None, None]:
        """Yield an estimate of the accuracy after each batch of about 20 ms, the last one exact; as `evaluation.stream`.

        What is alive behind the layer is kept for the images seen, within the budget: for other channels it is there.

        Raises:
            As `logits`; DataError: no labels, or images on another device. ModelError: NaN.
        """
        channels = self._checked(off)
        if split.labels is None:
            raise DataError("got images without labels; accuracy needs Split(images, labels).")
        labels = split.labels.cpu()
        for index, logits in in_batches(self._answering(split, channels), tally.draw, image_s=self._image_s):
            check_finite(logits)
            yield tally.add(index.numpy(), *answers(logits, labels[index]))

    def forget(self) -> None:
        """Let go of the layer and of all that is kept for it."""
        if self._way is not None:
            self._way.release()
        self._way = self._point = self._store = self.site = None
        self._ablated.clear()
        self.note, self.count = "", 0

    def _answering(self, split: Split, channels: Channels) -> Callable[[Tensor], Tensor]:
        way, store = self._way, self._store_for(split)

        def points(way: Way) -> Callable[[npt.NDArray[np.int64]], Point]:
            return lambda index: way.prefix(self._inputs(split.inputs(torch.from_numpy(index).to(split.device))))

        def answer(index: Tensor) -> Tensor:
            with torch.inference_mode():
                if way is None:
                    logits = self._whole(channels)(split.inputs(index.to(split.device)))
                else:
                    compute = points(way)
                    point = compute(index.numpy()) if store is None else store.point(index.numpy(), compute)
                    logits = way.suffix(point, len(index), channels)
                return check_logits(logits, len(index)).float()

        return answer

    def _store_for(self, split: Split) -> PointStore | None:
        """What is kept of a sample, None where nothing can be."""
        if self._way is None:
            return None
        if self._store is None or self._store[0] is not split:
            layout = self._laid_out(self._way)
            self._store = split, None if layout is None else PointStore(layout, len(split), self._budget)
            if layout is None:
                self.note += " What is alive there cannot be kept image by image: for accuracy the whole network is run."
        return self._store[1]

    def _checked(self, off: int | Iterable[int]) -> Channels:
        if self.site is None:
            raise InputError("no layer is chosen; call choose(layer) first.")
        channels = checked_channels(off)
        if channels and channels[-1] >= self.count:
            raise InputError(f"{self.site} has {self.count} channels, 0 to {self.count - 1}; got channel {channels[-1]}.")
        return channels

    def _whole(self, channels: Channels) -> nn.Module:
        assert self.site is not None
        made = self._ablated.get(channels)
        if made is None:
            self._ablated.clear()
            made = self._ablated[channels] = Ablated(
                self._plain, {self.site: channels} if channels else {}, layouts=self._layouts
            )
        return made

    def _prepare(self) -> Prepared | nn.Module:
        size = sum(tensor.nbytes for tensor in (*self._plain.parameters(), *self._plain.buffers()))
        if size > _LARGE:
            return self._plain
        try:
            return Prepared(self._plain, self._shape, self._probe[:_PROBE])
        except ModelError:  # it can be used where it is
            return self._plain

    def _recorded(self) -> GraphRun | str:
        """The graph of the quick copy, or why there is none."""
        network = self._quick.network if isinstance(self._quick, Prepared) else self._plain
        few = self._inputs(self._probe[:1])
        try:
            with torch.no_grad():
                return GraphRun(network, {}, few)
        except UnfitError as error:
            return str(error)
        except Exception as error:  # the forward pass is anybody's code, and a proxy is no tensor
            return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]:.160}"

    def _inputs(self, images: Tensor) -> Tensor:
        return self._quick.inputs(images) if isinstance(self._quick, Prepared) else images

    def _folded(self, site: Site) -> tuple[nn.Module, Site, Fold | None]:
        """(the network in which a layer is switched, where, and what has become of its numbers there).

        A convolution that holds its batch-norm gives what that gives: off, it is what the norm makes of zero.
        """
        if not isinstance(self._quick, Prepared):
            return self._plain, site, None
        norm_name = self._quick.norms.get(site.name)
        if norm_name is None:
            return self._quick.network, site, None
        norm: Any = self._plain.get_submodule(norm_name)
        scale = torch.rsqrt(norm.running_var.double() + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight.detach().double()
        shift = -norm.running_mean.double() * scale
        if norm.bias is not None:
            shift = shift + norm.bias.detach().double()
        dtype = norm.running_var.dtype
        return self._quick.network, Site(norm_name, site.call), (scale.to(dtype), shift.to(dtype))

    def _laid_out(self, way: Way) -> Layout | None:
        one = self._probe[:1]
        with torch.inference_mode():
            points = [way.prefix(self._inputs(images)) for images in (one.repeat(2, *(1,) * (one.dim() - 1)), one)]
        return Layout.of(*points) if all(map(way.is_separate, points)) else None
