"""How many threads this process can really use, and a word of advice where torch uses more."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch

__all__ = ["cpu_share", "threads_advice"]


def cpu_share(root: Path = Path("/")) -> float:
    """Return how many cores this process may use at once: its affinity, and the quota of its control groups (Linux).

    Args:
        root: of the file system, for tests.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([float(cores), *_quotas(root)])


def threads_advice(threads: int | None = None, share: float | None = None) -> str | None:
    """Return what to do where torch uses more threads than this process has cores, None where all is well.

    Threads beyond the quota of a container wait for each other in every operation: ten times slower is usual.
    """
    threads = torch.get_num_threads() if threads is None else threads
    share = cpu_share() if share is None else share
    best = max(1, math.ceil(share - 0.01))
    if threads <= best:
        return None
    return (
        f"torch uses {threads} threads, and this process may use {share:.2g} cores: everything takes several times "
        f"longer than it must. Set OMP_NUM_THREADS={best} before Jupyter starts, or call torch.set_num_threads({best})."
    )


def _quotas(root: Path) -> Iterator[float]:
    """Cores allowed by each control group that this process is in, versions 2 and 1."""
    groups = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        inside = Path(path.lstrip("/"))
        for base in (groups, groups / "cpu", groups / "cpu,cpuacct"):
            for folder in (base / inside, *(base / parent for parent in inside.parents)):
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    words = _text(folder / "cpu.max").split() or [
        _text(folder / "cpu.cfs_quota_us").strip(),
        _text(folder / "cpu.cfs_period_us").strip(),
    ]
    try:
        quota, period = float(words[0]), float(words[1])
    except (ValueError, IndexError):  # "max", or no such file
        return
    if quota > 0 and period > 0:
        yield quota / period


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
