"""Peak memory of a whole kernel at work, and the time that the import alone takes. Reads /proc: Linux."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from figures import Figure
from kernels import ROOT, told_by_kernel

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
_EXPLORER = """
import json, sys
sys.path[:0] = [{root!r}, {root!r} + "/tests/widgets"]
from capped_lab import memory
import nnwidgets as nw
stages = {{"kernel": memory()}}
{made_by}
explorer = nw.LayerExplorer(exp)
display(explorer)
def rest(stage):
    assert explorer.wait(1700) and explorer.status == "idle", (stage, explorer.error)
    stages[stage] = memory()
rest("first picture")
rows = [row["id"] for row in explorer.tree if "deconvnet" in row["views"] and not row["container"]]
for explorer.layer in rows[:3] + rows[len(rows) // 2:][:3] + rows[-2:]:
    if explorer.panel["ask"]:
        explorer.show()
    rest("layers")
explorer.layer = rows[len(rows) // 2]
for explorer.view in ("filters", "deconvnet"):
    rest(explorer.view)
explorer.view = "maps"
for explorer.image_index in range(1, 11):
    rest("images")
explorer.switch_off(channel=1)
rest("channel off")
explorer.switch_on_all()
explorer.view = "top9"
rest("top 9")
explorer.view = "histogram"
rest("histogram")
print(json.dumps(stages))
"""


def kernel(net: str) -> dict[str, dict[str, float]]:
    """What a fresh ipykernel process holds, in MB, by stage: a lab shown, moved, fine-tuned for an epoch."""
    return told_by_kernel(_KERNEL.format(root=str(ROOT), net=net))


def explorer(made_by: str, **environment: str) -> dict[str, dict[str, float]]:
    """The same of a layer explorer: shown, then every tab of a middle layer, channels off, ten other images, large layers."""
    return told_by_kernel(_EXPLORER.format(root=str(ROOT), made_by=made_by), **environment)


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
    for made_by, title, reach in (
        ('exp = nw.load_example("digits/resnet20")', "digits (resnet20)", 900.0),
        ('exp = nw.load_example("photos")', "photos (EfficientNet-Lite0, trained weights)", 950.0),
        (
            'from nnwidgets.engine.experiment import load_torchvision; exp = load_torchvision("vgg16")',
            "VGG16 at 224 (138 M weights)",
            1600.0,
        ),
    ):
        for environment, where in (({}, ""), ({"MALLOC_MMAP_THRESHOLD_": "4194304"}, ", as `binder/start` sets glibc")):
            found = explorer(made_by, **environment)
            peaks = tuple(each["VmHWM"] for each in found.values())
            rows = ", ".join(f"{stage} {each['VmHWM']:,.0f}" for stage, each in found.items())
            name = f"a whole kernel with the explorer of {title}{where}: every tab, ten images, a channel off"
            yield Figure(name, peaks, ("<=", reach), "MB", rows, pick="max")
