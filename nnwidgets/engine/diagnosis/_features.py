"""What two samples are compared by: figures of each image, and what a network makes of it."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.evaluation import Frozen, passes
from nnwidgets.engine.trace import weight_layers
from nnwidgets.engine.values.split import Split

__all__ = ["Features", "answer_features", "image_features"]

Floats = npt.NDArray[np.float64]

_GRID, _FINE = 8, 16  # sides of the mean image and of the pixels that are kept
_NOISE = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
_AT_ONCE = 2**17  # numbers in the images that are looked at before the next yield
_MOST_NUMBERS = 256  # of a vector, a sequence or what reaches the last layer


@dataclass(frozen=True)
class Features:
    """Of N images.

    Attributes:
        names: of D figures, in words. values: (N, D), each with mean 0 and deviation 1 over all images. raw: (N, R), centred.
    """

    names: tuple[str, ...]
    values: Floats
    raw: Floats


def image_features(x: Tensor) -> Generator[None, None, Features]:
    """Figures of images (N, C, H, W) as they are fed, channel by channel.

    Mean, deviation, least and largest value; mean absolute difference to the neighbour across and down, and of second differences
    (Immerkær 1996: noise); where the brightness lies; the image itself, pooled to 8 x 8. ``raw`` is the image pooled to 16 x 16.
    Of vectors and sequences: mean, deviation and up to 256 of the numbers.
    """
    figures = _of_images if x.dim() == 4 and min(x.shape[2:]) >= 3 else _of_numbers
    size = max(1, _AT_ONCE // math.prod(x.shape[1:]))
    parts = []
    for start in range(0, len(x), size):
        parts.append(figures(x[start : start + size]))
        yield
    columns = {name: torch.cat([part[name] for part, _ in parts]) for name in parts[0][0]}
    return _features(columns, torch.cat([raw for _, raw in parts]))


def _of_numbers(x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Figures of each vector or sequence by name, and some of its numbers."""
    flat = x.flatten(1)
    places = np.unique(np.linspace(0, flat.shape[1] - 1, _MOST_NUMBERS).round().astype(np.int64))
    chosen = flat[:, torch.from_numpy(places)]
    columns = {"mean": flat.mean(1), "deviation": flat.std(1, correction=0)}
    return columns | {f"number {place}": chosen[:, i] for i, place in enumerate(places.tolist())}, chosen


def _of_images(x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Figures of each image by name, and its pixels."""
    columns: dict[str, Tensor] = {}
    y, x_place = (torch.linspace(-1, 1, side) for side in x.shape[2:])
    noise = F.conv2d(x, _NOISE.expand(x.shape[1], 1, 3, 3), groups=x.shape[1]).abs().mean((2, 3))
    grid = F.adaptive_avg_pool2d(x, (min(_GRID, x.shape[2]), min(_GRID, x.shape[3])))
    for c in range(x.shape[1]):
        one, of = x[:, c], f" of channel {c}" if x.shape[1] > 1 else ""
        mean = one.mean((1, 2))
        deviation = one.std((1, 2), correction=0)
        centred = (one - mean[:, None, None]) / deviation.clamp_min(1e-6)[:, None, None]
        columns |= {
            f"mean{of}": mean,
            f"deviation{of}": deviation,
            f"least value{of}": one.amin((1, 2)),
            f"largest value{of}": one.amax((1, 2)),
            f"steps across{of}": one.diff(dim=2).abs().mean((1, 2)),
            f"steps down{of}": one.diff(dim=1).abs().mean((1, 2)),
            f"noise{of}": noise[:, c],
            f"brightness to the right{of}": (centred * x_place).mean((1, 2)),
            f"brightness below{of}": (centred * y[:, None]).mean((1, 2)),
            f"slant{of}": (centred * y[:, None] * x_place).mean((1, 2)),
        }
        for row in range(grid.shape[2]):
            for column in range(grid.shape[3]):
                columns[f"mean image at row {row}, column {column} of {grid.shape[3]}{of}"] = grid[:, c, row, column]
    fine = F.adaptive_avg_pool2d(x, (min(_FINE, x.shape[2]), min(_FINE, x.shape[3])))
    return columns, fine.flatten(1)


def answer_features(network: nn.Module, splits: Sequence[Split]) -> Generator[None, None, Features]:
    """What a network of one's own in eval mode answers to samples, one after the other.

    Probability of each class, whether it is the chosen one, the largest probability, entropy, log of the sum of exp(logits).
    ``raw``: what reaches the last layer with weights, maps averaged, at most 256 numbers.
    """
    layers = weight_layers(network)
    last = network.get_submodule(layers[-1].module_name) if layers else network
    caught: list[Tensor] = []

    def catch(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        caught.append(_flat(given[0].detach()))

    logits, reached = [], []
    for split in splits:
        answers: Tensor | None = None
        below: Tensor | None = None
        handle = last.register_forward_pre_hook(catch)
        try:
            for index, part in passes(Frozen(network), split):
                answers = torch.zeros(len(split), part.shape[1]) if answers is None else answers
                answers[index] = part.cpu()
                values = caught[-1].cpu() if caught and len(caught[-1]) == len(index) else part.cpu()
                caught.clear()
                below = torch.zeros(len(split), values.shape[1]) if below is None else below
                below[index] = values
                yield
        finally:
            handle.remove()
        assert answers is not None and below is not None
        logits.append(answers)
        reached.append(below)
    z = torch.cat(logits)
    p = z.softmax(1)
    chosen = F.one_hot(z.argmax(1), z.shape[1]).float()
    columns = {f"probability of class {k}": p[:, k] for k in range(p.shape[1])}
    columns |= {f"answers of class {k}": chosen[:, k] for k in range(p.shape[1])}
    columns["largest probability"] = p.max(1).values
    columns["entropy of the answer"] = -(p * p.clamp_min(1e-12).log()).sum(1)
    columns["log of the sum of exp(logits)"] = z.logsumexp(1)
    return _features(columns, torch.cat(reached))


def _flat(values: Tensor) -> Tensor:
    """(B, R) with few numbers an image."""
    if values.dim() == 4:
        values = values.mean((2, 3))
    values = values.flatten(1).float()
    step = math.ceil(values.shape[1] / _MOST_NUMBERS)
    return values[:, ::step]


def _features(columns: dict[str, Tensor], raw: Tensor) -> Features:
    values = torch.stack(list(columns.values()), 1).double().numpy()
    spread = values.std(0)
    standard = (values - values.mean(0)) / np.where(spread > 1e-9, spread, np.inf)
    centred = raw.double().numpy()
    return Features(tuple(columns), standard, centred - centred.mean(0))
