"""Row 36: inputs that are not images, networks with little to compress, and data on the way in from torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812


class Sequence(nn.Module):
    """A transformer block over (B, T, D), pooled to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.block(x).mean(1))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """An LSTM over (B, T, D); its last step gives the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.lstm(x)[0][:, -1])  # type: ignore[no-any-return]


class Tied(nn.Module):
    """One weight used by two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.b(self.a(x).relu()).relu())  # type: ignore[no-any-return]


CASES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "vectors": (nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), (8,)),
    "sequences": (Sequence(), (5, 8)),
    "a recurrent net": (Recurrent(), (5, 8)),
    "shared weights": (Tied(), (8,)),
    "one layer with batch-norm": (nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 3)), (8,)),
    "no weights to prune": (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3)), (3, 1)),
}


@pytest.mark.parametrize("name", list(CASES))
def test_it_is_shown_and_compressed_like_an_image_net(name: str) -> None:
    model, shape = CASES[name]
    draw = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(90, *shape, generator=draw), torch.randint(0, 3, (90,), generator=draw))
    exp = nw.Experiment(model.eval(), train=data, test=E.Split(*data.tensors))
    lab = nw.CompressionLab(exp)
    assert lab.wait(60) and lab.status == "idle", lab.error
    recipe = E.Recipe(E.Pruning(0.5), E.Quantization(4))
    lab.sparsity, lab.weight_bits = 0.5, 4
    assert lab.wait(60) and lab.error is None
    assert exp.recipe == recipe
    assert lab.accuracy == E.evaluate(E.compress(model, recipe), exp.test).accuracy
    assert exp.live.cost == E.cost(model, shape, recipe)
    lab.close()
    exp.close()


def test_filters_of_a_net_without_convolutions_are_refused_in_words_and_the_lab_lives() -> None:
    model, shape = CASES["vectors"]
    exp = nw.Experiment(model.eval(), test=E.Split(torch.randn(60, *shape), torch.arange(60) % 3))
    lab = nw.CompressionLab(exp)
    lab.structure, lab.sparsity = "filter", 0.5
    assert lab.wait(60)
    assert lab.status == "error" and "There are no filters" in lab.error["message"], lab.error
    assert exp.recipe == E.Recipe(), "nothing is half-applied"
    lab.structure = "weight"
    assert lab.wait(60) and lab.status == "idle" and exp.recipe == E.Recipe(E.Pruning(0.5))
    lab.close()
    exp.close()


def test_notes_on_the_data_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    data: Any = TensorDataset(torch.randn(300, 8), torch.arange(300) % 3)
    exp = nw.Experiment(CASES["vectors"][0], test=E.Split.from_dataset(data, limit=50))
    lab = nw.CompressionLab(exp)
    assert any("50 of 300" in notice["text"] for notice in lab.notices)
    lab.close()
    exp.close()
