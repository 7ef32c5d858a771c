"""The bundled networks: small, classic, quick on one core."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

__all__ = ["LeNet5", "LeNet300", "ResNet20", "VggSmall"]


class LeNet300(nn.Module):
    """LeNet-300-100 (LeCun et al. 1998) for 1 x 28 x 28 images: 266,200 weights in three dense layers."""

    def __init__(self, num_classes: int = 10, width: float = 1.0) -> None:
        super().__init__()
        first, second = max(1, round(300 * width)), max(1, round(100 * width))
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, first), nn.Linear(first, second), nn.Linear(second, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 28, 28) -> logits (B, K)."""
        hidden = F.relu(self.fc1(images.flatten(1)))
        return self.fc3(F.relu(self.fc2(hidden)))  # type: ignore[no-any-return]


class LeNet5(nn.Module):
    """LeNet-5 as in Caffe and in the pruning literature (Han et al. 2015), for 1 x 28 x 28 images: 430,500 weights."""

    def __init__(self, num_classes: int = 10, width: float = 1.0) -> None:
        super().__init__()
        a, b, c = (max(1, round(size * width)) for size in (20, 50, 500))
        self.conv1, self.pool1 = nn.Conv2d(1, a, 5), nn.MaxPool2d(2)
        self.conv2, self.pool2 = nn.Conv2d(a, b, 5), nn.MaxPool2d(2)
        self.fc1, self.relu, self.fc2 = nn.Linear(b * 16, c), nn.ReLU(), nn.Linear(c, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 28, 28) -> logits (B, K)."""
        maps = self.pool2(self.conv2(self.pool1(self.conv1(images))))
        return self.fc2(self.relu(self.fc1(maps.flatten(1))))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut; where the size changes the shortcut subsamples and pads with zeros (option A)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
        self.conv2, self.bn2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
        self.stride, self.added = stride, outside - inside

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        short = maps
        if self.stride > 1 or self.added:
            short = F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(maps))))) + short)


class ResNet20(nn.Module):
    """The ResNet-20 of He et al. 2016 for small images."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1, width: float = 1.0) -> None:
        super().__init__()
        sizes = [max(1, round(size * width)) for size in (16, 32, 64)]
        self.conv1, self.bn1 = nn.Conv2d(in_channels, sizes[0], 3, 1, 1, bias=False), nn.BatchNorm2d(sizes[0])
        inside = sizes[0]
        for number, outside in enumerate(sizes, start=1):
            blocks = [_Block(inside if i == 0 else outside, outside, 2 if i == 0 and number > 1 else 1) for i in range(3)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            inside = outside
        self.fc = nn.Linear(inside, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, K)."""
        maps = F.relu(self.bn1(self.conv1(images)))
        for number in (1, 2, 3):
            maps = getattr(self, f"layer{number}")(maps)
        return self.fc(maps.mean((2, 3)))  # type: ignore[no-any-return]


class VggSmall(nn.Module):
    """A small VGG (Simonyan & Zisserman 2015) with batch-norm for 3 x 32 x 32 images."""

    def __init__(self, num_classes: int = 10, width: float = 1.0) -> None:
        super().__init__()
        inside = 3
        for number, size in enumerate((32, 32, 64, 64, 128, 128), start=1):
            outside = max(1, round(size * width))
            self.add_module(f"conv{number}", nn.Conv2d(inside, outside, 3, padding=1, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(outside))
            inside = outside
        self.fc = nn.Linear(inside, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, 32, 32) -> logits (B, K)."""
        maps = images
        for number in range(1, 7):
            maps = F.relu(getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(maps)))
            if number % 2 == 0:
                maps = F.max_pool2d(maps, 2)
        return self.fc(maps.mean((2, 3)))  # type: ignore[no-any-return]
