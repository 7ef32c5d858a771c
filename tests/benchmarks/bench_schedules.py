"""Schedules at equal training: iterative and cubic against one-shot. ``python tests/benchmarks/bench_schedules.py [net ...]``.

Each arm prunes the same bundled, trained network to the same amount and trains for the same number of epochs in all, constant
rate, on S_train without S_val; only the order of images differs from seed to seed. The table gives errors on S_test (nothing is
chosen by it) and paired differences to one-shot with Student's 95 % interval, for another such fine-tuning of this network.
ResNet-20 takes about a quarter of an hour of one core, LeNet-300-100 about five minutes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from run import machine  # noqa: E402

from nnwidgets.engine import Pruning, Recipe, Schedule, TrainingSetup, evaluate, prune_and_tune  # noqa: E402
from nnwidgets.engine.values.intervals import student  # noqa: E402
from nnwidgets.engine.zoo import example_parts  # noqa: E402

BASE = "one_shot"


@dataclass(frozen=True)
class Case:
    """What is compared: epochs in all, rounds of the iterative arms, steps between two changes of cubic, seeds."""

    net: str
    amount: float
    epochs: int
    rounds: tuple[int, ...]
    every_steps: int
    seeds: int

    def schedules(self) -> dict[str, Schedule]:
        """The arms."""
        return {
            BASE: Schedule(epochs_per_round=self.epochs),
            **{f"iterative, {n} rounds": Schedule("iterative", n, self.epochs // n) for n in self.rounds},
            "cubic": Schedule("cubic", self.epochs, every_steps=self.every_steps),
        }


CASES = (
    Case("lenet300", 0.9, 6, (3, 6), 20, 10),
    Case("lenet300", 0.98, 6, (3, 6), 20, 10),
    Case("resnet20", 0.9, 3, (3,), 15, 5),
)


def errors(case: Case) -> dict[str, list[float]]:
    """Error on S_test of each arm, one a seed."""
    parts = example_parts(f"digits/{case.net}")
    recipe, found = Recipe(Pruning(case.amount)), {name: list[float]() for name in case.schedules()}
    for seed in range(case.seeds):
        setup = TrainingSetup(lr=5e-4, augmentation="shift", seed=seed)
        for name, schedule in case.schedules().items():
            began = time.monotonic()
            *_, last = prune_and_tune(parts.model, parts.train, recipe, schedule, setup)
            found[name].append(evaluate(last.network(parts.model), parts.test).error)
            spent = time.monotonic() - began
            sys.stderr.write(f"{case.net} {case.amount:.0%}, seed {seed}, {name}: {found[name][-1]:.4f}, {spent:.0f} s\n")
    return found


def table(case: Case, found: dict[str, list[float]], images: int) -> str:
    """Markdown rows."""
    lines = []
    for name, values in found.items():
        mean, low, high = student([a - b for a, b in zip(values, found[BASE], strict=True)], 0.5 / images)
        difference = "" if name == BASE else f"{100 * mean:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
        lines.append(
            f"| {case.net} | {case.amount:.0%} | {case.epochs} | {case.seeds} | {name} | {100 * statistics.fmean(values):.2f} "
            f"({100 * min(values):.2f} to {100 * max(values):.2f}) | {difference} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nets", nargs="*", default=sorted({case.net for case in CASES}))
    nets = parser.parse_args().nets
    columns = ("net", "removed", "epochs in all", "seeds", "schedule", "error, points (range)", "minus one-shot (95 %)")
    head = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"
    sys.stdout.write(f"{machine()}\n\n{head}\n")
    for case in CASES:
        if case.net in nets:
            images = len(example_parts(f"digits/{case.net}").test)
            sys.stdout.write(table(case, errors(case), images) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
