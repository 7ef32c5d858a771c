"""Integer arithmetic against float32 and bfloat16, and what it costs to make weights float32 again at each pass."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from figures import Figure
from nets import vgg16_bn
from torch import nn

from nnwidgets.engine import Quantization, Recipe, Split, export, integer, time_arithmetic
from nnwidgets.engine.zoo import example_parts

_TIMES = 5  # whole measurements of a network, made anew


def _torchvision(name: str) -> nn.Module:
    from torchvision import models

    torch.manual_seed(0)
    model: nn.Module = getattr(models, name)()
    model(torch.randn(32, 3, 64, 64))  # batch-norm has seen something
    return model.eval()


def _noise(shape: tuple[int, int, int]) -> Split:
    return Split(torch.randn(64, *shape, generator=torch.Generator().manual_seed(0)))


def _bundled(name: str) -> tuple[nn.Module, Split, Split]:
    parts = example_parts(name)
    return parts.model, parts.train, parts.test


_NETS: dict[str, Callable[[], tuple[nn.Module, Split, Split]]] = {
    "LeNet-5": partial(_bundled, "digits/lenet5"),
    "ResNet-20": partial(_bundled, "digits/resnet20"),
    "small VGG": partial(_bundled, "shapes/vgg_small"),
    "VGG16-BN at 32": lambda: (vgg16_bn(), _noise((3, 32, 32)), _noise((3, 32, 32))),
    "ResNet-18 at 64": lambda: (_torchvision("resnet18"), _noise((3, 64, 64)), _noise((3, 64, 64))),
    "MobileNetV2 at 64": lambda: (_torchvision("mobilenet_v2"), _noise((3, 64, 64)), _noise((3, 64, 64))),
}
_REACH = {"small VGG": {"float32": 4.0, "bfloat16": 2.0}}


def _against_onnx_runtime(title: str, model: nn.Module, train: Split) -> Iterator[Figure]:
    """The same recipe, exported, in ONNX Runtime on as many threads: passes in turns, and how often both predict the same."""
    import onnxruntime

    recipe, threads = Recipe(None, Quantization(8, 8)), torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        export(model, recipe, path, "onnx", calibration=train)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    ours = integer(model, recipe, train)
    for batch in (1, 64):
        images = train.inputs(slice(0, batch))
        given = {"input": images.numpy()}
        ratios, runs = [], 30 if batch == 1 else 10
        with torch.inference_mode():
            for turn in range(runs + 2):
                start = time.perf_counter()
                session.run(None, given)
                middle = time.perf_counter()
                ours(images)
                if turn >= 2:
                    ratios.append((middle - start) / (time.perf_counter() - middle))
        told = f"{title}, {batch} image{'s' if batch > 1 else ''}: speed of integers / ONNX Runtime's"
        yield Figure(told, tuple(ratios), reach=(">=", 1.0) if batch > 1 else None, note=f"onnxruntime {onnxruntime.__version__}")
    images = train.inputs(slice(0, 1000))
    with torch.inference_mode():
        same = ours(images).argmax(1) == torch.from_numpy(session.run(None, {"input": images.numpy()})[0]).argmax(1)
    yield Figure(f"{title}: same predictions as ONNX Runtime", (100 * float(same.double().mean()),), reach=(">=", 99.5), unit="%")


def figures() -> Iterator[Figure]:
    """Ratios at one image and at many; agreement of predictions; dequantization at 8, 4, 2 and 1 bit."""
    for title, made in _NETS.items():
        model, train, test = made()
        found = [time_arithmetic(model, Recipe(None, Quantization(8, 8)), train, test) for _ in range(_TIMES)]
        few = min(found[0].kinds[0].latencies), max(found[0].kinds[0].latencies)
        for batch in few:
            for other in ("float32", "bfloat16"):
                ratios = tuple(each.ratio("integer", other, batch) or 0.0 for each in found)
                reach = _REACH.get(title, {}).get(other) if batch > 1 else None
                told = f"{title}, {batch} image{'s' if batch > 1 else ''}: speed of integers / {other}"
                yield Figure(told, ratios, reach=None if reach is None else (">=", reach), note=found[0].engine)
        yield from _against_onnx_runtime(title, model, train)
        agree = tuple(100 * each.agreement for each in found[:1])
        yield Figure(f"{title}: same predictions as simulated, of {found[0].n} images", agree, unit="%", reach=(">=", 99.5))
    for title in ("ResNet-20", "small VGG"):
        model, train, test = _NETS[title]()
        for bits in (8, 4, 2, 1):
            recipe = Recipe(None, Quantization(bits, 8))
            found = [time_arithmetic(model, recipe, train, test) for _ in range(3)]
            sizes = {kind.name: kind.weight_bytes for kind in found[0].kinds}
            less = sizes["float32"] / sizes["weights_only"]
            for batch in found[0].kinds[0].latencies:
                ratios = tuple(each.ratio("weights_only", "float32", batch) or 0.0 for each in found)
                told = f"{title}, {batch} image{'s' if batch > 1 else ''}: speed of weights alone in {bits} bit / float32"
                yield Figure(told, ratios, note=f"{less:.1f} times less memory")
