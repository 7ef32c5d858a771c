"""Streams of all bundled networks, from untouched to collapsed, drawn again and again: how often the interval holds the truth."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.evaluation import Tally, answers, passes, strata_of

__all__ = ["AMOUNTS", "BITS", "NETS", "SEEDS", "all_draws", "draws", "known"]

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


def all_draws(seeds: int = SEEDS) -> dict[tuple[str, str], tuple[float, float, float]]:
    """(net, damage) -> what `draws` says, strata taken from the untouched network."""
    return {
        (name, title): draws(right, strata_of(labels, table["pruned 0"][1]), seeds)
        for name, (labels, table) in known().items()
        for title, (right, _) in table.items()
    }
