"""Weights as places in a codebook: one list of 2^b values a layer, which its weights share (Han et al. 2016, section 3).

The values c are by k-means in one dimension of the weights that are not zero, w' = c[q] with q the nearest: argmin over k of
|w - c_k|, the lower of two that are equally near. Where a weight is zero, one of the values is exactly zero, and for those
weights alone: what was pruned stays pruned. Without zeros all values are free. So 1 bit with zeros leaves a single other value,
the mean. A function of the weights and nothing else: the same weights have the same codebook, in training too.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nnwidgets.engine.costs.shared_values import codebook_of, middles_of

__all__ = ["codebook_for", "nearest_codes", "zero_place"]

_CELLS = 4096  # of the table; some 4 us to fill
_MANY = 2**15  # numbers from which the table pays
_STEPS = 8  # passes after the table, at most


def codebook_for(values: Tensor, bits: int) -> Tensor:
    """Return (2**bits,) float32 values, ascending, for a float32 weight; a weight of fewer different numbers is kept exactly."""
    numbers = values.detach().cpu().reshape(-1).numpy()
    kept = numbers[numbers != 0]
    if len(kept) == len(numbers):
        return torch.from_numpy(codebook_of(kept, 2**bits)).to(values.device)
    means = codebook_of(kept, 2**bits - 1)
    return torch.from_numpy(np.insert(means, np.searchsorted(means, 0.0), np.float32(0.0))).to(values.device)


def zero_place(codebook: Tensor) -> int:
    """Return the code of the first value that is not below zero: that of the zero, in a codebook that was made for zeros."""
    return int((codebook < 0).sum())


def nearest_codes(values: Tensor, codebook: Tensor) -> Tensor:
    """Return int16 places of the nearest values of a codebook, of the shape of the weight; zeros get that of the zero, which
    others do not get.
    """
    zeros = values == 0
    if not bool(zeros.any()):
        return _nearest(values, codebook)
    place = zero_place(codebook)
    codes = _nearest(values, torch.cat([codebook[:place], codebook[place + 1 :]]))
    codes += codes >= place
    return codes.masked_fill_(zeros, place)


def _nearest(values: Tensor, codebook: Tensor) -> Tensor:
    middles = torch.from_numpy(middles_of(codebook.cpu().double().numpy(), np.float32)).to(values.device)
    found = _looked_up(values, middles) if values.numel() >= _MANY and len(middles) > 3 else None
    return torch.bucketize(values, middles, out_int32=True).to(torch.int16) if found is None else found


def _looked_up(values: Tensor, middles: Tensor) -> Tensor | None:
    """How many middles are below each value. A table over even cells tells how many at least, then it is counted up: 3 times as
    quick as searching at 8 bits. None where too many middles lie in one cell.

    A middle of a lower cell is below whatever the rounding, since the place of a cell never falls with the number.
    """
    low, span = middles[0], middles[-1] - middles[0]
    factor = _CELLS / span.clamp(min=1e-30)
    if not bool(torch.isfinite(span)):
        return None

    def cells(numbers: Tensor) -> Tensor:
        return (numbers - low).mul_(factor).clamp_(-1, _CELLS + 1).to(torch.int32).add_(1)

    own = cells(middles)
    most = int(torch.bincount(own).max())
    if most > _STEPS:
        return None
    table = torch.searchsorted(own, torch.arange(_CELLS + 3, dtype=torch.int32, device=values.device)).to(torch.int16)
    found, above = table[cells(values)], torch.cat([middles, middles.new_full((1,), torch.inf)])
    for _ in range(most):
        found += values > above[found.int()]
    return found
