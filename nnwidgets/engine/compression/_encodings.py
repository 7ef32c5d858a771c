"""What each weight of a compressed network takes in every encoding there is."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnwidgets.engine.compression._compress import bake
from nnwidgets.engine.compression.decided import decision_for
from nnwidgets.engine.compression.decision import Decision
from nnwidgets.engine.compression.inventory import Entry, Inventory
from nnwidgets.engine.compression.knowledge import knowledge_for
from nnwidgets.engine.compression.parametrizations import is_compressed
from nnwidgets.engine.costs.encodings import WeightCodes, best_gap_bits, deep_bytes, huffman_bytes, relative_bytes
from nnwidgets.engine.costs.relative_index import GAP_BITS
from nnwidgets.engine.costs.shared_values import codebook_of, codes_of
from nnwidgets.engine.costs.sizes import bitmask_bytes, csr_bytes, dense_bytes, index_width, matrix_shape
from nnwidgets.engine.errors import InputError, RecipeError
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.quantization import Quantized
from nnwidgets.engine.values._fields import layer_map, nearest, whole
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SharedWeight", "encodings", "encodings_of", "share_values", "weight_codes"]

_LOSSLESS = ("dense", "bitmask", "csr", "relative_index", "huffman")
_LOSSY = ("codebook", "deep_compression")
_SUMMED = ("params", "nonzero", *_LOSSLESS, *_LOSSY)
_FEWEST, _MOST = 2, 8  # bits of a codebook; one bit leaves a single value beside zero


def encodings(
    model: nn.Module,
    recipe: Recipe | None = None,
    codebook_bits: int | Mapping[str, int] = 5,
    gap_bits: int | None = None,
    index_bytes: int | None = None,
    *,
    input_shape: Sequence[int] | None = None,
    calibration: Split | None = None,
    loss: Loss | None = None,
    sensitivity: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the bytes of each weight in every encoding, a row a layer and a last row "total".

    Without loss, with the values of the recipe (32-bit floats, or codes of few bits with their scales or codebook):

    - dense: all values. bitmask: nonzero values, a bit for each weight. csr: nonzero values, columns, row offsets.
    - relative_index: nonzero values and gaps of a few bits; a filler zero where a gap is too long (Han et al. 2015).
    - huffman: all values, zeros too, in a Huffman code with its table: of the codes, or of each of the bytes of a float.

    With loss, whatever the recipe's bits: values shared by k-means (Han et al. 2016, "Deep Compression"):

    - codebook: 2^b * 4 bytes of values (one is zero) and b bits for each weight, n * b / 8, or a relative index with b bits for
      each entry, whichever is smaller.
    - deep_compression: the codebook, and Huffman codes with their tables for the entries and gaps of a relative index.

    Each size is the length of bytes that can be decoded. Biases, normalisation and file headers are not counted.

    Args:
        model: plain, or what `compress` gave. codebook_bits: 2 to 8, or {layer: bits}, others then take 5.
        gap_bits: 1 to 8; if not given, what is smallest for each layer and encoding (the paper: 8 in convolutions, 5 elsewhere).
        index_bytes: of a column or offset of csr, 1, 2 or 4; if not given, the fewest that hold them.
        input_shape, calibration, loss, sensitivity: as of `compress`.

    Returns:
        Columns layer, params, nonzero, bits (of a value), the encodings above in bytes, codebook_bits, codebook_rmse (root mean
        square error of the nonzero weights by sharing values, in units of the weights), gap_bits (of relative_index) and
        deep_gap_bits. ``attrs``: lossless and lossy, the names of the encodings of each kind.

    Raises:
        InputError: bits out of range. RecipeError: bits for a layer that is not there. And what `compress` raises.
    """
    recipe = Recipe() if recipe is None else recipe
    model = bake(model) if is_compressed(model) else model
    if input_shape is None and calibration is not None:
        input_shape = calibration.sample_shape
    _check("gap_bits", gap_bits, GAP_BITS)
    _check("index_bytes", index_bytes, (1, 2, 4))
    decision = decision_for(model, recipe, input_shape, knowledge_for(model, recipe, calibration, loss, sensitivity))
    inventory = Inventory(model)
    bits = _codebook_bits(codebook_bits, list(inventory.layers))
    return result_of(_steps(inventory, decision, bits, gap_bits, index_bytes))


def encodings_of(decision: Decision) -> Generator[float, None, pd.DataFrame]:
    """As `encodings` of the network that a decision is about, for a job: yields the share of the weights that is done.

    A step is one encoding of one layer: some 20 ms for 100,000 weights.
    """
    inventory = Inventory(decision.decider.model)
    return (yield from _steps(inventory, decision, _codebook_bits(5, list(inventory.layers)), None, None))


def _steps(
    inventory: Inventory, decision: Decision, bits: Mapping[str, int], gap_bits: int | None, index_bytes: int | None
) -> Generator[float, None, pd.DataFrame]:
    rows: list[dict[str, Any]] = []
    total, before = sum(math.prod(entry.shape) for entry in inventory.weights) or 1, 0
    for entry in inventory.weights:
        count = math.prod(entry.shape)
        steps = _row(entry, decision, bits[entry.layer or ""], gap_bits, index_bytes)
        while True:
            try:
                with torch.no_grad():
                    share = next(steps)
            except StopIteration as end:
                rows.append(end.value)
                break
            yield (before + share * count) / total
        before += count
    return _table(rows)


def weight_codes(value: Tensor, quantized: Quantized | None) -> WeightCodes:
    """Return a weight as the bytes of its numbers (-0 becomes 0), or as codes in which the zero point is 0.

    Codes of one symmetric bit are -1 and 1: 0 and 1 where none is zero, else they take two bits. Of a codebook without a zero the
    codes are its own.
    """
    if quantized is None:
        flat = torch.where(value == 0, torch.zeros_like(value), value).detach().cpu().contiguous().reshape(-1)
        width = flat.element_size()
        raw = flat.view(torch.uint8).numpy() if flat.numel() else np.zeros(0, np.uint8)
        return WeightCodes(raw.reshape(-1, width), 8 * width)
    if quantized.codebook is not None:
        return _places(value, quantized, quantized.codebook)
    shape = [1] * quantized.values.ndim
    if quantized.axis is not None:
        shape[quantized.axis] = -1
    codes = (quantized.values - quantized.zero_point.reshape(shape)).reshape(-1).cpu().numpy()
    bits = quantized.bits
    if quantized.symmetric and bits == 1:
        if codes.all():
            return WeightCodes((codes > 0).astype(np.uint8)[:, None], 1, has_zero=False)
        bits = 2
    return WeightCodes((codes & (2**bits - 1)).astype(np.uint8)[:, None], bits)


def _places(value: Tensor, quantized: Quantized, codebook: Tensor) -> WeightCodes:
    """Codes of a codebook, counted from its first zero in the dtype of the weight."""
    codes, zeros = quantized.values.reshape(-1).cpu().numpy(), (value == 0).reshape(-1).cpu().numpy()
    if zeros.any():
        first = int((codebook.to(value.dtype) < 0).sum())
        codes = np.where(zeros, 0, (codes - first) & (2**quantized.bits - 1))
    return WeightCodes(codes.astype(np.uint8)[:, None], quantized.bits, bool(zeros.any()))


@dataclass(frozen=True, eq=False)
class SharedWeight:
    """A weight whose values are shared.

    Attributes:
        codebook: (2**bits,) float32, the first is 0. codes: of all weights, places in it. square_error: sum over all weights.
    """

    codebook: npt.NDArray[np.float32]
    codes: WeightCodes
    square_error: float


def share_values(value: Tensor, bits: int) -> SharedWeight:
    """Put the nonzero numbers of a weight on 2**bits - 1 values, by k-means; zeros stay zero."""
    flat = value.detach().cpu().reshape(-1)
    numbers = (flat if flat.dtype in (torch.float32, torch.float64) else flat.float()).numpy()
    places = np.flatnonzero(numbers)
    kept = numbers[places]
    means = codebook_of(kept, 2**bits - 1)
    found = codes_of(kept, means)
    codes = np.zeros((len(numbers), 1), np.uint8)
    codes[places, 0] = found + 1
    error = float(np.square(means[found].astype(np.float64) - kept).sum())
    return SharedWeight(np.concatenate([np.zeros(1, np.float32), means]), WeightCodes(codes, bits), error)


def _row(
    entry: Entry, decision: Decision, codebook_bits: int, gap_bits: int | None, index_bytes: int | None
) -> Generator[float, None, dict[str, Any]]:
    assert entry.layer is not None
    name, stored = entry.layer, decision.stored[entry.layer]
    quantized = decision.quantized(name)
    value = decision.effective(name) if quantized is None else quantized.dequantized
    yield 0.0
    codes = weight_codes(value, quantized)
    yield 0.1
    shared = share_values(value, codebook_bits)
    yield 0.4
    (rows, columns), nonzero = matrix_shape(entry.shape), len(codes.positions)
    fewest = index_width(columns, nonzero)
    if index_bytes is not None and index_bytes < fewest:
        raise InputError(f"index_bytes is {index_bytes}; layer {name!r} needs {fewest}. Leave it out, or give 4.")
    scales = 4 * stored.n_scales + stored.zero_points
    near = best_gap_bits(codes) if gap_bits is None else gap_bits
    between = best_gap_bits(shared.codes) if gap_bits is None else gap_bits
    yield 0.5
    deep: dict[int, int] = {}
    for bits in GAP_BITS if gap_bits is None else (gap_bits,):
        deep[bits] = deep_bytes(shared.codes, bits)
        yield 0.5 + 0.4 * len(deep) / len(GAP_BITS)
    far = min(deep, key=lambda bits: deep[bits])
    table = 4 * 2**codebook_bits
    return {
        "layer": name,
        "params": codes.count,
        "nonzero": nonzero,
        "bits": stored.bits,
        "dense": dense_bytes(codes.count, codes.bits) + scales,
        "bitmask": bitmask_bytes(codes.count, nonzero, stored.bits) + scales,
        "csr": csr_bytes(rows, nonzero, stored.bits, index_bytes or fewest) + scales,
        "relative_index": relative_bytes(codes, near) + scales,
        "huffman": huffman_bytes(codes) + scales,
        "codebook": table + min(dense_bytes(codes.count, codebook_bits), relative_bytes(shared.codes, between)),
        "deep_compression": table + deep[far],
        "codebook_bits": codebook_bits,
        "codebook_rmse": math.sqrt(shared.square_error / max(nonzero, 1)),
        "gap_bits": near,
        "deep_gap_bits": far,
    }


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd  # 30 MB that a lab at work does not need

    total: dict[str, Any] = {"layer": "total", **{name: sum(row[name] for row in rows) for name in _SUMMED}}
    squares = sum(row["codebook_rmse"] ** 2 * row["nonzero"] for row in rows)
    total["codebook_rmse"] = math.sqrt(squares / max(total["nonzero"], 1))
    columns = ["layer", "params", "nonzero", "bits", *_LOSSLESS, *_LOSSY]
    columns += ["codebook_bits", "codebook_rmse", "gap_bits", "deep_gap_bits"]
    made = pd.DataFrame([*rows, total], columns=columns)
    for name in ("bits", "codebook_bits", "gap_bits", "deep_gap_bits"):
        made[name] = made[name].astype("Int64")  # the total has none
    made.attrs.update(lossless=_LOSSLESS, lossy=_LOSSY)
    return made


def _codebook_bits(given: int | Mapping[str, int], layers: list[str]) -> dict[str, int]:
    if not isinstance(given, Mapping):
        _check("codebook_bits", given, range(_FEWEST, _MOST + 1))
        return dict.fromkeys(layers, given)
    found = dict.fromkeys(layers, 5)
    for name, bits in layer_map("codebook_bits", given).items():
        if name not in found:
            raise RecipeError(
                f"codebook_bits names the layer {name!r}, which this network does not have; {nearest(name, layers)}"
            )
        _check(f"codebook_bits[{name!r}]", bits, range(_FEWEST, _MOST + 1))
        found[name] = bits
    return found


def _check(name: str, value: object, allowed: Sequence[int]) -> None:
    if value is None and not name.startswith("codebook"):
        return
    try:
        whole(name, value, allowed)
    except RecipeError as error:
        raise InputError(f"{error}") from None
