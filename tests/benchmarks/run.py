"""All benchmarks, one command: ``python tests/benchmarks/run.py [name ...]``. Ratios within one run, with their spread.

Each file ``bench_<name>.py`` in this folder has a generator ``figures()`` of ``Figure`` and runs in a process of its own. The
table goes to standard output as Markdown, headed by the machine; ``--json FILE`` also writes it as data.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent), str(HERE.parent / "browser")]

from figures import Figure  # noqa: E402


def names() -> list[str]:
    """All benchmarks there are; a script with tables of its own, such as bench_detectors.py, is none."""
    files = [path for path in HERE.glob("bench_*.py") if "def figures()" in path.read_text(encoding="utf-8")]
    return sorted(path.stem.removeprefix("bench_") for path in files)


def machine() -> str:
    """The machine in one line: processor, instruction sets, cores, threads, torch build."""
    import torch

    from nnwidgets.engine.costs.machine import integer_units, processor

    return (
        f"{processor()} ({', '.join(integer_units()) or 'no list of units'}), "
        f"{os.cpu_count()} cores, {torch.get_num_threads()} thread(s), torch {torch.__version__} "
        f"({torch.backends.cpu.get_cpu_capability()}), Python {platform.python_version()}, {platform.system()}"
    )


def table(found: list[Figure]) -> str:
    """Markdown rows: figure, value, spread, what to reach, whether it is reached."""
    lines = ["| figure | median | spread | to reach | |", "|---|---|---|---|---|"]
    for figure in found:
        wanted = "" if figure.reach is None else f"{figure.reach[0]} {figure.reach[1]:g}"
        state = {None: "", True: "reached", False: "**not reached**"}[figure.reached]
        note = f" ({figure.note})" if figure.note else ""
        unit = "" if figure.unit == "x" else f" {figure.unit}"
        lines.append(
            f"| {figure.name}{note} | {figure.value:.3g}{unit} | {min(figure.values):.3g} to {max(figure.values):.3g}, "
            f"n = {len(figure.values)} | {wanted} | {state} |"
        )
    return "\n".join(lines)


def _run_here(name: str, path: Path) -> None:
    found = [asdict(figure) for figure in importlib.import_module(f"bench_{name}").figures()]
    path.write_text(json.dumps(found), encoding="utf-8")


def main() -> int:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"from: {', '.join(names())}; all without a name")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.into is not None:
        _run_here(asked.names[0], asked.into)
        return 0
    if unknown := sorted(set(asked.names) - set(names())):
        parser.error(f"got {', '.join(unknown)}; expected some of {', '.join(names())}")
    found: list[Figure] = []
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.names or names():
            print(f"{name} ...", file=sys.stderr, flush=True)
            into = Path(folder) / f"{name}.json"
            if subprocess.run([sys.executable, __file__, name, "--into", str(into)], check=False).returncode:
                failed.append(name)
                continue
            for row in json.loads(into.read_text(encoding="utf-8")):
                row["values"] = tuple(row["values"])
                row["reach"] = None if row["reach"] is None else (row["reach"][0], row["reach"][1])
                found.append(Figure(**row))
    where = machine()
    print(f"{where}\n\n{table(found)}")
    if asked.json is not None:
        asked.json.write_text(json.dumps({"machine": where, "figures": [asdict(figure) for figure in found]}, indent=1) + "\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
