"""A picture that somebody gives: decoded with limits, never believed."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.errors import FileError

__all__ = ["LARGEST_FILE", "decoded", "drawn"]

LARGEST_FILE = 10_000_000  # bytes
_LARGEST = 4_000_000  # pixels
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")


def decoded(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Pixels of an image file, uint8 (h, w) where it is grey, else (h, w, 3); transparent parts become white.

    The size is read from the header, and nothing is decoded that is too large.

    Raises:
        FileError: too large a file or picture, no picture of a known kind, or a damaged one.
    """
    from PIL import Image, ImageOps

    if len(data) > LARGEST_FILE:
        raise FileError(
            f"{name}: got {len(data) / 1e6:.1f} MB, expected at most {LARGEST_FILE / 1e6:.0f} MB; make it smaller first."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.width * image.height > _LARGEST:
                    raise _too_large(name, f"{image.width} x {image.height} pixels")
                image.load()
                return _pixels(ImageOps.exif_transpose(image))
    except FileError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # Pillow's own limit comes before ours
        raise _too_large(name, "a picture of far more pixels") from error
    except Exception as error:  # decoders of five formats raise what they like
        kinds = ", ".join(kind.lower() for kind in _FORMATS)
        raise FileError(f"{name}: not a picture that can be read ({type(error).__name__}); expected one of {kinds}.") from error


def _too_large(name: str, got: str) -> FileError:
    return FileError(f"{name}: got {got}, expected at most {_LARGEST / 1e6:.0f} million pixels; make it smaller first.")


def _pixels(image: object) -> npt.NDArray[np.uint8]:
    from PIL import Image

    assert isinstance(image, Image.Image)
    if image.mode.startswith("I"):
        return _deep(np.asarray(image, np.float32))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", clear.size, (255, 255, 255, 255)), clear)
    seen = np.asarray(image.convert("RGB"), np.uint8)
    is_grey = np.array_equal(seen[..., 0], seen[..., 1]) and np.array_equal(seen[..., 0], seen[..., 2])
    return seen[..., 0].copy() if is_grey else seen.copy()  # a copy: Pillow's own memory is read-only


def _deep(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Grey pictures of more than 8 bits, the brightest pixel white."""
    top = float(values.max(initial=0.0))
    return np.clip(np.rint(values if top <= 255 else values * (255 / top)), 0, 255).astype(np.uint8)


def drawn(data: bytes, width: object, height: object) -> npt.NDArray[np.uint8]:
    """A drawing as the front end sends it, uint8 (h, w).

    Raises:
        FileError: sizes that do not fit what was sent.
    """
    if isinstance(width, bool) or isinstance(height, bool) or not isinstance(width, int) or not isinstance(height, int):
        raise FileError(f"drawing: got sizes {width!r:.20} and {height!r:.20}, expected whole numbers of pixels.")
    if not (0 < width <= 1024 and 0 < height <= 1024 and width * height == len(data)):
        raise FileError(f"drawing: got {len(data)} bytes for {width} x {height} pixels, expected one byte a pixel.")
    return np.frombuffer(data, np.uint8).reshape(height, width).copy()
