"""Inputs of layers on a grid of few levels: what was seen of them, where their grid ends, and the rounding while a network runs.

One scale and one zero point for each layer. Affine: lo = min(0, smallest), hi = max(0, largest), s = (hi - lo) / (2^b - 1), the
formula of weights; symmetric: s = max |x| / (2^(b-1) - 1) and no zero point. Rounding is torch.fake_quantize_per_tensor_affine,
whose gradient is 1 where a code is in range and 0 where it was clamped. Inputs that are all the same (or all zero) stay exact.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.evaluation import batch_of, looked_over
from nnwidgets.engine.quantization.affine import code_range, even, range_ends
from nnwidgets.engine.quantization.grid import Grid
from nnwidgets.engine.quantization.ranges import Ends, kl_limit
from nnwidgets.engine.quantization.report import RoundingReport, rounding_of
from nnwidgets.engine.trace import Trace, preserved, weight_layers
from nnwidgets.engine.values.recipe import Quantization
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["Bytes", "Calibration", "InputGrid", "RoundInputs", "SeenInputs", "observing", "round_inputs", "rounded_inputs"]

_SAMPLE = 65_536  # numbers of each layer that are kept, for observers that need more than the ends


@dataclass(frozen=True, eq=False)
class SeenInputs:
    """What went into a module.

    Attributes:
        module: its dotted name. low, high: of all numbers. n: how many they were. zeros: the share that is exactly zero.
        sample: (k,) float32, up to 65,536 of them, drawn with a fixed seed.
    """

    module: str
    low: float
    high: float
    n: int
    zeros: float
    sample: Tensor

    def ends(self, bits: int, symmetric: bool = False, observer: str = "minmax", percentile: float = 99.9) -> tuple[float, float]:
        """Return where the grid ends; "minmax" is of all numbers, the others of the sample (zeros not counted)."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        if symmetric:
            low, high = -max(-low, high), max(-low, high)
        if observer == "minmax":
            return low, high
        row, most = self.sample[None], 2**bits - 1
        ends: Ends | None
        if observer == "kl" and not symmetric and low == 0:
            ends = torch.zeros(1, 1), kl_limit(row, most)  # all levels lie on one side
        else:
            ends = range_ends(row, (1,), bits, symmetric, observer, percentile)
        assert ends is not None
        return float(ends[0]), float(ends[1])

    def grid(self, settings: Quantization) -> InputGrid:
        """The grid that a recipe gives these inputs."""
        bits, symmetric = settings.activation_bits, settings.activation_symmetric
        low, high = self.ends(bits, symmetric, settings.activation_observer, settings.percentile)
        return InputGrid.between(low, high, bits, symmetric)

    def report(self, settings: Quantization) -> RoundingReport:
        """What rounding does to the numbers of the sample."""
        bits, symmetric = settings.activation_bits, settings.activation_symmetric
        low, high = self.ends(bits, symmetric, settings.activation_observer, settings.percentile)
        row = self.sample[None]
        on_grid = Grid(bits, "tensor", symmetric).quantize(row, fit=(torch.tensor([[low]]), torch.tensor([[high]])))
        return rounding_of(row, on_grid, 0)


@dataclass(frozen=True)
class Bytes:
    """Unsigned bytes that stand for numbers: (u - zero) * scale.

    Attributes:
        scale: of a step. zero: the byte of zero. most: the largest byte that is used, the smallest is 0.
    """

    scale: float
    zero: int
    most: int


@dataclass(frozen=True)
class InputGrid:
    """Even levels for the inputs of a layer.

    Attributes:
        scale: the step. zero_point: the code of zero. bits, symmetric: of the codes, see `code_range`.
    """

    scale: float
    zero_point: int
    bits: int
    symmetric: bool = False

    @classmethod
    def between(cls, low: float, high: float, bits: int, symmetric: bool = False) -> InputGrid:
        """The grid between two ends, of which zero is always a level.

        Raises:
            InputError: bits below 2 or above 8, ends that do not hold zero or are not finite.
        """
        if bits not in range(2, 9):
            raise InputError(f"bits is {bits!r}; activations have 2 to 8.")
        if not (-float("inf") < low <= 0 <= high < float("inf")):
            raise InputError(f"The grid ends at {low!r} and {high!r}; expected finite numbers with zero between them.")
        ends = torch.tensor([[low]]), torch.tensor([[high]])
        scale, zero, *_ = even(torch.tensor([[low, high]]), (1,), bits, symmetric, ends)
        return cls(float(scale), int(zero), bits, symmetric)

    @property
    def ends(self) -> tuple[float, float]:
        """The first and the last level."""
        low, high = code_range(self.bits, self.symmetric)
        return (low - self.zero_point) * self.scale, (high - self.zero_point) * self.scale

    @property
    def bytes(self) -> Bytes:
        """The same grid in unsigned bytes: codes with a sign are moved up."""
        low, high = code_range(self.bits, self.symmetric)
        return Bytes(self.scale, self.zero_point - low, high - low)

    def rounded(self, values: Tensor) -> Tensor:
        """Return numbers on the grid, with a straight-through gradient."""
        low, high = code_range(self.bits, self.symmetric)
        exact = values if values.dtype in (torch.float32, torch.float64) else values.float()
        return torch.fake_quantize_per_tensor_affine(exact, self.scale, self.zero_point, low, high).to(values.dtype)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was seen of the inputs of all layers.

    Attributes:
        inputs: module -> `SeenInputs`, in order of definition. images: that were looked at.
        unseen: modules with weights that were never called (their weights are used by other code, or not at all): what goes
            into them cannot be rounded.
    """

    inputs: Mapping[str, SeenInputs]
    images: int
    unseen: tuple[str, ...]
    _found: dict[tuple[object, ...], InputGrid] = field(default_factory=dict, repr=False)

    def grids(self, settings: Quantization) -> dict[str, InputGrid]:
        """The grids that a recipe gives, by module, each found once; none where activations stay as they are."""
        return result_of(self.gridding(settings))

    def gridding(self, settings: Quantization) -> Generator[None, None, dict[str, InputGrid]]:
        """As `grids`, a layer a step: some observers take tens of milliseconds."""
        if settings.activation_bits == 32:
            return {}
        by = (settings.activation_bits, settings.activation_symmetric, settings.activation_observer, settings.percentile)
        for name, seen in self.inputs.items():
            if (name, *by) not in self._found:
                self._found[(name, *by)] = seen.grid(settings)
                yield
        return {name: self._found[(name, *by)] for name in self.inputs}


class RoundInputs:
    """A forward pre-hook that rounds what goes into a module. It is copied and saved with the module.

    Attributes:
        grid: its levels.
    """

    def __init__(self, grid: InputGrid) -> None:
        self.grid = grid

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Round all tensors of floating point among the arguments."""
        return tuple(map(self._rounded, args)), {name: self._rounded(value) for name, value in kwargs.items()}

    def _rounded(self, value: Any) -> Any:
        return self.grid.rounded(value) if isinstance(value, Tensor) and value.is_floating_point() else value


def round_inputs(model: nn.Module, grids: Mapping[str, InputGrid]) -> None:
    """Let modules round their inputs from now on, and no others: what an earlier call set is taken off."""
    for name, module in model.named_modules():
        ours = [key for key, hook in module._forward_pre_hooks.items() if isinstance(hook, RoundInputs)]
        for key in ours:
            del module._forward_pre_hooks[key]
            module._forward_pre_hooks_with_kwargs.pop(key, None)
        if name in grids:
            module.register_forward_pre_hook(RoundInputs(grids[name]), with_kwargs=True)


def rounded_inputs(model: nn.Module) -> dict[str, InputGrid]:
    """Return the grids of modules that round their inputs."""
    return {
        name: hook.grid
        for name, module in model.named_modules()
        for hook in module._forward_pre_hooks.values()
        if isinstance(hook, RoundInputs)
    }


class _Watch:
    """A pre-hook that remembers what it sees of one module."""

    def __init__(self, module: str, draws: torch.Generator, each: int) -> None:
        self._module, self._draws, self._each = module, draws, each
        self._low, self._high = float("inf"), -float("inf")
        self._n = self._zeros = 0
        self._parts: list[Tensor] = []

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for value in (*args, *kwargs.values()):
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                self._add(value.detach().float().reshape(-1))

    def _add(self, values: Tensor) -> None:
        low, high = (float(each) for each in values.aminmax())
        if not (-float("inf") < low and high < float("inf")):  # NaN too
            raise DataError(
                f"The inputs of {self._module!r} are not all finite ({low} to {high}) on the calibration images; no range can be "
                "found. Look for NaN or infinite numbers in the images and in the weights."
            )
        self._low, self._high = min(self._low, low), max(self._high, high)
        self._n += values.numel()
        self._zeros += values.numel() - int(torch.count_nonzero(values))
        if values.numel() > self._each:
            places = torch.randint(values.numel(), (self._each,), generator=self._draws)
            values = values[places.to(values.device)]
        self._parts.append(values.cpu().clone())

    def mark(self) -> tuple[float, float, int, int, int]:
        """What `back` needs to forget all that is seen from here on."""
        return self._low, self._high, self._n, self._zeros, len(self._parts)

    def back(self, mark: tuple[float, float, int, int, int]) -> None:
        """Be as at this mark."""
        self._low, self._high, self._n, self._zeros, parts = mark
        del self._parts[parts:]

    @property
    def seen(self) -> SeenInputs | None:
        """All of it, None where nothing of floating point went in."""
        if not self._n:
            return None
        return SeenInputs(self._module, self._low, self._high, self._n, self._zeros / self._n, torch.cat(self._parts)[:_SAMPLE])


def observing(network: nn.Module, split: Split, found: Trace) -> Generator[float, None, Calibration]:
    """Run a network on images and look at what goes into its layers; yields the share that is done, after some 20 ms each.

    Args:
        network: a copy of one's own. found: its trace.

    Raises:
        DataError: an input is not finite. OutOfMemoryError: not even one image fits; before, the batch is halved.
    """
    places = list(dict.fromkeys(layer.module_name for layer in weight_layers(network)))
    batches = max(1, -(-len(split) // batch_of(found)))
    draws = torch.Generator().manual_seed(0)
    watches = {name: _Watch(name, draws, -(-_SAMPLE // batches)) for name in places}
    handles = [network.get_submodule(name).register_forward_pre_hook(watch, with_kwargs=True) for name, watch in watches.items()]

    def look(images: Tensor) -> None:
        marks, drawn = [watch.mark() for watch in watches.values()], draws.get_state()
        try:
            with preserved(network), torch.inference_mode():
                network.eval()(images)
        except BaseException:
            draws.set_state(drawn)
            for watch, mark in zip(watches.values(), marks, strict=True):
                watch.back(mark)
            raise

    try:
        yield from looked_over(split, found, look)
    finally:
        for handle in handles:
            handle.remove()
    seen = {name: watch.seen for name, watch in watches.items()}
    return Calibration(
        {name: each for name, each in seen.items() if each is not None},
        len(split),
        tuple(name for name, each in seen.items() if each is None),
    )
