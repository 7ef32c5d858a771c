"""Run a network up to a layer once, and go on from there many times.

What comes before a layer does not depend on its weight, so a change of it needs only the rest to be run again. Three ways, from
fast to slow: the graph of the forward pass (only what is alive before the layer is kept), the outputs of the layers before it
(what stands between them is run again), and the whole network. The fastest one that gives the network's own answers is taken.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from nnwidgets.engine.trace._tensors import tensors_in
from nnwidgets.engine.trace.state import preserved_buffers
from nnwidgets.engine.trace.weights import WeightLayer, sources_of, weight_layers
from nnwidgets.engine.values.steps import result_of

__all__ = ["Point", "Resumable", "UnfitError", "resumable", "resuming", "users_of", "whole"]


@dataclass(frozen=True)
class Point:
    """A forward pass that has stopped.

    Attributes:
        place: how far it has come, in steps of the way it was made. kept: what the rest needs.
    """

    place: int
    kept: Mapping[Hashable, Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors it holds, memory that they share counted once."""
        storages = [tensor.untyped_storage() for tensor in tensors_in(self.kept)]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


class Resumable(ABC):
    """A network that can go on from the middle.

    Its weights may be written, in place, between two runs; nothing else of it may change, and two threads must not use it at the
    same time. Whether gradients are recorded is the caller's choice, usually ``torch.inference_mode()``.

    Attributes:
        method: "graph", "layers" or "whole". note: what that means in words, and why no faster way was taken.
        order: names of the layers in the order in which their weights are first used; those never used are last.
    """

    method: ClassVar[str]
    note: str
    order: tuple[str, ...]

    @abstractmethod
    def start(self, images: Tensor) -> Point:
        """Begin with a batch (B, *input_shape). Nothing is run yet."""

    @abstractmethod
    def advance(self, point: Point, layer: str) -> Point:
        """Run on until just before a layer's weight is first used. The old point is used up.

        Raises:
            ModelError: the pass has gone beyond that layer already; take the layers as in ``order``.
        """

    @abstractmethod
    def finish(self, point: Point) -> Any:
        """Run to the end and return what the network answers. The point stays as it is, whatever the network does in place."""

    def release(self) -> None:  # noqa: B027  most ways leave the network as it is
        """Make the network as it was given; it cannot be resumed any more."""


class UnfitError(Exception):
    """A way to resume that does not work for a network; the message says why, as the end of a sentence."""


class _WholeRun(Resumable):
    """Nothing is kept but the images."""

    method = "whole"

    def __init__(self, network: nn.Module, note: str) -> None:
        self._network, self.note = network, note
        self.order = tuple(layer.name for layer in weight_layers(network))

    def start(self, images: Tensor) -> Point:
        return Point(0, {"images": images})

    def advance(self, point: Point, layer: str) -> Point:
        return point

    def finish(self, point: Point) -> Any:
        with preserved_buffers(self._network):
            return self._network(point.kept["images"].clone())


def whole(network: nn.Module, note: str) -> Resumable:
    """The slow way that is right for any network: each run begins with the images and leaves buffers as they were."""
    return _WholeRun(network, note)


def resuming(network: nn.Module, images: Tensor) -> Generator[None, None, Resumable]:
    """As `resumable`, in steps of a few forward passes: a generator that returns the result."""
    from nnwidgets.engine.trace._graph import GraphRun
    from nnwidgets.engine.trace._replay import LayerRun
    from nnwidgets.engine.trace._same import checked

    layers = {layer.name: layer for layer in weight_layers(network)}
    reasons = []
    for way in (GraphRun, LayerRun):
        try:
            with preserved_buffers(network):  # what an attempt that fails has written
                made: Resumable = yield from checked(way, network, layers, images)
        except UnfitError as error:
            reasons.append(str(error))
            continue
        if reasons:
            made.note += f" It has no graph to go by: {reasons[0]}."
        return made
    return whole(
        network,
        f"The whole network is run for each candidate. It has no graph to go by: {reasons[0]}. "
        f"Outputs of its layers cannot be kept either: {reasons[1]}.",
    )


def resumable(network: nn.Module, images: Tensor) -> Resumable:
    """Make a network resumable, checked against itself: where weights are changed, both must answer the same.

    Args:
        network: the caller's own copy in eval mode, on the device of the images. It is kept and used for all runs.
        images: a few samples (B, *input_shape), two at least where there are as many; they are run a few times for each layer.

    Raises:
        ModelError: the network cannot be run.
    """
    return result_of(resuming(network, images))


def users_of(network: nn.Module, layer: WeightLayer) -> frozenset[int]:
    """Ids of the parameters that a layer's weight is made of."""
    return frozenset(id(source) for source in sources_of(network.get_submodule(layer.module_name), layer.parameter))
