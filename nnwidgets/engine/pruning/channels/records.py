"""What belongs together in a network: channels, neurons or heads that can only be removed with all that reads and makes them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.errors import RecipeError

__all__ = ["Bundle", "ChannelGroups", "Member"]

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Member:
    """What of one parameter or buffer belongs to a bundle.

    Attributes:
        module_name, attribute: where the tensor is ("" is the network itself); a shared tensor is named by its first place.
        axis: of the tensor; index: (L,) for each index along it the unit that it belongs to, -1 for none.
        role: "out" (makes the unit), "bias", "norm" (scale, shift and running statistics), "in" (reads it), "scale" (any other).
        why: a sentence that goes on from the name, such as "reads them".
        layer: name of the weight layer, "" where the tensor is none.
    """

    module_name: str
    attribute: str
    axis: int
    index: Ids
    role: str
    why: str
    layer: str = ""

    @property
    def name(self) -> str:
        """Dotted name of the tensor."""
        return f"{self.module_name}.{self.attribute}" if self.module_name else self.attribute


@dataclass(frozen=True, eq=False)
class Bundle:
    """Units that can be removed one by one: unit i takes with it, in all members, the entries with ``index == i``.

    Attributes:
        name: of the first weight layer that makes the units ("conv1", or "conv1#2" for a second bundle of other channels of it).
        structure: "filter" (made by a convolution), "neuron" (by linear layers only) or "head".
        n: number of units, two at least.
        members: all tensors that get smaller, those that make the units first.
        attributes: (module, attribute) of whole numbers that count the units and that no tensor tells.
    """

    name: str
    structure: str
    n: int
    members: tuple[Member, ...]
    attributes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.n < 2 or not self.members:
            raise ValueError(f"bundle {self.name!r} has {self.n} units in {len(self.members)} members; expected 2 and 1 at least")

    @property
    def producers(self) -> tuple[str, ...]:
        """Names of the weight layers that make the units."""
        return tuple(dict.fromkeys(member.layer for member in self.members if member.role == "out"))

    @property
    def consumers(self) -> tuple[str, ...]:
        """Names of the weight layers that read them."""
        return tuple(dict.fromkeys(member.layer for member in self.members if member.role == "in"))

    def channels(self, layer: str) -> Ids:
        """(C,) the unit that each output channel of a producer belongs to, -1 for a channel that cannot be removed."""
        for member in self.members:
            if member.role == "out" and member.layer == layer:
                return member.index
        raise RecipeError(f"{layer!r} makes no units of bundle {self.name!r}; expected one of {', '.join(self.producers)}.")


@dataclass(frozen=True, eq=False)
class ChannelGroups:
    """Attributes:
    bundles: in the order of the network's definition.
    refused: weight layer -> why none of its outputs can be removed. Each weight layer is a producer in a bundle or named here.
    partly: weight layer -> why some of its outputs cannot be removed, for producers with such.
    """

    bundles: tuple[Bundle, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    partly: Mapping[str, str] = field(default_factory=dict)

    @functools.cached_property
    def _by_name(self) -> dict[str, Bundle]:
        return {bundle.name: bundle for bundle in self.bundles}

    def __getitem__(self, name: str) -> Bundle:
        if name in self._by_name:
            return self._by_name[name]
        raise RecipeError(f"There is no bundle {name!r}; expected one of {', '.join(b.name for b in self.bundles) or 'none'}.")

    def of(self, layer: str) -> tuple[Bundle, ...]:
        """The bundles that a weight layer makes units of, () where it is refused."""
        return tuple(bundle for bundle in self.bundles if layer in bundle.producers)

    def explain(self, layer: str) -> tuple[str, ...]:
        """Say in sentences what is removed together with outputs of a weight layer and why, or why none can be removed: one for
        each module, however many of its tensors get smaller.

        Raises:
            RecipeError: there is no such weight layer.
        """
        if layer in self.refused:
            return (f"No output of {layer} can be removed: {self.refused[layer]}.",)
        bundles = self.of(layer)
        if not bundles:
            raise RecipeError(f"There is no weight layer {layer!r} in this network.")
        own = {m.module_name for bundle in bundles for m in bundle.members if m.layer == layer and m.role == "out"}
        said = [
            f"removed together with {member.layer or member.module_name or member.name} because it {member.why}"
            for bundle in bundles
            for member in bundle.members
            if member.module_name not in own or member.role not in ("out", "bias")
        ]
        if layer in self.partly:
            said.append(f"some outputs of {layer} cannot be removed: {self.partly[layer]}")
        return tuple(dict.fromkeys(said))
