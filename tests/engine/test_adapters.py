"""Data as people keep them: mapped files, streams with a length, random transforms; and what is refused in words."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.values import adapters
from nnwidgets.engine.values.split import Split


class Big(Dataset[Any]):
    """Images of 3 x 64 x 64 bytes."""

    def __len__(self) -> int:
        return 50

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return torch.full((3, 64, 64), i, dtype=torch.uint8), i % 2


class Drawn(Dataset[Any]):
    """Each image is drawn from the three global generators, as random transforms do."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return torch.cat([torch.rand(4), torch.tensor([random.random(), float(np.random.rand())])]), i % 2


class Measured(IterableDataset[Any]):
    """A stream that knows its length, as many do."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[Any]:
        return iter([(torch.full((1, 4, 4), float(i)), i) for i in range(3)])


def test_a_stream_with_a_length_is_read_as_a_stream() -> None:
    split = Split.from_dataset(Measured())
    assert split.labels is not None and split.labels.tolist() == [0, 1, 2]
    assert len(Split.from_dataset(Measured(), limit=2)) == 2


def test_a_loader_is_refused_and_its_data_set_named() -> None:
    loader = DataLoader(TensorDataset(torch.zeros(4, 1, 4, 4), torch.zeros(4, dtype=torch.int64)), batch_size=2)
    with pytest.raises(DataError, match=r"loader\.dataset"):
        Split.from_dataset(loader)
    assert len(Split.from_dataset(loader.dataset)) == 4


def test_random_transforms_follow_the_seed_and_row_32_leave_the_global_states_alone() -> None:
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # type: ignore[union-attr,index]
    first = Split.from_dataset(Drawn(), seed=3)
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])  # type: ignore[index]
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    assert torch.equal(first.images, Split.from_dataset(Drawn(), seed=3).images)
    assert not torch.equal(first.images, Split.from_dataset(Drawn(), seed=4).images)


def test_the_cap_counts_images_as_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large pictures that are resized on the way need not be left out."""
    monkeypatch.setattr(adapters, "_CAP", 10 * 3 * 64 * 64)
    assert len(Split.from_dataset(Big())) == 10
    small = Split.from_dataset(Big(), size=8)
    assert len(small) == 50 and not any("subsampled" in note for note in small.notes)


@pytest.mark.parametrize("rows", [slice(None), slice(3, 9)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_file_mapped_for_reading_can_be_written_to_in_memory_only(tmp_path: Path, rows: slice, kind: type) -> None:
    stored = (np.arange(12 * 4 * 4).reshape(12, 1, 4, 4) % 251).astype(kind)
    np.save(tmp_path / "x.npy", stored)
    split = Split(np.load(tmp_path / "x.npy", mmap_mode="r")[rows])
    assert np.array_equal(split.images.numpy(), stored[rows])
    split.images[0] = 7
    assert np.array_equal(np.load(tmp_path / "x.npy"), stored)


def test_a_mapped_file_is_not_read_into_memory(tmp_path: Path) -> None:
    """Also not a slice of it."""
    shape = (1000, 3, 200, 200)  # 120 MB, of which the file system keeps nothing
    np.memmap(tmp_path / "x.dat", np.uint8, "w+", shape=shape).flush()
    mapped = np.memmap(tmp_path / "x.dat", np.uint8, "r", shape=shape)
    tracemalloc.start()
    try:
        splits = Split(mapped), Split(mapped[100:900])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000 and [len(split) for split in splits] == [1000, 800]


def test_a_mapped_file_that_is_gone_is_copied_from_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(32, dtype=np.uint8).reshape(2, 4, 4))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    mapped.filename = str(tmp_path / "gone.npy")
    assert int(Split(mapped).images.max()) == 31


def test_arrays_that_run_backwards_and_small_integer_labels_are_taken() -> None:
    images = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)[:, :, ::-1]
    split = Split(images, np.array([0, 40000], np.uint16))
    assert np.array_equal(split.images.numpy()[:, 0], images)
    assert split.labels is not None and split.labels.tolist() == [0, 40000] and split.labels.dtype == torch.int64


def test_non_finite_images_are_counted_over_all_parts() -> None:
    images = torch.zeros(25, 1, 1000, 1000)
    images[[0, 11, 24], 0, 5, 5] = torch.tensor([float("nan"), float("inf"), float("-inf")])
    with pytest.raises(DataError, match="in 3 of 25"):
        Split(images)


def test_class_names_and_means_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="got 2 names, the labels go up to 2"):
        Split(torch.zeros(3, 1, 2, 2), [0, 1, 2], class_names=["a", "b"])
    with pytest.raises(DataError, match=r"mean: got 'x'"):
        Split(torch.zeros(3, 1, 2, 2), mean="x")
    assert Split(torch.zeros(3, 1, 2, 2), [0, 1, 2], class_names="abcd").class_names == ("a", "b", "c", "d")
