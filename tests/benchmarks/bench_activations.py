"""Accuracy with rounded activations, nothing trained: bits by range, and int8 for weights and activations against float32."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure

from nnwidgets.engine import Quantization, Recipe, compress, evaluate
from nnwidgets.engine.zoo import example_parts

_NETS = {"LeNet-5": "digits/lenet5", "ResNet-20": "digits/resnet20", "small VGG": "shapes/vgg_small"}
_RANGES = {"min-max": "minmax", "percentile": "percentile", "least squares": "mse", "KL": "kl"}


def figures() -> Iterator[Figure]:
    """All of S_test; ranges from 256 images of S_train."""
    for title, name in _NETS.items():
        parts = example_parts(name)
        full = evaluate(parts.model, parts.test).accuracy
        yield Figure(f"{title}: accuracy in float32", (100 * full,), unit="%")

        def measured(**settings: object) -> float:
            network = compress(parts.model, Recipe(None, Quantization(**settings)), parts.train)  # type: ignore[arg-type]  # noqa: B023
            return evaluate(network, parts.test).accuracy  # noqa: B023

        for granularity in ("channel", "tensor"):
            lost = full - measured(weight_bits=8, activation_bits=8, granularity=granularity)
            told = f"{title}: points lost by int8 weights (a scale a {granularity}) and activations"
            yield Figure(told, (100 * lost,), reach=("<=", 0.3), unit="points")
        for label, observer in _RANGES.items():
            for bits in (8, 6, 4, 3, 2):
                right = measured(weight_bits=8, activation_bits=bits, activation_observer=observer)
                yield Figure(f"{title}: accuracy, weights 8 bit, activations {bits} bit by {label}", (100 * right,), unit="%")
