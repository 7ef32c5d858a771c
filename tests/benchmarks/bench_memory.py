"""Peak memory of a whole kernel at work, and the time that the import alone takes. Reads /proc: Linux."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import Figure

ROOT = Path(__file__).resolve().parents[2]
_REPEATS = 3
_KERNEL = """
import sys
sys.path[:0] = [{root!r}, {root!r} + "/tests/widgets"]
from capped_lab import experiment, memory
import nnwidgets as nw
stages = {{"kernel": memory()}}
lab = nw.CompressionLab(experiment({net!r}))
display(lab)
assert lab.wait(900) and lab.status == "idle", lab.error
for lab.sparsity in (0.2, 0.5, 0.9, 0.0):
    assert lab.wait(900) and lab.status == "idle", lab.error
for lab.weight_bits in (8, 2, 32):
    assert lab.wait(900) and lab.status == "idle", lab.error
stages["moved"] = memory()
lab.epochs = 1
lab.fine_tune()
assert lab.wait(900) and lab.status == "idle" and lab.experiment.attempts, lab.error
stages["fine-tuned"] = memory()
import json
print(json.dumps(stages))
"""


def kernel(net: str) -> dict[str, dict[str, float]]:
    """What a fresh ipykernel process holds, in MB, by stage: a lab shown, moved, fine-tuned for an epoch."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", env={**os.environ, "PYTHONPATH": str(ROOT)}, startup_timeout=120)
    told: list[str] = []
    try:
        reply = client.execute_interactive(
            _KERNEL.format(root=str(ROOT), net=net),
            timeout=1800,
            output_hook=lambda message: told.append(str(message["content"].get("text", ""))),
        )
        content: dict[str, Any] = reply["content"]
        if content["status"] != "ok":
            raise RuntimeError("\n".join(content.get("traceback", [content["status"]])))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    found: dict[str, dict[str, float]] = json.loads("".join(told).strip().splitlines()[-1])
    return found


def imports(code: str) -> float:
    """Seconds that a fresh Python takes for a line of code."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdin=subprocess.DEVNULL)
    return time.perf_counter() - began


def figures() -> Iterator[Figure]:
    """One after the other, each process alone."""
    for code in ("pass", "import nnwidgets"):
        imports(code)  # files into the cache of the system
    pairs = [(imports("pass"), imports("import nnwidgets")) for _ in range(9)]
    yield Figure(
        "`import nnwidgets` beyond Python itself", tuple(b - a for a, b in pairs), ("<=", 0.3), "s", "pairs of processes"
    )
    for net, title, moved, tuned in (
        ("digits/lenet5", "digits (lenet5)", 900.0, 900.0),
        ("digits/resnet20", "digits (resnet20)", 900.0, 900.0),
        ("vgg16_bn", "VGG16-BN, 14.7 M weights, 3 x 32 x 32", 1000.0, None),
    ):
        runs = [kernel(net) for _ in range(_REPEATS if net == "digits/lenet5" else 1)]
        for stage, reach, what in (("moved", moved, "shown and moved"), ("fine-tuned", tuned, "and fine-tuned for an epoch")):
            bound = None if reach is None else ("<=", reach)
            peaks, data = (tuple(run[stage][kind] for run in runs) for kind in ("VmHWM", "VmData"))
            note = f"peak in use; RLIMIT_DATA would count {max(data):,.0f} MB"
            yield Figure(f"a whole kernel with the lab of {title}, {what}", peaks, bound, "MB", note, pick="max")
        if net == "digits/lenet5":
            alone = tuple(run["kernel"]["VmHWM"] for run in runs)
            yield Figure("the same kernel before the lab: ipykernel, `import nnwidgets`", alone, None, "MB")
