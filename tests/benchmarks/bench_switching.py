"""Switching a channel off: new logits and accuracy against the whole network."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torchvision
from figures import Figure, ratios
from torch import Tensor, nn

from nnwidgets.engine.evaluation import Tally, evaluate
from nnwidgets.engine.inspect import Site, Switching, ablate
from nnwidgets.engine.trace import trace
from nnwidgets.engine.zoo import example_parts

_LOGITS = ("<=", 0.5)
_PLACES = 5


def second_half(model: nn.Module, images: Tensor) -> list[Site]:
    """Places spread over the second half of the rows of ``layers``, the very first of them among them."""
    calls = [call for call in trace(model, tuple(images.shape[1:])).calls if not call.moves]
    half = calls[len(calls) // 2 :]
    return [Site(call.name, call.call) for call in half[:: max(1, len(half) // _PLACES)]]


def switched(name: str, model: nn.Module, images: Tensor, sites: list[Site], repeats: int) -> Iterator[Figure]:
    """New logits of one image / a full pass of the network as it is, at some places."""
    switching = Switching(model, tuple(images.shape[1:]), images)
    for site in sites:
        switching.choose(site)
        switching.logits(images)
        off = iter(range(10**6))

        def whole() -> Tensor:
            with torch.inference_mode():
                return model(images)  # type: ignore[no-any-return]

        def again(switching: Switching = switching, off: Iterator[int] = off) -> Tensor:
            return switching.logits(images, next(off) % switching.count)

        values = ratios(again, whole, repeats)
        yield Figure(f"{name}, {site}: logits with a channel off / full forward", values, _LOGITS, note=switching.method)


def figures() -> Iterator[Figure]:
    """Logits at batch 1, and a whole sample for the second set of channels."""
    for example in ("digits/resnet20", "digits/lenet5"):
        parts = example_parts(example)
        image = parts.test.inputs(slice(0, 1))
        yield from switched(example, parts.model, image, second_half(parts.model, image), 25)
    torch.manual_seed(0)
    vgg16, image = torchvision.models.vgg16(weights=None).eval(), torch.randn(1, 3, 224, 224)
    yield from switched("VGG16 at 224", vgg16, image, [Site("features.16"), Site("features.21"), Site("classifier.1")], 5)
    parts = example_parts("digits/resnet20")
    switching = Switching(parts.model, parts.val.sample_shape, parts.val.inputs(slice(0, 8)))
    for site in (Site("layer1.2"), Site("layer2.2"), Site("layer3.1")):
        switching.choose(site)
        list(switching.stream(parts.val, Tally(len(parts.val)), [0]))
        values = ratios(
            lambda site=site: evaluate(ablate(parts.model, site, [1]), parts.val),  # type: ignore[misc]
            lambda: list(switching.stream(parts.val, Tally(len(parts.val)), [1])),
            5,
        )
        what = f"resnet20, {site}, 1,000 images: evaluate / second stream on the layer"
        yield Figure(what, values, (">=", 1.0), note="the more of the network comes before the layer, the more is saved")
