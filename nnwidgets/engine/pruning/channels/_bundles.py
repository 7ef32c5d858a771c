"""From connected slots to bundles, and to reasons for what is in none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from nnwidgets.engine.pruning.channels._run import Run
from nnwidgets.engine.pruning.channels._slots import Ids, Place, Slots
from nnwidgets.engine.pruning.channels._ties import Ties
from nnwidgets.engine.pruning.channels.records import Bundle, ChannelGroups, Member
from nnwidgets.engine.trace import WeightLayer

__all__ = ["Solved", "bundled", "outputs_of"]

_WHY = {
    "out": "makes the same channels",
    "bias": "is added to them",
    "norm": "normalises them",
    "in": "reads them",
    "scale": "is combined with them place by place",
}


@dataclass(frozen=True, eq=False)
class Solved:
    """Attributes:
    roots: (total,) component of each slot; dead: (total,) whether it must stay; reasons: component -> why.
    """

    roots: Ids
    dead: npt.NDArray[np.bool_]
    reasons: dict[int, str]


def bundled(model: nn.Module, layers: tuple[WeightLayer, ...], slots: Slots, run: Run, solved: Solved) -> ChannelGroups:
    """Units with the same members become a bundle."""
    words = _tied_because(slots, run.ties)
    heads = np.zeros(slots.total, dtype=bool)
    for labels in run.ties.heads:
        heads[solved.roots[labels[labels >= 0]]] = True
    bundles: list[Bundle] = []
    alone: dict[str, str] = {}
    names: dict[str, int] = {}
    for roots, places in _signatures(slots, solved):
        outs = [place for place in places if place.role == "out"]
        if len(roots) < 2:
            for place in outs:
                alone[place.layer] = _all_or_none(place, words)
            continue
        first = outs[0].layer
        names[first] = names.get(first, 0) + 1
        name = first if names[first] == 1 else f"{first}#{names[first]}"
        is_head = bool(heads[roots].all())
        members = _members(roots, places, solved, words)
        attributes = _counters(model, outs, len(roots)) if is_head else ()
        attributes += tuple((m, a) for m, a, labels in run.counted if np.array_equal(np.sort(solved.roots[labels]), roots))
        bundles.append(Bundle(name, _structure(is_head, outs, layers), len(roots), members, attributes))
    producers = {name for bundle in bundles for name in bundle.producers}
    refused = {
        layer.name: alone.get(layer.name) or _reason(layer, slots, solved) for layer in layers if layer.name not in producers
    }
    return ChannelGroups(tuple(bundles), refused, _partly(bundles, slots, solved, layers, alone))


def outputs_of(layer: WeightLayer, slots: Slots) -> Place | None:
    """Where the output channels of a weight layer have their slots, None where it has only one channel."""
    return next((place for place in slots.by_tensor.get((layer.module_name, layer.parameter), ()) if place.role == "out"), None)


def _signatures(slots: Slots, solved: Solved) -> list[tuple[Ids, list[Place]]]:
    """(components that belong to the same places, these places), in the order of the first place and channel."""
    alive = np.flatnonzero(~solved.dead)
    roots = solved.roots[alive]
    numbers = slots.number(alive)
    is_out = np.array([place.role == "out" for place in slots.places], dtype=bool)
    makes = np.zeros(slots.total, dtype=bool)
    makes[roots[is_out[numbers]]] = True
    good = makes[roots]
    pairs = np.sort(roots[good] * np.int64(len(slots.places)) + numbers[good])
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])] if len(pairs) else pairs  # np.unique takes ten times as long
    roots, numbers = pairs // len(slots.places), pairs % len(slots.places)
    if not len(roots):
        return []
    codes = np.random.default_rng(0).integers(1, 2**62, len(slots.places), dtype=np.uint64)
    units, starts = np.unique(roots, return_index=True)
    sums = np.add.reduceat(codes[numbers], starts)
    ends = np.append(starts[1:], len(roots))
    _, first, inverse = np.unique(sums, return_index=True, return_inverse=True)
    groups = [units[inverse == g] for g in range(len(first))]
    places = [[slots.places[n] for n in numbers[starts[i] : ends[i]]] for i in first]
    both = list(zip(groups, places, strict=True))
    return sorted(both, key=lambda item: (next(p.start for p in item[1] if p.role == "out"), int(item[0][0])))


def _members(roots: Ids, places: list[Place], solved: Solved, words: dict[int, str]) -> tuple[Member, ...]:
    order = {"out": 0, "bias": 1, "norm": 2, "scale": 3, "in": 4}
    found: list[Member] = []
    is_first = True
    for place in sorted(places, key=lambda place: order[place.role]):
        mine = solved.roots[place.start : place.start + place.size]
        at = np.minimum(np.searchsorted(roots, mine), len(roots) - 1)
        index = np.where((roots[at] == mine) & ~solved.dead[place.start : place.start + place.size], at, -1)
        why = words.get(place.start, _WHY[place.role]) if place.role in ("out", "scale") else _WHY[place.role]
        why = words.get(place.start, "makes the channels") if is_first else why
        is_first = False
        found.append(Member(place.module_name, place.attribute, place.axis, index, place.role, why, place.layer))
    return tuple(found)


def _tied_because(slots: Slots, ties: Ties) -> dict[int, str]:
    """Start of a place -> what an operation does to its channels, the first that says so."""
    found: dict[int, str] = {}
    for one, other, why in ties.notes:
        mine, its = slots.place(one), slots.place(other)
        if mine.start != its.start:
            found.setdefault(mine.start, why.format(its.name))
            found.setdefault(its.start, why.format(mine.name))
    return found


def _structure(is_head: bool, outs: list[Place], layers: tuple[WeightLayer, ...]) -> str:
    if is_head:
        return "head"
    convs = {layer.name for layer in layers if layer.is_conv}
    return "filter" if any(place.layer in convs for place in outs) else "neuron"


def _counters(model: nn.Module, outs: list[Place], n: int) -> tuple[tuple[str, str], ...]:
    """Whole numbers called heads in the own modules that the makers of heads stand in."""
    found: list[tuple[str, str]] = []
    for place in outs:
        name = place.module_name.rpartition(".")[0]
        module = model.get_submodule(name)
        if type(module).__module__.startswith("torch.nn.") or isinstance(
            model.get_submodule(place.module_name), nn.MultiheadAttention
        ):
            continue
        for attribute, value in vars(module).items():
            if type(value) is int and value == n and "head" in attribute and "dim" not in attribute and "size" not in attribute:
                found.append((name, attribute))
    return tuple(dict.fromkeys(found))


def _all_or_none(place: Place, words: dict[int, str]) -> str:
    why = words.get(place.start)
    return "its channels can only go all together" + (
        f": it {why}" if why else ", for grouped, shuffled or split channels tie them"
    )


def _reason(layer: WeightLayer, slots: Slots, solved: Solved) -> str:
    place = outputs_of(layer, slots)
    if place is None:
        return "it has only one output"
    mine = slice(place.start, place.start + place.size)
    if solved.dead[mine].any():
        counts = solved.roots[mine][solved.dead[mine]]
        return solved.reasons[int(counts[0])]
    return "its channels can only go all together"


def _partly(
    bundles: list[Bundle], slots: Slots, solved: Solved, layers: tuple[WeightLayer, ...], alone: dict[str, str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    producers = {name for bundle in bundles for name in bundle.producers}
    for layer in layers:
        place = outputs_of(layer, slots)
        if layer.name not in producers or place is None:
            continue
        mine = slice(place.start, place.start + place.size)
        if solved.dead[mine].any():
            found[layer.name] = solved.reasons[int(solved.roots[mine][solved.dead[mine]][0])]
        elif layer.name in alone:
            found[layer.name] = alone[layer.name]
    return found
