"""Dense against sparse products: what is measured, how it is summed up, and what is left as it was."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnwidgets.engine.costs import _sparse_crossover as module
from nnwidgets.engine.costs import sparse_crossover, sparse_crossover_steps
from nnwidgets.engine.errors import InputError, ModelError, UnsupportedError
from nnwidgets.engine.trace import fingerprint


class Told:
    """In place of the clock: dense products take 1 ms, sparse ones what is told for their share of zeros."""

    def __init__(self, told: dict[float, float]) -> None:
        self.told, self.shares = told, list[float]()

    def __call__(self, product: Callable[[], Tensor], count: int, device: torch.device) -> float:
        product()
        cells = dict(zip(product.__code__.co_freevars, product.__closure__ or (), strict=True))
        if "dense" in cells:
            return 1e-3 * count
        sparse = cells["sparse"].cell_contents
        zeros = 1 - sparse.values().numel() / (sparse.shape[0] * sparse.shape[1])
        self.shares.append(zeros)
        return count * 1e-3 / self.told[round(zeros, 2)]


def test_table_is_made_of_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratios above 1 say that CSR is faster; ``faster_from`` holds at all larger shares; None where never."""
    monkeypatch.setattr(module, "_seconds", Told({0.5: 1.2, 0.8: 0.7, 0.9: 1.5, 0.95: 3.0}))
    table = sparse_crossover(sizes=[(20, 40)], batches=(1, 8), zeros=(0.95, 0.5, 0.9, 0.8), repeats=3)
    assert table["zeros"].tolist() == 2 * [0.5, 0.8, 0.9, 0.95] and table["batch"].tolist() == [1] * 4 + [8] * 4
    assert table["ratio"].tolist() == pytest.approx(2 * [1.2, 0.7, 1.5, 3.0])
    assert table["faster_from"].tolist() == 8 * [0.9]
    assert table["dense_ms"].tolist() == pytest.approx(8 * [1.0])
    assert set(table["layer"]) == {"20 x 40"} and set(table["pairs"]) == {3}
    monkeypatch.setattr(module, "_seconds", Told({0.5: 1.2, 0.8: 0.7}))
    table = sparse_crossover(sizes=[(20, 40)], batches=(4,), zeros=(0.5, 0.8), repeats=3)
    assert table["faster_from"].tolist() == [None, None]


def test_spread_is_that_of_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Median, 10th and 90th percentile of dense / CSR."""
    warm = 9.0  # a product before each timing, not counted
    times = iter([1.0] * 4 + [t for ratio in (1, 2, 3, 4, 10) for t in (warm, ratio * 1e-3, warm, 1e-3)])
    monkeypatch.setattr(module, "_seconds", lambda *_: next(times))
    row = sparse_crossover(sizes=[(3, 4)], batches=(1,), zeros=(0.5,), repeats=5).iloc[0]
    assert (row["low"], row["ratio"], row["high"]) == pytest.approx(tuple(np.percentile([1, 2, 3, 4, 10], [10, 50, 90])))


@pytest.mark.parametrize("batch", [1, 5])
def test_both_products_are_the_same_numbers(batch: int) -> None:
    """Dense weight, CSR, and inputs with the images first."""
    dense = module._pruned(torch.randn(30, 40, generator=torch.Generator().manual_seed(0)), 0.8)
    sparse = module.csr_of(dense)
    assert sparse.layout == torch.sparse_csr and sparse.crow_indices().dtype == torch.int32
    x = torch.randn(batch, 40, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(module._csr_product(sparse, x)().reshape(batch, 30), x @ dense.t(), atol=1e-5)


def test_the_smallest_weights_go_and_zeros_are_filled_where_there_are_too_many() -> None:
    """At half of the zeros asked for, a network with 90 % zeros has exactly half."""
    weight = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    pruned = module._pruned(weight, 0.9)
    assert int((pruned == 0).sum()) == 1800 and float(pruned[pruned != 0].abs().min()) > float(weight.abs().median())
    again = module._pruned(module._without_zeros(pruned), 0.5)
    assert int((again == 0).sum()) == 1000 and torch.equal(again[pruned != 0], pruned[pruned != 0])
    assert int((module._pruned(module._without_zeros(torch.zeros(9, 9)), 0.5) == 0).sum()) == 40


def test_layers_of_a_network_each_shape_once_and_nothing_changes() -> None:
    """Two hidden layers of one shape; the network, the random state and the warnings of others stay."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 30), nn.Linear(30, 30), nn.Linear(30, 30)).train()
    before, rng, filters = fingerprint(net), torch.get_rng_state(), list(warnings.filters)
    table = sparse_crossover(net, batches=(2,), zeros=(0.5,), repeats=3)
    assert table[["layer", "layers", "outputs", "inputs"]].values.tolist() == [["2", 1, 30, 72], ["3", 2, 30, 30]]
    assert (table["low"] <= table["ratio"]).all() and (table["ratio"] <= table["high"]).all() and (table["csr_ms"] > 0).all()
    assert table.attrs == {"threads": torch.get_num_threads()}
    assert fingerprint(net) == before and torch.equal(torch.get_rng_state(), rng) and warnings.filters == filters


def test_steps_are_short_and_can_be_left() -> None:
    """Shares of the work ascend to 1; half of the steps take less than 20 ms on any machine."""
    shares, took = [], []
    steps = sparse_crossover_steps(sizes=[(100, 80)], batches=(1, 8), zeros=(0.5, 0.9), repeats=5)
    while True:
        began = time.perf_counter()
        try:
            shares.append(next(steps))
        except StopIteration as end:
            assert len(end.value) == 4
            break
        took.append(time.perf_counter() - began)
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert float(np.median(took)) < 0.02
    left = sparse_crossover_steps(sizes=[(100, 80)])
    next(left)
    left.close()
    assert list(left) == []


@pytest.mark.slow
def test_torch_s_warning_is_not_seen_and_those_of_others_are() -> None:
    """In a process of its own, where no CSR was made before and every warning is an error."""
    code = (
        "import warnings\nfrom nnwidgets.engine.costs import sparse_crossover\n"
        "sparse_crossover(sizes=[(8, 8)], batches=(1, 2), zeros=(0.5,), repeats=3)\n"
        "try:\n    warnings.warn('mine', UserWarning)\nexcept UserWarning: raise SystemExit(7)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, InputError, "either a network"),
        ({"model": nn.Linear(2, 2), "sizes": [(2, 2)]}, InputError, "either a network"),
        ({"model": 3}, ModelError, "Got int"),
        ({"model": nn.Conv2d(1, 2, 3)}, ModelError, "no linear layers"),
        ({"model": nn.Linear(2, 2, device="meta")}, ModelError, "meta device"),
        ({"sizes": []}, InputError, "expected pairs"),
        ({"sizes": [(3, 0)]}, InputError, r"sizes holds \(3, 0\)"),
        ({"sizes": [7]}, InputError, "sizes holds 7"),
        ({"sizes": [(2**14, 2**14)]}, UnsupportedError, "268,435,456 weights"),
        ({"sizes": [(2, 2)], "batches": (0,)}, InputError, "batches is"),
        ({"sizes": [(2, 2)], "batches": 1}, InputError, "batches is 1"),
        ({"sizes": [(2, 2)], "zeros": (1.0,)}, InputError, "zeros is"),
        ({"sizes": [(2, 2)], "zeros": ()}, InputError, "zeros is"),
        ({"sizes": [(2, 2)], "repeats": 2}, InputError, "repeats is 2"),
    ],
)
def test_malformed_arguments_are_refused_at_the_call(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """Not at the first step."""
    with pytest.raises(error, match=message):
        sparse_crossover_steps(**arguments)


def test_what_torch_cannot_multiply_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device or type without CSR products: the type, the device, and what to do."""

    def fails(*_: object) -> float:
        raise RuntimeError("addmm: not implemented")

    monkeypatch.setattr(module, "_seconds", fails)
    with pytest.raises(UnsupportedError, match=r"torch.float32 on cpu: addmm: not implemented Try model.float"):
        sparse_crossover(sizes=[(3, 4)])
