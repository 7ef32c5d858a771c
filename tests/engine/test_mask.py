"""Masks hold nothing but 0 and 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.values.mask import Mask


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))
def test_arrays_come_back(values: np.ndarray) -> None:
    """Of any shape, empty ones too, through JSON as well."""
    mask = Mask.from_array(values)
    assert np.array_equal(mask.to_array(), values) and mask.to_array().shape == values.shape
    assert (
        mask.kept == values.sum()
        and Mask.from_json(mask.to_json()) == mask
        and hash(Mask.from_json(mask.to_json())) == hash(mask)
    )


@pytest.mark.parametrize("values", [[0.5, 1.0], [2, 1], [-1, 0], ["a"], [np.nan], [1j]])
def test_other_numbers_are_refused(values: list[object]) -> None:
    """A weight is kept or not."""
    with pytest.raises(RecipeError, match="only 0 and 1"):
        Mask.from_array(values)


def test_tensors_and_numbers_are_taken() -> None:
    """Float 0 and 1, and tensors with a gradient."""
    assert (
        Mask.from_array(torch.tensor([0.0, 1.0], requires_grad=True)) == Mask.from_array([False, True]) == Mask.from_array([0, 1])
    )


@pytest.mark.parametrize(
    ("shape", "bits"), [((9,), b"\x00"), ((4,), b"\x0f"), ((-1,), b""), ((True,), b"\x80"), ((8,), "x"), ("ab", b"")]
)
def test_bits_that_do_not_fit_are_refused(shape: object, bits: object) -> None:
    """Too few bytes, stray bits, impossible shapes."""
    with pytest.raises(RecipeError):
        Mask(shape, bits)  # type: ignore[arg-type]


@given(st.binary(max_size=2), st.lists(st.integers(-1, 20), max_size=2))
def test_a_mask_that_is_born_is_sound(bits: bytes, shape: list[int]) -> None:
    """Whatever it is made of, it converts there and back."""
    try:
        mask = Mask(tuple(shape), bits)
    except RecipeError:
        return
    assert Mask.from_array(mask.to_array()) == mask
