"""The slow twin of the scan (compress one layer, bake, look at every image), and networks that are hard to resume."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import nnwidgets.engine as engine
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.values.split import Split

BATCH = 64


def one_layer(layer: str, amount: float, kind: str) -> Recipe:
    """A recipe for one layer alone."""
    if kind == "pruning":
        return Recipe(Pruning(0.0, allocation={layer: amount}))
    return Recipe(quantization=Quantization({layer: int(amount)}))


def right_and_doubtful(model: nn.Module, split: Split) -> tuple[int, int]:
    """(right answers, images whose two largest logits differ by less than float rounding may move them)."""
    assert split.labels is not None  # a copy for each batch: one that counts its calls begins anew
    right = doubtful = 0
    model.eval()
    for start in range(0, len(split), BATCH):
        with torch.no_grad():
            logits = copy.deepcopy(model)(split.inputs(slice(start, start + BATCH)))
        right += int((logits.argmax(1) == split.labels[start : start + BATCH]).sum())
        first, second = logits.topk(2, 1).values.unbind(1)
        doubtful += int((first - second <= 1e-5 * logits.abs().amax(1)).sum())
    return right, doubtful


def scan_slowly(
    model: nn.Module, split: Split, amounts: tuple[float, ...], kind: str
) -> dict[tuple[str, float], tuple[int, int]]:
    """(layer, amount) -> (right answers, doubtful ones), one full pass each."""
    return {
        (layer, amount): right_and_doubtful(engine.bake(engine.compress(model, one_layer(layer, amount, kind))), split)
        for layer in weights_of(model)
        for amount in amounts
    }


def weights_of(model: nn.Module) -> list[str]:
    """Names of the weights, each tensor once."""
    found: dict[int, str] = {}
    for name, module in model.named_modules():
        for attribute, parameter in module.named_parameters(recurse=False):
            if attribute == "in_proj_weight":
                found.setdefault(id(parameter), f"{name}.{attribute}")
            elif attribute == "weight" and parameter.dim() > 1:
                found.setdefault(id(parameter), name)
    return list(found.values())


class Functional(nn.Module):
    """Only functions: in-place ReLU, ``+=`` on what is used again, a split, sizes read from the batch, a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.side = nn.Conv2d(8, 8, 1)
        self.scale = nn.Parameter(torch.full((8, 1, 1), 1.5))
        self.out = nn.Linear(8 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        x = F.conv2d(x, self.first.weight, self.first.bias, padding=1)
        short = x.view(batch, 8, -1)  # the same memory under another name
        x = F.relu_(x)
        maps = F.conv2d(x, self.second.weight, self.second.bias, padding=1) * self.scale
        maps += x
        left, right = self.side(maps).chunk(2, dim=1)
        maps[:, :4].add_(left * right)
        x += maps
        x = torch.cat([left, right], 1) + x + short.mean(2).view(batch, 8, 1, 1)
        return self.out(F.adaptive_avg_pool2d(F.relu(x, inplace=True), 4).flatten(1))


class InPlace(nn.Module):
    """Residual blocks written as many do: in-place ReLU modules and ``out += identity``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.out = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.stem(x))
        identity = x
        x = self.relu(x)
        x = self.a(x)
        x += identity
        self.relu(x)
        y = self.b(x)
        y += x
        return self.out(self.relu(y).mean((2, 3)))


class Viewing(nn.Module):
    """Batch-norm that can be folded, and a view that needs the usual layout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.out = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4 * 36, 4)
        self.bn.running_mean.fill_(0.1)  # type: ignore[union-attr]
        self.bn.running_var.fill_(0.5)  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.bn(self.conv(x)).relu_().view(x.size(0), -1))


class Reused(nn.Module):
    """One module called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.out = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1)).relu()
        for _ in range(3):
            x = x + self.again(x).relu()
        return self.out(x)


class Tied(nn.Module):
    """One weight in two modules, and once more as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.middle = nn.Linear(64, 16), nn.Linear(16, 16)
        self.decode, self.out = nn.Linear(64, 16, bias=False), nn.Linear(16, 4)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.middle(self.encode(x.flatten(1)).relu())
        return self.out(self.decode(F.linear(hidden, self.encode.weight.t())))


class Branching(nn.Module):
    """Which layers are called depends on the numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.once, self.rare = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.out = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        if bool((x > 0).any()):
            x = self.once(x)
        if float(x.abs().max()) > 1e9:
            x = self.rare(x)
        x.relu_()
        return self.out(x)


class BranchingByFunction(Branching):
    """As above, and a layer's weight is also used by a function, before layers that come before it."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(self.first(x.flatten(1)), self.once.weight)
        x = self.rare(x) if bool((x > 0).any()) else x
        return self.out(self.once(x).relu())


class Counting(nn.Module):
    """Keeps a count of its calls in a buffer, and the answer depends on it a little: only a whole pass is right."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(64, 16), nn.Linear(16, 4)
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.out(self.first(x.flatten(1)).relu() * self.calls)


class Attention(nn.Module):
    """A transformer layer over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.out = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(self.embed(x.flatten(1, 2)))
        x, _ = self.attention(x, x, x)
        return self.out(x.mean(1))
