"""Projections as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.inspect import contrast


def test_zero_is_mid_grey_and_the_percentile_is_at_the_ends() -> None:
    """Equal to numpy's percentile and the formula, with a scale for each image, whatever stands in front of C, H, W."""
    pixels = torch.randn(2, 3, 3, 20, 30, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0]).view(
        2, 1, 1, 1, 1
    )
    pixels[:, :, :, 3] = 0
    shown = contrast(pixels, 90)
    assert (shown.shape, shown.dtype) == ((2, 3, 20, 30, 3), torch.uint8)
    for image, picture in zip(pixels.flatten(0, 1).numpy(), shown.flatten(0, 1).numpy(), strict=True):
        end = np.percentile(np.abs(image[image != 0]), 90)
        expected = np.round(128 + 127 * np.clip(image / end, -1, 1)).transpose(1, 2, 0)
        assert np.abs(picture.astype(int) - expected).max() <= (1 if np.any(picture != expected) else 0)
        assert (picture != expected).mean() < 0.001
        assert (picture[3] == 128).all() and picture.min() == 1 and picture.max() == 255


def test_signs_are_shown_alike() -> None:
    """The picture of -v is the picture of v turned at 128."""
    pixels = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(256 - contrast(pixels).int(), contrast(-pixels).int())


def test_a_few_pixels_in_a_large_image_are_not_all_cut_off() -> None:
    """A 3 x 3 receptive field in 100 x 100: its nine values are still told apart, and nothing around them is drawn."""
    pixels = torch.zeros(1, 100, 100)
    pixels[0, 10:13, 20:23] = torch.arange(1, 10).view(3, 3) / 9
    shown = contrast(pixels, 100)[:, :, 0]
    assert shown[10:13, 20:23].unique().numel() == 9
    assert int((shown != 128).sum()) == 9


@pytest.mark.parametrize(("channels", "shown"), [(1, 1), (3, 3), (2, 1), (5, 1)])
def test_one_channel_is_grey_and_three_are_colour(channels: int, shown: int) -> None:
    """Any other number has no colours: its mean is shown."""
    pixels = torch.randn(channels, 8, 8, generator=torch.Generator().manual_seed(0))
    assert contrast(pixels).shape == (8, 8, shown)
    if channels == 2:
        assert torch.equal(contrast(pixels), contrast(pixels.mean(0, keepdim=True)))


def test_nothing_is_grey_and_nan_is_zero() -> None:
    """An image of zeros has no scale; NaN and infinity do not spoil the rest."""
    assert contrast(torch.zeros(3, 4, 4)).eq(128).all()
    odd = torch.tensor([[[torch.nan, torch.inf, 2.0], [-torch.inf, 0.0, 1.0]]])
    assert contrast(odd, 100)[:, :, 0].tolist() == [[128, 255, 255], [1, 128, 192]]
    assert contrast(torch.zeros(0, 3, 4, 4)).shape == (0, 4, 4, 3)


@pytest.mark.parametrize(
    ("pixels", "percentile", "words"),
    [
        (torch.zeros(4, 4), 99, r"of shape \(4, 4\), expected floating"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), 99, "got torch.uint8"),
        ([[1.0]], 99, "got list"),
        (torch.zeros(3, 4, 4), 0, "percentile: got 0"),
        (torch.zeros(3, 4, 4), 101, "percentile: got 101"),
        (torch.zeros(3, 4, 4), float("nan"), "percentile: got nan"),
    ],
)
def test_a_bad_request_says_what_was_expected(pixels: Tensor | Any, percentile: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        contrast(pixels, percentile)
