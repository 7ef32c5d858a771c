"""One forward pass of which everything that is worth showing is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.inspect._layout import Layout
from nnwidgets.engine.inspect._maps import Maps, as_maps
from nnwidgets.engine.inspect._sites import Site, first_tensor, reading, run, running, unwatched

__all__ = ["Captured", "capture"]


class _Stale(BaseException):
    """Nobody waits for this pass any more; neither a network's own ``except Exception`` nor `running` takes it for a failure."""


@dataclass(frozen=True)
class Captured:
    """What a pass gave.

    Attributes:
        maps: by place, a copy of each, float32 or float64 on the CPU.
        refused: places that cannot be shown as maps, and why. answer: (B, ...) float32, what the network answered.
    """

    maps: Mapping[Site, Maps]
    refused: Mapping[Site, str]
    answer: Tensor


def capture(
    network: nn.Module,
    images: Tensor,
    sites: Mapping[Site, Layout | None],
    seen: Callable[[Site, Maps], None] | None = None,
    stale: Callable[[], bool] | None = None,
    own: bool = False,
) -> Captured | None:
    """Run a network once and keep what some places give.

    Args:
        images: (B, *input_shape) as the network takes them. sites: each with the layout of its row (`structure`).
        seen: called with each place as soon as it is there, while the rest still runs.
        stale: asked at each place; once it says True the pass is given up and None is returned.
        own: the network is the caller's own copy in eval mode; it and the random states are not guarded.

    Raises:
        InputError: a place is never reached. And what the network raises.
    """
    modules = dict(network.named_modules())
    frame = tuple(images.shape[2:]) if images.dim() == 4 else ()
    maps: dict[Site, Maps] = {}
    refused: dict[Site, str] = {}

    def visit_of(site: Site) -> Callable[[Any], None]:
        def visit(result: Any) -> None:
            if stale is not None and stale():
                raise _Stale
            with unwatched():
                try:
                    maps[site] = _kept(as_maps(result, len(images), site, modules.get(site.name), sites[site], frame))
                except NnwError as error:
                    refused[site] = str(error)
                    return
                if seen is not None:
                    seen(site, maps[site])

        return visit

    try:
        with reading(network, own), torch.inference_mode(), running(images):
            answer = run(network, images, {site: visit_of(site) for site in sites})
    except _Stale:
        return None
    return Captured(maps, refused, first_tensor(answer, Site("")).detach().to("cpu", torch.float32))


def _kept(maps: Maps) -> Maps:
    """As numpy and a screen take them: half precision, which numpy lacks, becomes float32 exactly."""
    values = maps.values
    return Maps(values.to("cpu", torch.float32 if values.itemsize < 4 else values.dtype), maps.note)
