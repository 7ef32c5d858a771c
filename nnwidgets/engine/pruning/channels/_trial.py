"""Take some units of each bundle away and see, on a blank copy, whether the network still works and still reads what it made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.pruning.channels._bundles import Solved
from nnwidgets.engine.pruning.channels._run import FailedRunError, Run
from nnwidgets.engine.pruning.channels._slots import Slots
from nnwidgets.engine.pruning.channels._smaller import Flags, cut_down, left_indexes, smaller
from nnwidgets.engine.pruning.channels.records import Bundle, ChannelGroups

__all__ = ["without_failing"]

Numbers = Sequence[tuple[str, tuple[float, ...]]]


@dataclasses.dataclass(frozen=True)
class _Failure:
    """Attributes: message: why. place: module that failed. culprits: bundles, where they are known."""

    message: str
    place: str
    culprits: frozenset[str] = frozenset()


def without_failing(
    model: nn.Module, blank: nn.Module, groups: ChannelGroups, slots: Slots, solved: Solved, x: torch.Tensor, numbers: Numbers
) -> ChannelGroups:
    """Refuse the bundles without which the network does not work.

    Args:
        blank: a blank copy of the network, which is used up. numbers: of the pass of the whole network, see `Run`.
    """
    first: nn.Module | None = blank
    for _ in range(len(groups.bundles) + 1):
        failure = _tried(model, groups, groups.bundles, slots, solved, x, numbers, first)
        first = None
        if failure is None:
            return groups
        bad = _culprits(model, groups, failure, lambda some, now=groups: _tried(model, now, some, slots, solved, x, numbers))  # type: ignore[misc]
        groups = _refusing(groups, bad)
    return groups


def _tried(
    model: nn.Module,
    groups: ChannelGroups,
    bundles: Sequence[Bundle],
    slots: Slots,
    solved: Solved,
    x: torch.Tensor,
    numbers: Numbers,
    blank: nn.Module | None = None,
) -> _Failure | None:
    """Remove a third of the units of some bundles. None where all is well."""
    if not bundles:
        return None
    kept: dict[str, Flags] = {bundle.name: np.arange(bundle.n) % 3 != 1 for bundle in bundles}
    try:
        small = smaller(model, groups, kept, blank=True) if blank is None else blank
        if blank is not None:
            cut_down(blank, groups, kept)
        run = Run(small, slots, left_indexes(groups, kept))
        run.forward(x)
    except FailedRunError as error:
        return _Failure(str(error), error.place)
    except NnwError as error:
        return _Failure(str(error), "")
    wrong = _mismatches(run, solved)
    if not len(wrong):
        return _other_numbers(numbers, run.numbers)
    owners = _bundles_of(groups, slots, solved)
    culprits = frozenset(owners[root] for root in wrong.tolist() if root in owners)
    return _Failure("other channels than before would be read or joined", "", culprits)


def _other_numbers(before: Numbers, after: Numbers) -> _Failure | None:
    """Numbers made of a size, such as 1 / sqrt(C), would be others without some of C."""
    for (place, old), (_, new) in zip(before, after, strict=False):
        if old != new:
            return _Failure(f"a number computed from sizes changes from {old} to {new} in {place}", place.rpartition(".(")[0])
    return None


def _mismatches(run: Run, solved: Solved) -> np.ndarray:
    """Components that are joined with others in the smaller network, or must stay there, and were not or did not before."""
    a, b = (solved.roots[edges] for edges in run.ties.edges())
    differ = a != b
    wrong = [a[differ], b[differ]]
    wrong += [solved.roots[slots] for slots, _ in run.ties.frozen]
    joined = np.concatenate(wrong)
    return np.unique(joined[~solved.dead[joined]])


def _bundles_of(groups: ChannelGroups, slots: Slots, solved: Solved) -> dict[int, str]:
    found: dict[int, str] = {}
    for bundle in groups.bundles:
        for member in bundle.members:
            for place in slots.by_tensor[member.module_name, member.attribute]:
                if place.axis == member.axis:
                    mine = solved.roots[place.start : place.start + place.size][member.index >= 0]
                    found.update(dict.fromkeys(mine.tolist(), bundle.name))
    return found


Try = Callable[[Sequence[Bundle]], "_Failure | None"]


def _culprits(model: nn.Module, groups: ChannelGroups, failure: _Failure, try_: Try) -> dict[str, str]:
    """Bundle -> reason; first those near the place that failed are asked, then all."""
    if failure.culprits:
        return dict.fromkeys(failure.culprits, _because(failure))
    near = [b for b in groups.bundles if failure.place and any(m.module_name.startswith(failure.place) for m in b.members)]
    found = _alone(near, try_) or _alone(list(groups.bundles), try_)
    found = found or dict.fromkeys((b.name for b in near or groups.bundles), _because(failure))
    alike = {_kind(model, groups[name]): reason for name, reason in found.items() if groups[name].structure == "head"}
    for bundle in groups.bundles:
        if bundle.structure == "head" and _kind(model, bundle) in alike:
            found.setdefault(bundle.name, alike[_kind(model, bundle)])
    return found


def _alone(bundles: list[Bundle], try_: Try) -> dict[str, str]:
    failure = try_(bundles)
    if failure is None:
        return {}
    if failure.culprits:
        return dict.fromkeys(failure.culprits, _because(failure))
    if len(bundles) == 1:
        return {bundles[0].name: _because(failure)}
    half = len(bundles) // 2
    found = {**_alone(bundles[:half], try_), **_alone(bundles[half:], try_)}
    return found or {bundle.name: _because(failure) for bundle in bundles}


def _kind(model: nn.Module, bundle: Bundle) -> str:
    """The class of the module that the makers of a bundle stand in: code that fails in one fails in the others."""
    return type(model.get_submodule(bundle.members[0].module_name.rpartition(".")[0])).__qualname__


def _because(failure: _Failure) -> str:
    return f"the code of the forward pass counts on all of them ({failure.message})"


def _refusing(groups: ChannelGroups, bad: dict[str, str]) -> ChannelGroups:
    left = tuple(bundle for bundle in groups.bundles if bundle.name not in bad)
    producers = {name for bundle in left for name in bundle.producers}
    refused, partly = dict(groups.refused), dict(groups.partly)
    for bundle in groups.bundles:
        if bundle.name in bad:
            for name in bundle.producers:
                (partly if name in producers else refused).setdefault(name, bad[bundle.name])
    partly = {name: reason for name, reason in partly.items() if name in producers}
    return ChannelGroups(left, refused, partly)
