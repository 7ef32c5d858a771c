"""Which part of the image a unit can see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import InputError, ModelError, NnwError, UnsupportedError
from nnwidgets.engine.inspect._maps import Layouts, Reader
from nnwidgets.engine.inspect._reach import BOXES, Reach, rows_and_columns
from nnwidgets.engine.inspect._reaching import Reaching
from nnwidgets.engine.inspect._sites import Site, reading, run, site_of
from nnwidgets.engine.trace import checked_shape

__all__ = ["Box", "ReceptiveField", "receptive_field"]

Box = tuple[int, int, int, int]
"""(y0, x0, y1, x1) in pixels, the last two exclusive."""


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of a layer can see of the image.

    Attributes:
        size: (h, w) pixels of the widest unit if the image went on for ever, so perhaps more than the image has. Without gates:
            where a squeeze-and-excitation gate or statistics of the whole map come in, this is the path of convolutions.
        stride: (y, x) pixels between the fields of neighbouring units. shape: (h, w) of the map. image: (h, w) of the image.
        position: (y, x) that ``box`` and ``path`` take where none is given.
        whole: each unit can see each pixel: dense layers, attention over all tokens, gates, or a field wider than the image.
        notes: what else has to be known, in words.
    """

    size: tuple[int, int]
    stride: tuple[float, float]
    shape: tuple[int, int]
    image: tuple[int, int]
    position: tuple[int, int]
    whole: bool
    notes: tuple[str, ...]
    _boxes: npt.NDArray[np.int64] = field(repr=False, compare=False)  # (h, w, 8), clipped to the image

    def box(self, y: int | None = None, x: int | None = None) -> Box:
        """The smallest box around all pixels that can change a unit, clipped to the image.

        Raises:
            InputError: there is no such unit.
        """
        return self._box(y, x, 0)

    def path(self, y: int | None = None, x: int | None = None) -> Box:
        """As ``box``, but without what gates and statistics bring in: the box around the path of convolutions."""
        return self._box(y, x, BOXES)

    def _box(self, y: int | None, x: int | None, start: int) -> Box:
        row, column = self.position[0] if y is None else y, self.position[1] if x is None else x
        if not (0 <= row < self.shape[0] and 0 <= column < self.shape[1]):
            raise InputError(f"position: got {(row, column)}, expected (y, x) within {self.shape[0]} x {self.shape[1]}.")
        y0, x0, y1, x1 = (int(each) for each in self._boxes[row, column, start : start + BOXES])
        return y0, x0, y1, x1


def receptive_field(
    model: nn.Module,
    input_shape: Sequence[int],
    layer: str,
    position: tuple[int, int] | None = None,
    call: int = 0,
    layouts: Layouts | None = None,
) -> ReceptiveField:
    """Find which pixels the units of a layer can depend on, by following boxes through one forward pass on zeros.

    Convolution, pooling, interpolation and whatever moves values are followed exactly, also where maps are cropped, shuffled or
    cut into windows; a union of paths (a residual addition, joined channels) is the smallest box around both; dense layers,
    softmax and attention join what they join. Anything unknown is taken to see the whole image, and ``notes`` names it. It is the
    field of the units at a place, whatever their channel, and what they *can* see: a weight of zero and a dead ReLU are open.

    Args:
        model: any network; it is left as it is. input_shape: without the batch; its last two axes are rows and columns.
        layer: name as in `layers`, also of a container or of a function between layers; "" for the answer.
        position: (y, x) on the map that ``box()`` tells of, the middle where not given. call: of a layer that is called again.
        layouts: known ones, from ``Row.layout``, so that nothing has to be traced.

    Raises:
        InputError: no such layer or position. ModelError: the network fails on zeros. UnsupportedError: what the layer gives
            cannot be read as maps, or does not depend on the image.
    """
    shape, site = checked_shape(input_shape), site_of(layer, call)
    first = next((each for each in model.parameters() if each.is_floating_point()), torch.zeros(()))
    with torch.inference_mode(False), torch.no_grad(), reading(model):
        image = torch.zeros((1, *shape), dtype=first.dtype, device=first.device)
        reaching = Reaching(image, rows_and_columns(shape))
        reader, found = Reader(model, image, site, layouts), list[Any]()
        with reaching.watching():
            _run(model, image, site, found.append)
        reader.know(found[0], 1)
        with reaching.watching():
            reach = reaching.reach(reader.arranged(found[0], 1)[0])
    if reach is None:
        raise UnsupportedError(f"{site} does not depend on the image; choose a layer that does.")
    return _field(reach, rows_and_columns(shape), position, tuple(reaching.unknown))


def _run(model: nn.Module, image: Tensor, site: Site, see: Any) -> None:
    try:
        run(model, image, {site: see}, stop=True)
    except NnwError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise ModelError(
            f"the network failed on one sample of zeros of shape {tuple(image.shape[1:])}: {type(error).__name__}: {error} "
            "input_shape is that of one sample, without the batch."
        ) from error


def _field(reach: Reach, image: tuple[int, int], position: tuple[int, int] | None, unknown: tuple[str, ...]) -> ReceptiveField:
    rows, columns = reach.shape[2], reach.shape[3]
    planes = reach.planes.amax(2).squeeze(1).expand(2 * BOXES, rows, columns).double().numpy()
    endless = planes[BOXES:]
    sizes = np.maximum(endless[2:] + endless[:2], 0).reshape(2, -1).max(1)  # an empty box is -inf wide
    steps = [_step(-endless[axis], axis, reach.step[axis], image[axis]) for axis in (0, 1)]
    boxes = np.concatenate([_clipped(planes[:BOXES], image), _clipped(endless, image)]).transpose(1, 2, 0)
    whole = bool((boxes[:, :, :BOXES] == (0, 0, *image)).all())
    notes = [f"taken to see the whole image: {', '.join(unknown)}"] if unknown else []
    larger = (boxes[:, :, :2] < boxes[:, :, 4:6]).any(2) | (boxes[:, :, 2:4] > boxes[:, :, 6:]).any(2)
    if not unknown and bool((larger & (boxes[:, :, 2] > 0)).any()):
        notes.append("a gate or statistics of the map bring in more of the image; size is that of the path of convolutions")
    middle = (rows // 2, columns // 2) if position is None else position
    made = ReceptiveField(
        size=(int(sizes[0]), int(sizes[1])),
        stride=(steps[0], steps[1]),
        shape=(rows, columns),
        image=image,
        position=middle,
        whole=whole,
        notes=tuple(notes),
        _boxes=boxes,
    )
    made.box()  # says so where there is no such position
    return made


def _step(starts: npt.NDArray[np.float64], axis: int, step: float, pixels: int) -> float:
    """Pixels between neighbours along the middle of the map; on the average, where they are not in regular rows."""
    line = starts[:, starts.shape[1] // 2] if axis == 0 else starts[starts.shape[0] // 2]
    if len(line) < 2:
        return float(step)
    apart = np.diff(line) if np.isfinite(line).all() else np.zeros(1)
    regular = apart.any() and apart.max() - apart.min() <= 1
    return float(apart.mean()) if regular else pixels / len(line)


def _clipped(planes: npt.NDArray[np.float64], image: tuple[int, int]) -> npt.NDArray[np.int64]:
    """(4, h, w) of y0, x0, y1, x1 within the image; zeros where nothing is seen."""
    limits = np.array([*image, *image]).reshape(4, 1, 1)
    signed = planes * np.array([-1, -1, 1, 1]).reshape(4, 1, 1)
    made = np.clip(signed, 0, limits)
    return np.where(np.isfinite(planes).all(0), made, 0).astype(np.int64)
