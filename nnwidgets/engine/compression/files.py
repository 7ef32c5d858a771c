"""Write a compressed network as a file that is as small as promised, and read it back bit for bit."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnwidgets.engine.compression._compress import bake
from nnwidgets.engine.compression._correct_bias import network_of
from nnwidgets.engine.compression.decided import decision_for
from nnwidgets.engine.compression.decision import Decision
from nnwidgets.engine.compression.inventory import TABLE_COLUMNS, Entry, Inventory, Stored
from nnwidgets.engine.compression.knowledge import knowledge_for
from nnwidgets.engine.compression.parametrizations import is_compressed
from nnwidgets.engine.costs.packed import (
    STREAMS,
    content_text,
    description_bytes,
    fill_container,
    pack_bits,
    read_container,
    unpack_bits,
)
from nnwidgets.engine.costs.sizes import dense_bytes, index_width, matrix_shape
from nnwidgets.engine.errors import FileError, ModelError
from nnwidgets.engine.files import written_whole
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.quantization import code_range, dequantize
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["fill_packed", "load_packed", "save_packed", "write_packed"]

_ENCODINGS = ("dense", "bitmask", "csr")
_INDEX = {1: np.uint8, 2: np.uint16, 4: np.uint32}
_Bytes = npt.NDArray[np.uint8]


def save_packed(
    model: nn.Module,
    recipe: Recipe,
    path: str | os.PathLike[str],
    overwrite: bool = False,
    *,
    input_shape: Sequence[int] | None = None,
    calibration: Split | None = None,
    loss: Loss | None = None,
    sensitivity: pd.DataFrame | None = None,
) -> int:
    """Write what a recipe leaves of a network and return the size of the file in bytes.

    The file is safetensors with a few streams: values at their own number of bits, positions (bitmask or compressed sparse rows,
    whichever is smallest for each weight), scales or codebooks, zero points, and everything else as it is. Its size is
    ``bytes_encoded`` of `cost`. It holds no code. Writing is all or nothing.

    Args:
        model: plain, or what `compress` gave (its masks are then baked in). overwrite: replace a file that is there.
        input_shape, calibration, loss, sensitivity: as of `compress`.

    Raises:
        FileError: the file is there, or cannot be written. And what `compress` raises.
    """
    model = bake(model) if is_compressed(model) else model
    if input_shape is None and calibration is not None:
        input_shape = calibration.sample_shape
    decision = decision_for(model, recipe, input_shape, knowledge_for(model, recipe, calibration, loss, sensitivity))
    return write_packed(decision, path, overwrite)


def write_packed(decision: Decision, path: str | os.PathLike[str], overwrite: bool = False) -> int:
    """Write what a decision leaves of its network; see `save_packed`."""
    with written_whole(path, overwrite) as spare:
        fill_packed(decision, spare)
    return Path(path).stat().st_size


def fill_packed(decision: Decision, spare: str) -> None:
    """Write the same into a file that `written_whole` gave."""
    model = network_of(decision)
    inventory = Inventory(model)
    streams: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in STREAMS}
    with torch.no_grad():
        for entry in inventory.weights:
            _pack_weight(entry, decision, streams)
        for entry in inventory.others:
            value, keep = entry.of(model).detach(), decision.vectors.get((entry.module_name, entry.attribute))
            streams["others"].append(_raw(value if keep is None else torch.where(keep, value, torch.zeros_like(value))))
    joined = {name: np.concatenate(parts) if parts else np.zeros(0, np.uint8) for name, parts in streams.items()}
    fill_container(spare, inventory.description(), joined)


def load_packed(path: str | os.PathLike[str], into: nn.Module) -> None:
    """Read a file of `save_packed` into a plain network of the same architecture: bit for bit what ``bake(compress(...))`` gives.

    Nothing is written into the network before the whole file was checked.

    Raises:
        FileError: the file is missing, damaged, of another kind, or was written for another network.
        ModelError: the network is a simulated one (from `compress`); give a plain one.
    """
    if is_compressed(into):
        raise ModelError(
            "load_packed() needs a plain network, this one has masks or grids on it. Give bake(network) or a new one."
        )
    inventory = Inventory(into)
    limit = 2 * sum(entry.nbytes for entry in inventory.entries) + 4096 * (1 + len(inventory.entries))
    description = inventory.description()
    content, streams = read_container(path, limit, 4096 + 2 * description_bytes(description))
    if content != content_text(description):
        raise FileError(
            f"{path} was written for another network: its tensors are not those of this one. Build the same architecture first."
        )
    try:
        values = _unpack_all(inventory, _Reader(streams), streams["table"])
    except (ValueError, IndexError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise FileError(f"{path} is damaged: its streams do not fit its table ({error}). Write it again.") from error
    with torch.no_grad():
        for entry, value in zip(inventory.entries, values, strict=True):
            entry.of(into).copy_(value)


# Writing


def _pack_weight(entry: Entry, decision: Decision, streams: dict[str, list[npt.NDArray[Any]]]) -> None:
    assert entry.layer is not None
    name, stored = entry.layer, decision.stored[entry.layer]
    quantized = decision.quantized(name)
    value = decision.effective(name) if quantized is None else quantized.dequantized
    flags = (value != 0).reshape(-1).cpu().numpy()
    nonzero = int(flags.sum())
    encoded = stored.encode(entry.shape, nonzero)
    if quantized is None:
        codes = _raw(value).reshape(-1, value.element_size())
    else:
        low = code_range(stored.bits, bool(stored.symmetric))[0]
        numbers = quantized.values.reshape(-1).cpu().numpy()
        # One symmetric bit: -1 and 1 become 0 and 1; zeros are never written.
        codes = (numbers > 0 if stored.symmetric and stored.bits == 1 else numbers - low).astype(np.uint8)
        floats = quantized.scale if quantized.codebook is None else quantized.codebook
        streams["scales"].append(floats.cpu().numpy())
        if stored.zero_points:
            streams["zero_points"].append(quantized.zero_point.cpu().numpy().astype(np.uint8))
    if encoded.encoding != "dense":
        codes = codes[flags]
        streams["index"].append(_positions(flags, entry.shape, nonzero, encoded.encoding))
    streams["codes"].append(codes.reshape(-1) if quantized is None else pack_bits(codes, stored.bits))
    streams["table"].append(np.array([_ENCODINGS.index(encoded.encoding), stored.bits, nonzero, stored.scheme], np.int32))


def _positions(flags: npt.NDArray[np.bool_], shape: tuple[int, ...], nonzero: int, encoding: str) -> _Bytes:
    if encoding == "bitmask":
        return np.packbits(flags)
    rows, columns = matrix_shape(shape)
    kind = _INDEX[index_width(columns, nonzero)]
    matrix = flags.reshape(rows, columns)
    offsets = np.concatenate([[0], np.cumsum(matrix.sum(axis=1))])
    together = np.concatenate([matrix.nonzero()[1].astype(kind), offsets.astype(kind)])
    return together.astype(together.dtype.newbyteorder("<")).view(np.uint8)


def _raw(value: Tensor) -> _Bytes:
    flat = value.detach().cpu().contiguous().reshape(-1)
    raw: _Bytes = flat.view(torch.uint8).numpy() if flat.numel() else np.zeros(0, np.uint8)
    return raw


# Reading


class _Reader:
    """Takes bytes from the front of each stream, and refuses to take more than there are."""

    def __init__(self, streams: dict[str, npt.NDArray[Any]]) -> None:
        self._left = dict(streams)

    def take(self, name: str, count: int) -> npt.NDArray[Any]:
        left = self._left[name]
        if not 0 <= count <= len(left):
            raise ValueError(f"{count} elements wanted from {name}, {len(left)} left")
        self._left[name] = left[count:]
        return left[:count]

    def finish(self) -> None:
        over = [name for name, left in self._left.items() if len(left) and name != "table"]
        if over:
            raise ValueError(f"something is left over in {', '.join(over)}")


def _unpack_all(inventory: Inventory, reader: _Reader, table: npt.NDArray[Any]) -> list[Tensor]:
    rows = table.reshape(len(inventory.weights), TABLE_COLUMNS).tolist()
    values = [
        _unpack_weight(entry, inventory.layers[entry.layer or ""].out_axis, reader, *row)
        for entry, row in zip(inventory.weights, rows, strict=True)
    ]
    values += [_from_raw(reader.take("others", entry.nbytes), entry.shape, entry.dtype) for entry in inventory.others]
    reader.finish()
    return values


def _unpack_weight(entry: Entry, axis: int, reader: _Reader, encoding: int, bits: int, nonzero: int, scheme: int) -> Tensor:
    count = math.prod(entry.shape)
    if (
        encoding not in range(len(_ENCODINGS))
        or not 0 <= nonzero <= count
        or scheme not in range(6)
        or bits not in ((8 * entry.dtype.itemsize,) if scheme == 0 else range(1, 9))
    ):
        raise ValueError(f"a row of the table is impossible: {(encoding, bits, nonzero, scheme)}")
    flags = _read_positions(reader, entry.shape, nonzero, _ENCODINGS[encoding])
    written = count if flags is None else nonzero
    packed = reader.take("codes", dense_bytes(written, bits))
    if scheme == 0:
        found = _from_raw(packed, (written,), entry.dtype)
        return _spread(found, flags).reshape(entry.shape)
    if scheme == Stored.shared(bits).scheme:
        book = reader.take("scales", 2**bits)
        return _spread(torch.from_numpy(book[unpack_bits(packed, bits, written)]).to(entry.dtype), flags).reshape(entry.shape)
    symmetric, by_channel = scheme in (1, 3), scheme > 2
    scales = entry.shape[axis] if by_channel else 1
    stored = Stored(bits, scales, symmetric)
    scale = torch.from_numpy(reader.take("scales", scales).copy())
    zero = (
        torch.from_numpy(reader.take("zero_points", stored.zero_points).astype(np.int16))
        if not symmetric
        else torch.zeros(scales, dtype=torch.int16)
    )
    numbers = torch.from_numpy(unpack_bits(packed, bits, written).astype(np.int16))
    numbers = 2 * numbers - 1 if symmetric and bits == 1 else numbers + code_range(bits, symmetric)[0]
    if flags is not None:  # what was not written is zero: the code of the zero point
        places = torch.from_numpy(flags).reshape(entry.shape)
        shape = [1] * len(entry.shape)
        shape[axis] = -1
        full = zero.reshape(shape if by_channel else [1] * len(entry.shape)).expand(entry.shape).clone()
        full[places] = numbers
        numbers = full
    return dequantize(numbers.reshape(entry.shape), scale, zero, axis if by_channel else None, entry.dtype)


def _read_positions(reader: _Reader, shape: tuple[int, ...], nonzero: int, encoding: str) -> npt.NDArray[np.bool_] | None:
    if encoding == "dense":
        return None
    rows, columns = matrix_shape(shape)
    if encoding == "bitmask":
        flags = np.unpackbits(reader.take("index", dense_bytes(rows * columns, 1)), count=rows * columns).astype(np.bool_)
    else:
        width = index_width(columns, nonzero)
        numbers = (
            reader.take("index", width * (nonzero + rows + 1))
            .copy()
            .view(np.dtype(_INDEX[width]).newbyteorder("<"))
            .astype(np.int64)
        )
        offsets, places = numbers[nonzero:], numbers[:nonzero]
        counts = np.diff(offsets)
        if offsets[0] != 0 or offsets[-1] != nonzero or (counts < 0).any() or (places >= columns).any():
            raise ValueError("positions lie outside of the weights")
        flags = np.zeros(rows * columns, np.bool_)
        flags[np.repeat(np.arange(rows), counts) * columns + places] = True
    if int(flags.sum()) != nonzero:
        raise ValueError("positions and number of weights do not agree")
    return flags


def _from_raw(raw: npt.NDArray[Any], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    found = torch.empty(math.prod(shape), dtype=dtype)
    if found.numel():
        found.view(torch.uint8).copy_(torch.from_numpy(raw.astype(np.uint8)))
    return found.reshape(shape)


def _spread(values: Tensor, flags: npt.NDArray[np.bool_] | None) -> Tensor:
    if flags is None:
        return values
    full = torch.zeros(len(flags), dtype=values.dtype)
    full[torch.from_numpy(flags)] = values
    return full
