"""Static against quantization-aware rounding on equal training: figures by hand, pairing, executors, resuming, refusals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.sparse import compare_bits_steps

SETUP = E.TrainingSetup(lr=0.005, epochs=2, batch_size=40)


def vectors(n: int, seed: int) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (n,), generator=draw)
    return E.Split(nn.functional.one_hot(labels, 12).float() + 0.5 * torch.randn(n, 12, generator=draw), labels)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    for _ in E.fit(model, vectors(400, 0), setup=E.TrainingSetup(lr=0.01, epochs=8, batch_size=40)):
        pass
    return model.eval()


def table(net: nn.Module, **given: Any) -> pd.DataFrame:
    return E.compare_bits(net, vectors(400, 0), vectors(300, 1), setup=SETUP, **{"bits": (4, 2, 1), "seeds": (0, 3), **given})


def trained(model: nn.Module, seed: int) -> nn.Module:
    for _ in E.fit(model, vectors(400, 0), setup=E.TrainingSetup(lr=0.005, epochs=2, batch_size=40, seed=seed)):
        pass
    return model.eval()


def test_what_makes_up_for_rounding_does_so_without_training(net: nn.Module) -> None:
    """Static and tuned figures have it; with training the weights alone do."""
    settings = E.Quantization(granularity="tensor", equalize=True, bias_correction=True, rounding="adaptive")
    found = table(net, bits=(2,), seeds=(0,), quantization=settings).iloc[0]
    recipe, train, val = E.Recipe(None, replace(settings, weight_bits=2)), vectors(400, 0), vectors(300, 1)
    assert found["static"] == E.evaluate(E.compress(net, recipe, train), val).accuracy
    full = trained(E.compress(net, E.Recipe()), 0)
    assert found["tuned"] == E.evaluate(E.compress(full, recipe, train), val).accuracy
    start = E.correct_bias(E.equalize(net, (12,)), E.Recipe(None, E.Quantization(2, granularity="tensor")), train)
    aware = trained(E.compress(start, E.Recipe(None, E.Quantization(2, granularity="tensor"))), 0)
    assert found["aware"] == E.evaluate(aware, val).accuracy


@pytest.mark.parametrize("pruning", [None, E.Pruning(0.4), E.Pruning(0.25, "neuron")])
def test_figures_by_hand(net: nn.Module, pruning: E.Pruning | None) -> None:
    """Each accuracy is that of the network which the words describe; the network as given and random numbers stay."""
    before, drawn = E.fingerprint(net), torch.get_rng_state()
    found = table(net, pruning=pruning)
    assert E.fingerprint(net) == before and torch.equal(drawn, torch.get_rng_state())
    val, shape = vectors(300, 1), (12,)
    assert found.attrs == {"dense": E.evaluate(net, val).accuracy, "n": 300}
    assert list(found["bits"]) == [4, 2, 1, 4, 2, 1] and list(found["seed"]) == [0, 0, 0, 3, 3, 3] and not any(found["reason"])
    for row in found.itertuples():
        recipe = E.Recipe(pruning, E.Quantization(row.bits))
        assert row.static == E.evaluate(E.compress(net, recipe, input_shape=shape), val).accuracy
        assert row.bytes_encoded == E.cost(net, shape, recipe).bytes_encoded
        full = E.bake(trained(E.compress(net, E.Recipe(pruning), input_shape=shape), row.seed))
        assert row.tuned == E.evaluate(E.compress(full, recipe, input_shape=shape), val).accuracy
        aware = trained(E.compress(net, recipe, input_shape=shape), row.seed)
        assert row.aware == E.evaluate(aware, val).accuracy and row.seconds > 0
    static = found.groupby("bits")["static"].nunique()
    assert (static == 1).all(), "rounding the network as it is has no seed"


def test_executor_and_resume_change_nothing(net: nn.Module, tmp_path: Path) -> None:
    """Cells that are done are not run again; other settings are refused."""
    whole = table(net)
    with ThreadPoolExecutor(2) as pool:
        shared = table(net, executor=pool)
    pd.testing.assert_frame_equal(whole.drop(columns="seconds"), shared.drop(columns="seconds"))
    kept = tmp_path / "kept.jsonl"
    steps = compare_bits_steps(net, vectors(400, 0), vectors(300, 1), bits=(4, 2, 1), setup=SETUP, seeds=(0, 3), resume=str(kept))
    shares = []
    for progress in steps:
        shares.append(progress.share)
        if progress.cell is not None and progress.cell.bits == 2:
            break
    steps.close()
    assert shares == sorted(shares) and 0 < shares[-1] < 0.5 and len(kept.read_text().splitlines()) == 2
    again = table(net, resume=str(kept))
    pd.testing.assert_frame_equal(whole.drop(columns="seconds"), again.drop(columns="seconds"))
    assert len(kept.read_text().splitlines()) == 6
    with pytest.raises(E.InputError, match="another recipe"):
        table(net, resume=str(kept), quantization=E.Quantization(symmetric=False))


def far(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """A loss that is infinite as soon as weights have only two values."""
    return nn.functional.cross_entropy(logits, labels) / (0.0 if logits.unique().numel() < 20 else 1.0)


def test_a_cell_that_lost_its_way_has_its_reason() -> None:
    """What was measured before is there."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tiny = nn.Sequential(nn.Flatten(), nn.Linear(12, 4, bias=False)).eval()
    coarse = E.Split((vectors(100, 0).images > 0.5).float(), vectors(100, 0).labels)
    with torch.no_grad():
        tiny[1].weight.mul_(torch.linspace(1, 1.5, 48).reshape(4, 12))  # type: ignore[operator]
    one_scale = E.Quantization(granularity="tensor")
    found = E.compare_bits(tiny, coarse, coarse, bits=(8, 1), quantization=one_scale, setup=SETUP, loss=far)
    assert found["reason"][0] == "" and "the loss became" in found["reason"][1]
    assert found["static"].notna().all() and found["aware"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"bits": ()}, "at least one"),
        ({"bits": (9,)}, "from 1 to 8"),
        ({"bits": (4, 4)}, "each once"),
        ({"bits": (True,)}, "from 1 to 8"),
        ({"quantization": 4}, r"expected Quantization\(\.\.\.\)"),
        ({"seeds": (-1,)}, "at least 0"),
        ({"executor": 3}, "expected a concurrent.futures.Executor"),
        ({"pruning": E.Pruning(0.97, "neuron")}, "would leave none"),
        ({"quantization": E.Quantization(rounding="stochastic")}, "stochastic"),
    ],
)
def test_bad_input_is_refused_before_anything_is_done(net: nn.Module, given: dict[str, Any], words: str) -> None:
    """With what was got and what was expected."""
    with pytest.raises(E.NnwError, match=words):
        table(net, **given)


def test_activations_are_rounded_in_every_arm(net: nn.Module) -> None:
    """Without training as by compress; the control and training with rounding see them too."""
    settings = E.Quantization(activation_bits=2)
    found = table(net, bits=(8,), quantization=settings)
    weights_only = table(net, bits=(8,))
    for column in ("static", "tuned", "aware"):
        assert found[column].notna().all()
    assert found["static"].tolist() != weights_only["static"].tolist()
