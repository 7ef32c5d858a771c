"""Write a compressed network so that it can be used without this package."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from nnwidgets.engine.compression._compress import bake, compressed_by
from nnwidgets.engine.compression._export_graph import write_graph_elsewhere
from nnwidgets.engine.compression._export_rounded import rounded_parts
from nnwidgets.engine.compression._materialize import materialized_by
from nnwidgets.engine.compression.decided import decision_for
from nnwidgets.engine.compression.decision import Decision
from nnwidgets.engine.compression.exported import Exported, ExportFormat, lines_to_load
from nnwidgets.engine.compression.files import fill_packed
from nnwidgets.engine.compression.guess import guess_trace
from nnwidgets.engine.compression.knowledge import knowledge_for, rounds_inputs
from nnwidgets.engine.compression.parametrizations import is_compressed
from nnwidgets.engine.errors import FileError, InputError, ModelError, RecipeError, UnsupportedError
from nnwidgets.engine.files import written_whole
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.trace import checked_shape
from nnwidgets.engine.values._fields import choice, flag
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["checked_format", "decided_export_steps", "export", "export_steps", "lacking_packages"]

_GRAPHS = ("onnx", "torch_export")
_PACKAGES = ("onnx", "onnxscript")
_LARGEST_ONNX = 2_000_000_000  # bytes; one protobuf file holds no more


def export(
    model: nn.Module,
    recipe: Recipe | None,
    path: str | os.PathLike[str],
    format: str = "state_dict",
    *,
    input_shape: Sequence[int] | None = None,
    calibration: Split | None = None,
    overwrite: bool = False,
    materialized: bool = False,
    loss: Loss | None = None,
    sensitivity: pd.DataFrame | None = None,
) -> Exported:
    """Write what a recipe leaves of a network to a file that other programs read, whole or not at all.

    - "state_dict": ``torch.save`` of a plain dict of tensors, which ``torch.load(weights_only=True)`` reads.
    - "safetensors": the same numbers; a tensor with two names is written twice.
    - "onnx": the computation with its numbers, for any number of images ("input" to "logits"); needs
      ``pip install 'nnwidgets[export]'``.
    - "torch_export": the same as a ``.pt2`` archive of ``torch.export``, read with torch alone.
    - "packed": the small file of `save_packed`, read by this package.

    Where activations are rounded, "onnx" holds QuantizeLinear and DequantizeLinear pairs: bytes for inputs, int8 for symmetric
    weights, int32 for biases, which runtimes such as ONNX Runtime do in integers; the other formats cannot hold that.

    Else masks and grids are baked into the numbers: what was removed is zero, quantized weights are floats on their grid. All
    tensors are written for the cpu. onnx and torch_export are made in a process of their own, so that this one does not load
    torch's compiler; that takes 5 to 10 seconds. They are run once and compared with the network before the file takes its place.
    Where the class of a network lives in a notebook, its graph is sent; where it has none (its forward pass decides by numbers),
    the export is made here and this process grows by about 200 MB; ``notes`` says so.

    Args:
        model: plain, or what `compress` gave (its masks are then baked in). recipe: None exports the network as it is.
        path: a file in a folder that exists. overwrite: replace a file that is there. input_shape: of one sample, for onnx and
            torch_export, where neither calibration nor a guess tells it. materialized: write the network of `materialize`, with
            smaller tensors, in place of the one with zeros.
        calibration, loss, sensitivity: as of `compress`.

    Raises:
        InputError: an unknown format. FileError: the file is there, or cannot be written. UnsupportedError: packages are missing,
        the format cannot hold the recipe, or the network cannot be exported. And what `compress` raises.
    """
    return result_of(
        export_steps(
            model,
            recipe,
            path,
            format,
            input_shape=input_shape,
            calibration=calibration,
            overwrite=overwrite,
            materialized=materialized,
            loss=loss,
            sensitivity=sensitivity,
        )
    )


def export_steps(
    model: nn.Module,
    recipe: Recipe | None,
    path: str | os.PathLike[str],
    format: str = "state_dict",
    *,
    input_shape: Sequence[int] | None = None,
    calibration: Split | None = None,
    overwrite: bool = False,
    materialized: bool = False,
    loss: Loss | None = None,
    sensitivity: pd.DataFrame | None = None,
) -> Generator[str, None, Exported]:
    """As `export`, for a job: yields what is being done, every 10 ms while the other process works, and returns the record.

    Closing the generator ends that process and leaves no file. Compressing and writing numbers are one step each.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"Got {type(model).__name__}; expected a torch.nn.Module.")
    recipe = Recipe() if recipe is None else recipe
    kind = checked_format(recipe, format, materialized)
    yield "compressing"
    plain = bake(model) if is_compressed(model) else model
    if input_shape is None and calibration is not None:
        input_shape = calibration.sample_shape
    if kind in _GRAPHS or materialized:
        input_shape = guess_trace(plain).input_shape if input_shape is None else checked_shape(input_shape)
    decision = decision_for(plain, recipe, input_shape, knowledge_for(plain, recipe, calibration, loss, sensitivity))
    return (yield from decided_export_steps(decision, path, kind, input_shape or (), overwrite, materialized))


def decided_export_steps(
    decision: Decision,
    path: str | os.PathLike[str],
    kind: str,
    shape: Sequence[int],
    overwrite: bool = False,
    materialized: bool = False,
) -> Generator[str, None, Exported]:
    """Write what a decision leaves of its network; ``kind`` is one that `checked_format` gave.

    The file is whole beside its place before the last step, which only moves it: closed before that, nothing has changed.
    """
    notes: list[str] = []
    dtype = torch.float32
    if kind == "packed":
        with written_whole(path, overwrite) as spare:
            yield "writing"
            fill_packed(decision, spare)
            yield "written"
        return _exported(path, kind, notes)
    rounded = None
    if materialized:
        network = materialized_by(decision, shape)
        if kind not in _GRAPHS:
            notes.append("Its tensors are smaller than those of the class it was made from: that class cannot load them.")
    else:
        network = bake(compressed_by(decision))
        notes += [] if rounds_inputs(decision.recipe) else _what_is_simulated(decision.recipe)
    if rounds_inputs(decision.recipe):
        network, rounded = rounded_parts(network, decision)
        if any(stored.codebook for stored in decision.stored.values()):
            notes.append(
                "Values of a codebook lie on no grid of integers: such weights are written as floats, their inputs as bytes."
            )
    _check_sound(network, kind)
    with written_whole(path, overwrite) as spare:
        yield "writing"
        if kind in _GRAPHS:
            dtype = next((p.dtype for p in network.parameters() if p.dtype.is_floating_point), torch.float32)
            notes += yield from write_graph_elsewhere(network.cpu().eval(), tuple(shape), dtype, kind, spare, Path(path), rounded)
        else:
            _write_numbers(network, kind, spare, Path(path))
        yield "written"
    return _exported(path, kind, notes, shape, str(dtype).removeprefix("torch."))


def _exported(
    path: str | os.PathLike[str], kind: str, notes: list[str], shape: Sequence[int] = (), dtype: str = "float32"
) -> Exported:
    place = os.fspath(path)
    return Exported(place, kind, Path(place).stat().st_size, lines_to_load(kind, place, shape, dtype), tuple(notes))


# Checks before anything is written


def lacking_packages(format: str) -> tuple[str, ...]:
    """Return the packages that a format needs and this Python does not have."""
    return tuple(name for name in _PACKAGES if importlib.util.find_spec(name) is None) if format == "onnx" else ()


def checked_format(recipe: object, format: object, materialized: object) -> str:
    """Return the format in its one spelling, once a recipe can be exported so.

    Raises:
        InputError, RecipeError, UnsupportedError: see `export`.
    """
    try:
        kind = choice("format", format, ExportFormat)
        flag("materialized", materialized)
    except RecipeError as error:
        raise InputError(str(error)) from None
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"recipe is {type(recipe).__name__}; expected a Recipe, such as Recipe(pruning=Pruning(0.5)), or None.")
    if materialized and kind == "packed":
        raise UnsupportedError("format='packed' holds a network with its zeros. Leave materialized out, or use another format.")
    rounding = recipe.quantization
    if rounding is not None and rounding.activation_bits != 32 and kind != "onnx":
        raise UnsupportedError(
            f"activation_bits={rounding.activation_bits} round numbers while the network runs, and format={kind!r} would not "
            "hold that. Use format='onnx', or export with activation_bits=32 (weights only)."
        )
    missing = lacking_packages(kind)
    if missing:
        raise UnsupportedError(
            f"format='onnx' needs the package{'s' if len(missing) > 1 else ''} {' and '.join(missing)}: "
            "pip install 'nnwidgets[export]', or use format='torch_export'."
        )
    return kind


def _what_is_simulated(recipe: Recipe) -> list[str]:
    if recipe.quantization is None or recipe.quantization.changes_nothing:
        return []
    return [
        "Quantized weights are written as floats on their grid: their values are those of few bits, the file is not smaller. "
        "format='packed' stores the bits."
    ]


def _check_sound(network: nn.Module, kind: str) -> None:
    state = network.state_dict()
    for name, value in state.items() if kind not in _GRAPHS else ():
        if not isinstance(value, Tensor):
            raise UnsupportedError(
                f"{name!r} in the state dict is a {type(value).__name__}; expected tensors alone. Use format='torch_export'."
            )
    size = sum(value.numel() * value.element_size() for value in state.values() if isinstance(value, Tensor))
    if kind == "onnx" and size > _LARGEST_ONNX:
        raise UnsupportedError(
            f"The network has {size:,} bytes; an ONNX file holds at most {_LARGEST_ONNX:,}. Use format='torch_export'."
        )


# Numbers alone


def _write_numbers(network: nn.Module, kind: str, spare: str, target: Path) -> None:
    try:
        if kind == "state_dict":
            torch.save(_tensors(network, shared=True), spare)
        else:
            save_file(_tensors(network, shared=False), spare, metadata={"format": "pt"})
    except RuntimeError as error:  # torch says so of a full disk
        raise FileError(f"{target} cannot be written: {str(error)[:200]}. Is the folder writable, and is there room?") from error


def _tensors(network: nn.Module, shared: bool) -> dict[str, Tensor]:
    """The state dict on the cpu, without what lies around views; tensors with two names stay one, or become two."""
    seen: dict[tuple[Any, ...], Tensor] = {}
    found: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        key = (value.data_ptr(), value.dtype, value.shape, value.stride(), value.device) if value.numel() else (name,)
        if not shared or key not in seen:
            seen[key] = value.detach().to("cpu", copy=True).contiguous()
        found[name] = seen[key]
    return found
