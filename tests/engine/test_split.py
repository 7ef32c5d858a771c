"""Splits and data sets: what goes in, what a network is fed, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.values.split import Split


def labels(n: int, classes: int = 3) -> Tensor:
    return torch.arange(n) % classes


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (torch.zeros(4, 3, 8, 8), (3, 8, 8)),
        (torch.zeros(4, 8, 8, dtype=torch.uint8), (1, 8, 8)),
        (torch.zeros(4, 8, 5), (8, 5)),
        (torch.zeros(4, 7), (7,)),
        (np.zeros((4, 8, 8), np.uint8), (1, 8, 8)),
        (np.zeros((4, 7)), (7,)),
    ],
)
def test_shapes_of_images_vectors_and_sequences(images: Any, shape: tuple[int, ...]) -> None:
    split = Split(images, labels(4))
    assert split.sample_shape == shape and split.inputs(slice(0, 2)).shape == (2, *shape)
    assert split.inputs(slice(None)).dtype == torch.float32


def test_three_dimensional_floats_are_images_where_a_mean_is_given() -> None:
    assert Split(torch.zeros(4, 8, 8), labels(4), mean=0.5, std=0.2).sample_shape == (1, 8, 8)


def test_bytes_are_fed_normalised_by_channel_and_floats_as_they_are() -> None:
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    split = Split(images, labels(5), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.5, 0.6, 0.7]).view(3, 1, 1)
    expected = torch.stack([(image.float() / 255 - mean) / std for image in images])
    assert torch.allclose(split.inputs(slice(None)), expected, atol=1e-6)
    floats = torch.randn(5, 3, 4, 4)
    assert torch.equal(Split(floats, labels(5), mean=(0.1, 0.2, 0.3), std=(1, 1, 1)).inputs(slice(None)), floats)


def test_feeding_does_not_write_into_the_store() -> None:
    floats = torch.ones(4, 1, 2, 2)
    split = Split(floats, labels(4))
    split.inputs(slice(0, 4)).mul_(7)
    assert float(split.images.max()) == 1.0
    stored = torch.full((4, 1, 2, 2), 200, dtype=torch.uint8)
    Split(stored, labels(4), mean=[0.5], std=[0.5]).inputs(slice(None))
    assert int(stored.min()) == 200


def test_take_carve_and_tail_share_nothing_and_lose_nothing() -> None:
    split = Split(torch.arange(60.0).view(60, 1), labels(60))
    rest, held = split.carve(1 / 6, seed=3)
    assert (len(rest), len(held)) == (50, 10)
    together = torch.cat([rest.images, held.images]).flatten().sort().values
    assert torch.equal(together, torch.arange(60.0))
    assert held.labels is not None and held.labels.bincount().tolist() in ([4, 3, 3], [3, 4, 3], [3, 3, 4])
    again = split.carve(1 / 6, seed=3)[1]
    assert torch.equal(again.images, held.images)
    assert not torch.equal(split.carve(1 / 6, seed=4)[1].images, held.images)
    first, last = split.tail(7)
    assert len(first) == 53 and torch.equal(last.images.flatten(), torch.arange(53.0, 60.0))


def test_whose_answers_the_labels_are_goes_with_them() -> None:
    """Into every part and copy; labels are the truth where nothing is said."""
    split = Split(torch.zeros(6, 1, 4, 4), labels(6), notes=("kept",), labelled_by="a network")
    parts = [split.take([0, 2]), split.to("cpu"), *split.carve(), *split.tail(2)]
    assert {(part.labelled_by, part.notes) for part in parts} == {("a network", ("kept",))}
    assert Split(torch.zeros(6, 1, 4, 4), labels(6)).labelled_by == ""


def test_a_held_out_part_holds_every_label_of_a_sorted_sample() -> None:
    split = Split(torch.zeros(120, 1), torch.arange(120) // 12)
    _, held = split.carve()
    assert held.labels is not None and held.labels.bincount(minlength=10).tolist() == [2] * 10


BAD: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("a list", ([[1.0]],), {}, "list"),
    ("one dimension", (torch.zeros(4),), {}, r"\(4,\)"),
    ("integers", (torch.zeros(4, 7, dtype=torch.int64),), {}, "int64"),
    ("text", (np.array([["a"]]),), {}, "expected"),
    ("no images", (torch.zeros(0, 1, 4, 4), torch.zeros(0, dtype=torch.int64)), {}, "no data"),
    ("NaN", (torch.tensor([[1.0], [float("nan")]]),), {}, "NaN or infinity in 1 of 2"),
    ("float labels", (torch.zeros(2, 1), torch.zeros(2)), {}, "integers"),
    ("boolean labels", (torch.zeros(2, 1), torch.zeros(2, dtype=torch.bool)), {}, "integers"),
    ("negative labels", (torch.zeros(2, 1), torch.tensor([0, -1])), {}, "-1"),
    ("labels of another length", (torch.zeros(2, 1), torch.tensor([0])), {}, r"\(1,\) for 2"),
    ("labels of two columns", (torch.zeros(2, 1), torch.zeros(2, 2, dtype=torch.int64)), {}, "one integer an image"),
    ("a mean of other channels", (torch.zeros(2, 3, 4, 4), None, (0.1, 0.2)), {}, "3 channels"),
    ("a std of zero", (torch.zeros(2, 1, 4, 4), None, 0.1, 0.0), {}, "above 0"),
]


@pytest.mark.parametrize(("given", "named", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_content_is_refused_in_words(given: tuple[Any, ...], named: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Split(*given, **named)


def test_row_35_one_sample_works_and_cannot_be_carved() -> None:
    split = Split(torch.zeros(1, 1, 4, 4), torch.tensor([0]))
    assert len(split) == 1 and split.n_classes == 1
    with pytest.raises(DataError, match="at least two"):
        split.carve()


def test_a_memory_mapped_array_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(32, dtype=np.uint8).reshape(2, 4, 4))
    split = Split(np.load(tmp_path / "x.npy", mmap_mode="r"), labels(2))
    assert int(split.images.max()) == 31


class Pictures(Dataset[Any]):
    """PIL images of given sizes."""

    def __init__(self, sizes: list[tuple[int, int]], mode: str = "RGB") -> None:
        self.sizes, self.mode, self.classes = sizes, mode, ["a", "b"]

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        from PIL import Image

        return Image.new(self.mode, self.sizes[i], 100), i % 2


class Stream(IterableDataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("P", 3), ("RGBA", 3)])
def test_pil_images_become_bytes_with_channels_first(mode: str, channels: int) -> None:
    split = Split.from_dataset(Pictures([(6, 4)] * 3, mode))
    assert split.images.dtype == torch.uint8 and split.sample_shape == (channels, 4, 6)
    assert split.class_names == ("a", "b")


def test_unequal_sizes_need_a_size_and_it_is_said() -> None:
    pictures = Pictures([(6, 4), (8, 8)])
    with pytest.raises(DataError, match="size="):
        Split.from_dataset(pictures)
    split = Split.from_dataset(pictures, size=(5, 7))
    assert split.sample_shape == (3, 5, 7) and "resized" in split.notes[0]
    assert int(split.images[0].min()) == int(Split.from_dataset(Pictures([(6, 4)])).images.min())


def test_transforms_run_once_an_item() -> None:
    calls: list[int] = []

    class Counted(Dataset[Any]):
        def __len__(self) -> int:
            return 9

        def __getitem__(self, i: int) -> tuple[Tensor, int]:
            calls.append(i)
            return torch.full((1, 2, 2), float(i)), i % 3

    split = Split.from_dataset(Counted())
    assert sorted(calls) == [0, *range(9)], "one more look at the first item tells how much memory is needed"
    assert split.images[:, 0, 0, 0].tolist() == list(range(9))
    few = Split.from_dataset(Counted(), limit=4, seed=1)
    assert len(few) == 4 and "4 of 9" in few.notes[0]
    assert torch.equal(few.images, Split.from_dataset(Counted(), limit=4, seed=1).images)


def test_iterable_and_tensor_data_sets_and_array_items() -> None:
    items = [(np.full((4, 5, 3), i, np.uint8), np.int64(i)) for i in range(3)]
    assert Split.from_dataset(Stream(items)).sample_shape == (3, 4, 5)
    assert len(Split.from_dataset(Stream(items), limit=2)) == 2
    tensors = TensorDataset(torch.randn(5, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1]))
    split = Split.from_dataset(tensors)
    assert torch.equal(split.images, tensors.tensors[0]) and split.labels is not None and split.labels.tolist() == [0, 1, 2, 0, 1]
    assert Split.from_dataset(split) is split


def test_a_data_set_larger_than_the_cap_is_subsampled_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from nnwidgets.engine.values import adapters

    monkeypatch.setattr(adapters, "_CAP", 10 * 4 * 4 * 3)
    split = Split.from_dataset(Pictures([(4, 4)] * 25))
    assert len(split) == 10 and "2 GB" in split.notes[0]
    stream = Split.from_dataset(Stream([(torch.zeros(3, 4, 4, dtype=torch.uint8), 0)] * 25))
    assert len(stream) == 10 and "2 GB" in stream.notes[0]


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (3, "int"),
        (Stream([]), "no data"),
        (Pictures([]), "length 0"),
        (Stream([torch.zeros(1, 2, 2)]), r"expected \(image, label\)"),
        (Stream([(torch.zeros(1, 2, 2), 0.5)]), "integer"),
        (Stream([(torch.zeros(1, 2, 2), "cat")]), "integer"),
        (Stream([("cat.png", 0)]), "str"),
        (Stream([(torch.zeros(1, 2, 2), -3)]), "-3"),
    ],
)
def test_what_is_no_data_set_of_image_and_label_is_refused(dataset: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Split.from_dataset(dataset)
