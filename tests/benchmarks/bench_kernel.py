"""What the user's own cells wait for while a slider moves sixty times a second, on each ipykernel that is there."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from figures import Figure

sys.path.append(str(Path(__file__).resolve().parents[1] / "kernels"))

from wire import Front, Kernel, start_kernel

MOVES_A_SECOND = 60
CELLS = 100
ROUNDS = 3


def figures() -> Iterator[Figure]:
    """Round trips of trivial cells, idle and beside a moving slider, in turns."""
    for version, folder in _kernels():
        with tempfile.TemporaryDirectory() as place, start_kernel(Path(place), folder) as kernel:
            yield from _of(kernel, version or kernel.value("__import__('ipykernel').__version__"))


def _kernels() -> Iterator[tuple[str, Path | None]]:
    yield "", None
    named = os.environ.get("NNW_KERNELS")
    for folder in sorted(Path(named).iterdir()) if named else []:
        yield folder.name, folder


def _of(kernel: Kernel, version: str) -> Iterator[Figure]:
    kernel.run("lab = nw.CompressionLab(nw.load_example('digits/lenet300')); assert lab.wait(60)")
    front = kernel.newest()
    idle, busy, delays = [], [], []
    for _ in range(ROUNDS):
        idle.append(round_trips(kernel))
        with moving(front):
            busy.append(round_trips(kernel))
        delays.append(percentile(busy[-1], 99) - percentile(idle[-1], 99))
        front.wait_idle()
    kernel.run("lab.close(); lab.experiment.close()")
    where = f"ipykernel {version}, {CELLS} cells beside {MOVES_A_SECOND} moves a second"
    yield Figure(f"{where}: delay, p99", tuple(delays), ("<=", 50.0), "ms", "p99 busy less p99 idle")
    yield Figure(f"{where}: round trip, p99", tuple(percentile(took, 99) for took in busy), None, "ms")
    yield Figure(f"{where}: round trip, median", tuple(percentile(took, 50) for took in busy), None, "ms")
    yield Figure(f"ipykernel {version}, idle: round trip, p99", tuple(percentile(took, 99) for took in idle), None, "ms")


def percentile(took: list[float], share: float) -> float:
    """In milliseconds."""
    return float(np.percentile(took, share)) * 1e3


def round_trips(kernel: Kernel, cells: int = CELLS) -> list[float]:
    """Seconds from sending the cell ``1`` to its answer, one after another."""
    took = []
    for _ in range(cells):
        began = time.monotonic()
        took.append(kernel.reply(kernel.start("1")).at - began)
        time.sleep(0.005)  # as a user's cells do, they arrive at any moment between two moves
    return took


@contextmanager
def moving(front: Front) -> Iterator[None]:
    """A hand moves the slider meanwhile, through a connection of its own."""
    stop = threading.Event()

    def move() -> None:
        with front.kernel.second_hand() as send:
            step = 0
            while not stop.wait(1 / MOVES_A_SECOND):
                step += 1
                state = {"sparsity": step * 37 % 950 / 1000, "gesture": step // 30}
                send(front, {"method": "update", "state": state, "buffer_paths": []})

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
