"""Count the right answers of a network with one layer compressed, for each layer and amount, over one part of the images.

Images are taken in chunks; within a chunk the pass goes from layer to layer and stops before each, and from there every candidate
is run to the end. What is alive at the stops is kept for one chunk at a time.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.errors import DataError, ModelError
from nnwidgets.engine.evaluation import Prepared
from nnwidgets.engine.evaluation.checks import check_logits
from nnwidgets.engine.scans.records import Counts, Progress
from nnwidgets.engine.trace import Point, Resumable, Trace, resuming, whole
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["Candidates", "counting", "counts"]

_BATCH_SECONDS = 0.02  # of the whole network; larger batches are slower by page faults, and cannot be cancelled
_STEP_SECONDS = 0.01  # work between two looks at whether to go on
_FIRST, _LARGEST = 16, 1024
_FEWEST, _FEWEST_AT_ONCE = 8, 32  # images of a batch, in steps and in one go
_PROBE = 8


@dataclass(frozen=True)
class Candidates:
    """What is tried.

    Attributes:
        layers: names. settings: amounts or bits, for messages. recipes: layer -> its recipes, in the order of ``settings``.
    """

    layers: tuple[str, ...]
    settings: tuple[str, ...]
    recipes: Mapping[str, tuple[Recipe, ...]]


def counts(
    model: nn.Module,
    split: Split,
    candidates: Candidates,
    budget_bytes: int,
    share_prefix: bool = True,
    plan: CompressionPlan | None = None,
) -> Counts:
    """As `counting`, in one go: the task that an executor is given."""
    return result_of(counting(model, split, candidates, budget_bytes, share_prefix, _FEWEST_AT_ONCE, plan))


def counting(
    model: nn.Module,
    split: Split,
    candidates: Candidates,
    budget_bytes: int,
    share_prefix: bool = True,
    fewest: int = _FEWEST,
    plan: CompressionPlan | None = None,
) -> Generator[Progress, None, Counts]:
    """Yield the progress after each 10 to 20 ms of work, return the counts.

    Args:
        model: a plain network, which must not change meanwhile. budget_bytes: for what is alive where the pass stops.
        fewest: images of a batch, where 20 ms are too short for as many. plan: of the network, made anew where it is not given.
    """
    yield Progress(0.0, "preparing")
    plan = CompressionPlan(model, split.sample_shape) if plan is None else plan
    made = Prepared(model, split.sample_shape, split.inputs(slice(0, _PROBE)), plan.trace)
    few = made.inputs(split.inputs(slice(0, 2)))
    if share_prefix:
        preparing = resuming(made.network, few)
        while True:
            try:
                next(preparing)
            except StopIteration as end:
                run: Resumable = end.value
                break
            yield Progress(0.0, "preparing")
    else:
        run = whole(made.network, "The whole network is run for each candidate, as asked for.")
    batch, per_image = yield from _measured(run, made, split, fewest, budget_bytes)
    scan = _Scan(model, plan, made, run, split, candidates, batch)
    chunk = max(1, int(budget_bytes // max(per_image * batch, 1)))  # batches
    batches = -(-len(split) // batch)
    for first in range(0, batches, chunk):
        yield from scan.chunk(range(first, min(first + chunk, batches)))
    run.release()
    return Counts(len(split), scan.dense, scan.right, run.method, run.note)


def _measured(
    run: Resumable, made: Prepared, split: Split, fewest: int, budget_bytes: int
) -> Generator[Progress, None, tuple[int, float]]:
    """(images of a batch, bytes an image needs where most is alive).

    A batch takes the network about 20 ms but has at least ``fewest`` images, as far as half the budget allows: what is paid once
    a batch (weights laid out anew, calls) is then shared by enough of them.
    """
    most, few = 0, min(2, len(split))
    with torch.inference_mode():
        point = run.start(made.inputs(split.inputs(slice(0, few))))
        for layer in run.order:
            point = run.advance(point, layer)
            most = max(most, point.nbytes)
    yield Progress(0.0, "preparing")
    largest = int(min(_LARGEST, len(split), max(1, budget_bytes * few // (2 * max(most, 1)))))
    size = min(_FIRST, largest)
    while True:
        spent = _seconds(run, made.inputs(split.inputs(slice(0, size))))
        yield Progress(0.0, "preparing")
        if spent > _BATCH_SECONDS / 2 or size >= largest:
            break
        size = min(2 * size, largest)
    wanted = max(size * _BATCH_SECONDS / max(spent, 1e-6), fewest)
    return int(min(wanted, 2 * size, largest)), most / few


def _seconds(run: Resumable, images: Tensor) -> float:
    """Time of a pass; the quicker of two, since the first one pays for what later ones find ready."""
    found = []
    for _ in range(2):
        began = time.perf_counter()
        with torch.inference_mode():
            run.finish(run.start(images))
        found.append(time.perf_counter() - began)
    return min(found)


class _Scan:
    """The counts as they grow."""

    def __init__(
        self,
        model: nn.Module,
        plan: CompressionPlan,
        made: Prepared,
        run: Resumable,
        split: Split,
        candidates: Candidates,
        batch: int,
    ) -> None:
        self._plan, self._made, self._run, self._split, self._candidates = plan, made, run, split, candidates
        self._model, self._batch = model, batch
        self._places = {layer.name: (layer.module_name, layer.parameter) for layer in plan.layers}
        self._order = [layer for layer in run.order if layer in candidates.layers]
        self._clock = time.perf_counter()
        labels = split.labels
        if labels is None:
            raise DataError("got images without labels; a scan needs Split(images, labels).")
        self._labels = labels
        self.dense = 0
        self.right = np.zeros((len(candidates.layers), len(candidates.settings)), np.int64)
        cost = _rest_macs(plan.trace, self._order) if run.method != "whole" else dict.fromkeys(self._order, 1.0)
        self._cost = {layer: value / max(sum(cost.values()), 1e-9) for layer, value in cost.items()}
        self._done = 0.0
        self._unchanged: list[tuple[int, int]] = []  # candidates that answer as the dense network does

    def chunk(self, batches: range) -> Generator[Progress, None, None]:
        """All layers and amounts on some batches."""
        share = sum(self._size(i) for i in batches) / len(self._split)
        points: dict[int, Point] = {}
        dense = 0
        for i in batches:
            with torch.inference_mode():
                points[i] = self._run.start(self._made.inputs(self._split.inputs(self._slice(i))))
            yield from self._pause("preparing")
        for place, layer in enumerate(self._order):
            for i in batches:
                with torch.inference_mode():
                    points[i] = self._run.advance(points[i], layer)
                yield from self._pause(layer)
            if place == len(self._order) - 1:  # the nearest to the end: hardly anything is left to run
                dense = yield from self._count(points, f"{layer} as it is")
            yield from self._layer(layer, points, share)
        self.dense += dense
        for row, column in self._unchanged:
            self.right[row, column] += dense
        self._unchanged.clear()

    def _layer(self, layer: str, points: dict[int, Point], share: float) -> Generator[Progress, None, None]:
        row = self._candidates.layers.index(layer)
        recipes = self._candidates.recipes[layer]
        original = self._plan.effective(Recipe(), layer)
        seen: list[tuple[Tensor, int]] = []
        for column, recipe in enumerate(recipes):
            weight = self._plan.effective(recipe, layer)
            self._done += share * self._cost[layer] / len(recipes)
            if torch.equal(weight, original):
                self._unchanged.append((row, column))
                continue
            known = next((count for other, count in seen if torch.equal(other, weight)), None)
            if known is None:
                self._write(layer, weight)
                try:
                    known = yield from self._count(points, f"{layer} at {self._candidates.settings[column]}")
                finally:
                    self._write(layer, original)
                seen.append((weight, known))
            self.right[row, column] += known

    def _write(self, layer: str, weight: Tensor) -> None:
        """Put a weight into the copy, with the bias that it is folded with."""
        module_name, parameter = self._places[layer]
        bias = self._model.get_submodule(module_name)._parameters.get("bias")

        def load(network: nn.Module) -> None:
            parameters = network.get_submodule(module_name)._parameters
            for name, value in ((parameter, weight), ("bias", bias)):
                target = parameters.get(name)
                if target is not None and value is not None:
                    target.copy_(value)

        self._made.write(load, only=(layer,))

    def _count(self, points: dict[int, Point], what: str) -> Generator[Progress, None, int]:
        right = 0
        for i, point in points.items():
            with torch.inference_mode():
                logits = check_logits(self._run.finish(point), self._size(i))
                if not bool(torch.isfinite(logits).all()):
                    raise ModelError(
                        f"with {what} the network answers NaN or infinity, and its accuracy means nothing; look at its weights."
                    )
                right += int((logits.argmax(1) == self._labels[self._slice(i)]).sum())
            yield from self._pause(what)
        return right

    def _pause(self, text: str) -> Generator[Progress, None, None]:
        if time.perf_counter() - self._clock >= _STEP_SECONDS:
            yield Progress(min(self._done, 1.0), text)
            self._clock = time.perf_counter()

    def _slice(self, i: int) -> slice:
        return slice(i * self._batch, min((i + 1) * self._batch, len(self._split)))

    def _size(self, i: int) -> int:
        part = self._slice(i)
        return int(part.stop - part.start)


def _rest_macs(trace: Trace, layers: Sequence[str]) -> dict[str, float]:
    """Multiply-accumulates from the first call of each layer on, and a little for what is not counted in them."""
    first = {layer: min((call.index for call in trace.calls_of(layer)), default=len(trace.calls)) for layer in layers}
    return {layer: sum(call.macs for call in trace.calls[index:]) + 0.02 * trace.macs + 1 for layer, index in first.items()}
