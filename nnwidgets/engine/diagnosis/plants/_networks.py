"""Small networks, and how they are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.evaluation import check_model
from nnwidgets.engine.training import fit
from nnwidgets.engine.training._own_steps import OwnStep, own_steps
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["NetPlan", "biases_before_activations", "factory", "own_step", "started", "train"]


@dataclass(frozen=True)
class NetPlan:
    """A small classifier.

    Attributes:
        convs: channels of 3 x 3 convolutions, each with 2 x 2 average pooling (a linear map, unlike that of maxima) behind it.
        dense: units of the hidden dense layers that follow.
        activation: after each of them, None for none. probabilities: whether it answers these, not logits.
    """

    convs: tuple[int, ...] = ()
    dense: tuple[int, ...] = ()
    activation: type[nn.Module] | None = nn.ReLU
    probabilities: bool = False


def factory(plan: NetPlan, sample_shape: tuple[int, ...], classes: int) -> Callable[[float], nn.Module]:
    """``build(width)`` for images (C, H, W)."""
    activation, probabilities = plan.activation, plan.probabilities

    def build(width: float = 1.0) -> nn.Module:
        """The network with ``width`` times as many hidden units."""
        convs, dense = (tuple(max(1, round(size * width)) for size in sizes) for sizes in (plan.convs, plan.dense))
        layers: list[nn.Module] = []
        (inside, side, _), after = sample_shape, [] if activation is None else [activation]
        for outside in convs:
            layers += [nn.Conv2d(inside, outside, 3, padding=1), *(kind() for kind in after), nn.AvgPool2d(2)]
            inside, side = outside, side // 2
        layers.append(nn.Flatten())
        inside *= side * side
        for outside in dense:
            layers += [nn.Linear(inside, outside), *(kind() for kind in after)]
            inside = outside
        layers.append(nn.Linear(inside, classes))
        if probabilities:
            layers.append(nn.Softmax(1))
        return nn.Sequential(*layers)

    return build


def started(build: Callable[[float], nn.Module], seed: int) -> nn.Module:
    """A network with the random weights of a seed; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(1.0)


def biases_before_activations(network: nn.Module) -> list[nn.Parameter]:
    """Biases of all layers but the last."""
    found = [parameter for name, parameter in network.named_parameters() if name.endswith("bias")]
    return found[:-1]


def own_step(clear: bool) -> OwnStep:
    """A training step as users write it; ``clear``: whether it zeroes the gradients of the step before."""

    def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
        """One update on a batch; returns the loss."""
        if clear:
            optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        torch.autograd.backward(loss)
        optimizer.step()
        return loss.detach()

    return train_step


def train(network: nn.Module, sample: Split, setup: TrainingSetup, step: OwnStep | None, others: tuple[Split, ...] = ()) -> bool:
    """Train in place, with ``fit`` or one's own step; in eval mode at the end, without gradients.

    Returns:
        False if it diverged so far that its answers to ``sample`` or ``others`` are no numbers.
    """
    try:
        if step is None:
            for _ in fit(network, sample, setup=setup):
                pass
        else:
            for _ in own_steps(network, sample, setup, step):
                pass
        network.eval()
        for split in (sample, *others):
            check_model(network, split)
            with torch.inference_mode():
                if not bool(torch.isfinite(network(split.inputs(slice(None)))).all()):
                    return False
    except ModelError:
        return False
    for parameter in network.parameters():
        parameter.grad = None
    return True
