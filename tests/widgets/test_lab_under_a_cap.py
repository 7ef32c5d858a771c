"""FAULTS.md row 44: a lab at work while its process may not have more than 1 or 2 GB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from capped_lab import NETS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts as it should on Linux only"),
]


def capped(net: str, mebibytes: int) -> dict[str, Any]:
    """What the lab's process told at its end."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.widgets.capped_lab", net, str(mebibytes)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, (ran.returncode, ran.stdout[-2000:], ran.stderr[-2000:])
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("net", NETS[:3])
def test_row_44_the_labs_work_is_done_under_a_cap_of_1_gb(net: str) -> None:
    """Moves by weight, filter and bits, some steps of fine-tuning, trained weights, undo: as without a cap, and below 900 MB."""
    found = capped(net, 1024)
    assert found["accuracy"] > 0.9
    assert found["stages"]["undone"]["VmHWM"] < 900


def test_row_44_a_vgg_of_14_7_million_weights_under_a_cap_of_2_gb() -> None:
    """Fine-tuning it takes seven copies of its weights besides the lab's four."""
    found = capped("vgg16_bn", 2048)
    assert found["stages"]["move 5"]["VmHWM"] < 1000, "a lab that holds it, Adam aside, in less than a gigabyte"


UNNEEDED = """
import sys
import nnwidgets as nw
lab = nw.CompressionLab(nw.load_example("digits/lenet300"))
assert lab.wait(120)
lab.sparsity = 0.5
assert lab.wait(120) and lab.status == "idle", lab.error
lab.epochs = 1
lab.fine_tune()
assert lab.wait(300) and lab.experiment.attempts, lab.error
print(sorted({"matplotlib", "pandas", "sympy", "torch._dynamo", "torchvision"} & set(sys.modules)))
"""


def test_a_lab_at_work_loads_nothing_large_that_it_does_not_need() -> None:
    """The compiler of torch alone would be 150 MB, pandas 30."""
    ran = subprocess.run(
        [sys.executable, "-c", UNNEEDED], capture_output=True, text=True, timeout=600, cwd=Path(__file__).parents[2]
    )
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr
