"""How often the diagnosis is right on faults whose cause is known: ``python tests/benchmarks/planted_faults.py [--into FILE]``.

Rules: a plant that does not hurt is dropped and counted; each run can also be scored without the training setup. Runs are kept in
FILE, one line of JSON each, so that a broken run goes on where it was. ``--workers 2`` uses processes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

BUDGET_S = 8.0
BRANCHES = {"train": "train_high", "test": "test_high", "met": "goal_met"}
FITTED = 5  # seeds below were looked at while thresholds were set; those from here on are scored


def one(job: tuple[str, int, bool]) -> dict[str, Any]:
    """Plant a fault, diagnose it, and say what came out."""
    import numpy as np
    import torch

    from nnwidgets.engine.diagnosis._diagnose import diagnose
    from nnwidgets.engine.diagnosis.plants import planted

    torch.set_num_threads(1)
    name, seed, known = job
    severity = float(np.random.default_rng([seed, 77]).choice([0.5, 1.0, 2.0]))
    found = planted(name, seed, severity, training_known=known)
    row: dict[str, Any] = {"name": name, "seed": seed, "known": known, "severity": severity, "answers": sorted(found.answers)}
    row |= {"net": found.net, "data": found.data, "hurts": bool(found.hurts), "branch_wanted": found.branch}
    if not (found.hurts or name == "healthy"):
        return row
    said = diagnose(found.experiment, BUDGET_S)
    row |= {
        "branch": said.branch,
        "decided": said.decided,
        "said": [cause.name for cause in said.causes[:5]],
        "confidence": said.causes[0].confidence,
        "seconds": said.seconds,
        "weights": {e.test: dict(e.weights) for e in said.evidence if e.weights},
        "numbers": {e.test: dict(e.numbers) for e in said.evidence if e.numbers},
    }
    return row


def share(right: int, n: int) -> str:
    """A share with its 95 % interval."""
    from nnwidgets.engine.values.intervals import wilson

    return "no runs" if not n else f"{right / n:.2f} ({wilson(right, n)[0]:.2f} to {wilson(right, n)[1]:.2f}), n = {n}"


def report(rows: Sequence[dict[str, Any]]) -> None:
    """Print the scores."""
    for known in (True, False):
        mine = [row for row in rows if row["known"] is known]
        faults = [row for row in mine if row["name"] != "healthy" and "said" in row]
        healthy = [row for row in mine if row["name"] == "healthy" and "said" in row]
        dropped = sum("said" not in row for row in mine)
        if not faults and not healthy:
            continue
        which = "with" if known else "without"
        print(f"\n## {which} the training setup: {len(mine)} runs, {dropped} dropped as the plant did not hurt")
        right = [row["said"][0] in row["answers"] for row in faults]
        third = [bool(set(row["said"][:3]) & set(row["answers"])) for row in faults]
        print(f"top-1 {share(sum(right), len(right))} (to reach .80)")
        print(f"top-3 {share(sum(third), len(third))} (to reach .95)")
        branches = [row["branch"] == BRANCHES[row["branch_wanted"]] for row in faults if row["branch_wanted"]]
        print(f"branch {share(sum(branches), len(branches))} (to reach .95)")
        alarms = [row["said"][0] != "goal_met" for row in healthy]
        print(f"false alarms {share(sum(alarms), len(alarms))} (to reach .05 at most)")
        bands: dict[int, list[bool]] = defaultdict(list)
        for row, hit in zip(faults, right, strict=True):
            bands[min(9, int(10 * row["confidence"]))].append(hit)
        print("| confidence stated | right | runs |\n|---|---|---|")
        for band in sorted(bands):
            print(
                f"| {band / 10:.1f} to {(band + 1) / 10:.1f} | {sum(bands[band]) / len(bands[band]):.2f} | {len(bands[band])} |"
            )
        print("| fault | right | in the first three | runs | said instead |\n|---|---|---|---|---|")
        for name in dict.fromkeys(row["name"] for row in mine):
            these = [row for row in [*faults, *healthy] if row["name"] == name]
            hits = sum(row["said"][0] in row["answers"] for row in these)
            near = sum(bool(set(row["said"][:3]) & set(row["answers"])) for row in these)
            other = Counter(row["said"][0] for row in these if row["said"][0] not in row["answers"])
            print(f"| {name} | {hits} | {near} | {len(these)} | {', '.join(f'{k} {v}' for k, v in other.most_common(3))} |")


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=FITTED)
    parser.add_argument("--names", nargs="*")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--also-unknown", action="store_true", help="each run once more with training=None")
    asked = parser.parse_args()
    from nnwidgets import engine as E  # noqa: N812

    names: Iterable[str] = asked.names or E.list_faults()
    jobs = [
        (name, seed, known)
        for seed in range(asked.first, asked.seeds)
        for name in names
        for known in (True, False)[: 2 if asked.also_unknown else 1]
    ]
    rows: list[dict[str, Any]] = []
    if asked.into is not None and asked.into.exists():
        rows = [json.loads(line) for line in asked.into.read_text(encoding="utf-8").splitlines()]
    done = {(row["name"], row["seed"], row["known"]) for row in rows}
    left = [job for job in jobs if job not in done]

    def keep(row: dict[str, Any]) -> None:
        rows.append(row)
        if asked.into is not None:
            with asked.into.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")

    if asked.workers > 1:
        with ProcessPoolExecutor(asked.workers) as pool:
            for row in pool.map(one, left):
                keep(row)
    else:
        for job in left:
            keep(one(job))
    report([row for row in rows if row["seed"] >= asked.first])
    return 0


if __name__ == "__main__":
    sys.exit(main())
