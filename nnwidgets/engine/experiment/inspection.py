"""What has been found out about the inside of an experiment's network: kept by weights, so that nothing is computed twice."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.evaluation import Tally, strata_of, stream
from nnwidgets.engine.experiment.pictures import Picture
from nnwidgets.engine.experiment.strongest import Strongest, some_of, strongest_of
from nnwidgets.engine.inspect import (
    Layout,
    Maps,
    ReceptiveField,
    Row,
    Site,
    Statistics,
    StatisticsStep,
    Structure,
    Switching,
    TopActivations,
    UnitStatistics,
    capture,
    filters,
    receptive_field,
    statistics_steps,
    structure,
    top_steps,
)
from nnwidgets.engine.inspect._ablate import Ablated
from nnwidgets.engine.inspect._over import Progress
from nnwidgets.engine.trace import plain_copy
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.records import Estimate, Evaluation
from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.experiment.bench import Bench
    from nnwidgets.engine.experiment.state import State

__all__ = ["ASK_BYTES", "MOST_IMAGES", "Forward", "Inspection"]

ASK_BYTES = 12_000_000  # activations of one layer above which it is asked for before they are captured
MOST_IMAGES = 2000  # of a sample, for statistics and strongest images
_PROBE = 8
_BUDGET = 64 * 2**20  # bytes of activations kept: all layers of a small network, all but the first ones of a VGG16
_SPARE = 16 * 2**20  # of them may stay while work runs that needs room of its own
_SWITCHING = 32 * 2**20  # and of those behind which channels are switched
_PICTURES = 2  # images whose activations are kept
_ACTIVATIONS = frozenset(
    {
        *("relu", "relu6", "leakyrelu", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish"),
        *("hardswish", "hardsigmoid", "sigmoid", "tanh", "softplus", "hardtanh"),
    }
)
_CHANNELWISE = _ACTIVATIONS | frozenset(
    {
        *("batchnorm1d", "batchnorm2d", "batchnorm3d", "batch_norm", "dropout", "dropout2d", "identity"),
        *("maxpool2d", "max_pool2d", "avgpool2d", "avg_pool2d"),
        *("adaptiveavgpool2d", "adaptive_avg_pool2d", "adaptivemaxpool2d", "adaptive_max_pool2d"),
    }
)


@dataclass
class Forward:
    """One image's pass through one network, as far as it was kept.

    Attributes:
        maps: by place. refused: places that cannot be shown, and why. answer: (K,) logits, None before the pass was through.
    """

    maps: dict[Site, Maps] = field(default_factory=dict)
    refused: dict[Site, str] = field(default_factory=dict)
    answer: Tensor | None = None


class Inspection:
    """Looks into the network of an experiment. Its methods run in the worker thread of the experiment's jobs.

    Attributes:
        structure: of the network.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._exp = experiment
        self._bench: Bench = experiment.bench(None)
        self.structure: Structure = structure(self._bench.base, experiment.input_shape, self._bench.trace)
        self._forwards: OrderedDict[tuple[object, ...], Forward] = OrderedDict()
        self._compressed: tuple[State, nn.Module] | None = None
        self._fields: dict[str, ReceptiveField] = {}
        self._answers: dict[str, Evaluation] = {}
        self._statistics: dict[str, dict[Site, UnitStatistics]] = {}
        self._unmeasured: dict[str, dict[Site, str]] = {}
        self._tops: dict[tuple[str, str], tuple[Split, TopActivations]] = {}
        self._switching: Switching | None = None
        self._allowed = ASK_BYTES
        self._lock = threading.Lock()

    @property
    def network(self) -> nn.Module:
        """The dense network: the experiment's own copy, in eval mode, which nobody writes to."""
        return self._bench.base

    @property
    def layouts(self) -> dict[Site, Layout | None]:
        """Where each row's channels are, for what reads them."""
        return {row.site: row.layout for row in self.structure.rows}

    def refresh(self) -> bool:
        """Look whether the network is still the one that was inspected. Returns True where all has to be found out anew."""
        bench = self._exp.bench(None)
        if bench is self._bench:
            return False
        with self._lock:
            self._bench = bench
            self.structure = structure(bench.base, self._exp.input_shape, bench.trace)
            self._forwards.clear()
            self._fields.clear()
            self._answers.clear()
            self._statistics.clear()
            self._unmeasured.clear()
            self._tops.clear()
            self._compressed = self._switching = None
        return True

    def compressed(self) -> nn.Module:
        """The present state as a plain network of its own: weights as masks, rounding and training leave them."""
        return self._compressed_now()[1]

    def _compressed_now(self) -> tuple[State, nn.Module]:
        """It with its state: another one may be applied at any time."""
        while self._compressed is None or self._compressed[0] != self._exp.state:
            state, network = self._exp.state, plain_copy(self._exp.compressed)
            self._compressed = (state, network) if state == self._exp.state else None
        return self._compressed

    # --- one image --------------------------------------------------------------------------------------------------

    def bytes_of(self, row: Row) -> int:
        """Activations of a layer for one image, in bytes."""
        size = 4
        for each in row.shape:
            size *= each
        return size

    def has_to_ask(self, row: Row) -> bool:
        """True where a layer is larger than what was allowed so far."""
        return self.bytes_of(row) > self._allowed

    def allow(self, row: Row) -> None:
        """Capture layers as large as this one without asking again."""
        self._allowed = max(self._allowed, self.bytes_of(row))

    def known(self, picture: Picture, site: Site | None = None, compressed: bool = False) -> Forward | None:
        """What is kept of an image; None where nothing is, or not what a place gives."""
        with self._lock:
            found = self._forwards.get(self._key(picture, compressed))
            if found is None or (site is not None and site not in found.maps and site not in found.refused):
                return None
            self._forwards.move_to_end(self._key(picture, compressed))
            return found

    def look(
        self,
        picture: Picture,
        row: Row,
        compressed: bool = False,
        seen: Callable[[Site, Maps], None] | None = None,
        stale: Callable[[], bool] | None = None,
    ) -> Forward | None:
        """Run an image through the network and keep the wanted layer, and as many others as the budget allows.

        Args:
            seen: called with the wanted layer while the rest still runs. stale: see `capture`; then None is returned.
        """
        state, network = self._compressed_now() if compressed else (None, self.network)
        sites = self._sites(row, only=compressed)

        def tell(site: Site, maps: Maps) -> None:
            if site == row.site and seen is not None:
                seen(site, maps)

        found = capture(network, picture.inputs, sites, tell, stale, own=True)
        if found is None:
            return None
        with self._lock:
            forward = self._forwards.setdefault((picture.key, state), Forward())
            self._forwards.move_to_end((picture.key, state))
            forward.maps.update(found.maps)
            forward.refused.update(found.refused)
            forward.answer = found.answer[0]
            self._forget()
        return forward

    def _sites(self, row: Row, only: bool) -> dict[Site, Layout | None]:
        """The wanted layer, then others of its sort, the smallest first, as many as the budget holds.

        Small ones are deep in the network, where a pass is long; those that are too large are soon reached again.

        Functions between layers can only be seen by watching every operation: they are captured together, once one is wanted.
        """
        found, left = {row.site: row.layout}, _BUDGET - self.bytes_of(row)
        for other in () if only else sorted(self.structure.rows, key=self.bytes_of):
            size = self.bytes_of(other)
            fits = other.maps and size <= min(left, self._allowed) and (not other.function or row.function)
            if fits and other.id != row.id:
                found[other.site] = other.layout
                left -= size
        return found

    def make_room(self, picture: Picture | None = None, row: Row | None = None) -> None:
        """Let kept activations go, but for one layer, before work that needs room of its own, where they are many."""
        with self._lock:
            if self._held() <= _SPARE:
                return
            kept = None if picture is None else self._forwards.get(self._key(picture, False))
            self._forwards.clear()
            if kept is not None and picture is not None and row is not None:
                maps = {site: maps for site, maps in kept.maps.items() if site == row.site}
                self._forwards[self._key(picture, False)] = Forward(maps, dict(kept.refused), kept.answer)

    def _key(self, picture: Picture, compressed: bool) -> tuple[object, ...]:
        return (picture.key, self._exp.state if compressed else None)

    def _forget(self) -> None:
        """Keep the last few pictures, as far as the budget goes."""
        while len(self._forwards) > 1 and (len(self._forwards) > 2 * _PICTURES or self._held() > _BUDGET):
            self._forwards.popitem(last=False)

    def _held(self) -> int:
        return sum(maps.values.nbytes for forward in self._forwards.values() for maps in forward.maps.values())

    # --- around a place ---------------------------------------------------------------------------------------------

    def around(self, row: Row) -> str:
        """Whether a layer's output is before or after an activation, in words."""
        calls = self._bench.trace.calls
        if row.kind.lower() in _ACTIVATIONS:
            return f"after {row.kind}"
        index = next((call.index for call in calls if call.name == row.name and call.call == row.call), None)
        if index is None:
            return ""
        after = [call for call in calls if index in call.producers]
        return f"before {after[0].kind}" if len(after) == 1 and after[0].kind.lower() in _ACTIVATIONS else ""

    def filter_of(self, row: Row, channel: int) -> Tensor | None:
        """(I, kh, kw) the filter that makes a channel: of the layer itself, or of the convolution whose channels it passes on."""
        layer = self._source_of(row)
        if layer is None or not isinstance(self.network.get_submodule(layer), _ConvNd):  # a matrix would be copied in vain
            return None
        found = filters(self.network, layer)
        return found.tiles[channel] if found.tiles.dim() == 4 and not found.matrix and channel < len(found.tiles) else None

    def _source_of(self, row: Row) -> str | None:
        """The convolution behind a layer through what treats each channel by itself: batch-norm, activations, pooling."""
        calls = self._bench.trace.calls
        here = next((call for call in calls if call.name == row.name and call.call == row.call), None)
        while here is not None and not here.weights:
            if len(here.producers) != 1 or here.producers[0] < 0 or here.kind.lower() not in _CHANNELWISE:
                return None
            here = calls[here.producers[0]]
        return here.name if here is not None and here.is_module else None

    def field_of(self, row: Row) -> ReceptiveField:
        """The receptive field of a layer's units."""
        known = self._fields.get(row.id)
        if known is None:
            known = receptive_field(self.network, self._exp.input_shape, row.name, call=row.call, layouts=self.layouts)
            self._fields[row.id] = known
        return known

    def field_or_none(self, row: Row) -> ReceptiveField | None:
        """As `field_of`; None where the network takes no images, or what it does cannot be followed."""
        try:
            return self.field_of(row) if len(self._exp.input_shape) == 3 else None
        except NnwError:
            return None

    # --- a whole sample ---------------------------------------------------------------------------------------------

    def answers_of(self, sample: str) -> Evaluation | None:
        """What the network answers to all images of a sample, once `answer_all` was through."""
        return self._answers.get(sample)

    def answer_all(self, sample: str) -> Generator[float, None, None]:
        """Let the network answer all images of a sample; yields the share that is done."""
        split = getattr(self._exp, sample)
        tally = Tally(len(split))
        for estimate in stream(self._bench.dense, split, tally):
            yield estimate.n_seen / estimate.n_total
        low, high = wilson(int(tally.right.sum()), len(split))
        none = np.zeros((0, 0), np.int64)
        accuracy = float(tally.right.mean())
        self._answers[sample] = Evaluation(accuracy, low, high, len(split), none, tally.right, tally.margin)

    def measure(self, sample: str) -> Generator[StatisticsStep, None, None]:
        """Measure the outputs of all layers over a sample, at most 2,000 images of it."""
        self.make_room()
        split = some_of(getattr(self._exp, sample), MOST_IMAGES)
        sites = [row.site for row in self.structure.rows if row.maps and not row.container]
        found: Statistics = yield from statistics_steps(self.network, split, sites, own=True, layouts=self.layouts)
        units = {unit.site: unit for unit in found.units}
        reasons = dict(found.skipped)
        self._statistics[sample] = units
        self._unmeasured[sample] = {site: reasons.get(site, "it was not reached") for site in sites if site not in units}

    def statistics_of(self, site: Site, sample: str) -> UnitStatistics | None:
        """What was measured of a layer over a sample; None before."""
        return self._statistics.get(sample, {}).get(site)

    def unmeasured(self, row: Row, sample: str) -> str:
        """Why `measure` finds nothing of a layer; "" where it does, or was not asked yet."""
        if row.container:
            return "a container: its layers are measured"
        return self._unmeasured.get(sample, {}).get(row.site, "")

    def dead(self, sample: str) -> dict[str, tuple[int, int]]:
        """Row id -> (dead channels, channels), of the layers that were measured over a sample."""
        rows = {row.site: row.id for row in self.structure.rows}
        units = self._statistics.get(sample, {})
        return {rows[site]: (int(unit.dead.sum()), unit.channels) for site, unit in units.items() if site in rows}

    def channels_of(self, row: Row) -> int | None:
        """How many channels a layer has, None before one of its outputs was seen."""
        with self._lock:
            for forward in self._forwards.values():
                if row.site in forward.maps:
                    return forward.maps[row.site].values.shape[1]
        known = next((units[row.site] for units in self._statistics.values() if row.site in units), None)
        return None if known is None else known.channels

    def find_top(self, row: Row, sample: str) -> Generator[Progress, None, None]:
        """Find the nine strongest images of each channel of a layer, among at most 2,000 images of a sample."""
        self.make_room()
        split = some_of(getattr(self._exp, sample), MOST_IMAGES)
        found = yield from top_steps(self.network, split, row.name, call=row.call, layouts=self.layouts)
        self._tops[row.id, sample] = (split, found)

    def has_top(self, row: Row, sample: str) -> bool:
        """Whether the strongest images of a layer are known."""
        return (row.id, sample) in self._tops

    def strongest(self, row: Row, channel: int, sample: str) -> Generator[None, None, Strongest]:
        """The nine strongest images of one channel, each with its patch and the projection of the unit."""
        split, found = self._tops[row.id, sample]
        names = self._exp.class_names
        return (yield from strongest_of(self.network, self.field_or_none(row), row, channel, found, split, sample, names))

    # --- without some channels --------------------------------------------------------------------------------------

    @property
    def switching_note(self) -> str:
        """How answers without some channels are found, where that is worth a word."""
        return "" if self._switching is None or self._switching.method != "whole" else self._switching.note

    def logits_without(self, picture: Picture, off: Sequence[tuple[str, int]]) -> Generator[None, None, Tensor]:
        """(K,) answer to an image with some channels switched off."""
        network, channels = yield from self._without(off)
        if isinstance(network, Switching):
            return network.logits(picture.inputs, channels)[0].float()
        with torch.inference_mode():
            answer: Tensor = network(picture.inputs)[0].float()
            return answer

    def accuracy_without(
        self, sample: str, off: Sequence[tuple[str, int]]
    ) -> Generator[tuple[Estimate, Estimate] | None, None, None]:
        """Accuracy on a sample with some channels switched off, streamed, beside that of the network as it is.

        The network's own answers to all images come first, where they are not known: they say which images tell most.
        """
        split: Split = getattr(self._exp, sample)
        if split.labels is None:
            return
        if self._answers.get(sample) is None:
            for _ in self.answer_all(sample):
                yield None
        known = self._answers[sample]
        tally = Tally(len(split), strata_of(split.labels.cpu().numpy(), known.margins), known.accuracy)
        dense = Estimate(known.accuracy, known.accuracy, known.accuracy, known.n, known.n)
        network, channels = yield from self._without(off)
        estimates = network.stream(split, tally, channels) if isinstance(network, Switching) else stream(network, split, tally)
        for estimate in estimates:
            yield estimate, dense

    def _without(self, off: Sequence[tuple[str, int]]) -> Generator[None, None, tuple[Switching | nn.Module, tuple[int, ...]]]:
        """What answers with some channels off: channels of one layer are switched behind what is kept before it."""
        sites: dict[Site, tuple[int, ...]] = {}
        for layer, channel in off:
            site = self.structure.find(layer).site
            sites[site] = (*sites.get(site, ()), channel)
        if len(sites) > 1:
            if self._switching is not None:
                self._switching.forget()
            return Ablated(self.network, {at: tuple(sorted(off)) for at, off in sites.items()}, layouts=self.layouts), ()
        (place, channels), *_ = sites.items()
        if self._switching is None:
            probe = self._exp.probe.inputs(slice(0, _PROBE))
            self._switching = Switching(self.network, self._exp.input_shape, probe, _SWITCHING)
        yield from self._switching.choosing(place, layouts=self.layouts)
        return self._switching, channels
