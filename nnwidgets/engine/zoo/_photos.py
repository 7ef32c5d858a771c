"""The bundled photographs: seven, with crops of each (see assets/PROVENANCE.md)."""

from __future__ import annotations

import zlib
from importlib import resources
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnwidgets.engine.errors import FileError
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.zoo._imagenet import imagenet_names

__all__ = ["PHOTOS", "VIEWS", "photos", "views_of"]

PHOTOS = ("hopper", "cat", "coffee", "cameraman", "rocket", "astronaut", "raccoon")
VIEWS = {"val": range(0, 6), "test": range(6, 12), "train": range(12, 18)}  # of each photograph; 0 is its middle, uncut
_SIDE = 224
_LEAST, _MOST = 0.5, 0.95  # sides of crops, beside the shorter side of the photograph
_NOTES = (
    "Seven photographs and crops of them, labelled with what EfficientNet-Lite0 answers to each, which is not the truth: "
    "accuracy is agreement with it. Crops of one photograph are in all three samples: nothing here speaks of new photographs.",
)


def photos(
    mean: tuple[float, float, float], std: tuple[float, float, float], labelled_by: str = "EfficientNet-Lite0"
) -> tuple[Split, Split, Split]:
    """(S_train, S_val, S_test): 42 images each, uint8 (N, 3, 224, 224), the first seven of S_val the photographs.

    Labels are ImageNet classes: what EfficientNet-Lite0 answers, not the truth. ``Split.notes`` and ``labelled_by`` say so.

    Args:
        mean, std: per channel, of the network that they are for. labelled_by: "itself", where that is EfficientNet-Lite0.

    Raises:
        FileError: the bundled file is missing or damaged.
    """
    file = resources.files("nnwidgets") / "assets" / "photos.npz"
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            pictures = [data[name] for name in PHOTOS]
            labels = {sample: data[f"labels_{sample}"].astype(np.int64) for sample in VIEWS}
    except (OSError, ValueError, LookupError, EOFError, zlib.error, BadZipFile) as error:
        raise FileError(
            f"the bundled photographs cannot be read: assets/photos.npz: {error}; install nnwidgets again."
        ) from error
    names = imagenet_names()
    train, val, test = (
        Split(views_of(pictures, VIEWS[sample]), labels[sample], mean, std, names, notes=_NOTES, labelled_by=labelled_by)
        for sample in ("train", "val", "test")
    )
    return train, val, test


def views_of(pictures: list[npt.NDArray[np.uint8]], views: range) -> Tensor:
    """Some views of each photograph (h, w, 3), all photographs of a view together: uint8 (N, 3, 224, 224).

    View 0 is the largest square in the middle; the others are squares of random side and place, half of them mirrored.
    """
    found = torch.empty((len(views) * len(pictures), 3, _SIDE, _SIDE), dtype=torch.uint8)
    for place, (view, number) in enumerate((view, number) for view in views for number in range(len(pictures))):
        found[place] = _view(pictures[number], view, number)
    return found


def _view(picture: npt.NDArray[np.uint8], view: int, number: int) -> Tensor:
    height, width = picture.shape[:2]
    short = min(height, width)
    draw = np.random.default_rng([view, number])
    share, down, across, mirrored = (0.0, 0.5, 0.5, 1.0) if view == 0 else draw.random(4)
    side = short if view == 0 else round(short * (_LEAST + (_MOST - _LEAST) * share))
    top, left = round((height - side) * down), round((width - side) * across)
    cut = picture[top : top + side, left : left + side]
    cut = cut[:, ::-1] if mirrored < 0.5 else cut
    image = torch.from_numpy(np.ascontiguousarray(cut)).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(image, (_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False)
    return resized[0].round().clamp(0, 255).to(torch.uint8)
