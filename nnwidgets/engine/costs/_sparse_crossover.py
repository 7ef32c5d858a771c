"""From which share of zeros a sparse matrix product is faster than a dense one, measured where the network is."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import InputError, ModelError, RecipeError, UnsupportedError
from nnwidgets.engine.trace import weight_layers, weight_of
from nnwidgets.engine.values._fields import share, whole
from nnwidgets.engine.values.steps import result_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["csr_of", "sparse_crossover", "sparse_crossover_steps"]

BATCHES = (1, 64)
ZEROS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
_BLOCK_SECONDS = 1e-3  # a block of products is timed together, since one may take a few microseconds
_MOST_IN_A_BLOCK = 1000
_FEWEST, _QUICK_SECONDS = 3, 2e-3  # products in a block, where one is quicker than this
_LARGEST = 1 << 27  # weights; dense, copy and CSR together take up to 2 GB then


def sparse_crossover(
    model: nn.Module | None = None,
    sizes: Sequence[tuple[int, int]] | None = None,
    batches: Sequence[int] = BATCHES,
    zeros: Sequence[float] = ZEROS,
    repeats: int = 15,
) -> pd.DataFrame:
    """Time the products of linear layers, dense against compressed sparse rows (CSR), at several shares of zeros.

    Both get inputs (B, in) and weights (out, in) of the same values; the two take turns, with warm caches. Dense is
    ``nn.functional.linear`` without bias. CSR has 32-bit indices and takes the fastest product that torch has for it: matrix
    times vector at batch 1, else matrix times transposed inputs (``linear`` on CSR was up to 6 times slower). A figure holds for
    this machine, this torch and this number of threads.

    Args:
        model: its linear layers are measured where they are, each shape once; the smallest weights are zero (where it has more
            zeros than asked for, some of those are filled). sizes: (out, in) of random weights on the cpu, in its place.
        batches: images a product. zeros: shares in [0, 1). repeats: pairs of timings for each row, 3 or more.

    Returns:
        A row for each layer or size, batch and share: layer, layers (how many of the network have this shape), outputs, inputs,
        batch, zeros, ratio (median of dense / CSR: above 1 CSR is faster), low, high (10th and 90th percentile of the pairs),
        dense_ms, csr_ms (medians, one product), pairs, faster_from (the smallest share measured from which on, and at all larger
        ones, the ratio is above 1; None where there is none). ``attrs``: threads.

    Raises:
        InputError: neither or both of model and sizes, numbers out of range. ModelError: no linear layers, or no numbers in them.
        UnsupportedError: torch has no CSR product for this device or type, or a layer is too large.
    """
    return result_of(sparse_crossover_steps(model, sizes, batches, zeros, repeats))


def sparse_crossover_steps(
    model: nn.Module | None = None,
    sizes: Sequence[tuple[int, int]] | None = None,
    batches: Sequence[int] = BATCHES,
    zeros: Sequence[float] = ZEROS,
    repeats: int = 15,
) -> Generator[float, None, pd.DataFrame]:
    """As `sparse_crossover`, for a job: yields the share of the work done and returns the table.

    A step takes at most 20 ms, or two dense and two sparse products where these take longer; of a weight of more than a million
    numbers also the making of its CSR. Arguments are checked at the call.
    """
    checked = _batches(batches), _shares(zeros), _repeats(repeats)
    return _steps(_subjects(model, sizes), *checked)


@dataclass(frozen=True)
class _Subject:
    name: str
    layers: int
    shape: tuple[int, int]
    weight: Callable[[], Tensor]


@dataclass
class _Pairs:
    """Seconds of one product, a pair of timings each."""

    dense: list[float]
    sparse: list[float]


def _steps(
    subjects: list[_Subject], batches: tuple[int, ...], zeros: tuple[float, ...], repeats: int
) -> Generator[float, None, pd.DataFrame]:
    rows: list[dict[str, Any]] = []
    total, done = len(subjects) * len(batches) * len(zeros) * (repeats + 2), 0
    for subject in subjects:
        found: dict[tuple[int, float], _Pairs] = {}
        weight = _without_zeros(subject.weight())
        yield done / total
        for amount in zeros:
            dense = _pruned(weight, amount)
            yield done / total
            sparse = csr_of(dense)
            yield done / total
            for batch in batches:
                pairs = found[batch, amount] = _Pairs([], [])
                for _ in _measured(dense, sparse, batch, repeats, pairs):
                    done += 1
                    yield done / total
        for batch in batches:
            rows += _rows(subject, batch, {amount: found[batch, amount] for amount in zeros})
    import pandas as pd  # 30 MB that a lab at work does not need

    table = pd.DataFrame(rows)
    table["faster_from"] = pd.Series([row["faster_from"] for row in rows], dtype=object)  # None stays None
    table.attrs["threads"] = torch.get_num_threads()
    return table


def csr_of(dense: Tensor) -> Tensor:
    """Return a matrix as CSR with 32-bit indices, which MKL takes as they are.

    Raises:
        UnsupportedError: torch cannot do that for this device or type.
    """
    try:
        with warnings.catch_warnings():  # said once a process, when the first one is made: "in beta state"
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
            wide = dense.to_sparse_csr()
            return torch.sparse_csr_tensor(
                wide.crow_indices().int(), wide.col_indices().int(), wide.values(), size=dense.shape, check_invariants=False
            )
    except (RuntimeError, NotImplementedError) as error:
        raise _unsupported(dense, error) from error


def _unsupported(weight: Tensor, error: Exception) -> UnsupportedError:
    return UnsupportedError(
        f"torch cannot multiply compressed sparse rows of {weight.dtype} on {weight.device}: {str(error)[:200]} "
        "Try model.float() on the cpu, or give sizes=[(300, 784)]."
    )


def _measured(dense: Tensor, sparse: Tensor, batch: int, repeats: int, into: _Pairs) -> Generator[None, None, None]:
    """Append ``repeats`` pairs of seconds, after a first product of each that is not counted."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((batch, dense.shape[1]), generator=generator).to(dense.device, dense.dtype)
    kinds = (lambda: nn.functional.linear(x, dense), _csr_product(sparse, x))
    counts = []
    for product in kinds:
        try:
            _seconds(product, 1, dense.device)
            spent = _seconds(product, 1, dense.device)
        except (RuntimeError, NotImplementedError) as error:
            raise _unsupported(dense, error) from error
        fewest = _FEWEST if spent < _QUICK_SECONDS else 1
        counts.append(int(min(max(_BLOCK_SECONDS / max(spent, 1e-9), fewest), _MOST_IN_A_BLOCK)))
        yield
    for _ in range(repeats):
        for product, count, times in zip(kinds, counts, (into.dense, into.sparse), strict=True):
            _seconds(product, 1, dense.device)  # the other one has left its numbers in the caches
            times.append(_seconds(product, count, dense.device) / count)
        yield


def _csr_product(sparse: Tensor, x: Tensor) -> Callable[[], Tensor]:
    if len(x) == 1:
        return lambda: torch.mv(sparse, x[0])
    return lambda: torch.mm(sparse, x.t()).t()


def _seconds(product: Callable[[], Tensor], count: int, device: torch.device) -> float:
    with torch.inference_mode():
        began = time.perf_counter()
        for _ in range(count):
            product()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began


def _rows(subject: _Subject, batch: int, found: dict[float, _Pairs]) -> list[dict[str, Any]]:
    ratios = {amount: np.array(pairs.dense) / np.array(pairs.sparse) for amount, pairs in found.items()}
    start = _faster_from({amount: float(np.median(values)) for amount, values in ratios.items()})
    rows = []
    for amount, values in ratios.items():
        low, ratio, high = np.percentile(values, [10, 50, 90]).tolist()
        rows.append(
            {
                "layer": subject.name,
                "layers": subject.layers,
                "outputs": subject.shape[0],
                "inputs": subject.shape[1],
                "batch": batch,
                "zeros": amount,
                "ratio": ratio,
                "low": low,
                "high": high,
                "dense_ms": 1000 * float(np.median(found[amount].dense)),
                "csr_ms": 1000 * float(np.median(found[amount].sparse)),
                "pairs": len(values),
                "faster_from": start,
            }
        )
    return rows


def _faster_from(ratios: dict[float, float]) -> float | None:
    """The smallest share from which on all ratios are above 1."""
    start = None
    for amount in sorted(ratios, reverse=True):
        if ratios[amount] <= 1:
            break
        start = amount
    return start


# What is measured


def _subjects(model: nn.Module | None, sizes: Sequence[tuple[int, int]] | None) -> list[_Subject]:
    if (model is None) == (sizes is None):
        raise InputError("Give either a network, or sizes=[(outputs, inputs), ...].")
    found = _of_sizes(sizes) if model is None else _of_model(model)
    for subject in found:
        if subject.shape[0] * subject.shape[1] > _LARGEST:
            raise UnsupportedError(
                f"{subject.name} has {subject.shape[0] * subject.shape[1]:,} weights; expected at most {_LARGEST:,}. "
                "Give smaller sizes=[(outputs, inputs), ...]."
            )
    return found


def _of_model(model: object) -> list[_Subject]:
    if not isinstance(model, nn.Module):
        raise ModelError(f"Got {type(model).__name__}; expected a torch.nn.Module.")
    linear = [layer for layer in weight_layers(model) if len(layer.shape) == 2 and min(layer.shape) > 0]
    if not linear:
        raise ModelError("This network has no linear layers. Give sizes=[(outputs, inputs), ...].")
    if any(weight_of(model, layer).is_meta for layer in linear):
        raise ModelError("The network is on the meta device and has no numbers. Load its weights first.")
    shapes = [layer.shape for layer in linear]
    return [
        _Subject(layer.name, shapes.count(layer.shape), (layer.shape[0], layer.shape[1]), lambda a=layer: weight_of(model, a))  # type: ignore[misc]
        for place, layer in enumerate(linear)
        if layer.shape not in shapes[:place]
    ]


def _of_sizes(sizes: object) -> list[_Subject]:
    pairs = list(sizes) if isinstance(sizes, Iterable) and not isinstance(sizes, str | bytes) else []
    if not pairs:
        raise InputError(f"sizes is {sizes!r:.60}; expected pairs such as [(300, 784)].")
    found = []
    for pair in pairs:
        good = isinstance(pair, Sequence) and len(pair) == 2 and all(type(n) is int and n > 0 for n in pair)
        if not good:
            raise InputError(f"sizes holds {pair!r:.60}; expected (outputs, inputs), whole numbers from 1.")
        shape = (pair[0], pair[1])
        random = torch.Generator().manual_seed(0)
        found.append(_Subject(f"{shape[0]} x {shape[1]}", 1, shape, lambda s=shape, g=random: torch.randn(s, generator=g)))  # type: ignore[misc]
    return found


def _without_zeros(weight: Tensor) -> Tensor:
    """A copy in which zeros are random numbers smaller than all others: only the pattern counts for the time."""
    value = weight.detach()
    zero = value == 0
    if not bool(zero.any()):
        return value
    others = value[~zero].abs()
    least = float(others.min()) if others.numel() else 1.0
    random = torch.rand(value.shape, generator=torch.Generator().manual_seed(0)).to(value.device, value.dtype)
    return torch.where(zero, least * random.clamp(min=1e-3), value)


def _pruned(weight: Tensor, amount: float) -> Tensor:
    """A copy with the round(amount * n) smallest numbers zero."""
    removed = round(amount * weight.numel())
    if removed == 0:
        return weight.clone()
    sizes = weight.abs().flatten().float().cpu().numpy()
    edge = float(np.partition(sizes, removed - 1)[removed - 1])
    return torch.where(weight.abs() > edge, weight, torch.zeros_like(weight))


def _batches(batches: object) -> tuple[int, ...]:
    return _several("batches", batches, lambda value: value if type(value) is int and value > 0 else None, "from 1, as (1, 64)")


def _shares(zeros: object) -> tuple[float, ...]:
    def checked(value: object) -> float | None:
        try:
            return share("zeros", value)
        except RecipeError:
            return None

    return tuple(sorted(set(_several("zeros", zeros, checked, "in [0, 1), as (0.5, 0.9)"))))


def _repeats(repeats: object) -> int:
    try:
        return whole("repeats", repeats, range(3, 1001))
    except RecipeError:
        raise InputError(f"repeats is {repeats!r:.40}; expected a whole number from 3 to 1000.") from None


def _several(name: str, values: object, check: Callable[[object], Any], expected: str) -> tuple[Any, ...]:
    given = list(values) if isinstance(values, Iterable) and not isinstance(values, str | bytes) else []
    found = tuple(check(value) for value in given)
    if not found or any(value is None for value in found):
        raise InputError(f"{name} is {values!r:.60}; expected one or several numbers {expected}.")
    return found
