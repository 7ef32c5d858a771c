"""Criteria that ask the loss: gradients, curvature, and both together."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.evaluation import batches_of
from nnwidgets.engine.pruning.criteria._sample import with_gradients
from nnwidgets.engine.trace import Trace
from nnwidgets.engine.values.split import Split

__all__ = ["Images", "Loss", "Steps", "by_image", "flow", "gradients", "hutchinson"]

Loss = Callable[[Tensor, Tensor], Tensor]
Steps = Generator[float, None, dict[str, Tensor]]
"""Yields the share that is done, returns layer -> tensor of the shape of its weight."""


class _Losses:
    """Gradients of the loss of a network that stays as it is."""

    def __init__(self, model: nn.Module, loss: Loss | None) -> None:
        self.network, layers, weights = with_gradients(model)
        self.names, self.weights = list(weights), list(weights.values())
        self.inputs = [1 - layers[name].out_axis for name in weights]  # the axis of inputs
        self._loss = F.cross_entropy if loss is None else loss

    def of(self, images: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch."""
        return self._loss(self.network(images), labels)

    def gradients(self, value: Tensor, twice: bool = False) -> list[Tensor]:
        """Of a scalar, in the order of the weights; zeros for what it does not depend on."""
        if not value.requires_grad:
            return [torch.zeros_like(weight) for weight in self.weights]
        return list(torch.autograd.grad(value, self.weights, create_graph=twice, allow_unused=True, materialize_grads=True))

    def zeros(self) -> list[Tensor]:
        """A sum of each weight that nothing was added to yet."""
        return [torch.zeros_like(weight, requires_grad=False) for weight in self.weights]

    def named(self, sums: list[Tensor]) -> dict[str, Tensor]:
        """By layer."""
        return dict(zip(self.names, (value.detach() for value in sums), strict=True))


def gradients(model: nn.Module, split: Split, found: Trace, loss: Loss | None) -> Steps:
    """The gradient of the mean loss."""
    asked = _Losses(model, loss)
    sums = asked.zeros()
    for images, labels, done in batches_of(split, found):
        assert labels is not None
        with torch.inference_mode(False), torch.enable_grad():
            parts = asked.gradients(asked.of(images, labels))
        _add(sums, parts, len(images) / len(split))
        yield done
    return asked.named(sums)


@dataclass(frozen=True, eq=False)
class Images:
    """Gradients g of single images.

    Attributes:
        mean: layer -> mean of g, or of g², of the shape of the weight.
        slopes: layer -> (n, I), the sum of g w over the weights at each index of the axis of inputs, an image a row.
    """

    mean: dict[str, Tensor]
    slopes: dict[str, Tensor]


def by_image(
    model: nn.Module, split: Split, found: Trace, loss: Loss | None, squared: bool = False
) -> Generator[float, None, Images]:
    """A backward pass for each image; the mean is of g, or of g². Yields the share that is done."""
    asked = _Losses(model, loss)
    mean = asked.zeros()
    slopes = [torch.empty(len(split), w.shape[axis]) for w, axis in zip(asked.weights, asked.inputs, strict=True)]
    for i, (images, labels, done) in enumerate(batches_of(split, found, most=1)):
        assert labels is not None
        with torch.inference_mode(False), torch.enable_grad():
            parts = asked.gradients(asked.of(images, labels))
        _add(mean, [part.square() for part in parts] if squared else parts, 1 / len(split))
        for rows, part, weight, axis in zip(slopes, parts, asked.weights, asked.inputs, strict=True):
            rows[i] = (part * weight).detach().movedim(axis, 0).flatten(1).sum(1)
        yield done
    return Images(asked.named(mean), asked.named(slopes))


def hutchinson(model: nn.Module, split: Split, found: Trace, loss: Loss | None, seed: int = 0) -> Steps:
    """The diagonal of the Hessian of the mean loss: the mean of z (Hz), with fresh random signs z for each batch."""
    asked = _Losses(model, loss)
    draw = torch.Generator().manual_seed(seed)
    sums = asked.zeros()
    for images, labels, done in batches_of(split, found):
        assert labels is not None
        signs = [torch.empty(w.shape).bernoulli_(0.5, generator=draw).mul_(2).sub_(1).to(w) for w in asked.weights]
        _add(
            sums,
            [z * each for z, each in zip(signs, _curved(asked, images, labels, signs), strict=True)],
            len(images) / len(split),
        )
        yield done
    return asked.named(sums)


def flow(model: nn.Module, split: Split, found: Trace, loss: Loss | None) -> Steps:
    """The Hessian of the mean loss times its gradient. Every image is looked at twice."""
    first = gradients(model, split, found, loss)
    while True:
        try:
            yield next(first) / 3
        except StopIteration as end:
            slopes: dict[str, Tensor] = end.value
            break
    asked = _Losses(model, loss)
    sums = asked.zeros()
    for images, labels, done in batches_of(split, found):
        assert labels is not None
        _add(sums, _curved(asked, images, labels, [slopes[name] for name in asked.names]), len(images) / len(split))
        yield (1 + 2 * done) / 3
    return asked.named(sums)


def _curved(asked: _Losses, images: Tensor, labels: Tensor, along: list[Tensor]) -> list[Tensor]:
    """The Hessian of the mean loss of a batch times a vector."""
    with torch.inference_mode(False), torch.enable_grad():
        slopes = asked.gradients(asked.of(images, labels), twice=True)
        product = torch.stack([(slope * v).sum() for slope, v in zip(slopes, along, strict=True)]).sum()
        return asked.gradients(product)


def _add(sums: list[Tensor], parts: list[Tensor], share: float) -> None:
    with torch.no_grad():
        for total, part in zip(sums, parts, strict=True):
            total.add_(part.detach(), alpha=share)
