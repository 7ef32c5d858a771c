"""ONNX with integers in it: ONNX Runtime gives the answers of the simulated network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.errors import DataError, UnsupportedError
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


class Net(nn.Module):
    """A folded convolution with a negative batch-norm scale, one that is used twice, a sum, a layer without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 3, padding=1)
        self.pool, self.fc = nn.MaxPool2d(2), nn.Linear(8 * 16, 3, bias=False)
        with torch.no_grad():
            self.norm.weight[2], self.norm.weight[5] = -1.5, 0.0

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = self.twice(x) + self.twice(torch.relu(x - 0.1))
        return self.fc(self.pool(torch.relu(x)).flatten(1))


def made(kind: type[nn.Module], shape: tuple[int, ...]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind()
        model(torch.randn(30, *shape) + 0.5)
    return model.eval()


def data(shape: tuple[int, ...], n: int = 64) -> E.Split:
    return E.Split(torch.randn(n, *shape, generator=torch.Generator().manual_seed(1)))


def answers(path: Path, images: Tensor) -> Tensor:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: Tensor = torch.from_numpy(session.run(None, {"input": images.numpy()})[0])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "pruning"),
    [
        ({}, None),
        ({"activation_bits": 5, "weight_bits": 4, "observer": "mse", "activation_symmetric": True}, None),
        ({"granularity": "tensor", "activation_observer": "percentile"}, Pruning(0.4, "filter", allocation="uniform")),
        ({"symmetric": False}, None),
        ({"method": "codebook", "weight_bits": 5}, None),
        ({"weight_bits": 3, "observer": "learned"}, None),
    ],
)
def test_onnx_runtime_gives_the_simulated_answers(tmp_path: Path, settings: dict[str, Any], pruning: Pruning | None) -> None:
    """With any number of images; weights are int8 in the file where they are symmetric, inputs bytes."""
    model, split = made(Net, (1, 8, 8)), data((1, 8, 8))
    recipe = Recipe(pruning, Quantization(**{"weight_bits": 8, "activation_bits": 8, **settings}))
    path = tmp_path / "net.onnx"
    exported = E.export(model, recipe, path, "onnx", calibration=split, materialized=pruning is not None)
    assert "DequantizeLinear pairs" in exported.notes[-1]
    x = data((1, 8, 8), 101).images
    simulated = E.materialize(model, recipe, (1, 8, 8), split)
    with torch.no_grad():
        expected = simulated(x)
    apart = (answers(path, x) - expected).abs().amax(1) / expected.abs().max()
    assert apart.median() < 0.02 and (apart > 0.1).float().mean() < 0.02
    assert torch.equal(answers(path, x[:1]), answers(path, x[:1])) and answers(path, x[:1]).shape == (1, 3)
    graph = onnx.load(path).graph
    kinds = [node.op_type for node in graph.node]
    types = {value.name: onnx.numpy_helper.to_array(value).dtype for value in graph.initializer}
    assert kinds.count("QuantizeLinear") == 4 and "BatchNormalization" not in kinds  # twice has two inputs
    assert (kinds.count("Clip") == 4) == (recipe.quantization is not None and recipe.quantization.activation_bits == 5)
    codes = [dtype for name, dtype in types.items() if name.endswith(".weight_codes")]
    floats = settings.get("symmetric") is False or "method" in settings
    assert codes == ([] if floats else [np.int8] * 3)
    assert any("Values of a codebook lie on no grid" in note for note in exported.notes) == ("method" in settings)


@pytest.mark.slow
def test_a_bundled_net_agrees_and_its_file_is_a_quarter(tmp_path: Path) -> None:
    """LeNet-5: at least 99.5 % of the predictions are those of the simulated and of the integer network."""
    import nnwidgets as nw

    exp = nw.load_example("digits/lenet5")
    recipe = Recipe(None, Quantization(8, 8))
    whole, small = tmp_path / "whole.onnx", tmp_path / "small.onnx"
    E.export(exp.model, None, whole, "onnx", input_shape=exp.input_shape)
    E.export(exp.model, recipe, small, "onnx", calibration=exp.train)
    assert small.stat().st_size < 0.3 * whole.stat().st_size
    images = exp.test.inputs(slice(0, 1000))
    found = answers(small, images).argmax(1)
    with torch.inference_mode():
        for network in (E.compress(exp.model, recipe, exp.train), E.integer(exp.model, recipe, exp.train)):
            assert (network(images).argmax(1) == found).float().mean() >= 0.995
    exp.close()


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))
        return found


@pytest.mark.slow
def test_what_cannot_be_written_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    """Other formats, layers that are no convolution or linear layer there, no images."""
    model, split = made(Net, (1, 8, 8)), data((1, 8, 8))
    recipe = Recipe(None, Quantization(8, 8))
    for kind in ("state_dict", "safetensors", "torch_export", "packed"):
        with pytest.raises(UnsupportedError, match=r"activation_bits=8.*format='onnx'"):
            E.export(model, recipe, tmp_path / "net", kind, calibration=split)
    with pytest.raises(DataError, match="needs images"):
        E.export(model, recipe, tmp_path / "net", "onnx", input_shape=(1, 8, 8))
    with pytest.raises(UnsupportedError, match="what goes into attention is rounded"):
        E.export(made(Attention, (5, 8)), recipe, tmp_path / "net", "onnx", calibration=data((5, 8)))
    assert list(tmp_path.iterdir()) == []
