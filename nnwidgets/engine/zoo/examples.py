"""The bundled examples: a network with its data, its goal and how it was trained."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.zoo import nets
from nnwidgets.engine.zoo._digits import digits
from nnwidgets.engine.zoo._photos import photos
from nnwidgets.engine.zoo._shapes import CLASSES, shapes
from nnwidgets.engine.zoo.efficientnet import LITE_MEAN, LITE_STD, EfficientNetLite0, pretrained_lite0
from nnwidgets.engine.zoo.weights import load_bundled

__all__ = ["RECIPES", "ExampleParts", "NetRecipe", "example_data", "example_parts", "list_examples"]

_VAL = 1000  # S_val: the last images of S_train
_SHAPES = {"train": (6000, 1), "test": (4000, 2)}  # images and seed
_NOISE = 0.2  # without noise the net makes almost no errors, and there would be nothing to see


@dataclass(frozen=True)
class NetRecipe:
    """How a bundled network is built and trained, and the error that is asked of it."""

    data: str
    build: Callable[[float], nn.Module]
    setup: TrainingSetup
    goal: float


@dataclass(frozen=True)
class ExampleParts:
    """What an experiment is made of; ``train`` is S_train without S_val."""

    model: nn.Module
    train: Split
    val: Split
    test: Split
    goal: float
    class_names: tuple[str, ...]
    title: str
    setup: TrainingSetup
    build: Callable[[float], nn.Module]


_SGD = TrainingSetup(optimizer="sgd", momentum=0.9, weight_decay=5e-4, schedule="cosine")
RECIPES = {
    "lenet300": NetRecipe(
        "digits",
        lambda width: nets.LeNet300(width=width),
        TrainingSetup(lr=1e-3, epochs=80, schedule="cosine", augmentation="shift"),
        0.03,
    ),
    "lenet5": NetRecipe(
        "digits",
        lambda width: nets.LeNet5(width=width),
        TrainingSetup(lr=1e-3, epochs=20, schedule="cosine", augmentation="shift"),
        0.03,
    ),
    "resnet20": NetRecipe(
        "digits",
        lambda width: nets.ResNet20(width=width),
        replace(_SGD, lr=0.1, epochs=12, augmentation="shift"),
        0.03,
    ),
    "vgg_small": NetRecipe(
        "shapes",
        lambda width: nets.VggSmall(width=width),
        replace(_SGD, lr=0.05, epochs=10),
        0.03,
    ),
}
_DEFAULTS = {"digits": "lenet5", "shapes": "vgg_small", "photos": "efficientnet_lite0"}
_PHOTOS = frozenset({"photos", "photos/efficientnet_lite0"})
_PHOTOS_GOAL = 0.05  # of 42 images two may be answered otherwise than before


def list_examples() -> list[str]:
    """Names of the bundled examples; a data set alone stands for its default network."""
    return sorted({*_DEFAULTS, *_PHOTOS, *(f"{recipe.data}/{net}" for net, recipe in RECIPES.items())})


def example_data(name: str) -> tuple[Split, Split, Split]:
    """(S_train without S_val, S_val, S_test) of "digits" or "shapes"."""
    if name == "digits":
        train, test = digits()
    else:
        train, test = (shapes(n, seed=seed, noise=_NOISE) for n, seed in _SHAPES.values())
    rest, val = train.tail(_VAL)
    return rest, val, test


def example_parts(name: str) -> ExampleParts:
    """All parts of a bundled example, with trained weights.

    Raises:
        InputError: an unknown name; the nearest ones are offered. UnsupportedError: the extra that it needs is not installed.
    """
    if name not in list_examples():
        near = difflib.get_close_matches(str(name), list_examples(), 3, 0.4) or list_examples()
        raise InputError(
            f"there is no example {name!r}; did you mean {' or '.join(map(repr, near))}? All: {', '.join(list_examples())}."
        )
    if name in _PHOTOS:
        return _photos_parts()
    net = _DEFAULTS.get(name) or name.split("/")[1]
    recipe = RECIPES[net]
    model = recipe.build(1.0)
    load_bundled(model, net)
    train, val, test = example_data(recipe.data)
    names = CLASSES if recipe.data == "shapes" else tuple("0123456789")
    return ExampleParts(model.eval(), train, val, test, recipe.goal, names, f"{net} on {recipe.data}", recipe.setup, recipe.build)


def _photos_parts() -> ExampleParts:
    """EfficientNet-Lite0 on photographs. How it was trained cannot be done again here: the setup is one for fine-tuning."""
    model = pretrained_lite0()
    train, val, test = photos((LITE_MEAN,) * 3, (LITE_STD,) * 3, "itself")
    setup = replace(_SGD, lr=1e-3, epochs=2, batch_size=4)  # a larger batch would need a gigabyte
    title = "EfficientNet-Lite0 on photos, labelled by itself"
    names = train.class_names or ()
    return ExampleParts(model, train, val, test, _PHOTOS_GOAL, names, title, setup, lambda width: EfficientNetLite0(width=width))
