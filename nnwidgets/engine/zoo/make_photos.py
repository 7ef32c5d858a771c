"""Make the bundled photographs anew from larger ones: ``python -m nnwidgets.engine.zoo.make_photos FOLDER``.

FOLDER holds hopper.npy, cat.npy and so on: uint8 (h, w, 3), such as ``np.asarray(PIL.Image.open(file).convert("RGB"))``.
assets/PROVENANCE.md says where they are from.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nnwidgets.engine.errors import FileError
from nnwidgets.engine.files import written_whole
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.zoo._photos import PHOTOS, VIEWS, views_of
from nnwidgets.engine.zoo.efficientnet import LITE_MEAN, LITE_STD, EfficientNetLite0, pretrained_lite0

__all__ = ["answers_to", "make"]

ASSET = Path(__file__).parents[2] / "assets" / "photos.npz"
_SHORT = 288  # pixels of the shorter side
_BATCH = 8


def make(folder: Path, path: Path = ASSET) -> dict[str, npt.NDArray[np.int64]]:
    """Write the photographs, smaller, and what EfficientNet-Lite0 answers to their views; returns those answers.

    Raises:
        FileError: a photograph is missing or cannot be read, or the file cannot be written.
    """
    pictures = [_smaller(folder / f"{name}.npy") for name in PHOTOS]
    model = pretrained_lite0()
    labels = {
        sample: answers_to(model, Split(views_of(pictures, views), None, [LITE_MEAN], [LITE_STD]))
        for sample, views in VIEWS.items()
    }
    arrays: dict[str, Any] = {**dict(zip(PHOTOS, pictures, strict=True))}
    arrays |= {f"labels_{sample}": found.astype(np.int16) for sample, found in labels.items()}
    with written_whole(path, overwrite=True) as spare, open(spare, "wb") as stream:
        np.savez_compressed(stream, **arrays)
    return labels


def answers_to(model: EfficientNetLite0, split: Split) -> npt.NDArray[np.int64]:
    """(N,) the class that the network answers to each image."""
    with torch.inference_mode():
        batches = [model(split.inputs(slice(i, i + _BATCH))).argmax(1) for i in range(0, len(split), _BATCH)]
    found: npt.NDArray[np.int64] = torch.cat(batches).numpy()
    return found


def _smaller(path: Path) -> npt.NDArray[np.uint8]:
    try:
        image = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {error}; assets/PROVENANCE.md says where the photographs are from.") from error
    height, width = image.shape[:2]
    scale = _SHORT / min(height, width)
    size = (round(height * scale), round(width * scale))
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False)
    found: npt.NDArray[np.uint8] = small[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return found


if __name__ == "__main__":
    for sample, found in make(Path(sys.argv[1])).items():
        sys.stderr.write(f"{sample}: {found.tolist()}\n")
