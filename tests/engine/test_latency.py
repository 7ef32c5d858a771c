"""Latency is measured on the network itself and leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nnwidgets.engine.costs import _latency as module
from nnwidgets.engine.costs import latency, latency_of, latency_runs
from nnwidgets.engine.errors import InputError, ModelError
from nnwidgets.engine.trace import fingerprint


class Watch(nn.Module):
    """Notes how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 2)
        self.bn = nn.BatchNorm1d(2)
        self.seen: list[tuple[tuple[int, ...], torch.dtype, bool, bool]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append((tuple(x.shape), x.dtype, self.training, torch.is_inference_mode_enabled()))
        return self.bn(self.fc(x))


def test_median_lies_between_the_percentiles() -> None:
    """Milliseconds above 0, with the number of runs asked for, the batch and the threads."""
    found = latency(Watch(), (6,), batch=3, runs=7)
    assert 0 < found.low_ms <= found.median_ms <= found.high_ms
    assert (found.runs, found.batch, found.threads) == (7, 3, torch.get_num_threads())


def test_summary_is_that_of_numpy() -> None:
    """Median, 10th and 90th percentile."""
    times = [5.0, 1.0, 9.0, 3.0]
    found = latency_of(times, batch=2)
    assert (found.low_ms, found.median_ms, found.high_ms) == tuple(np.percentile(times, [10, 50, 90]))
    assert (found.runs, found.batch) == (4, 2)
    with pytest.raises(InputError, match="no runs"):
        latency_of([])


def test_network_runs_in_eval_and_inference_mode_and_stays_as_it_was() -> None:
    """Train flag, batch-norm statistics and random state are those of before; also between two runs."""
    net = Watch().train()
    before, rng = fingerprint(net), torch.get_rng_state()
    runs = latency_runs(net, (6,), batch=4, runs=3)
    for _ in runs:
        assert net.training and net.bn.training
    assert set(net.seen) == {((4, 6), torch.float32, False, True)}
    assert fingerprint(net) == before
    assert torch.equal(torch.get_rng_state(), rng)


def test_input_has_the_type_of_the_network() -> None:
    """A float64 network gets float64."""
    net = Watch().double()
    latency(net, (6,), runs=1)
    assert {dtype for _, dtype, _, _ in net.seen} == {torch.float64}


def test_runs_can_be_stopped_between_two() -> None:
    """A job closes the generator; nothing more is run."""
    net = Watch()
    runs = latency_runs(net, (6,), runs=1000)
    next(runs)
    done = len(net.seen)
    runs.close()  # type: ignore[attr-defined]
    assert len(net.seen) == done
    assert list(runs) == []


def test_first_passes_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two warm-up passes at least; then as many as fit into the time, five at least."""
    took: Iterator[float] = iter([9.0, 8.0, *[0.2] * 50])
    monkeypatch.setattr(module, "_timed", lambda *_: next(took))
    assert list(latency_runs(Watch(), (6,), seconds=0.5)) == pytest.approx([200.0] * 5)
    took = iter([0.01, 0.01, 0.01, 0.01, 0.01, *[0.05] * 50])
    assert len(list(latency_runs(Watch(), (6,), seconds=0.5))) in (10, 11)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": 0}, "batch is 0"),
        ({"batch": 1.5}, "batch is 1.5"),
        ({"runs": 0}, "runs is 0"),
        ({"runs": True}, "runs is True"),
        ({"seconds": 0}, "seconds is 0"),
        ({"seconds": float("nan")}, "seconds is nan"),
    ],
)
def test_malformed_numbers_are_refused_before_anything_runs(arguments: dict[str, Any], message: str) -> None:
    """At the call, not at the first run."""
    with pytest.raises(InputError, match=message):
        latency_runs(Watch(), (6,), **arguments)


def test_malformed_shape_is_refused() -> None:
    """As everywhere."""
    with pytest.raises(InputError, match="input_shape"):
        latency(Watch(), ())


def test_shape_that_does_not_fit_is_a_sentence_and_the_network_stays() -> None:
    """Row 29 of the faults: an exception inside a forward pass."""
    net = Watch().train()
    before = fingerprint(net)
    with pytest.raises(ModelError, match=r"failed on a batch of shape \(1, 7\) on cpu.*never includes the batch"):
        latency(net, (7,))
    assert fingerprint(net) == before


def test_meta_and_mixed_devices_are_refused() -> None:
    """Nothing is moved silently."""
    with pytest.raises(ModelError, match="meta device"):
        latency(nn.Linear(2, 2, device="meta"), (2,))
    if torch.cuda.is_available():
        with pytest.raises(ModelError, match="several devices"):
            latency(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, device="cuda")), (2,))


def test_network_without_parameters_is_measured() -> None:
    """On the CPU."""
    assert latency(nn.ReLU(), (2,), runs=2).runs == 2
