"""Images to look into a network with: the right ones, as the network takes them and as a person sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.experiment.inspection import Inspection
from nnwidgets.engine.experiment.pictures import own_picture, picked, picture_of, sample_of, samples_of


def split_of(shape: tuple[int, ...], n: int = 12, floats: bool = False, **given: Any) -> E.Split:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, *shape), generator=draw, dtype=torch.uint8)
    return E.Split(images.float() / 50 - 2 if floats else images, torch.arange(n) % 4, **given)


# --- samples ----------------------------------------------------------------------------------------------------------


def test_samples_are_those_there_are_with_val_first() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 4))
    both = E.Experiment(net, train=split_of((1, 3, 3)), test=split_of((1, 3, 3)))
    test = E.Experiment(net, test=split_of((1, 3, 3)))
    assert samples_of(both) == ("val", "test", "train") and samples_of(test) == ("test",)
    assert sample_of(both, "train") is both.train and sample_of(test, "test") is test.test
    for name in ("val", "train", "model", "__class__", ""):
        with pytest.raises(InputError, match=f"sample: got {name!r}, expected one of test"):
            sample_of(test, name)
    both.close()
    test.close()


def test_images_are_gone_through_in_order_or_by_class() -> None:
    split = split_of((1, 3, 3))
    assert picked(split, "index").tolist() == list(range(12))
    assert picked(split, "class", 2).tolist() == [2, 6, 10]
    for label in (4, -1, 10**9):
        with pytest.raises(InputError, match=f"class {label} has no images here; expected one of 0 to 3"):
            picked(split, "class", label)
    with pytest.raises(InputError, match="pick: got 'best', expected one of index, class, worst"):
        picked(split, "best")


def test_the_worst_come_first_by_the_margin_of_the_label() -> None:
    """Logit of the label minus the largest other logit, smallest first; ties in order."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(27, 4)).eval()
    exp = E.Experiment(net, test=split_of((3, 3, 3), n=40))
    inspection = Inspection(exp)
    with pytest.raises(DataError, match="not known yet"):
        picked(exp.test, "worst", known=inspection.answers_of("test"))
    shares = list(inspection.answer_all("test"))
    assert shares[-1] == 1.0 and shares == sorted(shares)
    known = inspection.answers_of("test")
    assert known is not None
    with torch.no_grad():
        logits = net(exp.test.inputs(slice(None)))
    labels = exp.test.labels
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    margins = (logits.gather(1, labels[:, None])[:, 0] - others).numpy()
    places = picked(exp.test, "worst", known=known)
    assert sorted(places.tolist()) == list(range(40)) and (np.diff(margins[places]) >= -1e-5).all()
    assert known.accuracy == E.evaluate(net, exp.test).accuracy and known.n == 40
    exp.close()


def test_without_labels_images_can_only_be_chosen_by_index() -> None:
    split = E.Split(torch.zeros(5, 1, 3, 3))
    assert picked(split, "index").tolist() == [0, 1, 2, 3, 4] and picture_of(split, "test", 4).label is None
    for pick in ("class", "worst"):
        with pytest.raises(DataError, match="no labels; they can only be chosen by index"):
            picked(split, pick)


# --- an image of a sample ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "floats", "given", "seen"),
    [
        ((1, 5, 4), False, {}, (5, 4)),
        ((5, 4), False, {}, (5, 4)),
        ((3, 5, 4), False, {"mean": [0.5, 0.4, 0.3], "std": 0.2}, (5, 4, 3)),
        ((3, 5, 4), True, {"mean": [0.5, 0.4, 0.3], "std": 0.2}, (5, 4, 3)),
        ((3, 5, 4), True, {}, (5, 4, 3)),
        ((4, 5, 4), False, {}, (5, 4)),
        ((2, 5, 4), True, {}, (5, 4)),
        ((7,), True, {}, (1, 7)),
        ((7,), False, {}, (1, 7)),
        ((6, 5), True, {}, (6, 5)),
    ],
)
def test_a_picture_is_what_the_network_takes_and_what_a_person_sees(
    shape: tuple[int, ...], floats: bool, given: dict[str, Any], seen: tuple[int, ...]
) -> None:
    split = split_of(shape, floats=floats, **given)
    before = split.images.clone()
    picture = picture_of(split, "val", 6)
    assert torch.equal(picture.inputs, split.inputs([6])) and picture.inputs.shape == (1, *split.sample_shape)
    assert picture.pixels.dtype == np.uint8 and picture.pixels.shape == seen
    assert (picture.label, picture.sample, picture.index, picture.key, picture.note) == (2, "val", 6, ("val", 6), "")
    stored = split.images[6].double()
    if floats and "mean" in given:
        stored = 255 * (stored * 0.2 + torch.tensor(given["mean"]).double().view(3, 1, 1))
    elif floats:
        stored = 255 * (stored - stored.min()) / (stored.max() - stored.min())
    stored = stored.round().clamp(0, 255)
    grey = stored.mean(0) if stored.dim() == 3 else stored.reshape(seen)
    wanted = stored.permute(1, 2, 0) if len(seen) == 3 else grey
    assert np.abs(picture.pixels.astype(float) - wanted.numpy()).max() <= (1 if floats else 0.51)
    assert torch.equal(split.images, before)


def test_a_constant_image_is_no_division_by_zero() -> None:
    assert set(picture_of(E.Split(torch.full((2, 1, 3, 3), 7.0)), "test", 1).pixels.flatten().tolist()) == {0}


@pytest.mark.parametrize("index", [-1, 12, 10**30])
def test_an_index_that_is_not_there_is_refused(index: int) -> None:
    with pytest.raises(InputError, match=f"image_index: got {index}, expected 0 to 11"):
        picture_of(split_of((1, 3, 3)), "val", index)


# --- an image of one's own --------------------------------------------------------------------------------------------


def test_an_image_of_the_right_size_is_taken_as_it_is() -> None:
    split = split_of((3, 5, 4), mean=[0.5, 0.4, 0.3], std=0.2)
    pixels = split.images[3].permute(1, 2, 0).numpy()
    picture = own_picture(split, pixels, "a", "yours")
    assert np.array_equal(picture.pixels, pixels) and torch.equal(picture.inputs, split.inputs([3]))
    assert (picture.label, picture.index, picture.note, picture.key) == (None, -1, "yours", ("own", "a"))


def test_colours_become_grey_and_grey_becomes_three_channels() -> None:
    """ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B."""
    colour = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    made = own_picture(split_of((1, 5, 4)), colour, 0, "yours")
    wanted = colour.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(made.pixels - wanted).max() <= 0.51 and made.note == "yours, made grey"
    assert torch.allclose(made.inputs[0, 0], torch.from_numpy(made.pixels) / 255)
    made = own_picture(split_of((3, 5, 4)), colour[..., 0], 0, "yours")
    assert np.array_equal(made.pixels, np.repeat(colour[..., :1], 3, 2)) and made.note == "yours"


def slow_resized(image: np.ndarray[Any, Any], height: int, width: int) -> np.ndarray[Any, Any]:
    """Each pixel a mean with a triangle as wide as the step, as anti-aliased bilinear resizing is defined."""
    for axis, size in ((0, height), (1, width)):
        length = image.shape[axis]
        step = length / size
        reach = max(step, 1.0)
        rows = []
        for i in range(size):
            centre = (i + 0.5) * step - 0.5
            weights = np.clip(1 - np.abs(np.arange(length) - centre) / reach, 0, None)
            rows.append(np.tensordot(weights / weights.sum(), image, (0, axis)))
        image = np.moveaxis(np.stack(rows), 0, axis)
    return image


@pytest.mark.parametrize("size", [(10, 8), (20, 8), (10, 30), (3, 2), (1, 1), (1, 9), (50, 1), (7, 7)])
def test_another_size_is_cut_around_the_middle_and_resized(size: tuple[int, int]) -> None:
    split = split_of((1, 5, 4))
    pixels = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    made = own_picture(split, pixels, 0, "yours")
    assert made.pixels.shape == (5, 4)
    assert made.note == f"yours, {size[1]} x {size[0]} cropped and resized to 4 x 5"
    share = min(size[0] / 5, size[1] / 4)
    height, width = max(1, min(size[0], round(5 * share))), max(1, min(size[1], round(4 * share)))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    wanted = slow_resized(pixels[top : top + height, left : left + width].astype(float), 5, 4)
    assert np.abs(made.pixels - wanted).max() <= 1.01


def test_data_of_floats_are_fed_by_their_mean_and_deviation_or_from_0_to_1_with_a_note() -> None:
    pixels = np.full((5, 4), 51, np.uint8)
    told = own_picture(split_of((1, 5, 4), floats=True, mean=0.5, std=0.25), pixels, 0, "yours")
    assert torch.allclose(told.inputs, torch.tensor((0.2 - 0.5) / 0.25)) and told.note == "yours"
    made = own_picture(split_of((1, 5, 4), floats=True), pixels, 0, "yours")
    assert torch.allclose(made.inputs, torch.tensor(0.2)) and "its values go from 0 to 1" in made.note


@pytest.mark.parametrize("shape", [(7,), (6, 5), (2, 5, 4), (4, 5, 4)])
def test_a_network_without_pictures_refuses_one(shape: tuple[int, ...]) -> None:
    split = split_of(shape, floats=True)
    with pytest.raises(InputError, match=r"takes inputs of shape .*; a picture of one's own needs \(1, H, W\) or \(3, H, W\)"):
        own_picture(split, np.zeros((5, 4), np.uint8), 0, "yours")


def test_a_large_picture_is_taken_whole_and_the_given_one_is_left_alone() -> None:
    pixels = np.zeros((2000, 2000, 3), np.uint8)
    pixels[:, 1000:] = 200
    made = own_picture(split_of((3, 8, 8)), pixels, 0, "yours")
    assert made.pixels[:, :3].max() == 0 and made.pixels[:, 5:].min() == 200 and pixels[0, 0, 0] == 0
