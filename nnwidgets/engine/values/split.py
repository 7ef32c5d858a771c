"""A sample: images and labels as tensors, fed to a network in batches without a DataLoader."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.values._mapped import MappedFile

__all__ = ["Split"]


class Split:
    """A sample of images (or vectors, or sequences) with their labels. It does not change after it is made.

    Args:
        images: tensor or array, uint8 or floating: (N, C, H, W), (N, H, W) for one channel, (N, D) vectors, (N, T, D) sequences.
            Three dimensions are images when uint8 or when ``mean`` is given, else sequences. A memory-mapped file of them is not
            read into memory.
        labels: (N,) integers from 0, or None.
        mean, std: per channel. uint8 is fed as (x / 255 - mean) / std; floating data are fed as stored, and these only tell
            how to show them.
        class_names: one a class, in the order of the labels; notes: what had to be done to the data, in words.
        labelled_by: the network whose answers the labels are, where they are not the truth ("itself": the one that is looked at).

    Raises:
        DataError: another shape, type or length, NaN or infinity in the images, negative labels, fewer names than classes, no
            images at all.
    """

    def __init__(
        self,
        images: Any,
        labels: Any = None,
        mean: Any = None,
        std: Any = None,
        class_names: Any = None,
        *,
        notes: tuple[str, ...] = (),
        labelled_by: str = "",
    ) -> None:
        self._images = _as_images(images, mean is not None)
        self._file = MappedFile.of(images)
        channels = self._images.shape[1] if self._images.dim() == 4 else 1
        self._labels = None if labels is None else _as_labels(labels, len(self._images), self._images.device)
        self._mean = _per_channel("mean", mean, channels, self._images.device)
        self._std = _per_channel("std", std, channels, self._images.device)
        if self._std is not None and bool((self._std <= 0).any()):
            raise DataError(f"std: got {self._std.tolist()}, expected values above 0, one a channel.")
        self._class_names = None if class_names is None else tuple(str(name) for name in class_names)
        if self._class_names is not None and len(self._class_names) < self.n_classes:
            raise DataError(
                f"class_names: got {len(self._class_names)} names, the labels go up to {self.n_classes - 1}; "
                f"expected at least {self.n_classes}, one a class in the order of the labels."
            )
        self._notes = tuple(notes)
        self._labelled_by = str(labelled_by)

    @property
    def images(self) -> Tensor:
        """(N, C, H, W), (N, D) or (N, T, D) as stored."""
        return self._images

    @property
    def labels(self) -> Tensor | None:
        """int64 (N,), or None."""
        return self._labels

    @property
    def mean(self) -> Tensor | None:
        """(C,) float, or None."""
        return self._mean

    @property
    def std(self) -> Tensor | None:
        """(C,) float, or None."""
        return self._std

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """One name a class, or None."""
        return self._class_names

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be done to the data, in words: subsampled, resized."""
        return self._notes

    @property
    def labelled_by(self) -> str:
        """The network whose answers the labels are; "" where they are the truth."""
        return self._labelled_by

    def __len__(self) -> int:
        return len(self._images)

    def __repr__(self) -> str:
        labels = "no labels" if self._labels is None else f"{self.n_classes} classes"
        return f"Split({self.n} x {tuple(self.sample_shape)}, {str(self._images.dtype).removeprefix('torch.')}, {labels})"

    @property
    def n(self) -> int:
        """How many images."""
        return len(self._images)

    @property
    def n_classes(self) -> int:
        """Largest label + 1; 0 without labels."""
        return 0 if self._labels is None else int(self._labels.max()) + 1

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one image as the network gets it, without the batch."""
        return tuple(self._images.shape[1:])

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self._images.device

    def check_file(self) -> None:
        """Make sure that a memory-mapped file still holds the images; without one nothing is done. ``inputs`` does it itself.

        Reading beyond the end of a file that was cut off meanwhile would end the whole process.

        Raises:
            DataError: the file is shorter than it was.
        """
        if self._file is not None:
            self._file.check()

    def inputs(self, index: slice | Tensor | Any) -> Tensor:
        """Images ready for a network: float32 (B, *sample_shape), normalised where they are stored as uint8.

        Args:
            index: a slice, or positions as an integer tensor or array.

        Raises:
            DataError: the images are in a memory-mapped file that was cut off meanwhile.
        """
        self.check_file()
        index = index if isinstance(index, slice | Tensor) else torch.as_tensor(index)
        chosen = self._images[index]
        if chosen.dtype != torch.uint8:
            fed = chosen.float()
            shared = fed.untyped_storage().data_ptr() == self._images.untyped_storage().data_ptr()
            return fed.clone() if shared else fed  # a network may write into its input
        batch = chosen.float().div_(255)
        shape = (1, -1, 1, 1) if batch.dim() == 4 else (1,) * batch.dim()
        if self._mean is not None:
            batch.sub_(self._mean.view(shape))
        if self._std is not None:
            batch.div_(self._std.view(shape))
        return batch

    def take(self, indices: Tensor | Any) -> Split:
        """The images at some positions, as a new sample."""
        self.check_file()
        indices = torch.as_tensor(indices, device=self.device)
        labels = None if self._labels is None else self._labels[indices]
        return self.like(self._images[indices], labels)

    def to(self, device: torch.device | str) -> Split:
        """A copy on another device."""
        self.check_file()
        labels = None if self._labels is None else self._labels.to(device)
        return self.like(self._images.to(device), labels)

    def like(self, images: Tensor, labels: Tensor | None) -> Split:
        """Other images with all else that is told of these."""
        told: dict[str, Any] = {"notes": self._notes, "labelled_by": self._labelled_by}
        return Split(images, labels, self._mean, self._std, self._class_names, **told)

    def carve(self, share: float = 1 / 6, seed: int = 0) -> tuple[Split, Split]:
        """Hold out a share, drawn within each label: (rest, held out). The same seed draws the same images.

        Raises:
            DataError: fewer than two images, or a share outside (0, 1).
        """
        if self.n < 2 or not 0 < share < 1:
            raise DataError(f"carve: got share {share} of {self.n} images, expected a share in (0, 1) of at least two images.")
        draw = torch.Generator().manual_seed(seed)
        labels = torch.zeros(self.n, dtype=torch.int64) if self._labels is None else self._labels.cpu()
        size = min(max(1, round(share * self.n)), self.n - 1)
        quota = labels.bincount() * (size / self.n)  # images of each label, shares included; the largest shares are rounded up
        counts = quota.floor().long()
        counts[torch.argsort(quota - counts, descending=True, stable=True)[: size - int(counts.sum())]] += 1
        chosen = torch.zeros(self.n, dtype=torch.bool)
        for label, count in enumerate(counts.tolist()):
            where = (labels == label).nonzero().squeeze(1)
            chosen[where[torch.randperm(len(where), generator=draw)[:count]]] = True
        return self.take((~chosen).nonzero().squeeze(1)), self.take(chosen.nonzero().squeeze(1))

    def tail(self, count: int) -> tuple[Split, Split]:
        """(all but the last ``count`` images, the last ``count``)."""
        if not 0 < count < self.n:
            raise DataError(f"tail: got {count} of {self.n} images, expected at least one on each side.")
        positions = torch.arange(self.n)
        return self.take(positions[:-count]), self.take(positions[-count:])

    @classmethod
    def from_dataset(
        cls, dataset: Any, limit: int | None = None, size: int | tuple[int, int] | None = None, seed: int = 0
    ) -> Split:
        """Read a torch data set of (image, label) once, transforms included. A Split is passed through.

        Args:
            dataset: map-style or iterable; images as PIL, tensor or array, labels as integers.
            limit: at most so many images, drawn with ``seed`` (map-style) or the first ones (iterable).
            size: (H, W) or one number; images of unequal size are resized to it, and without it refused.

        Raises:
            DataError: not a data set of (image, label), unequal sizes, no images.
        """
        from nnwidgets.engine.values.adapters import read

        return dataset if isinstance(dataset, Split) else read(dataset, limit, size, seed)


def _as_images(images: Any, has_mean: bool) -> Tensor:
    if not isinstance(images, Tensor | np.ndarray):
        raise DataError(
            f"images: got {type(images).__name__}, expected a tensor or array (N, C, H, W), (N, H, W), (N, D) or (N, T, D)."
        )
    if isinstance(images, np.ndarray):
        try:
            tensor = torch.from_numpy(_shareable(images))
        except TypeError as error:
            raise DataError(f"images: got an array of {images.dtype}, expected uint8 or floating numbers.") from error
    else:
        tensor = images.detach()
    if tensor.dtype != torch.uint8 and not tensor.is_floating_point():
        raise DataError(
            f"images: got {tensor.dtype}, expected uint8 (0 to 255) or floating numbers; convert them, such as images.float()."
        )
    if tensor.dim() not in (2, 3, 4):
        raise DataError(f"images: got shape {tuple(tensor.shape)}, expected (N, C, H, W), (N, H, W), (N, D) or (N, T, D).")
    if tensor.numel() == 0:
        raise DataError(f"no data: images have shape {tuple(tensor.shape)}; expected at least one image.")
    if tensor.dim() == 3 and (tensor.dtype == torch.uint8 or has_mean):
        tensor = tensor.unsqueeze(1)
    if tensor.is_floating_point() and tensor.device.type != "meta" and (bad := _not_finite(tensor)):
        raise DataError(
            f"images: got NaN or infinity in {bad} of {len(tensor)} images; expected finite numbers. Drop or mend those images."
        )
    return tensor


def _shareable(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An array that torch can share memory with, copied only where that cannot be avoided."""
    if images.dtype == np.float64:
        return images.astype(np.float32)
    if not images.flags.c_contiguous:
        return np.ascontiguousarray(images)  # torch knows no negative strides
    if images.flags.writeable:
        return images
    return _mapped_again(images) if isinstance(images, np.memmap) and images.filename else images.copy()


def _mapped_again(images: np.memmap[Any, Any]) -> npt.NDArray[Any]:
    """The same part of a file that was opened for reading, mapped copy-on-write: nothing is read, and the file stays as it is."""
    whole = images
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    start = whole.offset + images.ctypes.data - whole.ctypes.data
    try:
        return np.memmap(str(images.filename), images.dtype, "c", start, images.shape)
    except OSError:  # the file was deleted after it was opened
        return images.copy()


def _not_finite(images: Tensor) -> int:
    """How many images hold NaN or infinity; looked at in parts, or a mapped file would need its size in memory."""
    rows = max(1, 10_000_000 // max(images[0].numel(), 1))
    parts = (images[start : start + rows] for start in range(0, len(images), rows))
    return sum(int((~torch.isfinite(part)).flatten(1).any(1).sum()) for part in parts)


def _as_labels(labels: Any, n: int, device: torch.device) -> Tensor:
    try:
        tensor = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"labels: got {type(labels).__name__}, expected {n} integers.") from error
    if tensor.is_floating_point() or tensor.dtype == torch.bool or tensor.is_complex():
        raise DataError(f"labels: got {tensor.dtype}, expected integers 0 to K-1, one an image (classification only).")
    if tensor.shape != (n,):
        raise DataError(f"labels: got shape {tuple(tensor.shape)} for {n} images, expected ({n},): one integer an image.")
    tensor = tensor.to(torch.int64)  # torch finds no smallest uint16
    if int(tensor.min()) < 0:
        raise DataError(
            f"labels: got {int(tensor.min())}, expected integers 0 to K-1; map missing labels to a class or drop those images."
        )
    return tensor.to(device)


def _per_channel(name: str, values: Any, channels: int, device: torch.device) -> Tensor | None:
    if values is None:
        return None
    try:
        tensor = torch.as_tensor(values, dtype=torch.float32, device=device).reshape(-1)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: got {values!r:.60}, expected one finite number for each of {channels} channels.") from error
    if len(tensor) == 1:
        tensor = tensor.expand(channels).clone()
    if len(tensor) != channels or not bool(torch.isfinite(tensor).all()):
        raise DataError(f"{name}: got {tensor.tolist()}, expected one finite number for each of {channels} channels.")
    return tensor
