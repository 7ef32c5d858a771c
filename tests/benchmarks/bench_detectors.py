"""How well detectors see what was planted: ``python tests/benchmarks/bench_detectors.py [labels|shift|curve|rate] [--seeds 6]``.

Prints tables in markdown: means over seeds with their 95 % intervals, beside the figure to reach. Seeds below 20 were looked at
while thresholds were set; ``--first 20`` is what counts.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from nnwidgets.engine.diagnosis.learning_curve import learning_curve, setup_for
from nnwidgets.engine.evaluation import evaluate
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of
from nnwidgets.engine.zoo import digits, shapes
from nnwidgets.engine.zoo.nets import LeNet300

_T95 = {1: 12.7, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}  # Student's t by degrees of freedom


def mean_of(values: Sequence[float]) -> str:
    """A mean over seeds with its 95 % interval (Student)."""
    n = len(values)
    if n < 2:
        return f"{np.mean(values):.3f} (one run)"
    half = _T95.get(n - 1, 2.0 if n > 30 else 2.1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return f"{np.mean(values):.3f} ± {half:.3f}"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    print(f"\n## {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def seeded(make: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
    """``fresh(seed)``: a new network with the random weights of a seed."""

    def fresh(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return make()

    return fresh


def all_digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images uint8 (10,000, 1, 28, 28) and labels."""
    parts = digits()
    return torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts if part.labels is not None])


# --- label errors -------------------------------------------------------------------------------------------------------


def with_errors(labels: np.ndarray, kind: str, draw: np.random.Generator) -> np.ndarray:
    """Labels with errors of a kind."""
    n, other = len(labels), np.arange(10)
    other[[4, 9, 3, 5]] = 9, 4, 5, 3
    if kind == "10 % random":
        return np.where(draw.random(n) < 0.1, (labels + draw.integers(1, 10, n)) % 10, labels)
    wrong = (labels + 1) % 10 if kind == "20 % i to i + 1" else other[labels]
    return np.where(draw.random(n) < 0.2, wrong, labels)


def labels(first: int, seeds: int) -> None:
    """Precision and recall of suspects on 5,000 digits, beside those of cleanlab on the same probabilities."""
    from cleanlab.filter import find_label_issues

    from nnwidgets.engine.diagnosis.label_errors import suspect_labels
    from nnwidgets.engine.diagnosis.out_of_fold import out_of_fold_steps

    rows, seconds = [], []
    images, true = all_digits()
    for kind in ("10 % random", "20 % i to i + 1", "20 % of 4-9 and 3-5"):
        got: dict[str, list[float]] = defaultdict(list)
        for seed in range(first, first + seeds):
            draw = np.random.default_rng([seed, 5])
            chosen = torch.from_numpy(draw.permutation(len(true))[:5000])
            right = true[chosen].numpy()
            given = with_errors(right, kind, draw)
            split = Split(images[chosen], given, [0.1307], [0.3081])
            began = time.perf_counter()
            p = result_of(out_of_fold_steps(seeded(LeNet300), split, seed=seed))
            seconds.append(time.perf_counter() - began)
            wrong = given != right
            said = suspect_labels(p, given)
            for name, found in (("ours", said.found), ("cleanlab", find_label_issues(given, p.numpy(), n_jobs=1))):
                got[f"{name} precision"].append(float(wrong[found].mean()))
                got[f"{name} recall"].append(float(found[wrong].mean()))
            ours = int(said.found.sum())
            got["estimated"].append(float(said.precision[ours - 1]))
            got["off"].append(float(said.precision[ours - 1] - wrong[said.found].mean()))
            got["expected"].append(said.expected / float(wrong.sum()))
            got["suggested"].append(float((said.suggested == right)[wrong & said.found].mean()))
        names = ("ours precision", "cleanlab precision", "ours recall", "cleanlab recall", "estimated", "off", "expected")
        rows.append([kind, *(mean_of(got[name]) for name in (*names, "suggested"))])
        gains = {what: np.subtract(got[f"ours {what}"], got[f"cleanlab {what}"]).tolist() for what in ("precision", "recall")}
        rows.append(["ours - cleanlab", mean_of(gains["precision"]), "", mean_of(gains["recall"]), *[""] * 5])
    head = ["planted", "precision", "of cleanlab", "recall", "of cleanlab", "estimated precision", "less the true one"]
    title = f"Label errors: LeNet-300-100, 5,000 digits, {seeds} seeds (to reach: precision .90, recall .87 at 10 % random)"
    table(title, [*head, "wrong labels, estimated / true", "suggestion right"], rows)
    print(f"\nOut of fold: {mean_of(seconds)} s (to reach: 15 s)")


# --- learning curve -----------------------------------------------------------------------------------------------------


def dense(shape: tuple[int, ...]) -> nn.Module:
    """A small dense network."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 64), nn.ReLU(), nn.Linear(64, 10))


def convolutional(shape: tuple[int, ...]) -> nn.Module:
    """A small convolutional network."""
    layers = [nn.Conv2d(shape[0], 12, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    layers += [nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(24 * (shape[1] // 4) * (shape[2] // 4), 10))


def drawn(data: str, seed: int, *sizes: int) -> list[Split]:
    """Samples without repeats: digits at 14 x 14, shapes at 16 x 16."""
    if data == "shapes":
        whole = shapes(sum(sizes), seed=seed, size=16)
        images, true = whole.images, whole.labels
        mean, std = whole.mean, whole.std
    else:
        images, true = all_digits()
        images = nn.functional.avg_pool2d(images.float(), 2).round().byte()
        mean, std = [0.1307], [0.3081]
        chosen = torch.from_numpy(np.random.default_rng([seed, 8]).permutation(len(true)))
        images, true = images[chosen], true[chosen]
    assert true is not None
    ends = np.cumsum([0, *sizes])
    return [Split(images[a:b], true[a:b], mean, std) for a, b in pairwise(ends)]


def curve(first: int, seeds: int) -> None:
    """Errors at 2 and 4 times the largest size, foretold and measured on 4,000 other images."""
    n = 1000
    setup = TrainingSetup(lr=3e-3, epochs=10, batch_size=32, schedule="cosine")
    rows = []
    inside: dict[int, list[bool]] = {2: [], 4: []}
    widths: dict[int, list[float]] = {2: [], 4: []}
    off: dict[int, list[float]] = {2: [], 4: []}
    reached: list[bool] = []
    for data, make in (("digits", dense), ("digits", convolutional), ("shapes", dense), ("shapes", convolutional)):
        mine: dict[str, list[float]] = defaultdict(list)
        for seed in range(first, first + seeds):
            began = time.perf_counter()
            pool, val, test = drawn(data, seed, 4 * n, 500, 4000)
            fresh = seeded(partial(make, pool.sample_shape))
            found = learning_curve(fresh, pool.take(range(n)), val, setup, seed=100 * seed)
            mine["seconds"].append(time.perf_counter() - began)
            mine["now"].append(float(found.errors[-1].mean()))
            truth = {}
            for times in (2, 4):
                network = fresh(7000 + seed)
                for _ in fit(network, pool.take(range(times * n)), setup=replace(setup_for(setup, n, times * n), seed=seed)):
                    pass
                truth[times] = evaluate(network.eval(), test).error
                said = found.predict(times * n)
                inside[times].append(said.low <= truth[times] <= said.high)
                widths[times].append((said.high - said.low) / said.value)
                off[times].append(abs(said.value - truth[times]) / truth[times])
                mine[f"true {times}"].append(truth[times])
                mine[f"off {times}"].append(said.value - truth[times])
                mine[f"last {times}"].append(float(found.errors[-1].mean()) - truth[times])
            need = found.needed(truth[4])
            reached.append(need.low <= 4 * n <= need.high)
        names = ("now", "true 2", "off 2", "last 2", "true 4", "off 4", "last 4", "seconds")
        rows.append([f"{data}, {make.__name__}", *(mean_of(mine[name]) for name in names)])
    head = [
        "",
        "E_val at n",
        "E at 2n",
        "foretold - true",
        "E_val at n - true",
        "E at 4n",
        "foretold - true",
        "E_val at n - true",
        "s",
    ]
    table(f"Learning curve: sizes 62 to {n}, 3 networks each, {seeds} seeds a row", head, rows)
    rows = [
        [f"{times}n", f"{np.median(off[times]):.3f}", f"{np.median(widths[times]):.2f}", share_of(inside[times])]
        for times in (2, 4)
    ]
    head = ["size", "median of |foretold - true| / true", "width of the interval / E", "interval holds E (to reach .90)"]
    table("Foretold errors, all curves", head, rows)
    print(f"\nThe interval of the images that E at 4n needs holds 4n: {share_of(reached)}")


def share_of(hits: Sequence[bool]) -> str:
    """A share with its 95 % interval (Wilson)."""
    low, high = wilson(sum(hits), len(hits))
    return f"{np.mean(hits):.3f} ({low:.3f} to {high:.3f}), n = {len(hits)}"


PARTS = {"labels": labels, "curve": curve}


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all without")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=20)
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    torch.set_num_threads(1)
    for name in asked.parts or PARTS:
        PARTS[name](asked.first, asked.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
