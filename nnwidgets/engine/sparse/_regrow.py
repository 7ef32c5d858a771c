"""Masks that move while a network is trained: the smallest weights are dropped, others grow; as many as before."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnwidgets.engine.sparse._places import MaskedWeight, masked_weights
from nnwidgets.engine.trace import preserved_buffers, preserved_rng
from nnwidgets.engine.training import Run
from nnwidgets.engine.values.split import Split

__all__ = ["Moved", "dense_gradients", "moved", "regrow"]

_PRIME = 1_000_003


@dataclass(frozen=True, eq=False)
class Moved:
    """A mask after a move: what is kept now, and what of it was not kept before; both bool, of the shape of the weight."""

    keep: Tensor
    grown: Tensor


def moved(weight: Tensor, keep: Tensor, gain: Tensor, share: float) -> Moved:
    """Drop the floor(share * kept) smallest |w| that are kept, then grow as many of largest ``gain`` among all that are not kept.

    What was dropped may grow again at once, and is then as if it had stayed (Evci et al. 2020, algorithm 1, as in their code).
    Of equal ones the first go, and the first grow. All tensors are of the shape of the weight.
    """
    size, flat = weight.detach().abs().reshape(-1).float(), keep.reshape(-1)
    count = int(share * int(flat.sum()))
    order = torch.argsort(torch.where(flat, size, torch.inf), stable=True)
    after = flat.clone()
    after[order[:count]] = False
    order = torch.argsort(torch.where(after, -torch.inf, gain.reshape(-1).float()), descending=True, stable=True)
    after[order[:count]] = True
    return Moved(after.reshape(keep.shape), (after & ~flat).reshape(keep.shape))


def dense_gradients(
    network: nn.Module,
    weights: dict[str, MaskedWeight],
    images: Tensor,
    labels: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    seed: int,
) -> Generator[None, None, dict[str, Tensor]]:
    """Gradient of the loss on one batch by every weight, masked ones too, in train mode; yields between the two passes.

    Masked weights are zero behind their masks, so that lifting the masks changes no answer. The network is left as it was.
    """
    with preserved_buffers(network):  # masks are buffers, and are put back too
        for each in weights.values():
            for part in each.parts:
                part.keep = torch.ones_like(part.keep)
        flags = [(module, module.training) for module in network.modules()]
        try:
            with preserved_rng(), torch.enable_grad():
                torch.manual_seed(seed)
                network.train()
                value = loss(network(images), labels)
        finally:
            for module, flag in flags:
                module.training = flag
        yield
        found = torch.autograd.grad(value, [each.weight for each in weights.values()], allow_unused=True)
    return {
        name: torch.zeros_like(each.weight) if gradient is None else gradient.detach()
        for (name, each), gradient in zip(weights.items(), found, strict=True)
    }


def regrow(
    network: nn.Module,
    run: Run,
    train: Split,
    batch_size: int,
    loss: Callable[[Tensor, Tensor], Tensor],
    how: str,
    share: float,
    seed: int,
    step: int,
) -> Generator[None, None, None]:
    """One move of every mask: "rigl" by the gradient on a batch drawn from S_train, "set" at random. Yields between its parts.

    New weights start at zero, and the optimizer has nothing to remember of them.
    """
    weights = masked_weights(network)
    draw = torch.Generator().manual_seed(seed * _PRIME + step)
    if how == "rigl":
        assert train.labels is not None
        rows = torch.randperm(len(train), generator=draw)[:batch_size].to(train.device)
        images, labels = train.inputs(rows), train.labels[rows]
        gradients = yield from dense_gradients(network, weights, images, labels, loss, seed * _PRIME + step)
        gains = {name: gradient.abs() for name, gradient in gradients.items()}
    else:
        gains = {name: torch.rand(each.keep.shape, generator=draw).to(each.keep.device) for name, each in weights.items()}
    for name, each in weights.items():
        yield
        new = moved(each.weight, each.keep, gains[name], share)
        clear = new.grown | ~new.keep
        with torch.no_grad():
            each.weight.masked_fill_(clear, 0)
        run.forget(each.weight, clear)
        for part in each.parts:
            part.keep.copy_(new.keep)
