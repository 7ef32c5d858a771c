"""Which weights of a layer are kept: a value that can hold nothing but 0 and 1."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nnwidgets.engine.errors import RecipeError

__all__ = ["Mask"]

_LARGEST = 2**33  # weights; keeps a hostile shape in a JSON text from being believed


@dataclass(frozen=True)
class Mask:
    """A 0/1 array, 1 where a weight is kept, one bit each.

    Attributes:
        shape: of the weight.
        bits: row-major, eight weights a byte, the first in the highest bit; the bits after the last weight are 0.
    """

    shape: tuple[int, ...]
    bits: bytes

    def __post_init__(self) -> None:
        shape = tuple(self.shape) if isinstance(self.shape, (tuple, list, torch.Size)) else None
        if shape is None or any(isinstance(s, bool) or not isinstance(s, int) or s < 0 for s in shape):
            raise RecipeError(f"The shape of a mask is {self.shape!r}; expected whole numbers, e.g. (20, 1, 5, 5).")
        numel = math.prod(shape)
        if numel > _LARGEST:
            raise RecipeError(f"A mask of {numel} weights is larger than any layer (limit {_LARGEST}).")
        if not isinstance(self.bits, bytes) or len(self.bits) != -(-numel // 8):
            got = len(self.bits) if isinstance(self.bits, bytes) else type(self.bits).__name__
            raise RecipeError(
                f"A mask of shape {shape} needs {-(-numel // 8)} bytes, got {got}. Make it with Mask.from_array(array)."
            )
        if numel % 8 and self.bits[-1] & (0xFF >> numel % 8):
            raise RecipeError("A mask has bits set after its last weight; it is damaged. Make it with Mask.from_array(array).")
        object.__setattr__(self, "shape", shape)

    @classmethod
    def from_array(cls, values: npt.ArrayLike | torch.Tensor) -> Mask:
        """Make a mask from a bool array or tensor, or from numbers that are all 0 or 1.

        Raises:
            RecipeError: another number is in it.
        """
        array = np.asarray(values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values)
        if array.dtype != np.bool_:
            if array.dtype.kind not in "iuf" or not np.isin(array, (0, 1)).all():
                raise RecipeError(
                    f"A mask holds only 0 and 1 (kept); got {array.dtype} with other values. "
                    "Compare first, e.g. weight.abs() > 0.1."
                )
            array = array.astype(np.bool_)
        return cls(tuple(array.shape), np.packbits(array.reshape(-1)).tobytes())

    def to_array(self) -> npt.NDArray[np.bool_]:
        """Return a new bool array of its shape, True where a weight is kept."""
        flat = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=math.prod(self.shape))
        return flat.astype(np.bool_).reshape(self.shape)

    @property
    def kept(self) -> int:
        """Number of weights that are kept."""
        return int(np.unpackbits(np.frombuffer(self.bits, np.uint8)).sum(dtype=np.int64))

    def to_json(self) -> dict[str, Any]:
        """Return its shape and base64 bits."""
        return {"shape": list(self.shape), "bits": base64.b64encode(self.bits).decode("ascii")}

    @classmethod
    def from_json(cls, data: object) -> Mask:
        """Read what `to_json` gave.

        Raises:
            RecipeError: it is malformed.
        """
        if not isinstance(data, Mapping) or set(data) != {"shape", "bits"} or not isinstance(data["bits"], str):
            raise RecipeError('A mask in JSON is {"shape": [...], "bits": "base64"}; got something else. Copy the recipe again.')
        if not isinstance(data["shape"], list):
            raise RecipeError(f"The shape of a mask in JSON is {data['shape']!r:.80}; expected a list of whole numbers.")
        try:
            bits = base64.b64decode(data["bits"], validate=True)
        except (binascii.Error, ValueError):
            raise RecipeError("The bits of a mask are not base64; the text is damaged. Copy the recipe again.") from None
        return cls(tuple(data["shape"]), bits)

    def __repr__(self) -> str:
        return f"Mask(shape={self.shape}, kept={self.kept} of {math.prod(self.shape)})"
