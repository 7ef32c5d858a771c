"""What it costs to watch: a training step with its weights watched, and statistics of all layers against a bare pass."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
from figures import Figure, ratios

from nnwidgets.engine.evaluation import passes
from nnwidgets.engine.inspect import statistics, watch_training
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.zoo import example_parts


def figures() -> Iterator[Figure]:
    """Steps take turns; sums for 70 places of a ResNet cost more than the network itself."""
    for example, shown, reach in (("digits/lenet5", "fc1", ("<=", 1.1)), ("digits/resnet20", "conv1", ("<=", 1.1))):
        parts = example_parts(example)
        setup = TrainingSetup(epochs=5)
        plain = fit(copy.deepcopy(parts.model), parts.train, setup=setup)
        watched = watch_training(copy.deepcopy(parts.model), parts.train, setup, show=shown)
        values = ratios(
            lambda watched=watched: next(watched),  # type: ignore[misc]
            lambda plain=plain: next(plain),  # type: ignore[misc]
            101 if "lenet" in example else 15,
        )
        yield Figure(f"{example}: step with weights watched / step of fit", values, reach)
    for example in ("digits/lenet5", "digits/resnet20", "shapes/vgg_small"):
        parts = example_parts(example)
        split = parts.val.take(np.arange(400))
        values = ratios(
            lambda parts=parts, split=split: statistics(parts.model, split),  # type: ignore[misc]
            lambda parts=parts, split=split: list(passes(parts.model, split)),  # type: ignore[misc]
            3,
        )
        yield Figure(f"{example}, 400 images: statistics of all rows of layers / bare pass", values)
