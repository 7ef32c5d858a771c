"""Networks and loops that benchmarks compare with."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from nnwidgets.engine import Split

__all__ = ["naive_loop", "random_split", "vgg16_bn"]


def vgg16_bn(classes: int = 10) -> nn.Module:
    """VGG16 with batch-norm for 3 x 32 x 32 images, as usual for CIFAR: 14.7 M weights, drawn at random, in eval mode."""
    torch.manual_seed(0)
    sizes = [3, 64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0]
    layers: list[nn.Module] = []
    inside = sizes[0]
    for size in sizes[1:]:
        if size == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(inside, size, 3, padding=1, bias=False), nn.BatchNorm2d(size), nn.ReLU(inplace=True)]
        inside = size
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, classes)).eval()


def random_split(n: int, shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10) -> Split:
    """Noise with labels, as uint8."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (n, *shape), dtype=np.uint8)
    return Split(images, draw.integers(0, classes, n), mean=[0.5] * shape[0], std=[0.25] * shape[0])


class _Pictures(Dataset[tuple[Tensor, int]]):
    """What a user writes: PIL images, transforms, one at a time."""

    def __init__(self, split: Split) -> None:
        from PIL import Image
        from torchvision import transforms

        assert split.labels is not None and split.mean is not None and split.std is not None
        arrays = split.images.permute(0, 2, 3, 1).numpy()
        self.images = [Image.fromarray(a[:, :, 0] if a.shape[2] == 1 else a) for a in arrays]
        self.labels = split.labels.tolist()
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize(split.mean.tolist(), split.std.tolist())]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def naive_loop(model: nn.Module, split: Split, images: int | None = None) -> Callable[[], float]:
    """The loop that users write: DataLoader (batch 64, no workers), PIL, ToTensor, Normalize, eager float32.

    Returns a function that runs it, over the first ``images`` or all, and returns the accuracy.
    """
    loader = DataLoader(_Pictures(split), batch_size=64)
    batches = None if images is None else -(-images // 64)

    def loop() -> float:
        right = seen = 0
        model.eval()
        with torch.no_grad():
            for batch, labels in itertools.islice(loader, batches):
                right += int((model(batch).argmax(1) == labels).sum())
                seen += len(labels)
        return right / seen

    return loop
