"""Bundled networks and data, and any torchvision network by name."""

from __future__ import annotations

from nnwidgets.engine.zoo._digits import digits
from nnwidgets.engine.zoo._photos import photos
from nnwidgets.engine.zoo._shapes import shapes
from nnwidgets.engine.zoo.examples import example_parts, list_examples
from nnwidgets.engine.zoo.pretrained import NamedNet, torchvision_net, torchvision_or_random

__all__ = [
    "NamedNet",
    "digits",
    "example_parts",
    "list_examples",
    "photos",
    "shapes",
    "torchvision_net",
    "torchvision_or_random",
]
