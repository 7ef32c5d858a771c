"""Ask a criterion about a network."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError, InputError, ModelError
from nnwidgets.engine.evaluation import check_model
from nnwidgets.engine.pruning.compensate import saliencies
from nnwidgets.engine.pruning.criteria import _inputs, _loss, _moments
from nnwidgets.engine.pruning.criteria._base import Importance
from nnwidgets.engine.pruning.criteria._facts import CRITERIA
from nnwidgets.engine.pruning.criteria._loss import Loss
from nnwidgets.engine.pruning.criteria._movement import movement
from nnwidgets.engine.pruning.criteria._sample import needs_labels, sample_of
from nnwidgets.engine.trace import Trace, preserved_rng, trace, weight_layers, weight_of
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["importance", "importance_steps"]

_MOST = {"obd": 256, "obs": 128}  # images: of the first each has a backward pass of its own, of the second each place counts


def importance(
    model: nn.Module, criterion: str, split: Split | None = None, loss: Loss | None = None, seed: int = 0
) -> Importance:
    """What a criterion says of the weights of a network, which stays as it is.

    At most 512 images are looked at (256 for "obd", 128 for "obs"), drawn with the seed; fewer for a large network. "movement"
    trains a copy on all of them for one epoch.

    Args:
        criterion: any of ``CRITERIA`` but those that need no pass: "magnitude", "random", "bn_scale".
        split: images, with labels where the criterion needs them. loss: ``loss(logits, labels)``, by default cross entropy.

    Raises:
        InputError: another criterion. DataError: no images, no labels, or images that do not fit.
        ModelError: a score is NaN or infinite, or the network cannot be differentiated.
    """
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
    """As `importance`, for a job: yields the share that is done after each 20 ms or so. Random states are not guarded."""
    facts = CRITERIA.get(criterion)
    if facts is None or criterion in ("magnitude", "random", "bn_scale"):
        looking = [name for name in CRITERIA if name not in ("magnitude", "random", "bn_scale")]
        raise InputError(f"criterion: got {criterion!r}, which needs no pass; expected one of {', '.join(looking)}.")
    if facts.needs == "labels":
        split = needs_labels(criterion, split)
    elif split is None:
        raise DataError(
            f"criterion={criterion!r} looks at activations and needs images; got none. Give calibration=Split(images) to "
            "compress(), or data to the Experiment; criterion='magnitude' needs none."
        )
    check_model(model, split)
    found = trace(model, split.sample_shape) if traced is None else traced
    if criterion == "movement":
        sums = yield from movement(model, split, loss, seed)
        return _checked(Importance(criterion, len(split), sums, {}))
    split = sample_of(split, found.macs, _MOST.get(criterion, 512), seed)
    if criterion == "obs":
        hessians = yield from _moments.moments_of(model, split, found)
        return _checked(_by_compensation(model, len(split), hessians))
    if facts.needs == "images":
        known = yield from _inputs.inputs_of(model, split, found)
        return _checked(_of_inputs(model, criterion, len(split), known))
    weights = {layer.name: weight_of(model, layer).detach() for layer in weight_layers(model)}
    if criterion in ("taylor", "snip"):
        slopes = yield from _loss.gradients(model, split, found, loss)
        entries = {name: weights[name] * slope for name, slope in slopes.items()}
        entries = {name: entry.abs() for name, entry in entries.items()} if criterion == "snip" else entries
    elif criterion == "grasp":
        curved = yield from _loss.flow(model, split, found, loss)
        entries = {name: weights[name] * each for name, each in curved.items()}
    else:
        way = _loss.fisher(model, split, found, loss) if criterion == "obd" else _loss.hutchinson(model, split, found, loss, seed)
        diagonal = yield from way
        entries = {name: 0.5 * each * weights[name].square() for name, each in diagonal.items()}
    if criterion == "snip":
        entries = _normalised(entries)
    return _checked(Importance(criterion, len(split), entries, {}))


def _by_compensation(model: nn.Module, n: int, hessians: dict[str, Tensor]) -> Importance:
    entries: dict[str, Tensor] = {}
    missing: dict[str, str] = {}
    for layer in weight_layers(model):
        if layer.name in hessians:
            entries[layer.name] = saliencies(weight_of(model, layer), hessians[layer.name]).float()
        elif _moments.width_of(layer) > _moments.LARGEST:
            missing[layer.name] = f"it has {_moments.width_of(layer)} weights an output; its Hessian is too large"
        else:
            missing[layer.name] = "only dense layers and two-dimensional convolutions that are called have a Hessian here"
    return Importance("obs", n, entries, missing, hessians)


def _of_inputs(model: nn.Module, criterion: str, n: int, known: dict[str, _inputs.Inputs]) -> Importance:
    entries: dict[str, Tensor] = {}
    missing: dict[str, str] = {}
    for layer in weight_layers(model):
        seen = known.get(layer.name)
        if seen is None or not seen.count:
            missing[layer.name] = "its inputs were not seen: it is never called, or used in a way that is not followed"
            continue
        if criterion != "wanda":
            entries[layer.name] = ((seen.amounts if criterion == "activation" else seen.nonzero.double()) / seen.count).float()
            continue
        norm = (seen.squares / seen.count).sqrt().float()
        weight = weight_of(model, layer).detach().abs()
        entries[layer.name] = weight * _along_inputs(norm.to(weight), layer.shape, layer.out_axis, layer.groups)
    return Importance(criterion, n, entries, missing)


def _along_inputs(values: Tensor, shape: tuple[int, ...], out_axis: int, groups: int) -> Tensor:
    """(I,) so that it multiplies a weight."""
    axis = 1 - out_axis
    if out_axis:  # (groups * I, outputs, ...)
        values = values.repeat(groups)
    return values.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def _normalised(entries: dict[str, Tensor]) -> dict[str, Tensor]:
    total = sum(float(entry.double().sum()) for entry in entries.values())
    return {name: entry / total for name, entry in entries.items()} if total > 0 else entries


def _checked(found: Importance) -> Importance:
    for name, entry in found.entries.items():
        if not bool(torch.isfinite(entry).all()):
            raise ModelError(
                f"criterion={found.criterion!r} gave NaN or infinite scores in {name!r}; nothing can be ranked by them. Look for "
                "NaN in the images, or use criterion='magnitude'."
            )
    return found
