"""Images to look into a network with: of a sample, or one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.values.records import Evaluation

__all__ = ["PICKS", "SAMPLES", "Picture", "own_picture", "picked", "picture_of", "sample_of", "samples_of"]

SAMPLES = ("val", "test", "train")
PICKS = ("index", "class", "worst")


@dataclass(frozen=True)
class Picture:
    """One image.

    Attributes:
        key: tells two pictures apart. inputs: (1, *input_shape) as the network takes it.
        pixels: uint8 (h, w) or (h, w, 3), as a person sees it. label: None where it is not known.
        sample, index: where it is from; "" and -1 for one's own. note: what was done to it, in words.
        labelled_by: as of the `Split`.
    """

    key: tuple[object, ...]
    inputs: Tensor
    pixels: npt.NDArray[np.uint8]
    label: int | None
    sample: str
    index: int
    note: str = ""
    labelled_by: str = ""


def samples_of(experiment: Experiment) -> tuple[str, ...]:
    """Names of the samples there are. S_val comes first: what is looked at there is not lost for reporting."""
    return tuple(name for name in SAMPLES if getattr(experiment, name) is not None)


def sample_of(experiment: Experiment, name: str) -> Split:
    """A sample by name, S_train too.

    Raises:
        InputError: another name, or one that the experiment does not have.
    """
    found = getattr(experiment, name) if name in SAMPLES else None
    if not isinstance(found, Split):
        raise InputError(f"sample: got {name!r}, expected one of {', '.join(samples_of(experiment))}.")
    return found


def picked(split: Split, pick: str, label: int = 0, known: Evaluation | None = None) -> npt.NDArray[np.int64]:
    """Positions of images to go through: all, those of a class, or all by margin, the worst first.

    Raises:
        InputError: another pick, or a class without images. DataError: no labels; or "worst" before the answers are known.
    """
    if pick == "index":
        return np.arange(len(split))
    if split.labels is None:
        raise DataError("these images have no labels; they can only be chosen by index.")
    if pick == "class":
        found = np.flatnonzero(split.labels.cpu().numpy() == label)
        if not len(found):
            raise InputError(f"class {label} has no images here; expected one of 0 to {split.n_classes - 1} that has.")
        return found
    if pick != "worst":
        raise InputError(f"pick: got {pick!r}, expected one of {', '.join(PICKS)}.")
    if known is None:
        raise DataError("the worst errors are not known yet; the network has to answer all images first.")
    return np.argsort(known.margins, kind="stable")


def picture_of(split: Split, sample: str, index: int) -> Picture:
    """One image of a sample.

    Raises:
        InputError: no such index.
    """
    if not 0 <= index < len(split):
        raise InputError(f"image_index: got {index}, expected 0 to {len(split) - 1}.")
    label = None if split.labels is None else int(split.labels[index])
    return Picture((sample, index), split.inputs([index]), _seen(split, index), label, sample, index, "", split.labelled_by)


def own_picture(split: Split, pixels: npt.NDArray[np.uint8], key: object, note: str) -> Picture:
    """An image of one's own, made fit for the network.

    Args:
        split: a sample of the network's data: its shape, mean and std. pixels: uint8 (h, w) or (h, w, 3), of any size. key: tells
            two of them apart. note: where it is from.

    Raises:
        InputError: the network does not take images.
    """
    shape = split.sample_shape
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(f"this network takes inputs of shape {shape}; a picture of one's own needs (1, H, W) or (3, H, W).")
    channels, height, width = shape
    size = pixels.shape[:2]
    grey = pixels.ndim == 2
    image = torch.from_numpy(np.ascontiguousarray(pixels)).float()
    image = image[None] if grey else image.permute(2, 0, 1)
    if channels == 1 and not grey:
        image = (image * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)  # ITU-R BT.601
        note += ", made grey"
    if channels == 3 and grey:
        image = image.expand(3, -1, -1)
    if size != (height, width):
        image = _fitted(image, height, width)
        note += f", {size[1]} x {size[0]} cropped and resized to {width} x {height}"
    stored = image.round().clamp(0, 255).to(torch.uint8)
    seen = stored[0].numpy() if channels == 1 else stored.permute(1, 2, 0).contiguous().numpy()
    mean, std = split.mean, split.std
    inputs = Split(stored[None].to(split.device), None, mean, std).inputs([0])
    if split.images.dtype != torch.uint8 and mean is None:
        note += "; its values go from 0 to 1, as this network's data tell no mean and deviation"
    return Picture(("own", key), inputs, seen, None, "", -1, note)


def _fitted(image: Tensor, height: int, width: int) -> Tensor:
    """Cut to the wanted aspect around the middle, then resize with anti-aliasing."""
    _, h, w = image.shape
    share = min(h / height, w / width)
    cut_h, cut_w = max(1, min(h, round(height * share))), max(1, min(w, round(width * share)))
    top, left = (h - cut_h) // 2, (w - cut_w) // 2
    part = image[None, :, top : top + cut_h, left : left + cut_w]
    resized: Tensor = torch.nn.functional.interpolate(part, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return resized[0]


def _seen(split: Split, index: int) -> npt.NDArray[np.uint8]:
    """Pixels as a person sees them: uint8 as stored; floats through mean and std, or from their smallest to their largest."""
    image = split.images[index].detach().cpu()
    if image.dtype != torch.uint8:
        image = image.float()
        if split.mean is not None and split.std is not None and image.dim() == 3:
            image = image * split.std.cpu().view(-1, 1, 1) + split.mean.cpu().view(-1, 1, 1)
        else:
            image = (image - image.min()) / (image.max() - image.min()).clamp_min(1e-12)
        image = (255 * image).round().clamp(0, 255).to(torch.uint8)
    if image.dim() == 3 and image.shape[0] == 3:
        return image.permute(1, 2, 0).contiguous().numpy()
    if image.dim() == 3:
        return image[0].numpy() if image.shape[0] == 1 else image.float().mean(0).round().to(torch.uint8).numpy()
    return image.reshape(1, -1).numpy() if image.dim() == 1 else image.numpy()
