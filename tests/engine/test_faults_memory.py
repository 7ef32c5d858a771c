"""FAULTS.md row 43: memory runs out. Injected with a real limit, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.evaluation._memory import half_after, out_of_memory
from nnwidgets.engine.experiment import Experiment

pytestmark = pytest.mark.slow

resource = pytest.importorskip("resource", reason="limits of a process are those of POSIX")
CAPPED = """
import resource, torch
from pathlib import Path

def used():
    return int(next(line for line in Path("/proc/self/status").open() if line.startswith("VmData")).split()[1]) * 1024

def cap(spare):
    resource.setrlimit(resource.RLIMIT_DATA, (used() + spare if spare else resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts as it should on Linux only")


def run(code: str) -> list[str]:
    root = Path(__file__).parents[2]
    # A threshold that stays: else the C library keeps what a step gave back, by chance so much that the next one needs no more.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**20)}
    ran = subprocess.run([sys.executable, "-c", CAPPED + code], capture_output=True, text=True, timeout=300, cwd=root, env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.splitlines()


KINDS = """
import numpy as np
from torch import nn
from nnwidgets.engine.evaluation._memory import out_of_memory
x, net = torch.zeros(64, 16, 64, 64), nn.Conv2d(16, 64, 3)
norm = nn.Sequential(net, nn.BatchNorm2d(64), nn.ReLU()).eval()
net(x[:1])
cap(2_000_000)
for work in (lambda: torch.empty(10**8), lambda: np.ones(10**8), lambda: bytearray(10**8), lambda: net(x), lambda: norm(x),
             lambda: x.repeat(2, 1, 1, 1), lambda: torch.sort(x.reshape(-1)), lambda: x @ torch.zeros(64, 64)):
    try:
        work()
        print("no error")
    except Exception as error:
        print(out_of_memory(error), type(error).__name__, str(error)[:60].replace(chr(10), " "))
"""


@linux
def test_row_43_every_way_in_which_memory_runs_out_is_recognised() -> None:
    found = run(KINDS)
    assert len(found) == 8 and all(line.startswith("True ") for line in found), found


HALVES = """
from torch import nn
from nnwidgets import engine as E
sizes = []

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 512, 3, padding=1), nn.Linear(512, 4)
    def forward(self, x):
        y = self.conv(x)
        sizes.append(len(x))
        return self.fc(y.mean((2, 3)))

torch.manual_seed(0)
net, split = Wide().eval(), E.Split(torch.rand(40, 3, 64, 64), torch.arange(40) % 4)
expected = E.evaluate(net, split)
assert max(sizes) >= 16, sizes
sizes.clear()
cap(SPARE)
try:
    found = E.evaluate(net, split)
    cap(0)
    print((found.correct == expected.correct).all(), max(sizes))
except E.OutOfMemoryError as error:
    cap(0)
    print("OutOfMemoryError", error)
"""


@linux
@pytest.mark.parametrize(("spare", "words"), [(110_000_000, "True "), (2_000_000, "OutOfMemoryError")])
def test_row_43_a_pass_halves_its_batch_until_it_fits_and_says_when_nothing_does(spare: int, words: str) -> None:
    found = run(HALVES.replace("SPARE", str(spare)))
    assert found[-1].startswith(words), found
    assert not found[-1].startswith("True") or int(found[-1].split()[1]) < 16, found


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8.74 GB)"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: not enough memory: you tried to"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_row_43_other_errors_are_not_taken_for_it(error: BaseException, expected: bool) -> None:
    assert out_of_memory(error) is expected
    wrapped = E.ModelError("the network failed")
    wrapped.__cause__ = error
    assert out_of_memory(wrapped) is expected


def test_row_43_the_batch_halves_down_to_one_image_and_then_it_is_said() -> None:
    size, tried = 100, []
    while size:
        tried.append(size)
        try:
            size = half_after(MemoryError(), size)
        except E.OutOfMemoryError as error:
            assert "single image" in str(error) and "Free memory" in str(error) and isinstance(error, MemoryError)
            break
    assert tried == [100, 50, 25, 12, 6, 3, 1]
    with pytest.raises(ValueError, match="mine"):
        half_after(ValueError("mine"), 8)


def test_row_43_what_the_failed_try_held_is_let_go_of() -> None:
    """Else the smaller batch would have to live beside the activations of the larger one."""
    import weakref

    held: list[Any] = []

    def forward() -> None:
        activations = torch.zeros(1000)
        held.append(weakref.ref(activations))
        raise MemoryError

    try:
        forward()
    except MemoryError as error:
        assert half_after(error, 2) == 1
        assert held[0]() is None


PASS = """
from torch import nn
from nnwidgets.engine.evaluation._memory import half_after
torch.manual_seed(0)
net, images = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 8, 3), nn.Flatten()).eval(), torch.rand(64, 3, 64, 64)
with torch.inference_mode():
    expected = torch.cat([net(image[None]) for image in images])
    found, start, size, sizes = [], 0, 64, []
    cap(30_000_000)
    while start < 64:
        try:
            found.append(net(images[start : start + size]).clone())
        except Exception as error:
            size = half_after(error, size)
            continue
        sizes.append(size)
        start += size
    cap(0)
    print(max(sizes), torch.allclose(torch.cat(found), expected, atol=1e-5))
"""


@linux
def test_row_43_a_pass_that_halves_its_batch_ends_with_the_same_answers() -> None:
    size, same = run(PASS)[-1].split()
    assert int(size) < 64 and same == "True"


STEP = """
import sys
from torch import nn
from nnwidgets import engine as E
from nnwidgets.engine.trace import fingerprint
torch.manual_seed(0)
net = nn.Sequential(nn.Flatten(), nn.Linear(3000, 2000), nn.BatchNorm1d(2000), nn.Linear(2000, 3))
data = E.Split(torch.rand(64, 3000), torch.arange(64) % 3)
setup = E.TrainingSetup(optimizer=sys.argv[1], lr=0.01, batch_size=32, epochs=9, momentum=float(sys.argv[2]))
run = E.fit(net, data, setup=setup)
refused = {}
for step in range(3):
    for spare in range(100_000, 600_000_000, 6_000_000):
        before = fingerprint(net)
        cap(spare)
        try:
            record = next(run)
        except E.OutOfMemoryError as error:
            cap(0)
            assert "batch of 32" in str(error) and "as the step before" in str(error), error
            assert fingerprint(net) == before, (step, spare)
            refused[step] = refused.get(step, 0) + 1
            continue
        cap(0)
        assert record.step == step + 1 and fingerprint(net) != before
        break
print(refused)
"""


@linux
@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.9), ("adam", 0.0), ("adamw", 0.0)])
def test_row_43_a_training_step_without_memory_leaves_the_network_as_the_step_before_did(optimizer: str, momentum: float) -> None:
    """At every amount that is too little, in 6 MB steps; then the run goes on."""
    code = STEP.replace("sys.argv[1]", repr(optimizer)).replace("sys.argv[2]", repr(momentum))
    refused = eval(run(code)[-1])
    assert refused[0] > 3 and sum(refused.values()) - refused[0] > 1, refused


def test_row_43_an_experiment_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    exp = Experiment(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), test=E.Split(torch.rand(9, 1, 8, 8), torch.arange(9) % 3))

    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory")

    with monkeypatch.context() as patched:
        patched.setattr("nnwidgets.engine.experiment.sound.make_bench", full)
        with pytest.raises(E.OutOfMemoryError, match="three times"):
            exp.bench(None)
    assert np.isfinite(exp.bench(None).plan.figures(E.Recipe()).params), "and works once there is memory again"
    exp.close()
