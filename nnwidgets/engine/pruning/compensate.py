"""Make up for what was removed: the kept weights take over, by the inverse Hessian of the layer's output."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["compensated", "saliencies"]

_AT_ONCE = 2**24  # numbers in the systems that are solved together


def saliencies(weight: Tensor, hessian: Tensor) -> Tensor:
    """Return w² / (2 [H^-1]_qq), of the shape of the weight: how much the squared error of the output rises (OBS).

    Args:
        weight: (O, ...), K numbers an output. hessian: (G, K, K), one for each group of outputs.
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian)).diagonal(dim1=1, dim2=2)  # (G, K)
    rows = weight.detach().cpu().double().reshape(len(hessian), -1, hessian.shape[-1])
    return (0.5 * rows.square() / inverse[:, None]).reshape(weight.shape)


def compensated(weight: Tensor, keep: Tensor, hessian: Tensor) -> Tensor:
    """Return the weight with what is not kept at zero and the rest changed so that the output changes least.

    Minimises (w' - w)' H (w' - w) for each output, with w' zero where nothing is kept: for one removed weight this is the update
    -(w_q / [H^-1]_qq) H^-1 e_q of OBS (Hassibi & Stork 1993), for several it is exact for all of them together.

    Args:
        weight: (O, ...), K numbers an output. keep: bool, of its shape.
        hessian: (G, K, K) on the cpu, one for each group of outputs.
    """
    groups, width = hessian.shape[0], hessian.shape[-1]
    rows = weight.detach().cpu().double().reshape(groups, -1, width)
    flags = keep.cpu().reshape(groups, -1, width)
    result = torch.where(flags, rows, torch.zeros_like(rows))
    for g in range(groups):
        patterns, which = torch.unique(flags[g], dim=0, return_inverse=True)
        if len(patterns) * 4 <= flags.shape[1]:  # whole columns went: one system for all rows that share it
            for i, pattern in enumerate(patterns):
                own = which == i
                result[g, own] = _solved(rows[g, own], pattern, hessian[g])
        else:
            _rows_alone(rows[g], flags[g], hessian[g], result[g])
    return result.reshape(weight.shape).to(weight)


def _solved(rows: Tensor, kept: Tensor, hessian: Tensor) -> Tensor:
    """Rows (n, K) with one pattern (K,) of what is kept."""
    found = torch.zeros_like(rows)
    if kept.any() and not kept.all():
        factor = torch.linalg.cholesky(hessian[kept][:, kept])
        found[:, kept] = torch.cholesky_solve((rows @ hessian)[:, kept].T, factor).T
    elif kept.all():
        found = rows.clone()
    return found


def _rows_alone(rows: Tensor, flags: Tensor, hessian: Tensor, into: Tensor) -> None:
    """Each row has a pattern of its own: systems of one size are solved together, made up with ones."""
    width = rows.shape[1]
    counts = flags.sum(dim=1)
    order = torch.argsort(counts)
    wanted = rows @ hessian
    start = 0
    while start < len(order):
        size = int(counts[order[start]])
        stop = start + 1
        while stop < len(order) and (stop - start + 1) * max(1, int(counts[order[stop]])) ** 2 <= _AT_ONCE:
            size = int(counts[order[stop]])
            stop += 1
        own = order[start:stop]
        start = stop
        if size == 0:
            continue
        places = torch.argsort((~flags[own]).to(torch.int8), dim=1, stable=True)[:, :size]  # kept ones first
        real = torch.arange(size)[None] < counts[own][:, None]
        system = hessian[places[:, :, None], places[:, None, :]]
        both = real[:, :, None] & real[:, None, :]
        system = torch.where(both, system, torch.eye(size, dtype=system.dtype).expand_as(system))
        aims = torch.where(real, wanted[own].gather(1, places), torch.zeros((), dtype=rows.dtype))
        answers = torch.cholesky_solve(aims[:, :, None], torch.linalg.cholesky(system))[:, :, 0]
        full = torch.zeros(len(own), width, dtype=rows.dtype)
        full.scatter_(1, places, torch.where(real, answers, torch.zeros((), dtype=rows.dtype)))
        whole = flags[own].all(dim=1)
        into[own] = torch.where(whole[:, None], rows[own], full)
