"""Formulas of sizes agree with published figures and with counting."""

from __future__ import annotations

import pytest
import torch
from oracle_plan import entropy_free_bytes

from nnwidgets.engine.costs.sizes import best_encoding, bitmask_bytes, csr_bytes, dense_bytes, index_width


def test_figures_of_a_300_by_784_layer_at_90_percent_zeros() -> None:
    """fp32: dense 940,800; CSR with 32-bit indices 189,364; bitmask 123,480."""
    count, nonzero = 300 * 784, 23_520
    assert dense_bytes(count, 32) == 940_800
    assert csr_bytes(300, nonzero, 32, 4) == 189_364
    assert bitmask_bytes(count, nonzero, 32) == 123_480


@pytest.mark.parametrize("bits", [1, 3, 4, 8, 16, 32])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("shape", [(7, 5, 3, 3), (1, 300), (300, 1), (40, 400)])
def test_the_best_encoding_is_the_smallest_that_counting_finds(bits: int, share: float, shape: tuple[int, ...]) -> None:
    """Its name and its bytes."""
    weight = (torch.rand(shape, generator=torch.Generator().manual_seed(1)) >= share).float()
    counted = entropy_free_bytes(weight, bits)
    found = best_encoding(shape, int(weight.sum()), bits)
    assert found.total == min(counted.values()) == counted[found.encoding]


def test_codes_without_a_zero_are_dense_only_without_zeros() -> None:
    """One symmetric bit has the codes -1 and 1."""
    assert best_encoding((8, 8), 64, 1, zero_has_code=False).encoding == "dense"
    assert best_encoding((8, 8), 63, 1, zero_has_code=False).encoding == "bitmask"
    assert best_encoding((8, 8), 63, 1, zero_has_code=True).encoding == "dense"


@pytest.mark.parametrize(
    ("columns", "nonzero", "width"), [(256, 255, 1), (257, 3, 2), (2, 256, 2), (65536, 65535, 2), (2, 65536, 4)]
)
def test_an_index_is_as_wide_as_its_largest_number(columns: int, nonzero: int, width: int) -> None:
    """The last column, or the last offset."""
    assert index_width(columns, nonzero) == width
