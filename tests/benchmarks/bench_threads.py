"""What threads bring, measured: the same full passes with 1, 2, ... threads, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from figures import Figure

from nnwidgets.engine.evaluation.threads import cpu_share

WORK = """
import json, time
import nnwidgets as nw
from nnwidgets import engine as E
exp = nw.load_example("digits/resnet20")
part = exp.test.take(range(1500))
E.evaluate(exp.model, part.take(range(200)))
began = time.perf_counter()
E.evaluate(exp.model, part)
print(json.dumps(time.perf_counter() - began))
"""


def _seconds(**environment: str) -> float:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "MKL_"))}
    ran = subprocess.run(
        [sys.executable, "-c", WORK], env={**plain, "PYTHONPATH": path, **environment}, check=True, capture_output=True, text=True
    )
    return float(json.loads(ran.stdout))


def figures() -> Iterator[Figure]:
    """Yield seconds with one thread / seconds with more, and what a passive wait costs."""
    cores, most = cpu_share(), min(8, os.cpu_count() or 1)
    tried = sorted({2, most} - {1}) if most > 1 else []
    one = [_seconds(OMP_NUM_THREADS="1") for _ in range(3)]
    for threads in tried:
        found = tuple(a / _seconds(OMP_NUM_THREADS=str(threads)) for a in one)
        yield Figure(
            f"ResNet-20, 1,500 images, wall clock: one thread / {threads} threads", found, note=f"{cores:g} cores allowed"
        )
    if tried:
        found = tuple(a / _seconds(OMP_NUM_THREADS="2", OMP_WAIT_POLICY="PASSIVE") for a in one)
        yield Figure("the same: one thread / 2 threads with OMP_WAIT_POLICY=PASSIVE", found)
