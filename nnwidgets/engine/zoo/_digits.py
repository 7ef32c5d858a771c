"""The bundled digits: 10,000 images of MNIST (see assets/PROVENANCE.md)."""

from __future__ import annotations

import zlib
from importlib import resources
from zipfile import BadZipFile

import numpy as np

from nnwidgets.engine.errors import FileError
from nnwidgets.engine.values.split import Split

__all__ = ["digits"]

_TRAIN = 6000
_MEAN, _STD = 0.1307, 0.3081  # of MNIST's training images, as widely used


def digits() -> tuple[Split, Split]:
    """S_train, rows 0 to 5,999, and S_test, the other 4,000: uint8 (N, 1, 28, 28), labels 0 to 9."""
    file = resources.files("nnwidgets") / "assets" / "mnist10k.npz"
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            images, labels = data["images"], data["labels"].astype(np.int64)
    except (OSError, ValueError, LookupError, EOFError, zlib.error, BadZipFile) as error:
        raise FileError(f"the bundled digits cannot be read: assets/mnist10k.npz: {error}; install nnwidgets again.") from error
    parts = [Split(images[rows], labels[rows], [_MEAN], [_STD]) for rows in (slice(0, _TRAIN), slice(_TRAIN, None))]
    return parts[0], parts[1]
