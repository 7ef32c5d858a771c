"""A place in a network (a layer, a function between layers, a container), and a run that stops by at some of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import InputError, ModelError, NnwError, OutOfMemoryError
from nnwidgets.engine.evaluation._memory import out_of_memory
from nnwidgets.engine.trace import check_one_input, preserved, tensors_in, trace, watching
from nnwidgets.engine.values._fields import nearest

__all__ = [
    "Site",
    "Visit",
    "as_inputs",
    "first_tensor",
    "quiet",
    "reading",
    "run",
    "running",
    "site_of",
    "unknown_site",
    "unwatched",
]

Visit = Callable[[Any], Any]
"""Gets what a place gives; what it returns, unless None, takes its place."""


@dataclass(frozen=True, order=True)
class Site:
    """A place in a network, as a row of `layers`.

    Attributes:
        name: dotted name of a module, a function in brackets after its module's name ("layer1.0.(add)"), "" for the answer of the
            network; call: 0, 1, ... of a name that is called again.
    """

    name: str
    call: int = 0

    def __str__(self) -> str:
        words = self.name or "the network's answer"
        return words if self.call == 0 else f"{words}, call {self.call}"


class _Reached(BaseException):
    """Ends a forward pass early; no network's own ``except Exception`` stops it."""


@contextlib.contextmanager
def reading(model: nn.Module, own: bool = False) -> Iterator[nn.Module]:
    """Eval mode for the block, everything as it was afterwards; ``own``: the caller's own copy in eval mode, left unguarded."""
    if own:
        yield model
        return
    with preserved(model):
        yield model.eval()


def run(model: nn.Module, images: Tensor, visits: Mapping[Site, Visit], stop: bool = False) -> Any:
    """Run a network in its present mode and let ``visits`` see what comes by. No hook is left, however it ends.

    Args:
        images: (B, *input_shape) as the network takes them. stop: end the pass once each place was seen; then None is returned.

    Raises:
        InputError: a place was never reached; the nearest names are offered. And whatever the network or a visit raises.
    """
    waiting = set(visits)

    def come_by(site: Site, result: Any) -> Any:
        visit = visits.get(site)
        if visit is None:
            return None
        waiting.discard(site)
        replaced = visit(result)
        if stop and not waiting:
            raise _Reached
        return replaced

    modules = dict(model.named_modules())
    watched = _by_hooks if all(site.name in modules for site in visits) else _by_recorder
    answer = None
    with contextlib.suppress(_Reached), watched(model, images, frozenset(visits), come_by):
        answer = model(images)
    if waiting:
        raise unknown_site(model, images, min(waiting))
    return answer


_ComeBy = Callable[[Site, Any], Any]


@contextlib.contextmanager
def _by_hooks(model: nn.Module, images: Tensor, sites: frozenset[Site], come_by: _ComeBy) -> Iterator[None]:
    """Modules alone need no more than a hook each."""
    modules = dict(model.named_modules())

    def hook_of(name: str) -> Callable[..., Any]:
        times = 0

        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            nonlocal times
            times += 1
            return come_by(Site(name, times - 1), output)

        return hook

    with contextlib.ExitStack() as stack:
        for name in sorted({site.name for site in sites}):
            stack.callback(modules[name].register_forward_hook(hook_of(name)).remove)
        yield


@contextlib.contextmanager
def _by_recorder(model: nn.Module, images: Tensor, sites: frozenset[Site], come_by: _ComeBy) -> Iterator[None]:
    with watching(model, images, lambda name, call, result: come_by(Site(name, call), result)):
        yield


def site_of(layer: object, call: object = 0) -> Site:
    """A place by name and call.

    Raises:
        InputError: they are not a name and a whole number from 0.
    """
    if isinstance(layer, Site):
        return layer
    if not isinstance(layer, str):
        raise InputError(f"layer: got {type(layer).__name__}, expected a name as in layers(model, input_shape), such as 'conv1'.")
    if isinstance(call, bool) or not isinstance(call, int) or call < 0:
        raise InputError(f"call: got {call!r}, expected 0 for the first call of the layer, 1 for the second, and so on.")
    return Site(layer, call)


def unknown_site(model: nn.Module, images: Tensor, site: Site) -> InputError:
    """The error for a place that a pass never reached."""
    modules = [name for name, _ in model.named_modules() if name]
    try:
        names = [call.name for call in trace(model, tuple(images.shape[1:]), images.dtype).calls if not call.moves]
    except NnwError:  # what cannot be traced can still be run
        names = []
    times = max(names.count(site.name), int(site.name in modules))
    if site.call and times:
        return InputError(f"layer {site.name!r} has {times} call(s), got call={site.call}; expected 0 to {times - 1}.")
    if site.name in modules:
        return InputError(f"layer {site.name!r} is never called in a forward pass; {nearest(site.name, dict.fromkeys(names))}")
    return InputError(f"there is no layer {site.name!r}; {nearest(site.name, dict.fromkeys([*names, *modules]))}")


def first_tensor(result: Any, site: Site) -> Tensor:
    """The first tensor of a result that may be a tuple or a dict.

    Raises:
        ModelError: there is none.
    """
    for tensor in tensors_in(result):
        return tensor
    raise ModelError(f"{site} gives a {type(result).__name__} without a tensor in it; expected one to show.")


def as_inputs(model: nn.Module, images: object) -> Tensor:
    """Images as a network takes them, on its device.

    Raises:
        InputError: no floating tensor with a batch axis. ModelError: the network is elsewhere, or takes more than one input.
    """
    check_one_input(model)
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.dim() < 2 or len(images) == 0:
        what = f"{images.dtype} of shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise InputError(
            f"images: got {what}, expected floats (B, *input_shape) as the network takes them, such as split.inputs([0])."
        )
    device = next((p.device for p in model.parameters()), images.device)
    if device != images.device:
        raise ModelError(f"the images are on {images.device}, the network on {device}: call images.to({str(device)!r}).")
    return images.detach()


@contextlib.contextmanager
def running(images: Tensor) -> Iterator[None]:
    """Say in a sentence what the network could not do with some images.

    Raises:
        ModelError: it failed on them. OutOfMemoryError: they are too many or too large. Errors of the engine pass through.
    """
    try:
        yield
    except NnwError:
        raise
    except Exception as error:
        shape = tuple(images.shape)
        if out_of_memory(error):
            raise OutOfMemoryError(
                f"there is not enough memory to run the network on images of shape {shape}; give fewer or smaller ones."
            ) from error
        raise ModelError(
            f"the network failed on images of shape {shape}: {type(error).__name__}: {error}. "
            "Expected images as it was trained on, (B, *input_shape)."
        ) from error


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """What is done in this block is not taken for a part of the network that runs, nor counted among its functions."""
    with torch._C._DisableTorchDispatch(), torch._C.DisableTorchFunction():
        yield


def quiet() -> torch.no_grad:
    """No gradients. Inference mode would give tensors that their owner cannot change in place."""
    return torch.no_grad()
