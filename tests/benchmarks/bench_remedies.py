"""What equalized channels, corrected biases and adaptive rounding give back. No training, no labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from figures import Figure
from torch import nn

from nnwidgets.engine import Quantization, Recipe, Split, bake, compress, correct_bias, equalize, evaluate
from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.zoo import example_parts

_NETS = {"LeNet-5": "digits/lenet5", "ResNet-20": "digits/resnet20", "small VGG": "shapes/vgg_small"}


def _ways(model: nn.Module, recipe: Recipe, train: Split, equal: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    assert recipe.quantization is not None
    together = Recipe(None, replace(recipe.quantization, rounding="adaptive"))
    yield "as it is", compress(model, recipe)
    yield "equalized", compress(equal, recipe)
    yield "biases corrected", compress(correct_bias(model, recipe, train), recipe)
    yield "both", compress(correct_bias(equal, recipe, train), recipe)
    yield "adaptive rounding", compress(model, together, train)
    yield "all three", compress(correct_bias(equal, together, train), together, train)


def _depthwise() -> tuple[str, nn.Module, Split, Split]:
    """EfficientNet-Lite0 with its ImageNet weights, where the extra is installed; else MobileNetV2 with random weights, whose
    channels in front of each batch-norm are made unequal, which changes no answer.
    """
    try:
        parts = example_parts("photos")
        return "EfficientNet-Lite0 (photographs)", parts.model, parts.train, parts.test
    except UnsupportedError as error:
        print(f"EfficientNet-Lite0 is not here ({error}); MobileNetV2 with unequal ranges instead", flush=True)
    from torchvision import models

    torch.manual_seed(0)
    model = models.mobilenet_v2()
    model(torch.randn(32, 3, 64, 64))
    model.eval()
    draw = torch.Generator().manual_seed(1)
    before = None
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
                factor = 10 ** (2 * torch.rand(module.num_features, generator=draw))
                before.weight.mul_(factor.reshape(-1, 1, 1, 1))
                module.running_mean.mul_(factor)  # type: ignore[union-attr]
                module.running_var.copy_((module.running_var + module.eps) * factor**2 - module.eps)  # type: ignore[operator, union-attr]
            before = module
    images = torch.randn(256, 3, 64, 64, generator=draw)
    return "MobileNetV2 with unequal ranges (noise)", model, Split(images), Split(images)


def figures() -> Iterator[Figure]:
    """Accuracy on S_test at 8 to 2 bits; of a depthwise network, predictions that are those of float32 at 8 bits."""
    for title, name in _NETS.items():
        parts = example_parts(name)
        equal = equalize(parts.model, parts.test.sample_shape)
        for bits, scale in ((8, "tensor"), (4, "tensor"), (3, "tensor"), (2, "tensor"), (2, "channel")):
            recipe = Recipe(None, Quantization(bits, granularity=scale))
            for way, network in _ways(parts.model, recipe, parts.train, equal):
                right = 100 * evaluate(bake(network), parts.test).accuracy
                yield Figure(f"{title}, {bits} bit, one scale a {scale}, {way}: accuracy", (right,), unit="%")
    title, model, train, test = _depthwise()
    equal = equalize(model, test.sample_shape)
    with torch.inference_mode():
        expected = model(test.inputs(slice(0, len(test)))).argmax(1)
        for bits in (8, 6):
            recipe = Recipe(None, Quantization(bits, granularity="tensor"))
            for way, network in _ways(model, recipe, train, equal):
                same = (network.eval()(test.inputs(slice(0, len(test)))).argmax(1) == expected).double().mean()
                told = f"{title}, {bits} bit, one scale a tensor, {way}: predictions of float32"
                yield Figure(told, (100 * float(same),), unit="%")
