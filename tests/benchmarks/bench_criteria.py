"""Criterion x structure at three sparsities, before and after an epoch. ``python tests/benchmarks/bench_criteria.py [net ...]``.

Each cell prunes a bundled, trained network once and trains it for one epoch on some images of S_train without S_val. Accuracy is
measured on images of S_test; nothing is chosen by it. All cells of a seed see the same images in the same order. Units are
shared among the layers in three ways, by one ranking for all ("global"), by one of scores in the scale of their own layer
("normalized"), and in each layer alike ("uniform"). ``start`` is pruning of an untrained LeNet-300-100.

Stop it at any time: with ``--resume FOLDER`` cells that are done are kept and not run again. One seed takes about 10 minutes of
one core on LeNet-5, 25 on each of the others with 1,000 images.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from run import machine  # noqa: E402

from nnwidgets.engine import Split, TrainingSetup, compare_criteria  # noqa: E402
from nnwidgets.engine.pruning.criteria import CRITERIA  # noqa: E402
from nnwidgets.engine.zoo import example_parts  # noqa: E402

Shares = Mapping[str, tuple[float, ...]]
SINGLE: Shares = {"weight": (0.5, 0.8, 0.9), "kernel": (0.4, 0.6, 0.8), "2:4": (0.5,), "1:4": (0.75,), "1:8": (0.875,)}
FILTERS: Shares = {"filter": (0.2, 0.4, 0.6)}
CONTROL = "random"
START = "start"


@dataclass(frozen=True)
class Case:
    """A network, its removals by the way in which they are shared among its layers, and the training after them."""

    net: str
    shares: Mapping[str, Shares]
    setup: TrainingSetup


CASES = (
    Case(
        "digits/lenet5",
        {"global": {**SINGLE, **FILTERS, "neuron": (0.5, 0.8, 0.9)}, "normalized": FILTERS, "uniform": FILTERS},
        TrainingSetup(lr=5e-4, epochs=1, batch_size=32, augmentation="shift"),
    ),
    Case(
        "digits/resnet20",
        {"global": {**SINGLE, **FILTERS}, "normalized": FILTERS, "uniform": FILTERS},
        TrainingSetup(lr=5e-4, epochs=1, batch_size=32, augmentation="shift"),
    ),
    Case(
        "shapes/vgg_small",
        {"global": {**SINGLE, **FILTERS}, "normalized": FILTERS, "uniform": FILTERS},
        TrainingSetup(lr=5e-4, epochs=1, batch_size=32),
    ),
)
AT_START = ("random", "magnitude", "snip", "grasp")
AT_START_SHARES = (0.9, 0.98, 0.995)
AT_START_SETUP = TrainingSetup(lr=1e-3, epochs=10)


def some(split: Split, n: int) -> Split:
    """A fixed draw of images."""
    return split.take(torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:n])


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    criteria: tuple[str, ...]
    seeds: tuple[int, ...]
    images: int
    tested: int
    folder: Path | None
    executor: Executor
    shared: tuple[str, ...]

    def kept(self, name: str) -> Path | None:
        """The file of what is done."""
        return None if self.folder is None else self.folder / f"{name.replace('/', '-')}.jsonl"

    def tables(self, case: Case) -> Iterator[pd.DataFrame]:
        """A table for each way of sharing and seed, told when it is done."""
        parts = example_parts(case.net)
        train, test = some(parts.train, self.images), some(parts.test, self.tested)
        for seed in self.seeds:
            for allocation, shares in case.shares.items():
                if allocation not in self.shared:
                    continue
                began = time.monotonic()
                found = compare_criteria(
                    parts.model,
                    train,
                    test,
                    self.criteria,
                    tuple(shares),
                    shares,
                    case.setup,
                    allocation,
                    (seed,),
                    self.executor,
                    self.kept(f"{case.net}-{allocation}"),
                )
                sys.stderr.write(f"{case.net}, {allocation}, seed {seed}: {time.monotonic() - began:.0f} s\n")
                yield found.assign(net=case.net.split("/")[1], allocation=allocation, dense=found.attrs["dense"])

    def started(self) -> Iterator[pd.DataFrame]:
        """Untrained networks, one a seed."""
        parts = example_parts("digits/lenet300")
        for seed in self.seeds:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                model = parts.build(1.0)
            found = compare_criteria(
                model,
                parts.train,
                parts.test,
                AT_START,
                amounts=(0.0, *AT_START_SHARES),
                setup=AT_START_SETUP,
                seeds=(seed,),
                executor=self.executor,
                resume=self.kept(f"{START}-{seed}"),
            )
            yield found.assign(net="lenet300", allocation="global", dense=found.attrs["dense"])


CELL = ["net", "structure", "allocation", "amount"]


def rows(found: pd.DataFrame) -> str:
    """Markdown: a row for each criterion and cell, means over seeds in points."""
    columns = "net, structure, shared, removed, criterion, % of all weights, before, after (range), minus random (seeds above)"
    lines = [f"| {columns.replace(', ', ' | ')} |"]
    lines.append("|---" * 9 + "|")
    for (*cell, criterion), group in found[found["reason"] == ""].groupby([*CELL, "criterion"], sort=False):
        after = 100 * group["after"]
        apart = 100 * (group.set_index("seed")["after"] - control_of(found, cell)).dropna()
        told = "" if criterion == CONTROL or apart.empty else f"{apart.mean():+.1f} ({int((apart > 0).sum())} of {len(apart)})"
        lines.append(
            f"| {cell[0]} | {cell[1]} | {cell[2]} | {cell[3]:.1%} | {criterion} | {100 * group['sparsity'].mean():.1f} | "
            f"{100 * group['before'].mean():.1f} | {after.mean():.1f} ({after.min():.1f} to {after.max():.1f}) | {told} |"
        )
    return "\n".join(lines)


def control_of(found: pd.DataFrame, cell: list[object]) -> pd.Series:
    """Accuracy after training of random removal, by seed; empty where it could not be."""
    own = found[(found["criterion"] == CONTROL) & (found["reason"] == "")]
    for name, value in zip(CELL, cell, strict=True):
        own = own[own[name] == value]
    return own.set_index("seed")["after"]


def summary(found: pd.DataFrame) -> str:
    """Where criteria are above random removal after training, in the mean over seeds, and where they are not."""
    lines = ["| criterion | cells | above random | equal | below | mean difference, points | not above in |", "|---" * 7 + "|"]
    valid = found[(found["reason"] == "") & (found["criterion"] != CONTROL)]
    for criterion, own in valid.groupby("criterion", sort=False):
        apart: dict[str, float] = {}
        for cell, group in own.groupby(CELL, sort=False):
            each = (group.set_index("seed")["after"] - control_of(found, list(cell))).dropna()
            if not each.empty:
                apart[f"{cell[0]} {cell[1]} {cell[2]} {cell[3]:.0%}"] = 100 * float(each.mean())
        values = list(apart.values())
        if values:
            below = ", ".join(f"{name} ({value:+.1f})" for name, value in apart.items() if value <= 0)
            counts = [sum(v > 0 for v in values), sum(v == 0 for v in values), sum(v < 0 for v in values)]
            lines.append(
                f"| {criterion} | {len(values)} | {' | '.join(map(str, counts))} | {statistics.fmean(values):+.1f} | {below} |"
            )
    return "\n".join(lines)


def refused(found: pd.DataFrame) -> str:
    """Cells that cannot be, with their reasons."""
    bad = found[found["reason"] != ""].groupby([*CELL, "criterion", "reason"], sort=False)["seed"].agg(list)
    return "\n".join(
        f"- {net} {structure} {allocation} {amount:.1%} {criterion} (seeds {', '.join(map(str, seeds))}): {reason}"
        for (net, structure, allocation, amount, criterion, reason), seeds in bad.items()
    )


def tell(title: str, tables: Iterator[pd.DataFrame]) -> None:
    """Print what there is about a network."""
    found = pd.concat(list(tables), ignore_index=True)
    dense = " to ".join(f"{100 * value:.1f}" for value in sorted({found["dense"].min(), found["dense"].max()}))
    sys.stdout.write(f"\n## {title}: accuracy as it is {dense} %\n\n{rows(found)}\n\n{summary(found)}\n\n")
    sys.stdout.write(f"Cells that cannot be:\n{refused(found) or 'none'}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure and tell."""
    nets = {case.net.split("/")[1]: case for case in CASES}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=[*nets, START], help=f"from: {', '.join([*nets, START])}; all without one")
    parser.add_argument("--criteria", nargs="+", default=list(CRITERIA), help="by default all")
    parser.add_argument(
        "--shared", nargs="+", default=["global", "normalized", "uniform"], help="how units are shared; by default all"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=2000, help="of S_train, an epoch")
    parser.add_argument("--tested", type=int, default=2000, help="of S_test")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="folder of what is done")
    given = parser.parse_args()
    if unknown := sorted(set(given.nets) - {*nets, START}):
        parser.error(f"got {', '.join(unknown)}; expected some of {', '.join([*nets, START])}")
    if given.resume is not None:
        given.resume.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"{machine()}; {given.images} images an epoch, {given.tested} tested, {given.seeds} seeds\n")
    with ProcessPoolExecutor(given.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        seeds = tuple(range(given.seeds))
        asked = Asked(tuple(given.criteria), seeds, given.images, given.tested, given.resume, pool, tuple(given.shared))
        for name in given.nets:
            tell(name, asked.started() if name == START else asked.tables(nets[name]))


if __name__ == "__main__":
    main()
