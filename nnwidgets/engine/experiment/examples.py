"""The bundled examples as experiments."""

from __future__ import annotations

from pathlib import Path

from nnwidgets.engine.experiment._experiment import Experiment
from nnwidgets.engine.experiment.events import Notice

__all__ = ["list_examples", "load_example", "load_torchvision"]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of torchvision's ImageNet weights
_GOAL = 0.5


def list_examples() -> list[str]:
    """Names that ``load_example`` takes."""
    from nnwidgets.engine.zoo.examples import list_examples as names

    return names()


def load_example(name: str = "digits") -> Experiment:
    """A trained network with its data, bundled: nothing is downloaded.

    Args:
        name: one of ``list_examples()``; a data set alone stands for its default network ("digits" is "digits/lenet5").

    Raises:
        InputError: an unknown name; the nearest names are offered. UnsupportedError: the weights of "photos" come with an extra
            that is not installed; the line for pip is in the message.
    """
    from nnwidgets.engine.zoo.examples import example_parts

    parts = example_parts(name)
    return Experiment(
        parts.model,
        train=parts.train,
        test=parts.test,
        val=parts.val,
        goal=parts.goal,
        class_names=parts.class_names,
        build=parts.build,
        training=parts.setup,
        title=parts.title,
        example=name,
    )


def load_torchvision(name: str = "vgg16", weights: str | Path | None = None) -> Experiment:
    """A torchvision classifier on the bundled photographs (3 x 224 x 224), to look inside. There is nothing to train it on.

    Its weights are trained ones where they can be had: from the file that is given, else from the one that the environment
    variable ``NNW_<NAME>_WEIGHTS`` names (NNW_VGG16_WEIGHTS), else torchvision's, if they are on this machine or can be
    downloaded. Where none can be had they are random; the title and a notice say so.

    Args:
        name: as in torchvision. weights: a local file of a state dict, ``.safetensors``, ``.pt`` or ``.pth``.

    Raises:
        InputError: torchvision has no such classifier. FileError: the local file cannot be read, or is of another network.
    """
    from nnwidgets.engine.zoo import photos, torchvision_or_random

    found = torchvision_or_random(name, weights)
    _, val, test = photos(_MEAN, _STD)
    exp = Experiment(found.network, val=val, test=test, goal=_GOAL, title=f"{name} with {found.weights}, on photos")
    if found.random:
        exp.notices["weights"] = Notice("weights", f"{name} has random weights, and what it answers means nothing: {found.why}.")
    return exp
