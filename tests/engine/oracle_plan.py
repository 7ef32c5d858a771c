"""Slow and obvious twins of the compression code."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


def smallest(weights: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Masks that remove the round(share * N) smallest magnitudes of all tensors together, by one stable sort of them all."""
    sizes = [w.numel() for w in weights.values()]
    together = torch.cat([w.detach().abs().float().reshape(-1) for w in weights.values()])
    kept = torch.ones(len(together), dtype=torch.bool)
    kept[torch.sort(together, stable=True).indices[: round(share * len(together))]] = False
    return {n: part.reshape(w.shape) for (n, w), part in zip(weights.items(), kept.split(sizes), strict=True)}


def affine(weight: Tensor, bits: int) -> tuple[float, int]:
    """Scale and zero point of a tensor in scalar float32 arithmetic, from the formula of ORACLES."""
    lo = np.float32(min(0.0, float(weight.min())))
    hi = np.float32(max(0.0, float(weight.max())))
    scale = np.float32((hi - lo) / np.float32(2**bits - 1))
    zero = int(np.clip(np.round(np.float32(0) - lo / scale), 0, 2**bits - 1))
    return float(scale), zero


def learned(weight: Tensor, steps: Tensor, bits: int) -> Tensor:
    """LSQ of a weight whose steps are shaped to multiply it, as its paper writes it: autograd finds the gradients, and what it is
    not to see is detached.
    """
    most = max(1, 2 ** (bits - 1) - 1)
    shared = [d for d in range(weight.dim()) if steps.shape[d] == 1]
    own = steps.abs()
    slowed = own / ((weight != 0).sum(shared, keepdim=True).clamp(min=1) * most).sqrt()
    own = slowed + (own - slowed).detach()
    if bits == 1:
        signs: Tensor = weight.sign().detach() * own
        return signs + (weight - weight.detach())
    inside = (weight / own).clamp(-most, most)
    codes: Tensor = inside + (inside.round() - inside).detach()
    return codes * own


def entropy_free_bytes(weight: Tensor, bits: int) -> dict[str, int]:
    """Bytes of a weight in each encoding, counted element by element."""
    rows = weight.reshape(weight.shape[0], -1).tolist()
    nonzero = sum(1 for row in rows for value in row if value != 0)
    count, columns = sum(len(row) for row in rows), len(rows[0])
    index = next(i for i in (1, 2, 4) if max(columns - 1, nonzero) < 256**i)
    values = math.ceil(nonzero * bits / 8)
    return {
        "dense": math.ceil(count * bits / 8),
        "bitmask": values + math.ceil(count / 8),
        "csr": values + index * nonzero + index * (len(rows) + 1),
    }


def lloyd(values: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float64]:
    """Lloyd's algorithm with the full table of distances."""
    centres = np.linspace(values.min(), values.max(), size, dtype=np.float64)
    for _ in range(100):
        nearest = np.abs(values[:, None] - centres).argmin(1)
        moved = np.array(
            [values[nearest == i].mean(dtype=np.float64) if (nearest == i).any() else centres[i] for i in range(size)]
        )
        if np.array_equal(moved, centres):
            break
        centres = np.sort(moved)
    return centres


def shared(weight: Tensor, bits: int) -> tuple[list[float], list[float]]:
    """A codebook of k-means and each weight on it, one after the other: zeros apart, the rest by distance."""
    numbers = weight.reshape(-1).tolist()
    rest = np.array([number for number in numbers if number != 0], np.float32)
    zeros = len(rest) < len(numbers)
    size = 2**bits - zeros
    distinct = sorted({float(number) for number in rest})
    if len(distinct) <= size:
        means = distinct + [distinct[-1] if distinct else 0.0] * (size - len(distinct))
    else:
        means = [float(np.float32(value)) for value in lloyd(rest, size)]
    on_it = [0.0 if number == 0 else min(means, key=lambda value: (abs(value - number), value)) for number in numbers]
    return sorted([*means, *([0.0] if zeros else [])]), on_it


def same_bits(a: nn.Module, b: nn.Module) -> bool:
    """True where two networks have the same state dict, keys in the same order, equal to the last bit (-0 is not 0)."""
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(
        v.dtype == second[k].dtype and v.shape == second[k].shape and v.numpy().tobytes() == second[k].numpy().tobytes()
        for k, v in first.items()
    )


class Small(nn.Module):
    """Convolutions with and without bias and batch-norm, a residual, a grouped and a transposed one, tied and unused layers."""

    shape = (2, 12, 12)

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, groups=2, bias=False)
        self.norm2 = nn.BatchNorm2d(6)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2)
        self.pool = nn.AdaptiveAvgPool2d((4, 8))
        self.hidden = nn.Linear(4 * 32, 128)
        self.tied = nn.Linear(128, 128, bias=False)
        self.tied.weight = self.hidden.weight
        self.out = nn.Linear(128, 5)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm1(self.conv1(x)))
        x = x + torch.relu(self.norm2(self.conv2(x)))
        x = self.pool(torch.relu(self.up(x)))
        return self.out(torch.relu(self.tied(self.hidden(x.flatten(1)))))
