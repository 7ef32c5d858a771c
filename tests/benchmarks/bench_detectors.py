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
from nnwidgets.engine.diagnosis.rate_test import rate_range_test
from nnwidgets.engine.diagnosis.shift import shift_tests
from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.evaluation import evaluate
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of
from nnwidgets.engine.zoo import digits, shapes
from nnwidgets.engine.zoo.nets import LeNet5, LeNet300, ResNet20

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
    head = [
        "size",
        "median distance from the true one, in shares of it",
        "width of the interval / E",
        "interval holds E (to reach .90)",
    ]
    table("Foretold errors, all curves", head, rows)
    print(f"\nThe interval of the images that E at 4n needs holds 4n: {share_of(reached)}")


def share_of(hits: Sequence[bool]) -> str:
    """A share with its 95 % interval (Wilson)."""
    low, high = wilson(sum(hits), len(hits))
    return f"{np.mean(hits):.3f} ({low:.3f} to {high:.3f}), n = {len(hits)}"


# --- shift --------------------------------------------------------------------------------------------------------------

SHIFTS = {  # what is done to S_test: (images, draw) -> images; share to reach at 100 images
    "nothing": None, "normalisation missing": 1.0, "inverted": 1.0, "moved by 1 pixel": 1.0, "axes swapped": 1.0,
    "noise .1": 0.92, "noise .3": 1.0, "one class removed": 0.24,
}  # fmt: skip


def shifted(kind: str, split: Split, draw: np.random.Generator) -> Split:
    """S_test with a shift of a kind."""
    x, mean, std = split.images, split.mean, split.std
    if kind == "normalisation missing":
        return Split(x.float() / 255, split.labels)
    if kind == "inverted":
        x = 255 - x
    elif kind == "moved by 1 pixel":
        x = x.roll(int(draw.choice([-1, 1])), int(draw.integers(2, 4)))
    elif kind == "axes swapped":
        x = x.transpose(2, 3).contiguous()
    elif kind.startswith("noise"):
        noise = 255 * float(kind[6:]) * draw.standard_normal(x.shape)
        x = torch.from_numpy((x.numpy() + noise).clip(0, 255).round().astype(np.uint8))
    return Split(x, split.labels, mean, std)


def shift(first: int, seeds: int) -> None:
    """How often p <= .05, with 100 images of each sample, over trials; 3,000 other digits trained the network."""
    n, trials = 100, 20
    images, true = all_digits()
    rows = []
    seen: dict[str, dict[str, list[bool]]] = {kind: defaultdict(list) for kind in SHIFTS}
    for seed in range(first, first + seeds):
        order = torch.from_numpy(np.random.default_rng([seed, 9]).permutation(len(true)))
        whole = Split(images[order], true[order], [0.1307], [0.3081])
        network = seeded(LeNet300)(seed)
        for _ in fit(network, whole.take(range(3000)), setup=TrainingSetup(epochs=8, seed=seed)):
            pass
        network.eval()
        for number, kind in enumerate(SHIFTS):
            for trial in range(trials * (4 if kind == "nothing" else 1)):
                draw = np.random.default_rng([seed, trial, number])
                pool = 3000 + draw.permutation(len(true) - 3000)
                reference, others = pool[:n], pool[n:]
                if kind == "one class removed":
                    others = others[(whole.labels[others] != int(draw.integers(10))).numpy()]
                test = shifted(kind, whole.take(others[:n]), draw)
                said = shift_tests(whole.take(reference), test, network, seed=trial)
                for name, p in (*said.p.items(), ("combined", said.combined)):
                    seen[kind][name].append(p <= 0.05)
    for kind, reach in SHIFTS.items():
        aim = "at most .05" if reach is None else f"{reach:.2f}"
        rows.append([kind, *(share_of(hits) for hits in seen[kind].values()), aim])
    names = list(seen["nothing"])
    title = f"Shift: share of trials with p at most .05; {n} digits a sample, LeNet-300-100, {seeds} networks"
    table(title, ["S_test", *names, "combined, to reach"], rows)


# --- learning rate ------------------------------------------------------------------------------------------------------


def rate(first: int, seeds: int) -> None:
    """The suggested rate beside the best one of a sweep: rates a quarter of a decade apart, 200 steps of 32 images."""
    rows, near = [], []
    small = drawn("digits", first, 1600, 1000)
    large = [Split(*(part[a:b] for part in all_digits()), [0.1307], [0.3081]) for a, b in ((0, 1600), (1600, 2600))]
    made = drawn("shapes", first, 1600, 1000)
    cases: list[tuple[str, Callable[[], nn.Module], list[Split]]] = [
        ("LeNet-300-100, digits", LeNet300, large),
        ("LeNet-5, digits", LeNet5, large),
        ("small CNN, shapes", partial(convolutional, (3, 16, 16)), made),
        ("ResNet-20, digits at 14 x 14", ResNet20, small),
    ]
    for name, make, (train, val) in cases:
        for optimizer, exponents in (("adam", range(-15, -3)), ("sgd", range(-7, 4))):
            setup = TrainingSetup(optimizer=optimizer, batch_size=32, epochs=4)
            rates = [10 ** (k / 4) for k in exponents]
            errors = np.array([[swept(make, train, val, replace(setup, lr=r, seed=s)) for r in rates] for s in range(2)])
            best_val, best_train = (smoothed_best(rates, errors[:, :, which].mean(0)) for which in (0, 1))
            offs, told, seconds = [], [], []
            for seed in range(first, first + 3):
                began = time.perf_counter()
                said = rate_range_test(seeded(make), train, setup, seed=seed)
                seconds.append(time.perf_counter() - began)
                told.append(math.log10(said.suggested) if said.suggested else math.nan)
                offs.append(told[-1] - math.log10(best_val))
                near.append(abs(offs[-1]) <= 0.5)
            rows.append(
                [name, optimizer, f"{best_val:.1e}", f"{best_train:.1e}", f"{10 ** float(np.mean(told)):.1e}", mean_of(offs),
                 f"{sum(abs(off) <= 0.5 for off in offs)} of {len(offs)}", f"{np.mean(seconds):.1f}"]
            )  # fmt: skip
            print(*rows[-1], file=sys.stderr)  # this part takes minutes
    head = ["network", "optimizer", "best E_val", "best training loss", "suggested", "decades from best E_val", "within 1/2", "s"]
    table("Learning rate: range test (3 runs of 150 steps) beside a sweep of two seeds", head, rows)
    print(f"\nWithin half a decade: {share_of(near)}")


def swept(make: Callable[[], nn.Module], train: Split, val: Split, setup: TrainingSetup) -> tuple[float, float]:
    """(E_val, training loss) after a training; where it breaks up, 1 and 10."""
    network = seeded(make)(setup.seed)
    try:
        for _ in fit(network, train, setup=setup):
            pass
        with torch.inference_mode():
            logits = network.eval()(train.inputs(slice(0, 1000)))
            assert train.labels is not None
            loss = float(nn.functional.cross_entropy(logits, train.labels[:1000]))
        return evaluate(network, val).error, min(loss, 10.0) if math.isfinite(loss) else 10.0
    except ModelError:
        return 1.0, 10.0


def smoothed_best(rates: Sequence[float], values: np.ndarray) -> float:
    """The middle, in decades, of the rates whose value is within 5 % of the least one: a flat bottom has no best rate."""
    good = [math.log10(r) for r, value in zip(rates, values, strict=True) if value <= 1.05 * values.min() + 1e-9]
    return float(10 ** np.mean(good))


PARTS = {"labels": labels, "shift": shift, "curve": curve, "rate": rate}


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
