"""Trace a network: what it calls, in which order, on which shapes, at which cost."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from nnwidgets.engine.errors import InputError, ModelError
from nnwidgets.engine.trace._copy import copy_for_trace, home_of
from nnwidgets.engine.trace._recorder import OpenCall, OpenEntry, Recorder
from nnwidgets.engine.trace._tensors import tensors_in
from nnwidgets.engine.trace.records import INPUT, Call, Entry, Result, Trace
from nnwidgets.engine.trace.state import preserved
from nnwidgets.engine.trace.weights import WeightLayer, kind_of, sources_of, weight_layers

__all__ = ["check_one_input", "checked_shape", "trace"]

_SMALL = 64 * 2**20  # bytes; a network below is copied whatever the meta device failed of
_SMALL_INPUT = 3 * 256 * 256  # numbers; with such an input a network is run on the CPU at once
_MOST = 4 * 2**30  # bytes; a network below is run with blank weights


def trace(model: nn.Module, input_shape: Sequence[int], dtype: torch.dtype | None = None) -> Trace:
    """Run one forward pass of a copy and record every call.

    A small network on the CPU with an input of the usual size is copied and run on zeros: milliseconds to some tenths of a
    second. A larger one gets weights that are zeros in memory which is only promised, so that it costs no copy. The copy of any
    other, and of what fails so, lives on the meta device, where nothing is computed, but for which torch loads 150 MB of its
    compiler; one that needs real numbers on its way (or makes tensors on a device of its own) is then copied for real as well,
    and ``Trace.notes`` says so.
    The network itself is not touched; copies are in eval mode, and its hooks are not run.

    Args:
        model: takes one floating tensor, the batch first. input_shape: without the batch, e.g. (3, 224, 224).
        dtype: of the input; that of the first floating parameter where not given.

    Raises:
        InputError: the shape or dtype is malformed. ModelError: the forward pass fails, or takes other inputs.
        UnsupportedError: TorchScript.
    """
    shape = checked_shape(input_shape)
    dtype = dtype or _dtype_of(model)
    if not dtype.is_floating_point:
        raise InputError(f"The input dtype is {dtype}; only networks that take floating tensors are supported.")
    check_one_input(model)
    meta, home = torch.device("meta"), home_of(model)
    is_usual, size = _is_on_cpu(model) and math.prod(shape) <= _SMALL_INPUT, _bytes_of(model)
    at_once, blank = is_usual and size <= _SMALL, is_usual and _SMALL < size <= _MOST
    ways = [(home, False)] if at_once else [(home, True)] * blank + [(meta, False), (home, False)]
    failed = of_meta = None
    # Batch 1 gives the shapes of one sample; some networks squeeze it away and need 2.
    for device, is_blank, batch in ((device, is_blank, batch) for device, is_blank in ways for batch in (1, 2)):
        is_copy = not at_once and device is home and not is_blank
        if is_copy and failed is not None and (home == meta or not _worth_a_copy(model, of_meta or failed)):
            break
        try:
            return _attempt(model, shape, dtype, device, batch, is_blank, surprising=is_copy)
        except _ForwardError as error:
            of_meta = error if device == meta and batch == 1 else of_meta
            if failed is None or (batch == 1 and (device == home or not blank)):
                failed = error
    raise ModelError(
        f"The network failed on one sample of shape {shape}, {dtype}: {failed} input_shape is that of one sample, as the network "
        "expects it after the batch axis."
    ) from (failed.__cause__ if failed else None)


def checked_shape(input_shape: Sequence[int]) -> tuple[int, ...]:
    """Return an input shape as a tuple of positive ints, or raise InputError."""
    if isinstance(input_shape, (str, bytes)) or not isinstance(input_shape, Sequence):
        raise InputError(f"input_shape is {input_shape!r}; expected the sizes of one sample without the batch, e.g. (1, 28, 28).")
    sizes = tuple(input_shape)
    if not sizes or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
        raise InputError(f"input_shape is {sizes}; expected positive whole numbers without the batch, e.g. (1, 28, 28).")
    return sizes


class _ForwardError(Exception):
    """The forward pass of a copy raised; the message says where and what."""


def _attempt(
    model: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, batch: int, blank: bool, surprising: bool
) -> Trace:
    # A caller's inference mode would make copies that cannot be used elsewhere, and hides composite operations.
    with torch.inference_mode(False), torch.no_grad(), preserved(model):
        twin, notes = copy_for_trace(model, device, blank)
        if surprising:
            notes.append(f"needs real numbers on its way: run on zeros on {device}, with a copy of the weights")
        x = torch.zeros((batch, *shape), dtype=dtype, device=device)
        layers = weight_layers(twin)
        recorder = Recorder(twin, [x], _owners(twin, layers))
        # What the network makes on its way, such as torch.arange, shall be where the copy is.
        with device if device.type == "meta" else contextlib.nullcontext():
            output = _forward(twin, x, recorder)
    results = list(tensors_in(output))
    if not results:
        raise ModelError(f"The network returned a {type(output).__name__} without a tensor in it; expected a tensor.")
    calls = tuple(_closed(call, batch) for call in recorder.calls)
    ends: set[int] = set().union(*(recorder.tensors.producers(tensor) for tensor in results))
    return Trace(
        calls=calls,
        input_shape=shape,
        output_shapes=tuple(_without_batch(tensor.shape, batch) for tensor in results),
        dtype=dtype,
        layers=layers,
        output_layers=_output_layers(calls, ends),
        params=sum(parameter.numel() for parameter in model.parameters()),
        notes=tuple(notes),
        entries=_ended(recorder.entries, batch),
    )


def _owners(twin: nn.Module, layers: tuple[WeightLayer, ...]) -> dict[int, str]:
    return {
        id(source): layer.name
        for layer in layers
        for source in sources_of(twin.get_submodule(layer.module_name), layer.parameter)
    }


def _forward(twin: nn.Module, x: torch.Tensor, recorder: Recorder) -> Any:
    try:
        with recorder.recording():
            return twin(x)
    except ModelError:
        raise
    except Exception as error:
        raise _ForwardError(_describe(error, recorder.where(error))) from error


def _closed(call: OpenCall, batch: int) -> Call:
    weights = {name: macs // batch for name, macs in call.weights.items()}
    for name, macs in call.fixed_weights.items():
        weights[name] = weights.get(name, 0) + macs
    return Call(
        index=call.index,
        name=call.name,
        call=call.call,
        kind=call.kind,
        parent=call.parent,
        depth=call.parent.count(".") + 2 if call.parent else 1,
        input_shapes=tuple(_without_batch(shape, batch) for shape in call.inputs),
        output_shapes=tuple(_without_batch(shape, batch) for shape, _ in call.outputs),
        params=call.params,
        macs=call.macs // batch + call.fixed,
        weights=tuple(weights.items()),
        producers=tuple(sorted(call.producers)),
        is_module=call.is_module,
        moves=call.moves and not call.is_module,
        results=_results(call.outputs, batch),
    )


def _ended(entries: list[OpenEntry], batch: int) -> tuple[Entry, ...]:
    """The containers that ended well; one inside another that failed belongs to the next around it."""
    places: dict[int, int] = {-1: -1}
    found: list[Entry] = []
    for index, entry in enumerate(entries):
        if entry.call is None:
            places[index] = places[entry.within]
            continue
        places[index] = len(found)
        ends = tuple(sorted(entry.ends))
        results = _results(entry.outputs, batch)
        found.append(Entry(entry.name, entry.call, entry.kind, places[entry.within], entry.first, entry.last, results, ends))
    return tuple(found)


def _results(outputs: list[tuple[torch.Size, torch.dtype]], batch: int) -> tuple[Result, ...]:
    return tuple(
        Result(_without_batch(shape, batch), dtype, next((axis for axis in (0, 1) if shape[axis : axis + 1] == (batch,)), None))
        for shape, dtype in outputs
    )


def _without_batch(shape: torch.Size, batch: int) -> tuple[int, ...]:
    return tuple(shape[1:]) if shape and shape[0] == batch else tuple(shape)


def _output_layers(calls: tuple[Call, ...], ends: set[int]) -> tuple[str, ...]:
    """Walk back from the results to the nearest weights."""
    found: dict[int, str] = {}
    seen, todo = set(ends), sorted(ends)
    while todo:
        index = todo.pop()
        if index == INPUT:
            continue
        if calls[index].weights:
            found[index] = calls[index].weights[-1][0]
            continue
        new = set(calls[index].producers) - seen
        seen |= new
        todo.extend(new)
    return tuple(dict.fromkeys(found[index] for index in sorted(found)))


def _worth_a_copy(model: nn.Module, error: Exception) -> bool:
    """A large network is only copied where the meta device is to blame, not for a shape that does not fit."""
    return _bytes_of(model) <= _SMALL or isinstance(error.__cause__, NotImplementedError) or "meta" in str(error).lower()


def _is_on_cpu(model: nn.Module) -> bool:
    return all(tensor.device.type == "cpu" for tensors in (model.parameters(), model.buffers()) for tensor in tensors)


def _bytes_of(model: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


def _dtype_of(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), torch.float32)


def check_one_input(model: nn.Module) -> None:
    """Raise ModelError for a forward that cannot be called with one tensor."""
    try:
        parameters: list[Any] = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(required) > 1:
        raise ModelError(
            f"{kind_of(model)}.forward takes {len(required)} inputs ({', '.join(required)}); only networks with one input tensor "
            "are supported. Wrap it in a module whose forward takes one."
        )


def _describe(error: Exception, where: str) -> str:
    text = " ".join(str(error).split())[:300].rstrip(".")
    hint = " It takes whole numbers (tokens); only floating inputs are supported." if "Embedding" in where else ""
    return f"{type(error).__name__} in {where}: {text}.{hint}"
