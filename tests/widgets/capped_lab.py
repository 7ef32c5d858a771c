"""A lab at work in a process of its own, under a cap on its memory: ``python capped_lab.py NET MIB [STEPS]``.

The cap is set before anything is loaded. Prints one line of JSON: what each stage took, in MB, and what came out.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

NETS = ("digits/lenet5", "digits/resnet20", "shapes", "vgg16_bn")
_STATUS = Path("/proc/self/status")


def memory() -> dict[str, float]:
    """Peak of memory in use, memory in use, and what RLIMIT_DATA counts, in MB."""
    lines = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="utf-8").splitlines())
    return {name: round(int(lines[name].split()[0]) * 1024 / 1e6, 1) for name in ("VmHWM", "VmRSS", "VmData")}


def vgg16_bn() -> Any:
    """The VGG16 of CIFAR with batch-norm: 14.7 million weights, 3 x 32 x 32."""
    from torch import nn

    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10)).eval()


def experiment(net: str) -> Any:
    """A bundled example, or the VGG with random weights on 200 random images."""
    import nnwidgets as nw

    if net != "vgg16_bn":
        return nw.load_example(net)
    import torch

    from nnwidgets import engine as E  # noqa: N812

    torch.manual_seed(0)
    train, test = (
        E.Split(torch.randint(0, 256, (200, 3, 32, 32), dtype=torch.uint8), torch.arange(200) % 10, [0.5] * 3, [0.5] * 3)
        for _ in range(2)
    )
    return nw.Experiment(vgg16_bn(), train=train, test=test, training=E.TrainingSetup(batch_size=32))


def work(net: str, steps: int) -> dict[str, Any]:
    """Show a lab, move it as a hand would, fine-tune some steps, undo: everything at rest in between."""
    stages = {"start": memory()}
    import torch

    stages["import torch"] = memory()
    import nnwidgets as nw
    from nnwidgets.engine.experiment.tasks import default_setup, fine_tuning

    exp = experiment(net)
    stages["load"] = memory()
    lab = nw.CompressionLab(exp)

    def rest(stage: str) -> None:
        assert lab.wait(900) and lab.status == "idle", (stage, lab.status, lab.error)
        stages[stage] = memory()

    rest("shown")
    for move, state in enumerate(
        ({"sparsity": 0.5}, {"weight_bits": 4}, {"structure": "filter", "sparsity": 0.3}, {"criterion": "random"},
         {"structure": "weight", "criterion": "magnitude", "weight_bits": 32})
    ):  # fmt: skip
        state = {**state, "gesture": move + 1}
        lab._handle_msg({"content": {"data": {"method": "update", "state": state, "buffer_paths": []}}, "buffers": []})
        rest(f"move {move + 1}")
    accuracy = lab.accuracy
    for step, _ in enumerate(fine_tuning(exp, default_setup(exp)), 1):
        if step == steps:
            break
    stages["fine-tuned"] = memory()
    key = exp.weights.put({name: value + 0.01 for name, value in exp.model.state_dict().items()})  # as a finished run leaves them
    from nnwidgets.engine.experiment import Attempt, State

    exp.adopt(State(exp.recipe, key, Attempt("fine_tune", exp.recipe, None, default_setup(exp), 1.0, 1.0, 1.0)))
    rest("trained state")
    exp.undo()
    rest("undone")
    assert lab.accuracy == accuracy
    found = {"stages": stages, "accuracy": accuracy, "threads": torch.get_num_threads()}
    lab.close()
    exp.close()
    return found


def main() -> int:
    """See the head of this file."""
    net, cap, steps = sys.argv[1], int(sys.argv[2]), int((*sys.argv, 5)[3])
    if cap:
        resource.setrlimit(resource.RLIMIT_DATA, (cap * 2**20,) * 2)
    began = time.perf_counter()
    found = work(net, steps)
    sys.stdout.write(json.dumps({**found, "seconds": round(time.perf_counter() - began, 1)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
