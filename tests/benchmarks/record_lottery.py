"""Record the lottery of LeNet-300-100 on the bundled digits: ``python tests/benchmarks/record_lottery.py [--resume FILE]``.

About 40 minutes of one core. Stop it at any time: rounds that are done are in the file of ``--resume`` and are not run again.
Writes nnwidgets/assets/lottery_lenet300.json, labelled with machine, date and versions.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from run import machine  # noqa: E402

import nnwidgets  # noqa: E402
from nnwidgets.engine.sparse import LotteryResult, lottery_steps  # noqa: E402
from nnwidgets.engine.values.setup import TrainingSetup  # noqa: E402
from nnwidgets.engine.zoo.examples import example_data  # noqa: E402
from nnwidgets.engine.zoo.nets import LeNet300  # noqa: E402

ASSET = HERE.parents[1] / "nnwidgets" / "assets" / "lottery_lenet300.json"
SETUP = TrainingSetup(optimizer="adam", lr=1.2e-3, batch_size=60, epochs=24)  # rate and batch of the paper; 2,016 steps
CONTROLS = (1, 3, 5, 7, 9, 11, 13, 15)  # rounds with control arms; those of which the paper tells figures are among them


def record(seeds: int, rounds: int, resume: str | None) -> LotteryResult:
    """Run what is missing, and tell each run."""
    train, val, test = example_data("digits")
    began = time.monotonic()
    steps = lottery_steps(
        LeNet300, train, val, test, SETUP, rounds=rounds, seeds=range(seeds), resume=resume, control_rounds=CONTROLS
    )
    while True:
        try:
            now = next(steps)
        except StopIteration as end:
            found: LotteryResult = end.value
            return found
        if now.run is not None:
            run = now.run
            sys.stderr.write(
                f"{time.monotonic() - began:6.0f} s, {now.done}/{now.total}: seed {run.seed}, round {run.round}, {run.arm}, "
                f"{run.remaining:.3%}: stop at {run.stop_step}, test {run.stop_test_accuracy:.4f}, "
                f"end {run.end_test_accuracy:.4f}\n"
            )


def main() -> None:
    """Record, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--resume", help="file of rounds that are done, one a line")
    parser.add_argument("--out", type=Path, default=ASSET)
    given = parser.parse_args()
    found = record(given.seeds, given.rounds, given.resume)
    label = f"recorded on {time.strftime('%Y-%m-%d')}: {machine()}, nnwidgets {nnwidgets.__version__}"
    given.out.write_text(found.to_json(label) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
