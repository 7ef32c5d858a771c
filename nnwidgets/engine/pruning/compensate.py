"""Make up for what was removed: the kept weights take over, by the inverse Hessian of the layer's output."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from nnwidgets.engine.values.steps import result_of

__all__ = ["compensated", "compensating", "saliencies"]

_AT_ONCE = 2**20  # numbers in the systems that are solved together: 8 MB, four times over while they are


def saliencies(weight: Tensor, hessian: Tensor) -> Tensor:
    """Return w² / (2 [H^-1]_qq), of the shape of the weight: how much the squared error of the output rises (OBS).

    Args:
        weight: (O, ...), K numbers an output. hessian: (G, K, K), one for each group of outputs.
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian)).diagonal(dim1=1, dim2=2)  # (G, K)
    rows = weight.detach().cpu().double().reshape(len(hessian), -1, hessian.shape[-1])
    return (0.5 * rows.square() / inverse[:, None]).reshape(weight.shape)


def compensated(weight: Tensor, keep: Tensor, hessian: Tensor) -> Tensor:
    """As `compensating`, at once."""
    return result_of(compensating(weight, keep, hessian))


def compensating(weight: Tensor, keep: Tensor, hessian: Tensor) -> Generator[None, None, Tensor]:
    """Return the weight with what is not kept at zero and the rest changed so that the output changes least.

    Yields between the systems, some 20 ms each. Minimises (w' - w)' H (w' - w) for each output, with w' zero where nothing is
    kept: for one removed weight this is the update -(w_q / [H^-1]_qq) H^-1 e_q of OBS (Hassibi & Stork 1993), for several it is
    exact for all of them together.

    Args:
        weight: (O, ...), K numbers an output. keep: bool, of its shape.
        hessian: (G, K, K) on the cpu, one for each group of outputs.
    """
    groups, width = hessian.shape[0], hessian.shape[-1]
    rows = weight.detach().cpu().double().reshape(groups, -1, width)
    flags = keep.cpu().reshape(groups, -1, width)
    result = torch.where(flags, rows, torch.zeros_like(rows))
    for g in range(groups):
        few = flags[g].sum(dim=1) * 2 <= width  # the smaller system of the two is solved
        inverse = None if bool(few.all()) else torch.cholesky_inverse(torch.linalg.cholesky(hessian[g]))
        patterns, which = torch.unique(flags[g], dim=0, return_inverse=True)
        for own in _together(flags[g], patterns, which):
            kept = flags[g, own]
            if bool(few[own[0]]):
                result[g, own] = _scattered(kept, _solved(hessian[g], kept, rows[g, own] @ hessian[g]))
            elif inverse is not None:
                pull = _scattered(~kept, _solved(inverse, ~kept, rows[g, own]))
                result[g, own] = torch.where(kept, rows[g, own] - pull @ inverse, result[g, own])
            yield
    return result.reshape(weight.shape).to(weight)


def _together(flags: Tensor, patterns: Tensor, which: Tensor) -> Iterator[Tensor]:
    """Rows whose systems are solved at once: those with one pattern where whole columns went, else those of like size."""
    width = flags.shape[1]
    if len(patterns) * 4 <= len(flags):
        yield from (torch.nonzero(which == i).reshape(-1) for i in range(len(patterns)))
        return
    kept = flags.sum(dim=1)
    few = kept * 2 <= width
    sizes = torch.where(few, kept, width - kept)
    for side in (True, False):
        own = torch.nonzero(few == side).reshape(-1)
        own = own[torch.argsort(sizes[own], stable=True)]
        start = 0
        while start < len(own):
            stop = start + 1
            while stop < len(own) and (stop - start + 1) * int(sizes[own[stop]]) ** 2 <= _AT_ONCE:
                stop += 1
            yield own[start:stop]
            start = stop


def _solved(matrix: Tensor, flags: Tensor, aims: Tensor) -> Tensor:
    """Solve matrix[F, F] x = aims[F] for each row, F where its flags (n, K) are set; (n, S), S the most flags of a row.

    Rows with one pattern share a factor; others are made up with ones to one size.
    """
    if len(flags) == 1 or bool((flags == flags[:1]).all()):
        own = flags[0]
        if not own.any():
            return aims.new_zeros(len(flags), 0)
        return torch.cholesky_solve(aims[:, own].T, torch.linalg.cholesky(matrix[own][:, own])).T
    counts = flags.sum(dim=1)
    size = int(counts.max())
    places = torch.argsort((~flags).to(torch.int8), dim=1, stable=True)[:, :size]  # set ones first
    real = torch.arange(size)[None] < counts[:, None]
    systems = matrix[places[:, :, None], places[:, None, :]]
    systems.mul_(real[:, :, None]).mul_(real[:, None, :])
    systems.diagonal(dim1=1, dim2=2).add_(~real)
    wanted = torch.where(real, aims.gather(1, places), torch.zeros((), dtype=aims.dtype))
    return torch.cholesky_solve(wanted[:, :, None], torch.linalg.cholesky(systems))[:, :, 0]


def _scattered(flags: Tensor, values: Tensor) -> Tensor:
    """(n, K): the values of each row (as many as it has flags, and then some) where its flags are set, zero elsewhere."""
    found = values.new_zeros(flags.shape)
    places = torch.argsort((~flags).to(torch.int8), dim=1, stable=True)[:, : values.shape[1]]
    found.scatter_(1, places, values)
    return found * flags
