"""Ask a criterion about a network."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError, InputError, ModelError, NnwError, OutOfMemoryError
from nnwidgets.engine.evaluation import check_model, sample_of
from nnwidgets.engine.evaluation._memory import out_of_memory
from nnwidgets.engine.pruning.compensate import saliencies
from nnwidgets.engine.pruning.criteria import _inputs, _loss, _moments
from nnwidgets.engine.pruning.criteria._base import Importance
from nnwidgets.engine.pruning.criteria._facts import CRITERIA
from nnwidgets.engine.pruning.criteria._loss import Loss
from nnwidgets.engine.pruning.criteria._movement import movement
from nnwidgets.engine.pruning.criteria._sample import needs_labels
from nnwidgets.engine.trace import Trace, preserved_rng, trace, weight_layers, weight_of
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["importance", "importance_steps", "moments_steps"]

_T = TypeVar("_T")

_PLACES = 40_000  # of a layer, that its moments are from: some 30 times the largest number of weights an output

_MOST = {"taylor": 256, "obd": 256, "obs": 128}  # images: the first have a backward pass each, of the last each place counts


def importance(
    model: nn.Module, criterion: str, split: Split | None = None, loss: Loss | None = None, seed: int = 0
) -> Importance:
    """What a criterion says of the weights of a network, which stays as it is.

    At most 512 images are looked at (256 for "taylor" and "obd", 128 for "obs"), drawn with the seed; fewer for a large
    network. "movement" trains a copy on all of them for one epoch.

    Args:
        criterion: any of ``CRITERIA`` but those that need no pass: "magnitude", "random", "bn_scale".
        split: images, with labels where the criterion needs them. loss: ``loss(logits, labels)``, by default cross entropy.

    Raises:
        InputError: another criterion. DataError: no images, no labels, or images that do not fit.
        ModelError: a score is NaN or infinite, or the network cannot be differentiated. OutOfMemoryError: there is no room.
    """
    if split is not None:
        check_model(model, split)
    with preserved_rng():
        return result_of(importance_steps(model, criterion, split, loss, seed))


def importance_steps(
    model: nn.Module,
    criterion: str,
    split: Split | None,
    loss: Loss | None = None,
    seed: int = 0,
    traced: Trace | None = None,
) -> Generator[float, None, Importance]:
    """As `importance`, for a job: yields the share that is done after each 20 ms or so.

    Random states are not guarded, and nobody checks that the images fit: both would be done in a thread beside the user's.
    """
    if criterion not in _WAYS:
        raise InputError(f"criterion: got {criterion!r}, which needs no pass; expected one of {', '.join(_WAYS)}.")
    if CRITERIA[criterion].needs == "labels":
        split = needs_labels(criterion, split)
    elif split is None:
        raise DataError(
            f"criterion={criterion!r} looks at activations and needs images; got none. Give calibration=Split(images) to "
            "compress(), or data to the Experiment; criterion='magnitude' needs none."
        )
    found = trace(model, split.sample_shape) if traced is None else traced
    if criterion != "movement":  # which is an epoch of training
        split = sample_of(split, found.macs, _MOST.get(criterion, 512), seed)
    looking = _WAYS[criterion](_Look(model, split, found, loss, seed))
    entries = yield from _guarded(looking, f"criterion={criterion!r}", "criterion 'magnitude'")
    for name, entry in entries.entries.items():
        if not bool(torch.isfinite(entry).all()):
            raise ModelError(
                f"criterion={criterion!r} gave NaN or infinite scores in {name!r}; nothing can be ranked by them. Look for "
                "NaN in the images, or use criterion='magnitude'."
            )
    return entries


def moments_steps(model: nn.Module, split: Split, images: int, traced: Trace | None = None) -> Generator[float, None, Importance]:
    """Second moments of what each layer reads (``hessians`` of the result), for a job, over at most so many images.

    Raises:
        ModelError: the network cannot be looked into. OutOfMemoryError: there is no room.
    """
    found = trace(model, split.sample_shape) if traced is None else traced
    sample = sample_of(split, found.macs, images)
    moments = yield from _guarded(_moments.moments_of(model, sample, found, _PLACES), "rounding='adaptive'", "rounding='nearest'")
    return Importance("moments", len(sample), {}, {}, moments)


def _guarded(steps: Generator[float, None, _T], who: str, instead: str) -> Generator[float, None, _T]:
    """The same steps, with an error that says who failed."""
    try:
        return (yield from steps)
    except NnwError:
        raise
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # they hold the activations
        if out_of_memory(error):
            raise OutOfMemoryError(
                f"there is not enough memory for {who}. Free memory (other widgets), or use {instead}."
            ) from error
        raise ModelError(
            f"{who} cannot look at this network: {type(error).__name__}: {error}. Use {instead}, which needs nothing but the "
            "weights."
        ) from error


@dataclass(frozen=True, eq=False)
class _Look:
    """Which network is looked at, on which images."""

    model: nn.Module
    split: Split
    found: Trace
    loss: Loss | None
    seed: int

    @property
    def weights(self) -> dict[str, Tensor]:
        """Layer -> its weight."""
        return {layer.name: weight_of(self.model, layer).detach() for layer in weight_layers(self.model)}

    def told(self, criterion: str, entries: dict[str, Tensor], missing: dict[str, str] | None = None) -> Importance:
        """What was found."""
        return Importance(criterion, len(self.split), entries, missing or {})


_Found = Generator[float, None, Importance]


def _taylor(look: _Look) -> _Found:
    seen = yield from _loss.by_image(look.model, look.split, look.found, look.loss)
    entries = {name: weight * seen.mean[name] for name, weight in look.weights.items()}
    return replace(look.told("taylor", entries), slopes=seen.slopes)


def _snip(look: _Look) -> _Found:
    slopes = yield from _loss.gradients(look.model, look.split, look.found, look.loss)
    sizes = {name: (weight * slopes[name]).abs() for name, weight in look.weights.items()}
    total = sum(float(size.double().sum()) for size in sizes.values()) or 1.0
    return look.told("snip", {name: size / total for name, size in sizes.items()})


def _obd(look: _Look) -> _Found:
    seen = yield from _loss.by_image(look.model, look.split, look.found, look.loss, squared=True)
    return replace(look.told("obd", _second_order(look, seen.mean)), slopes=seen.slopes)


def _obd_hutchinson(look: _Look) -> _Found:
    diagonal = yield from _loss.hutchinson(look.model, look.split, look.found, look.loss, look.seed)
    return look.told("obd_hutchinson", _second_order(look, diagonal))


def _second_order(look: _Look, diagonal: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: 0.5 * diagonal[name] * weight.square() for name, weight in look.weights.items()}


def _grasp(look: _Look) -> _Found:
    curved = yield from _loss.flow(look.model, look.split, look.found, look.loss)
    return look.told("grasp", {name: weight * curved[name] for name, weight in look.weights.items()})


def _movement(look: _Look) -> _Found:
    sums = yield from movement(look.model, look.split, look.loss, look.seed)
    return look.told("movement", sums)


def _obs(look: _Look) -> _Found:
    hessians = yield from _moments.moments_of(look.model, look.split, look.found)
    entries: dict[str, Tensor] = {}
    missing: dict[str, str] = {}
    for layer in weight_layers(look.model):
        if layer.name in hessians:
            entries[layer.name] = saliencies(weight_of(look.model, layer), hessians[layer.name]).float()
        elif _moments.width_of(layer) > _moments.LARGEST:
            missing[layer.name] = f"it has {_moments.width_of(layer)} weights an output; its Hessian is too large"
        else:
            missing[layer.name] = "only dense layers and two-dimensional convolutions that are called have a Hessian here"
    return Importance("obs", len(look.split), entries, missing, hessians)


def _wanda(look: _Look) -> _Found:
    known = yield from _inputs.inputs_of(look.model, look.split, look.found)
    entries = {}
    for layer in weight_layers(look.model):
        if layer.name in known:
            weight = weight_of(look.model, layer).detach().abs()
            norm = (known[layer.name].squares / known[layer.name].count).sqrt().float()
            entries[layer.name] = weight * _along_inputs(norm.to(weight), layer.shape, layer.out_axis, layer.groups)
    return look.told("wanda", entries, _unseen(look, known))


def _activation(look: _Look) -> _Found:
    known = yield from _inputs.inputs_of(look.model, look.split, look.found)
    means = {name: (seen.amounts / seen.count).float() for name, seen in known.items()}
    return look.told("activation", means, _unseen(look, known))


def _apoz(look: _Look) -> _Found:
    known = yield from _inputs.inputs_of(look.model, look.split, look.found)
    shares = {name: (seen.nonzero / seen.count).float() for name, seen in known.items()}
    return look.told("apoz", shares, _unseen(look, known))


def _unseen(look: _Look, known: dict[str, _inputs.Inputs]) -> dict[str, str]:
    why = "its inputs were not seen: it is never called, or used in a way that is not followed"
    return {layer.name: why for layer in weight_layers(look.model) if layer.name not in known}


def _along_inputs(values: Tensor, shape: tuple[int, ...], out_axis: int, groups: int) -> Tensor:
    """(I,) so that it multiplies a weight."""
    axis = 1 - out_axis
    if out_axis:  # (groups * I, outputs, ...)
        values = values.repeat(groups)
    return values.reshape([-1 if i == axis else 1 for i in range(len(shape))])


_WAYS: dict[str, Callable[[_Look], _Found]] = {
    "taylor": _taylor,
    "obd": _obd,
    "obd_hutchinson": _obd_hutchinson,
    "obs": _obs,
    "wanda": _wanda,
    "activation": _activation,
    "apoz": _apoz,
    "snip": _snip,
    "grasp": _grasp,
    "movement": _movement,
}
