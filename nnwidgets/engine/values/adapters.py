"""A torch data set read once into tensors, transforms included."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, IterableDataset

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.values.split import Split

__all__ = ["read"]

_CAP = 2_000_000_000  # bytes that a data set may take in memory; a larger one is subsampled


def read(dataset: Any, limit: int | None, size: int | tuple[int, int] | None, seed: int) -> Split:
    """See ``Split.from_dataset``."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise DataError(f"limit: got {limit!r}, expected a number of images of at least 1.")
    wanted = _height_width(size)
    notes: list[str] = []
    with _seeded(seed):
        items = _items(dataset, limit, wanted, seed, notes)
        images, labels = _collect(items, wanted, notes)
    names = getattr(dataset, "classes", None)
    named = names if isinstance(names, list | tuple) and len(names) > max(labels) else None
    return Split(images, torch.tensor(labels), class_names=named, notes=tuple(notes))


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Transforms that draw are decided by ``seed``, and the global random states are left alone."""
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])


def _height_width(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in pair):
        raise DataError(f"size: got {size!r}, expected a side in pixels or (height, width).")
    return pair[0], pair[1]


def _items(
    dataset: Any, limit: int | None, size: tuple[int, int] | None, seed: int, notes: list[str]
) -> Iterator[tuple[int, Any]]:
    """The items to read, with their index: of a map-style data set a random choice, of an iterable one the first."""
    if isinstance(dataset, DataLoader):
        raise DataError("got a DataLoader, which gives batches; pass its data set: loader.dataset.")
    stream = isinstance(dataset, IterableDataset)  # inherits a __getitem__ that only raises
    if not stream and hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        n = len(dataset)
        if n == 0:
            raise DataError("no data: the data set has length 0; expected at least one (image, label).")
        fit = _fitting(dataset, n, size)
        most = min(n, fit, limit if limit is not None else n)
        if most == n:
            return ((i, _item(dataset, i)) for i in range(n))
        why = "so that it fits into 2 GB" if fit < min(n, limit or n) else "as asked"
        notes.append(f"The data set was subsampled to {most:,} of {n:,} images, {why}.")
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:most].tolist()
        return ((i, _item(dataset, i)) for i in order)
    if isinstance(dataset, Iterable):
        return itertools.islice(_streamed(dataset), limit)
    raise DataError(
        f"got {type(dataset).__name__}, expected a Split, or a torch data set of (image, label): map-style or iterable."
    )


def _item(dataset: Any, index: int) -> Any:
    try:
        return dataset[index]
    except Exception as error:  # a data set is anybody's code
        raise _raised(index, error) from error


def _streamed(dataset: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    index = 0
    try:
        for index, item in enumerate(dataset):
            yield index, item
            index += 1
    except DataError:
        raise
    except Exception as error:  # a data set is anybody's code
        raise _raised(index, error) from error


def _raised(index: int, error: Exception) -> DataError:
    return DataError(
        f"item {index} of the data set raised {type(error).__name__}: {str(error)[:300]}; nothing of it was kept. Mend or drop "
        "that item, such as with torch.utils.data.Subset, and try again."
    )


def _fitting(dataset: Any, n: int, size: tuple[int, int] | None) -> int:
    """How many images of the first one's size, or of the size they are resized to, fit under the cap."""
    image, _ = _image_and_label(_item(dataset, 0), 0)
    pixels = image.numel() if size is None or image.dim() != 3 else image.shape[0] * size[0] * size[1]
    return max(1, min(n, _CAP // max(pixels * image.element_size(), 1)))


def _collect(items: Iterator[tuple[int, Any]], size: tuple[int, int] | None, notes: list[str]) -> tuple[Tensor, list[int]]:
    images: list[Tensor] = []
    labels: list[int] = []
    held = resized = 0
    for position, item in items:
        image, label = _image_and_label(item, position)
        if size is not None and image.dim() == 3 and tuple(image.shape[1:]) != size:
            image, resized = _resized(image, size), resized + 1
        if images and image.shape != images[0].shape:
            raise DataError(
                f"image {position} has shape {tuple(image.shape)}, the first one {tuple(images[0].shape)}; "
                "give size=(height, width) to resize them, or a transform that makes them equal."
            )
        if images and image.dtype != images[0].dtype:
            raise DataError(f"image {position} is {image.dtype}, the first one {images[0].dtype}; expected one type for all.")
        held += image.numel() * image.element_size()
        if held > _CAP:
            notes.append(f"Only the first {len(images):,} images were read: more do not fit into 2 GB.")
            break
        images.append(image)
        labels.append(label)
    if not images:
        raise DataError("no data: the data set gave no (image, label) at all.")
    if resized:
        notes.append(f"{resized:,} images were resized to {size[0]} x {size[1]} pixels.")  # type: ignore[index]
    return torch.stack(images), labels


def _image_and_label(item: Any, position: int) -> tuple[Tensor, int]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        got = f"{len(item)} values" if isinstance(item, tuple | list) else type(item).__name__
        raise DataError(f"item {position} is {got}, expected (image, label).")
    return _as_image(item[0], position), _as_label(item[1], position)


def _as_label(label: Any, position: int) -> int:
    if isinstance(label, Tensor | np.ndarray | np.generic) and len(np.shape(label)) <= 1 and np.prod(np.shape(label)) == 1:
        label = label.item()
    if isinstance(label, bool) or not isinstance(label, int):
        raise DataError(
            f"the label of image {position} is {label!r:.60} ({type(label).__name__}), "
            "expected an integer 0 to K-1 (classification only)."
        )
    return label


def _as_image(image: Any, position: int) -> Tensor:
    """Tensors as they are, arrays and PIL images as tensors; channels first."""
    if isinstance(image, Tensor):
        tensor = image.detach().cpu()
        if not tensor.is_floating_point() and tensor.dtype != torch.uint8:
            raise DataError(f"image {position} is {tensor.dtype}, expected uint8 or floating numbers.")
        return tensor.clone() if tensor.dtype == torch.uint8 else tensor.float()
    last = False  # are the channels known to be last?
    if hasattr(image, "convert") and hasattr(image, "mode"):  # PIL, without importing it
        last = True
        image = np.asarray(
            image if image.mode in ("L", "RGB") else image.convert("L" if image.mode in ("1", "I", "F", "I;16") else "RGB")
        )
    if not isinstance(image, np.ndarray):
        raise DataError(f"image {position} is {type(image).__name__}, expected a tensor, an array or a PIL image.")
    if image.ndim == 3 and (last or (image.shape[2] in (1, 3, 4) and image.shape[0] not in (1, 3))):
        image = image.transpose(2, 0, 1)  # height, width, channels, as PIL and numpy keep pictures
    image = np.ascontiguousarray(image if image.dtype == np.uint8 else image.astype(np.float32))
    tensor = torch.from_numpy(image.copy())
    return tensor.unsqueeze(0) if tensor.dim() == 2 else tensor


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    scaled = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True, align_corners=False)[0]
    return scaled.round().clamp(0, 255).to(torch.uint8) if image.dtype == torch.uint8 else scaled
