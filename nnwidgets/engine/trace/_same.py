"""Whether a network that goes on from the middle answers what it answers from the start."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.trace._tensors import tensors_in
from nnwidgets.engine.trace.state import preserved_buffers
from nnwidgets.engine.trace.suffix import Resumable, UnfitError
from nnwidgets.engine.trace.weights import WeightLayer, sources_of

__all__ = ["checked"]

_Way = Callable[[nn.Module, Mapping[str, WeightLayer], Tensor], Resumable]


def checked(way: _Way, network: nn.Module, layers: Mapping[str, WeightLayer], images: Tensor) -> Generator[None, None, Resumable]:
    """Make a network resumable one way and check it: in steps of a few passes.

    Checked: with all weights changed, for two sizes of the batch; then, from before each layer, with its weight alone changed.

    Raises:
        UnfitError: it does not answer the same. ModelError: the network itself fails.
    """
    with _quiet():
        _answer(network, images)  # fails with the network's own words, not with those of a way to resume it
        made: Resumable = _tried(lambda: way(network, layers, images))
    try:
        with _quiet(), _changed(network, layers.values()):
            for batch in (images, images[:1]):
                found = _tried(lambda batch=batch: made.finish(made.start(batch.clone())))  # type: ignore[misc]
                _compare(_answer(network, batch), found, "it answers something else")
        yield
        with _quiet():
            point = made.start(images.clone())
        for name in made.order:
            with _quiet():
                point = _tried(lambda name=name, point=point: made.advance(point, name))  # type: ignore[misc]
                with _changed(network, [layers[name]]):
                    wanted = _answer(network, images)
                    for _ in range(2):  # what is kept must survive the first time
                        found = _tried(lambda point=point: made.finish(point))  # type: ignore[misc]
                        _compare(wanted, found, f"it answers something else where {name} is changed")
            yield
    except BaseException:
        made.release()
        raise
    return made


@contextmanager
def _quiet() -> Iterator[None]:
    """No gradients, but tensors that count how often they are written to, which those of inference mode do not."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def _tried(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except UnfitError:
        raise
    except Exception as error:  # the forward pass is anybody's code, run in a way it was not written for
        raise UnfitError(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]:.160}") from error


def _answer(network: nn.Module, images: Tensor) -> Any:
    try:
        with preserved_buffers(network):
            return network(images.clone())
    except Exception as error:
        raise ModelError(
            f"the network failed on images of shape {tuple(images.shape)}: {type(error).__name__}: {error}. "
            "Expected a forward that takes one batch of any size."
        ) from error


@contextmanager
def _changed(network: nn.Module, layers: Iterable[WeightLayer]) -> Iterator[None]:
    """Every other weight is a little smaller: the answers differ and stay finite."""
    sources = [s for layer in layers for s in sources_of(network.get_submodule(layer.module_name), layer.parameter)]
    kept = [source.detach().clone() for source in sources]
    try:
        for source in sources:
            flat = source.detach().reshape(-1).clone()
            flat[::2] *= 0.7
            source.detach().copy_(flat.reshape(source.shape))
        yield
    finally:
        for source, old in zip(sources, kept, strict=True):
            source.detach().copy_(old)


def _compare(wanted: Any, found: Any, fault: str) -> None:
    a, b = list(tensors_in(wanted)), list(tensors_in(found))
    if type(wanted) is not type(found) or len(a) != len(b) or not all(map(_close, a, b)):
        raise UnfitError(fault)


def _close(a: Tensor, b: Tensor) -> bool:
    """Equal up to float rounding."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not a.is_floating_point():
        return torch.equal(a, b)
    return bool(torch.allclose(a, b, rtol=1e-5, atol=1e-5 * float(a.abs().max()) if a.numel() else 0.0, equal_nan=True))
