"""Statistics of the units of many layers in one pass over a sample; no activation is kept."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from typing import Any

import numpy as np
from torch import Tensor, nn

from nnwidgets.engine.errors import InputError, ModelError, NnwError, UnsupportedError
from nnwidgets.engine.evaluation import in_batches, in_order
from nnwidgets.engine.evaluation._memory import out_of_memory
from nnwidgets.engine.inspect._gather import Classes, Gathering
from nnwidgets.engine.inspect._maps import Layouts, frame_of, is_open, traced_layouts
from nnwidgets.engine.inspect._sites import Site, as_inputs, quiet, reading, site_of
from nnwidgets.engine.inspect._summary import Summary
from nnwidgets.engine.inspect._taps import Taps, Visitor
from nnwidgets.engine.inspect.statistics_records import Statistics, StatisticsStep, UnitStatistics
from nnwidgets.engine.trace import tensors_in, trace
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["default_sites", "statistics", "statistics_steps"]

_FEW, _FEW_NUMBERS = 2, 2 * 3 * 64 * 64  # images, and numbers in them, that places are found on


def statistics(
    model: nn.Module, split: Split, layers: str | Site | Iterable[str | Site] | None = None, bins: int = 64
) -> Statistics:
    """Sum up what layers give over a sample, for each channel: moments, extremes, shares, histogram, class means, selectivity.

    One pass in eval mode for all of the layers. Sums are float64, memory is that of the records. Each call of a layer that is
    called again is a place of its own. Images are taken in a fixed random order.

    Args:
        model: any network; it is left as it is. split: with labels, class means and selectivity are there too.
        layers: names as in `layers`, or `Site`; None for all rows of `layers`, those that have no channels aside (``skipped``).
        bins: of the histograms, an even number from 2.

    Raises:
        InputError: there is no such layer, or a malformed argument. UnsupportedError: a layer asked for has no channels.
        ModelError: it gives NaN or infinity, or the network fails on these images. DataError: as `Split` says.
    """
    wanted = None if layers is None else [layers] if isinstance(layers, str | Site) else list(layers)
    sites = None if wanted is None else [site_of(layer) for layer in wanted]
    found = result_of(statistics_steps(model, split, sites, bins))
    if sites is not None and found.skipped:
        raise UnsupportedError(" ".join(reason for _, reason in found.skipped))
    return found


def statistics_steps(
    model: nn.Module,
    split: Split,
    sites: Iterable[Site] | None = None,
    bins: int = 64,
    own: bool = False,
    layouts: Layouts | None = None,
) -> Generator[StatisticsStep, None, Statistics]:
    """As `statistics`, step by step: yields how far it is after each batch of about 20 ms, and returns the record.

    Between two yields the network is as it was. It can be closed at any of them.

    Args:
        sites: None for all. own: the network is the caller's own copy in eval mode, whose state, and the random states, are then
            not guarded. layouts: known ones, from ``Row.layout``; where some are needed and none given, the network is traced.

    Raises:
        As `statistics`, but places that have no channels, or give NaN, are named in ``skipped``.
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2 or bins % 2:
        raise InputError(f"bins: got {bins!r}, expected an even number from 2, such as 64.")
    chosen = default_sites(model, split.sample_shape) if sites is None else list(dict.fromkeys(sites))
    gathered = _Pass(model, split, chosen, bins, own, layouts)
    yield StatisticsStep(0.0, "preparing", gathered.so_far)
    gathered.prepare()
    yield StatisticsStep(0.0, "preparing", gathered.so_far)
    order = np.random.default_rng(0).permutation(len(split))
    for index, summaries in in_batches(gathered.look, in_order(order), image_s=gathered.image_s):
        gathered.add(index, summaries)
        done = gathered.n
        yield StatisticsStep(done / len(split), f"{done:,} of {len(split):,} images", gathered.so_far)
    return gathered.finish()


def default_sites(model: nn.Module, input_shape: tuple[int, ...]) -> list[Site]:
    """The rows of `layers`: each call of a layer, and of a function between layers that computes something."""
    return [Site(call.name, call.call) for call in trace(model, input_shape).calls if not call.moves]


_Summaries = dict[Site, Summary]


class _Pass:
    """Many places in one pass. Those that cannot be summed up are left out from then on."""

    def __init__(self, model: nn.Module, split: Split, sites: list[Site], bins: int, own: bool, layouts: Layouts | None) -> None:
        self._modules = dict(model.named_modules())
        self._bins, self._layouts = bins, layouts
        self._model, self._split, self._own, self._taps = model, split, own, Taps()
        self._active: dict[Site, Gathering] = {}
        self._order = sites
        self._failed: dict[Site, NnwError] = {}
        self._labels = None if split.labels is None else split.labels.cpu().numpy()
        self._of_class = np.zeros(split.n_classes, np.int64)
        self._final: Statistics | None = None
        self.n, self.image_s = 0, 0.0

    def prepare(self) -> None:
        """Find the places on a few images: what is kept meanwhile is as large as their activations.

        Raises:
            InputError: a place that is never reached. ModelError: the network fails.
        """
        few = max(1, min(_FEW, _FEW_NUMBERS // self._split.images[0].numel()))
        images = as_inputs(self._model, self._split.inputs(slice(0, few)))
        frame, is_known = frame_of(images), self._layouts is not None
        unclear: list[Site] = []

        def visitor(site: Site) -> Visitor:
            def visit(result: Any, writes: bool) -> None:
                tensor = next(tensors_in(result), None)
                module = self._modules.get(site.name)
                if tensor is not None and not is_known and is_open(tensor.shape, len(images), module, frame):
                    unclear.append(site)

            return visit

        began = time.perf_counter()
        try:
            with reading(self._model, self._own), quiet():
                self._taps.run(self._model, images, lambda: {site: visitor(site) for site in self._order})
            self.image_s = (time.perf_counter() - began) / len(images)
        except NnwError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            raise ModelError(
                f"the network failed on images of shape {tuple(images.shape)}: {type(error).__name__}: {error}. "
                f"Expected a forward that takes (B, {', '.join(map(str, self._split.sample_shape))})."
            ) from error
        layouts = self._layouts or {}
        if unclear:
            layouts = traced_layouts(self._model, self._split.sample_shape, images.dtype)
        classes = self._split.n_classes
        self._active = {
            site: Gathering(site, self._modules.get(site.name), self._bins, classes, layouts.get(site), frame)
            for site in self._order
        }

    def look(self, index: Tensor) -> _Summaries:
        """Run one batch and sum up what every place gives."""
        images = self._split.inputs(index.to(self._split.device))
        found: _Summaries = {}
        failed: dict[Site, NnwError] = {}

        def visitor(gathering: Gathering) -> Visitor:
            def visit(result: Any, writes: bool) -> None:
                try:
                    found[gathering.site] = gathering.look(result, len(images))
                except (UnsupportedError, ModelError) as error:
                    failed[gathering.site] = error.with_traceback(None)

            return visit

        def visits() -> dict[Site, Visitor]:
            found.clear()
            failed.clear()
            return {site: visitor(gathering) for site, gathering in self._active.items()}

        with reading(self._model, self._own), quiet():
            self._taps.run(self._model, images, visits)
        for site, error in failed.items():
            self._failed[site] = error
            del self._active[site]
        return found

    def add(self, index: Tensor, summaries: _Summaries) -> None:
        """Count a batch in, once all of it was seen."""
        labels = None if self._labels is None else self._labels[index.numpy()]
        classes = None if labels is None else Classes.of(labels)
        for site, summary in summaries.items():
            if site in self._active:
                self._active[site].add(summary, classes)
        if labels is not None:
            self._of_class += np.bincount(labels, minlength=len(self._of_class))
        self.n += len(index)

    def finish(self) -> Statistics:
        """As `so_far` of all places, at the end: each place is let go of once its record is made."""
        records: list[UnitStatistics] = []
        skipped = tuple((site, str(self._failed[site])) for site in self._order if site in self._failed)
        for site in self._order:
            gathering = self._active.pop(site, None)
            record = None if gathering is None else gathering.record(self._of_class)
            records += [] if record is None else [record]
        self._final = Statistics(self.n, len(self._split), tuple(records), skipped)
        return self._final

    def so_far(self, *sites: Site) -> Statistics:
        """What is known by now, of all places or of some."""
        asked = [site for site in self._order if not sites or site in sites]
        if self._final is not None:
            units = tuple(unit for unit in self._final.units if unit.site in asked)
            left_out = tuple((site, why) for site, why in self._final.skipped if site in asked)
            return Statistics(self.n, len(self._split), units, left_out)
        records = [self._active[site].record(self._of_class) for site in asked if site in self._active]
        skipped = tuple((site, str(self._failed[site])) for site in asked if site in self._failed)
        return Statistics(self.n, len(self._split), tuple(record for record in records if record is not None), skipped)
