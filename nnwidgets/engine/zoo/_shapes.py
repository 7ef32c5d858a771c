"""A procedural set of coloured shapes and textures, with knobs for everything that goes wrong in real data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.values.split import Split

__all__ = ["CLASSES", "shapes"]

Array = npt.NDArray[np.float32]

CLASSES = ("disc", "ring", "square", "frame", "triangle", "cross", "star", "stripes", "checks", "dots")
_MEAN, _STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
_CHUNK = 256  # images drawn at a time: bounds the memory, and always whole, so that the first images do not depend on n
_KINDS, _LOOK, _STATIC, _WRONG = range(4)  # random streams of their own: no knob disturbs the draws of another


def shapes(
    n: int,
    seed: int = 0,
    noise: float = 0.0,
    label_errors: float = 0.0,
    imbalance: float = 0.0,
    shift: float = 0.0,
    size: int = 32,
) -> Split:
    """Draw ``n`` colour images of ten classes: seven shapes and three textures, of random place, size, angle and colours.

    Args:
        n: images, at least 1; seed: the same seed gives the same images. A smaller ``n`` gives the first of them, and each knob
            changes only what it is named after: the same pictures with noise, with wrong labels, moved.
        noise: standard deviation of Gaussian noise, in shares of the full range (0.1 is visible, 0.6 hides most).
        label_errors: share of labels replaced by another class drawn at random.
        imbalance: 0 for equal classes, towards 1 the last five classes become rare (at 0.9 they are ten times rarer).
        shift: how far shapes may stand from the middle beyond the usual, as a share of the image: a shift between two samples.
        size: side of an image in pixels, 16 to 128.

    Returns:
        A split of uint8 (n, 3, size, size) with class names.

    Raises:
        InputError: a knob outside its range.
    """
    _check(n, noise, label_errors, imbalance, shift, size)
    labels = _labels(n, seed, imbalance)
    images = np.empty((n, 3, size, size), np.uint8)
    for start in range(0, n, _CHUNK):
        wanted = labels[start : start + _CHUNK]
        look, static = (np.random.default_rng([seed, stream, start // _CHUNK]) for stream in (_LOOK, _STATIC))
        picture = _render(np.resize(wanted, _CHUNK), look, shift, size)[: len(wanted)]
        if noise > 0:
            picture += noise * static.standard_normal(picture.shape, dtype=np.float32)
        images[start : start + _CHUNK] = (np.clip(picture, 0, 1) * 255).round()
    draw = np.random.default_rng([seed, _WRONG])
    chance = draw.random((n, 2))  # whether the label is wrong, and how
    labels = np.where(chance[:, 0] < label_errors, (labels + 1 + (9 * chance[:, 1]).astype(np.int64)) % 10, labels)
    return Split(images, labels.astype(np.int64), _MEAN, _STD, CLASSES)


def _check(n: int, noise: float, label_errors: float, imbalance: float, shift: float, size: int) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"n: got {n!r}, expected an integer of at least 1.")
    ranges = {
        "noise": (noise, 0, 2),
        "label_errors": (label_errors, 0, 1),
        "imbalance": (imbalance, 0, 0.999),
        "shift": (shift, 0, 0.5),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise InputError(f"{name}: got {value!r}, expected a number from {low} to {high}.")
    if isinstance(size, bool) or not isinstance(size, int) or not 16 <= size <= 128:
        raise InputError(f"size: got {size!r}, expected an integer from 16 to 128.")


def _labels(n: int, seed: int, imbalance: float) -> npt.NDArray[np.int64]:
    """Classes (n,); the last five are drawn less often."""
    weights = np.where(np.arange(10) < 5, 1.0, 1.0 - imbalance)
    upper = np.cumsum(weights / weights.sum())[:-1]
    return np.searchsorted(upper, np.random.default_rng([seed, _KINDS]).random(n), side="right").astype(np.int64)


def _render(labels: npt.NDArray[np.int64], draw: np.random.Generator, shift: float, size: int) -> Array:
    """Colour images (n, 3, size, size) around [0, 1]: a shape blended over a shaded background, with a fine grain."""
    n = len(labels)
    coverage = _coverage(labels, draw, shift, size)[:, None]
    back, front = _colours(n, draw)
    y, x = _grid(size)
    slope = draw.uniform(-0.18, 0.18, (2, n, 1, 1, 1)).astype(np.float32)
    light = slope[0] * x + slope[1] * y
    grain = draw.standard_normal((n, 3, size, size), dtype=np.float32)
    shade, face = back[:, :, None, None] + light, front[:, :, None, None] - 0.5 * light
    picture: Array = shade * (1 - coverage) + face * coverage + 0.02 * grain
    return picture


def _colours(n: int, draw: np.random.Generator) -> tuple[Array, Array]:
    """Background and foreground colours (n, 3) that differ clearly in hue and somewhat in lightness."""
    hue = draw.random(n)
    other = hue + draw.uniform(0.25, 0.75, n)
    dark = draw.random(n) < 0.5
    light = np.where(dark, draw.uniform(0.12, 0.4, n), draw.uniform(0.6, 0.9, n))
    opposite = np.clip(np.where(dark, light + draw.uniform(0.25, 0.5, n), light - draw.uniform(0.25, 0.5, n)), 0.08, 0.95)
    return _hsl(hue, draw.uniform(0.25, 0.7, n), light), _hsl(other, draw.uniform(0.5, 0.95, n), opposite)


def _hsl(hue: npt.NDArray[np.float64], saturation: npt.NDArray[np.float64], light: npt.NDArray[np.float64]) -> Array:
    """Hue, saturation and lightness, each (n,) in [0, 1], as RGB (n, 3)."""
    phase = (np.array([0.0, 8.0, 4.0])[None] + 12 * (hue % 1.0)[:, None]) % 12
    reach = saturation * np.minimum(light, 1 - light)
    wave = np.clip(np.minimum(phase - 3, 9 - phase), -1, 1)
    colours: Array = (light[:, None] - reach[:, None] * wave).astype(np.float32)
    return colours


def _grid(size: int) -> tuple[Array, Array]:
    """Pixel centres in [-1, 1]: (y, x), each (size, size)."""
    line: Array = (2 * np.arange(size, dtype=np.float32) + 1) / np.float32(size) - np.float32(1)
    return np.broadcast_to(line[:, None], (size, size)), np.broadcast_to(line, (size, size))


def _coverage(labels: npt.NDArray[np.int64], draw: np.random.Generator, shift: float, size: int) -> Array:
    """Share of each pixel that the shape covers, (n, size, size), anti-aliased: a signed distance over one pixel."""
    n = len(labels)
    y, x = _grid(size)
    reach = 0.28 + 2 * shift
    place = draw.uniform(-reach, reach, (2, n, 1, 1)).astype(np.float32)
    radius = draw.uniform(0.38, 0.68, (n, 1, 1)).astype(np.float32)
    angle = draw.uniform(0, 2 * np.pi, (n, 1, 1)).astype(np.float32)
    across, along = x - place[0], y - place[1]
    u, v = np.cos(angle) * across + np.sin(angle) * along, np.cos(angle) * along - np.sin(angle) * across
    phase = draw.uniform(0, 2 * np.pi, (2, n, 1, 1)).astype(np.float32)
    pitch = draw.uniform(8.0, 14.0, (n, 1, 1)).astype(np.float32)
    result = np.empty((n, size, size), np.float32)
    for label in range(10):
        chosen = labels == label
        if chosen.any():
            parts = (u[chosen], v[chosen], radius[chosen], pitch[chosen], phase[:, chosen])
            result[chosen] = np.clip(0.5 - _distance(label, *parts) * size / 2, 0, 1)
    return result


def _distance(label: int, u: Array, v: Array, r: Array, pitch: Array, phase: Array) -> Array:
    """Signed distance to the shape's edge, negative inside, in half images; (u, v) are its own axes, r its radius."""
    found: Array = _texture(label, u, v, pitch, phase) if label >= 7 else _shape(label, u, v, r)
    return found


def _shape(label: int, u: Array, v: Array, r: Array) -> Array:
    """Disc, ring, square, frame, triangle, cross and star."""
    circle: Array = np.hypot(u, v)
    square: Array = np.maximum(np.abs(u), np.abs(v))
    shapes: tuple[Callable[[], Array], ...] = (
        lambda: circle - r,
        lambda: np.abs(circle - 0.82 * r) - 0.17 * r,
        lambda: square - 0.8 * r,
        lambda: np.abs(square - 0.72 * r) - 0.15 * r,
        lambda: np.maximum(v, np.abs(u) * 0.866 - v * 0.5) - 0.5 * r,
        lambda: np.maximum(square - 0.9 * r, np.minimum(np.abs(u), np.abs(v)) - 0.24 * r),
        lambda: (circle - r * (0.66 + 0.34 * np.cos(5 * np.arctan2(v, u)))) * 0.6,
    )
    return shapes[label]()


def _texture(label: int, u: Array, v: Array, pitch: Array, phase: Array) -> Array:
    """Stripes, checks and dots over the whole image."""
    first: Array = np.sin(pitch * u + phase[0])
    second: Array = np.sin(pitch * v + phase[1])
    field: npt.NDArray[np.floating[Any]]
    if label == 7:
        field = first
    elif label == 8:
        field = first * second * 2
    else:
        field = (0.35 - (first + second) / 2) * 2
    return (field / pitch).astype(np.float32, copy=False)
