"""Threads by what a container really has, not by the cores of its host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import nnwidgets as nw
from nnwidgets.engine.evaluation.threads import cpu_share, threads_advice

FOLDERS = {
    "version 2": ("0::/", {"sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
    "version 2, a group above limits": (
        "0::/a/b",
        {"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "75000 100000"},
        0.75,
    ),
    "version 1": (
        "4:cpu,cpuacct:/pod\n3:memory:/x",
        {"sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us": "25000", "sys/fs/cgroup/cpu/pod/cpu.cfs_period_us": "100000"},
        0.25,
    ),
    "no quota": ("0::/", {"sys/fs/cgroup/cpu.max": "max 100000"}, None),
    "version 1, no quota": (
        "4:cpu:/",
        {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "1"},
        None,
    ),
    "no such files": ("", {}, None),
    "nonsense": ("0::/", {"sys/fs/cgroup/cpu.max": "a lot"}, None),
}


@pytest.mark.parametrize(("group", "files", "expected"), FOLDERS.values(), ids=FOLDERS.keys())
def test_the_quota_of_a_container_is_read(tmp_path: Path, group: str, files: dict[str, str], expected: float | None) -> None:
    for name, text in {"proc/self/cgroup": group, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert cpu_share(tmp_path) == (cores if expected is None else expected)


@pytest.mark.parametrize(
    ("threads", "share", "words"),
    [(8, 1.0, "OMP_NUM_THREADS=1"), (8, 0.5, "OMP_NUM_THREADS=1"), (4, 1.5, "OMP_NUM_THREADS=2"), (2, 2.0, None), (1, 0.5, None)],
)
def test_advice_is_given_only_where_threads_are_too_many(threads: int, share: float, words: str | None) -> None:
    found = threads_advice(threads, share)
    assert (found is None) == (words is None) and (words is None or words in (found or ""))


def test_an_experiment_says_so_and_changes_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    assert "threads" not in nw.load_example("digits/lenet300").notices
    monkeypatch.setattr("nnwidgets.engine.evaluation.threads.cpu_share", lambda: 0.5)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    notice = nw.load_example("digits/lenet300").notices["threads"]
    assert "8 threads" in notice.text and "0.5" in notice.text
    monkeypatch.undo()
    assert torch.get_num_threads() == before
