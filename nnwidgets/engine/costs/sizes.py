"""How many bytes a weight takes, by formula. Bits of values are rounded up to whole bytes for each weight tensor.

Han et al. 2016 and `ORACLES`: dense n*b/8; bitmask nnz*b/8 + ceil(n/8); CSR nnz*(b/8 + i) + i*(rows + 1) with indices of i bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Encoded", "best_encoding", "bitmask_bytes", "csr_bytes", "dense_bytes", "index_width", "matrix_shape"]


@dataclass(frozen=True)
class Encoded:
    """How a weight is stored.

    Attributes:
        encoding: "dense", "bitmask" or "csr".
        value_bytes, index_bytes: of the values, and of what says where they belong.
    """

    encoding: str
    value_bytes: int
    index_bytes: int

    @property
    def total(self) -> int:
        """Bytes of values and indices; scales are apart."""
        return self.value_bytes + self.index_bytes


def dense_bytes(count: int, bits: int) -> int:
    """Return the bytes of ``count`` values of ``bits`` bits."""
    return -(-count * bits // 8)


def bitmask_bytes(count: int, nonzero: int, bits: int) -> int:
    """Return the bytes of the nonzero values and one bit for each weight."""
    return dense_bytes(nonzero, bits) + dense_bytes(count, 1)


def csr_bytes(rows: int, nonzero: int, bits: int, index: int) -> int:
    """Return the bytes of compressed sparse rows: nonzero values, their columns, ``rows + 1`` offsets; ``index`` bytes each."""
    return dense_bytes(nonzero, bits) + index * (nonzero + rows + 1)


def matrix_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Return (rows, columns) of a weight laid flat: its first axis, and all others together."""
    rows = shape[0] if shape else 1
    return rows, math.prod(shape[1:])


def index_width(columns: int, nonzero: int) -> int:
    """Return the bytes of an index: the smallest of 1, 2, 4 that holds the last column and the last offset."""
    largest = max(columns - 1, nonzero)
    return 1 if largest < 2**8 else 2 if largest < 2**16 else 4


def best_encoding(shape: Sequence[int], nonzero: int, bits: int, zero_has_code: bool = True) -> Encoded:
    """Return the smallest of dense, bitmask and CSR, the first of them where they are equal.

    Args:
        zero_has_code: False where the codes have none for zero (one symmetric bit): then dense needs a weight without zeros.
    """
    rows, columns = matrix_shape(shape)
    count, values = rows * columns, dense_bytes(nonzero, bits)
    encoding, index = "bitmask", dense_bytes(count, 1)
    csr = index_width(columns, nonzero) * (nonzero + rows + 1)
    if csr < index:
        encoding, index = "csr", csr
    dense = dense_bytes(count, bits)
    if (zero_has_code or nonzero == count) and dense <= values + index:
        return Encoded("dense", dense, 0)
    return Encoded(encoding, values, index)
