"""Watch the weights of a network while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.trace import WeightLayer, preserved_buffers, weight_layers, weight_of
from nnwidgets.engine.trace.weights import sources_of
from nnwidgets.engine.training import Run, fit
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.records import StepRecord
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["LayerStep", "TrainingStep", "WatchedTraining", "watch_training"]


@dataclass(frozen=True)
class LayerStep:
    """What one step did to one weight. Norms are Euclidean, over all of its numbers.

    Attributes:
        name: of the weight layer. weight_norm: before the step. update_norm: of the difference that the step made.
        gradient_norm: of the gradient of this batch's loss, None where the weight is frozen.

    Of a masked or quantized weight these speak of the numbers that are trained, before masks and grids.
    """

    name: str
    weight_norm: float
    update_norm: float
    gradient_norm: float | None

    @property
    def ratio(self) -> float:
        """Update / weight. About 1e-3 is a rule of thumb (A. Karpathy, CS231n notes, "Ratio of weights:updates"): far below, the
        learning rate may be too low, far above, too high. 0 where the weight was all zeros.
        """
        return self.update_norm / self.weight_norm if self.weight_norm else 0.0


@dataclass(frozen=True)
class TrainingStep:
    """One optimiser step, seen from the weights.

    Attributes:
        record: loss, rate, errors. layers: one for each weight layer watched, in order of definition.
        shown: the layer whose weight is copied, None without one. weight: a copy of it after the step, as the forward pass uses
            it (masks and grids included); None in steps without one.
    """

    record: StepRecord
    layers: tuple[LayerStep, ...]
    shown: str | None = None
    weight: Tensor | None = None

    def of(self, name: str) -> LayerStep:
        """The step of one layer.

        Raises:
            InputError: it is not watched.
        """
        found = next((layer for layer in self.layers if layer.name == name), None)
        if found is None:
            raise InputError(f"{name!r} is not watched; {nearest(name, [layer.name for layer in self.layers])}")
        return found


def watch_training(
    network: nn.Module,
    train: Split,
    setup: TrainingSetup | None = None,
    layers: Iterable[str] | None = None,
    show: str | None = None,
    every: int = 1,
    *,
    test: Split | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    resume: dict[str, Any] | None = None,
) -> WatchedTraining:
    """Train a network in place, as `fit` does and with the same result, and watch its weights. One record a step.

    To pause, ask for no further step. Closed, or left, the network keeps what it has learned so far. One copy of the weights
    watched is kept.

    Args:
        network: the caller's own, trained where it is. train, setup, test, loss, resume: as in `fit`.
        layers: names of weight layers to watch, None for all. show: the one whose weight is copied after the first, each
            ``every``-th and the last step.

    Raises:
        InputError: there is no such weight layer, or ``every`` is not a whole number from 1. And as `fit`.
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise InputError(f"every: got {every!r}, expected a whole number of steps from 1.")
    known = {layer.name: layer for layer in weight_layers(network)}
    names = list(known) if layers is None else list(dict.fromkeys([layers] if isinstance(layers, str) else layers))
    for name in [*names, *([] if show is None else [show])]:
        if name not in known:
            raise InputError(f"there is no weight layer {name!r}; {nearest(name, known)}")
    watched = [layer for name, layer in known.items() if name in names]
    run = fit(network, train, test, setup, loss=loss, resume=resume)
    return WatchedTraining(run, network, watched, None if show is None else known[show], every)


class WatchedTraining(Iterator[TrainingStep]):
    """A training run whose weights are watched: an iterator of steps; what `fit` returns, and more."""

    def __init__(self, run: Run, network: nn.Module, layers: list[WeightLayer], shown: WeightLayer | None, every: int) -> None:
        self._run, self._network, self._shown, self._every = run, network, shown, every
        self._names = [layer.name for layer in layers]
        sources = [sources_of(network.get_submodule(layer.module_name), layer.parameter) for layer in layers]
        self._counts = [len(each) for each in sources]
        self._weights = [source for each in sources for source in each]
        self._before = [weight.detach().clone() for weight in self._weights]
        self._norms = _norms(self._before)
        self._parts = self._stepping()

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self._run.steps

    def __next__(self) -> TrainingStep:
        while True:
            part = next(self._parts)
            if part is not None:
                return part

    def in_parts(self) -> Iterator[TrainingStep | None]:
        """The same in parts, for who has other things to do between; see ``Run.in_parts``."""
        return self._parts

    def state(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit, for ``resume``; see ``Run.state``."""
        return self._run.state()

    def close(self) -> None:
        """End the run where it is; the network keeps what it has learned so far."""
        self._parts.close()
        self._run.close()

    def _stepping(self) -> Generator[TrainingStep | None, None, None]:
        parts = self._run.in_parts()
        gradients: list[float | None] = []
        try:
            for part in parts:
                if part is None:
                    gradients = self._gradients() or gradients
                    yield None
                else:
                    yield self._step(part, gradients)
        finally:
            parts.close()  # type: ignore[attr-defined]

    def _gradients(self) -> list[float | None]:
        """Norm of the gradient of each weight, where a backward pass has just left them; [] where it has not."""
        there = [weight.grad for weight in self._weights if weight.grad is not None]
        if not there:
            return []
        norms = iter(_norms(there))
        return [None if weight.grad is None else next(norms) for weight in self._weights]

    def _step(self, record: StepRecord, gradients: list[float | None]) -> TrainingStep:
        with torch.no_grad():
            torch._foreach_sub_(self._before, self._weights)
            updates = _norms(self._before)
            torch._foreach_copy_(self._before, self._weights)
        found, at = [], 0
        for name, count in zip(self._names, self._counts, strict=True):
            here = slice(at, at + count)
            of_layer = [norm for norm in gradients[here] if norm is not None]
            gradient = _joined(of_layer) if of_layer else None
            found.append(LayerStep(name, _joined(self._norms[here]), _joined(updates[here]), gradient))
            at += count
        self._norms = _norms(self._before)
        return TrainingStep(record, tuple(found), None if self._shown is None else self._shown.name, self._copy(record))

    def _copy(self, record: StepRecord) -> Tensor | None:
        if self._shown is None or not (record.step == 1 or record.step % self._every == 0 or record.step == record.steps):
            return None
        if not parametrize.is_parametrized(self._network.get_submodule(self._shown.module_name)):
            return weight_of(self._network, self._shown).detach().clone()
        with torch.no_grad(), preserved_buffers(self._network):  # some count how often they are asked
            return weight_of(self._network, self._shown).detach().clone()


def _norms(tensors: list[Tensor]) -> list[float]:
    if not tensors:
        return []
    with torch.no_grad():
        found: list[float] = torch.stack([norm.float() for norm in torch._foreach_norm(tensors)]).tolist()
    return found


def _joined(norms: list[float]) -> float:
    """The norm of several tensors as one."""
    return norms[0] if len(norms) == 1 else float(sum(norm * norm for norm in norms) ** 0.5)
