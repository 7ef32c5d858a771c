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

import numpy as np
import torch
from torch import nn

from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of
from nnwidgets.engine.zoo import digits
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


PARTS = {"labels": labels}


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
