"""The channel graph beside torch-pruning, and what a really smaller network gains in time for what it saves in arithmetic.

A structured step begins with a network and ends with a smaller one while the first is still there: torch-pruning works in place,
so that it gets a copy to work on.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from figures import Figure, ratios
from nets import vgg16_bn
from torch import nn

from nnwidgets.engine.costs import latency
from nnwidgets.engine.pruning.channels import channel_groups, smaller
from nnwidgets.engine.trace import trace
from nnwidgets.engine.zoo.nets import ResNet20, VggSmall

__all__ = ["figures"]

NETS = ("resnet18", "densenet121")
WIDTHS = (0.75, 0.5, 0.25)
SHAPE = (3, 224, 224)
REPEATS, ROUNDS = 5, 7
GAINS: tuple[tuple[str, Callable[..., nn.Module], tuple[int, ...], int], ...] = (
    ("vgg_small", VggSmall, (3, 32, 32), 64),
    ("VGG16-BN for 32 x 32", vgg16_bn, (3, 32, 32), 8),
    ("ResNet-20", ResNet20, (1, 28, 28), 64),
)


def figures() -> Iterator[Figure]:
    """Graph and one step; then latency against arithmetic."""
    for name in NETS:
        yield from _steps(name)
    for title, make, shape, batch in GAINS:
        yield from _gains(title, make, shape, batch)


def _steps(name: str) -> Iterator[Figure]:
    import torch_pruning
    import torchvision

    model = getattr(torchvision.models, name)(weights=None).eval()
    x = torch.zeros(1, *SHAPE)
    first = channel_groups(model, SHAPE).bundles[0]

    def ours_half() -> nn.Module:
        groups = channel_groups(model, SHAPE)
        return smaller(model, groups, {b.name: np.arange(b.n) % 2 == 0 for b in groups.bundles})

    def ours_one() -> nn.Module:
        groups = channel_groups(model, SHAPE)
        return smaller(model, groups, {first.name: np.arange(first.n) > 0})

    def theirs_half() -> nn.Module:
        twin = copy.deepcopy(model)
        last = [module for module in twin.modules() if isinstance(module, nn.Linear)][-1:]
        importance = torch_pruning.importance.RandomImportance()
        torch_pruning.pruner.BasePruner(twin, x, importance=importance, pruning_ratio=0.5, ignored_layers=last).step()
        return twin

    def theirs_one() -> nn.Module:
        twin = copy.deepcopy(model)
        graph = torch_pruning.DependencyGraph().build_dependency(twin, example_inputs=x)
        layer = twin.get_submodule(first.producers[0])
        graph.get_pruning_group(layer, torch_pruning.prune_conv_out_channels, idxs=[0]).prune()
        return twin

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        half, one = ratios(theirs_half, ours_half, REPEATS), ratios(theirs_one, ours_one, REPEATS)
    yield Figure(
        f"{name} at 224, graph and half of all channels: torch-pruning / ours", half, (">=", 10), note="random choice in both"
    )
    yield Figure(
        f"{name} at 224, graph and one channel: torch-pruning / ours", one, (">=", 10), note="ours tries all groups once"
    )


def _gains(title: str, make: Callable[..., nn.Module], shape: tuple[int, ...], batch: int) -> Iterator[Figure]:
    model = make().eval()
    groups = channel_groups(model, shape)
    macs = trace(model, shape).macs
    for width in WIDTHS:
        kept = {b.name: np.arange(b.n) < max(1, round(width * b.n)) for b in groups.bundles}
        small = smaller(model, groups, kept)
        saved = macs / trace(small, shape).macs
        shares = []
        for _ in range(ROUNDS):
            gain = latency(model, shape, batch, seconds=0.4).median_ms / latency(small, shape, batch, seconds=0.4).median_ms
            shares.append(gain / saved)
        if make is VggSmall:  # what such a network costs when it is built narrow: no way of shrinking can be faster
            narrow = make(width=width).eval()
            built = [latency(narrow, shape, batch).median_ms / latency(small, shape, batch).median_ms for _ in range(ROUNDS)]
            yield Figure(f"{title} at width {width:g}: latency built narrow / made smaller", tuple(built), (">=", 0.9))
        note = f"MACs / {saved:.2f}, latency / {saved * float(np.median(shares)):.2f}, batch {batch}"
        yield Figure(f"{title} at width {width:g}: latency gain / MAC gain", tuple(shares), (">=", 0.9), note=note)
