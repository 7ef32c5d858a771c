"""Whether two networks answer the same: to the last digits, or but for numbers that fell on another step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import ModelError, UnsupportedError
from nnwidgets.engine.trace import checked_shape, preserved, tensors_in, unvisited_copy

__all__ = ["check_same", "steps_apart"]

_LARGEST = 1e-5  # difference, as a share of the largest answer
_BATCH = 2
_APART = 0.1  # the same of the median image, where numbers are rounded: a few fall on another step


def check_same(masked: nn.Module, small: nn.Module, input_shape: Sequence[int]) -> float:
    """Run both in eval mode on the same noise, again in double precision where single precision is not enough.

    Returns:
        max |difference of the answers| / max |answer of the masked network|.

    Raises:
        UnsupportedError: the small network fails, or the figure is above 1e-5. ModelError: the masked network fails.
    """
    shape = checked_shape(input_shape)
    figure = float("inf")
    for dtype in (torch.float32, torch.float64):
        of_masked, of_small = (_as(network, dtype) for network in (masked, small))
        parameter = next((p for p in masked.parameters() if p.dtype.is_floating_point), None)
        device = torch.device("cpu") if parameter is None else parameter.device
        if device.type == "meta":
            raise ModelError("The network is on the meta device and has no numbers to compare. Load its weights first.")
        noise = torch.randn((_BATCH, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(device, dtype)
        try:
            expected = _answers(of_masked, noise)
        except Exception as error:
            raise ModelError(
                f"The network failed on a batch of shape {tuple(noise.shape)}: {type(error).__name__}: {error} "
                "input_shape is that of one sample, without the batch."
            ) from error
        try:
            got = _answers(of_small, noise)
        except Exception as error:
            text = " ".join(str(error).split())[:200].rstrip(".")
            raise UnsupportedError(
                f"The smaller network fails: {type(error).__name__}: {text}. Sizes are fixed in its code; exclude those layers."
            ) from error
        if [x.shape for x in expected] != [x.shape for x in got]:
            raise UnsupportedError(
                f"The smaller network answers shapes {[tuple(x.shape) for x in got]}; expected "
                f"{[tuple(x.shape) for x in expected]}. Exclude the layers that change them."
            )
        figure = max((_relative(a, b) for a, b in zip(expected, got, strict=True)), default=0.0)
        if figure <= _LARGEST:
            return figure
    raise UnsupportedError(
        f"The smaller network answers something else than the masked one: they differ by {figure:.1e} of the largest answer, "
        f"expected at most {_LARGEST:.0e}. Exclude the layers at fault."
    )


def _as(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network itself where all of it has this type, else a copy with it."""
    if all(p.dtype is dtype for p in [*network.parameters(), *network.buffers()] if p.dtype.is_floating_point):
        return network
    return unvisited_copy(network).to(dtype)


def _answers(network: nn.Module, noise: Tensor) -> list[Tensor]:
    with preserved(network), torch.inference_mode():
        return list(tensors_in(network.eval()(noise.clone())))


def _relative(expected: Tensor, got: Tensor) -> float:
    if not expected.numel():
        return 0.0
    a, b = expected.double(), got.double()
    largest, difference = float(a.abs().max()), float((a - b).abs().max())
    return difference / largest if largest > 0 else difference


def steps_apart(expected: Tensor, found: Tensor) -> float | None:
    """How far a network that rounds is from another one, as a share of the largest answer, for the median image; None where that
    is no more than numbers on another step explain.
    """
    if found.shape != expected.shape:
        return float("inf")
    each = (found - expected).abs().flatten(1).amax(1)
    share = float(each.median()) / max(float(expected.abs().max()), 1e-30)
    return None if share <= _APART else share
