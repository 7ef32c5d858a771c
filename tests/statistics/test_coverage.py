"""The interval of a streamed accuracy deserves its name: all bundled networks, from untouched to collapsed, many draws."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pytest

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.evaluation import Tally, answers, passes, strata_of

pytestmark = pytest.mark.slow

NETS = ("digits/lenet300", "digits/lenet5", "digits/resnet20", "shapes/vgg_small")
AMOUNTS = (0.0, 0.001, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95)  # 0.001: hardly changed; 0.95: one class for ResNet-20 and VGG
BITS = (8, 6, 4, 3, 2)
SEEDS, BATCH, HALF_WIDTH = 200, 64, 0.01

Answers = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]


def recipes() -> dict[str, E.Recipe]:
    pruned = {f"pruned {amount:g}": E.Recipe(E.Pruning(amount)) for amount in AMOUNTS}
    return pruned | {f"{bits} bits": E.Recipe(quantization=E.Quantization(weight_bits=bits)) for bits in BITS}


@lru_cache(maxsize=1)
def known() -> dict[str, tuple[npt.NDArray[np.int64], dict[str, Answers]]]:
    """Labels, and by recipe all answers and margins, of each network."""
    found = {}
    for name in NETS:
        exp = nw.load_example(name)
        assert exp.test is not None and exp.test.labels is not None
        bench, labels = exp.bench(None), exp.test.labels
        table: dict[str, Answers] = {}
        for title, recipe in recipes().items():
            right, margin = np.zeros(len(labels), bool), np.zeros(len(labels), np.float32)
            for index, logits in passes(bench.load(recipe), exp.test):
                where = index.numpy()
                right[where], margin[where] = answers(logits, labels[index])
            table[title] = right, margin
        found[name] = labels.numpy(), table
    return found


def draws(right: npt.NDArray[np.bool_], strata: object, seeds: int) -> tuple[float, float, float]:
    """Share of draws whose interval holds the truth where the stream stops, and on the way; images looked at on average."""
    truth = right.mean()
    stop, way, seen = [], [], []
    for seed in range(seeds):
        tally = Tally(len(right), strata, seed=seed)  # type: ignore[arg-type]
        holds: list[bool] = []
        while True:
            index = tally.draw(BATCH)
            estimate = tally.add(index, right[index])
            holds.append(estimate.low - 1e-9 <= truth <= estimate.high + 1e-9)
            if estimate.final or (tally.settled and (estimate.high - estimate.low) / 2 <= HALF_WIDTH):
                break
        stop.append(holds[-1])
        way += holds[:-1]
        seen.append(estimate.n_seen)
    return float(np.mean(stop)), float(np.mean(way)) if way else 1.0, float(np.mean(seen))


def test_the_cases_are_what_they_are_said_to_be() -> None:
    """One class only, hardly changed, and much between."""
    resnet, vgg = known()["digits/resnet20"], known()["shapes/vgg_small"]
    for labels, table in (resnet, vgg):
        assert table["pruned 0.95"][0].mean() == max(np.bincount(labels)[labels[table["pruned 0.95"][0]]]) / len(labels)
        assert 0 < np.mean(table["pruned 0.3"][0] != table["pruned 0"][0]) < 0.02
    for name in NETS:
        assert np.mean(known()[name][1]["pruned 0.001"][0] != known()[name][1]["pruned 0"][0]) < 0.002


def test_intervals_cover_at_the_stop_and_on_the_way() -> None:
    found = {
        (name, title): draws(right, strata_of(labels, table["pruned 0"][1]), SEEDS)
        for name, (labels, table) in known().items()
        for title, (right, _) in table.items()
    }
    lines = "\n".join(f"{' '.join(key)}: stop {a:.3f}, way {b:.3f}, {c:.0f} images" for key, (a, b, c) in found.items())
    stops, ways = [stop for stop, _, _ in found.values()], [way for _, way, _ in found.values()]
    assert len(found) == len(NETS) * (len(AMOUNTS) + len(BITS))
    assert np.mean(stops) >= 0.94 and min(stops) >= 0.90 and min(ways) >= 0.90, lines
    light = [seen for (name, title), (_, _, seen) in found.items() if title in ("pruned 0", "pruned 0.001", "8 bits")]
    assert max(light) < 500, f"an eighth of the images is enough where little has changed\n{lines}"


@pytest.mark.parametrize("name", NETS)
def test_a_network_that_tells_little_of_another_misleads_nobody(name: str) -> None:
    """Back from the far end of the slider: the last known answers are of a collapsed network, or of one that is half broken."""
    labels, table = known()[name]
    for known_at in ("pruned 0.95", "pruned 0.7"):
        strata = strata_of(labels, table[known_at][1])
        assert (strata is None) == (table[known_at][0].mean() < 0.5)
        for title in ("pruned 0", "pruned 0.5", "2 bits"):
            stop, way, _ = draws(table[title][0], strata, SEEDS)
            assert stop >= 0.90 and way >= 0.90, (known_at, title)
