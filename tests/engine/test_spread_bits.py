"""Bits for each layer by a scan: against all ways there are on small networks, never worse than the same bits for all."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from nnwidgets import engine as E  # noqa: N812

WIDTHS = (8, 6, 4, 3, 2)


def net(sizes: tuple[int, ...] = (3, 40, 7, 12)) -> nn.Sequential:
    """Dense layers with so many inputs each; the last number of outputs is 4."""
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise((*sizes, 4))))


def table(model: nn.Module, seed: int, falling: bool = True) -> pd.DataFrame:
    """Made up: losses that grow with fewer bits, or any."""
    draw = torch.Generator().manual_seed(seed)
    rows = []
    for name, _ in model.named_children():
        losses = torch.rand(len(WIDTHS), generator=draw) ** 3
        losses = losses.cumsum(0) if falling else losses - 0.2
        rows += [{"layer": name, "bits": bits, "drop": float(loss)} for bits, loss in zip(WIDTHS, losses, strict=True)]
    return pd.DataFrame(rows)


def known(model: nn.Sequential, scan: pd.DataFrame) -> tuple[dict[str, int], dict[str, dict[int, float]]]:
    """Weights of each layer, and its losses by bits, taken as never falling with fewer bits and never below zero."""
    sizes = {name: layer.weight.numel() for name, layer in model.named_children()}  # type: ignore[operator,union-attr]
    lost: dict[str, dict[int, float]] = {name: {} for name in sizes}
    for name, own in scan.groupby("layer"):
        worst = 0.0
        for bits in WIDTHS:
            worst = max(worst, float(own[own["bits"] == bits]["drop"].iloc[0]))
            lost[str(name)][bits] = worst
    return sizes, lost


@pytest.mark.parametrize("falling", [True, False])
@pytest.mark.parametrize("average", [2.0, 2.7, 3.5, 5.0, 8.0])
def test_near_the_best_of_all_ways(average: float, falling: bool) -> None:
    """625 ways each: within the room, never worse than the same bits for all, and rarely far from the best."""
    apart = []
    for seed in range(8):
        model = net()
        scan = table(model, seed, falling)
        sizes, lost = known(model, scan)
        found = E.spread_bits(model, scan, average)
        room = average * sum(sizes.values()) + 1e-6

        def used(bits: dict[str, int], sizes: dict[str, int] = sizes) -> int:
            return sum(sizes[name] * width for name, width in bits.items())

        def loss(bits: dict[str, int], lost: dict[str, dict[int, float]] = lost) -> float:
            return sum(lost[name][width] for name, width in bits.items())

        assert used(found) <= room and set(found) == {"0", "1", "2", "3"}
        ways = [dict(zip(found, widths, strict=True)) for widths in itertools.product(WIDTHS, repeat=4)]
        best = min(loss(way) for way in ways if used(way) <= room)
        alike = [loss(dict.fromkeys(found, width)) for width in WIDTHS if width <= average]
        assert best - 1e-9 <= loss(found) <= min(alike) + 1e-9
        apart.append(loss(found) - best)
    assert sorted(apart)[len(apart) // 2] < 0.1, "half of them are the best or next to it"
    if average in (2.0, 8.0):
        assert max(apart) < 1e-9


def test_a_layer_that_bears_nothing_keeps_its_bits() -> None:
    """The others pay for it; the recipe is taken as it is."""
    model = net((6, 30, 30))
    drops = {(name, bits): 0.5 if name == "1" and bits < 8 else 0.0 for name in "012" for bits in (8, 4, 2)}
    scan = pd.DataFrame([{"layer": name, "bits": bits, "drop": drop} for (name, bits), drop in drops.items()])
    found = E.spread_bits(model, scan, 7.0)
    assert found["1"] == 8 and found["0"] < 8 and found["2"] < 8
    small = E.compress(model, E.Recipe(None, E.Quantization(found)))
    assert len(E.bake(small)[0].weight.flatten().unique()) > 1  # type: ignore[index]


def test_a_real_scan_leads_to_a_network_that_was_measured() -> None:
    """From scan to recipe on a trained network; the file holds what was promised."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (400,), generator=draw)
    split = E.Split(nn.functional.one_hot(labels, 12).float() + 0.4 * torch.randn(400, 12, generator=draw), labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 4))
    for _ in E.fit(model, split, setup=E.TrainingSetup(lr=0.01, epochs=5)):
        pass
    scan = E.sensitivity_scan(model.eval(), split, (8, 4, 3, 2, 1), kind="quantization")
    bits = E.spread_bits(model, scan, 3.0)
    cost = E.cost(model, (12,), E.Recipe(None, E.Quantization(bits)))
    assert {name: layer.params for name, layer in cost.layers.items()} == {"0": 384, "2": 128}
    assert (384 * bits["0"] + 128 * bits["2"]) / 512 <= 3.0
    assert E.evaluate(E.compress(model, E.Recipe(None, E.Quantization(bits))), split).accuracy > 0.8


@pytest.mark.parametrize(
    ("change", "average", "words"),
    [
        ({}, 1.5, "goes down to 2.00"),
        ({}, float("nan"), "expected bits a weight"),
        ({}, True, "expected bits a weight"),
        ({"layer": "9"}, 4, "not in this network"),
        ({"columns": ["layer", "amount", "drop"]}, 4, "kind='quantization'"),
    ],
)
def test_bad_input_is_refused(change: dict[str, Any], average: float, words: str) -> None:
    """A scan of something else, an average that cannot be."""
    model = net()
    scan = table(model, 0)
    if "layer" in change:
        scan = pd.concat([scan, pd.DataFrame([{"layer": change["layer"], "bits": 4, "drop": 0.0}])])
    if "columns" in change:
        scan.columns = pd.Index(change["columns"])
    with pytest.raises(E.InputError, match=words):
        E.spread_bits(model, scan, average)


def test_a_scan_that_lacks_layers_and_no_network_are_refused() -> None:
    """With what to do."""
    model = net()
    with pytest.raises(E.InputError, match="says nothing of 2"):
        E.spread_bits(model, table(model, 0).query("layer != '2'"), 4)
    with pytest.raises(E.InputError, match="expected what"):
        E.spread_bits(model, "scan", 4)  # type: ignore[arg-type]
    with pytest.raises(E.ModelError, match=r"expected the torch\.nn\.Module"):
        E.spread_bits("net", table(model, 0), 4)  # type: ignore[arg-type]
