"""The bundled networks and data: what is said of them holds."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.zoo import digits, example_parts, list_examples, shapes, torchvision_net
from nnwidgets.engine.zoo.examples import RECIPES
from nnwidgets.engine.zoo.weights import read_record

WEIGHTS = {"lenet300": 266_200, "lenet5": 430_500}


@pytest.mark.slow
@pytest.mark.parametrize("net", list(RECIPES))
def test_the_recorded_errors_are_those_of_the_shipped_weights(net: str) -> None:
    parts = example_parts(f"{RECIPES[net].data}/{net}")
    with resources.as_file(resources.files("nnwidgets") / "assets" / f"{net}.safetensors") as path:
        record = read_record(path)
    assert record["script"] == "nnwidgets/engine/zoo/train_bundled.py" and record["seed"] == parts.setup.seed
    assert record["setup"] == parts.setup.__dict__
    name = "test" if net.startswith("lenet") else "val"  # the larger nets on fewer images
    measured = E.evaluate(parts.model, getattr(parts, name)).error
    assert abs(measured - record["error"][name]) <= 2 / record["n"][name], "another CPU may flip a tie or two"
    error = record["error"]["test"]
    assert error <= parts.goal < 2.5 * error, "the goal is met, and not by far"
    assert record["n"] == {"train": len(parts.train), "val": len(parts.val), "test": len(parts.test)}


@pytest.mark.parametrize("net", list(WEIGHTS))
def test_the_nets_have_the_sizes_of_the_literature(net: str) -> None:
    model = RECIPES[net].build(1.0)
    assert sum(p.numel() for p in model.parameters() if p.dim() > 1) == WEIGHTS[net]


@pytest.mark.slow
@pytest.mark.parametrize("net", list(RECIPES))
def test_the_nets_can_be_built_wider_and_narrower(net: str) -> None:
    parts = example_parts(f"{RECIPES[net].data}/{net}")
    sizes = [sum(p.numel() for p in RECIPES[net].build(width).parameters()) for width in (0.25, 1.0, 1.5)]
    assert sizes == sorted(set(sizes)) and sizes[1] <= 1_000_000
    for width in (0.25, 1.5):
        model = RECIPES[net].build(width).eval()
        assert model(parts.test.inputs(slice(0, 2))).shape == (2, 10)


def test_digits_are_the_rows_that_were_promised() -> None:
    train, test = digits()
    assert (len(train), len(test), train.sample_shape) == (6000, 4000, (1, 28, 28))
    parts = example_parts("digits")
    assert torch.equal(parts.val.images, train.images[5000:]) and torch.equal(parts.train.images, train.images[:5000])
    counts = np.bincount(np.concatenate([train.labels, test.labels]))  # type: ignore[list-item]
    assert counts.tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]


def test_shapes_are_the_same_for_a_seed_and_follow_their_knobs() -> None:
    clean = shapes(600, seed=3)
    assert torch.equal(clean.images, shapes(600, seed=3).images) and not torch.equal(clean.images, shapes(600, seed=4).images)
    assert clean.images.dtype == torch.uint8 and clean.sample_shape == (3, 32, 32) and clean.n_classes == 10
    assert clean.labels is not None and clean.class_names is not None and len(clean.class_names) == 10
    noisy = shapes(600, seed=3, noise=0.3)
    assert noisy.images.float().std() > clean.images.float().std()
    wrong = shapes(4000, seed=3, label_errors=0.3).labels
    assert 0.25 < float((wrong != shapes(4000, seed=3).labels).float().mean()) < 0.35
    rare = shapes(4000, seed=3, imbalance=0.9).labels
    assert rare is not None
    counts = rare.bincount(minlength=10).float()
    assert counts[5:].mean() < 0.2 * counts[:5].mean()
    assert shapes(5, size=48).sample_shape == (3, 48, 48)
    assert off_centre(shapes(400, seed=3, shift=0.3)) > 1.5 * off_centre(clean)


def off_centre(split: E.Split) -> float:
    """Mean distance of the shapes (not the textures) from the middle, in pixels: where pixels differ most from the median."""
    assert split.labels is not None
    images = split.images[split.labels < 7].float()
    apart = (images - images.flatten(2).median(2).values[:, :, None, None]).abs().sum(1)
    weight = (apart > 0.6 * apart.flatten(1).max(1).values[:, None, None]).float()
    line = torch.arange(32.0) - 15.5
    total = weight.sum((1, 2))
    y, x = (weight.sum(2) * line).sum(1) / total, (weight.sum(1) * line).sum(1) / total
    return float(torch.hypot(y, x).mean())


@pytest.mark.parametrize(
    "bad", [{"n": 0}, {"n": 2.5}, {"noise": -1}, {"label_errors": 2}, {"imbalance": 1.0}, {"shift": 0.9}, {"size": 4}]
)
def test_shapes_refuse_knobs_out_of_range(bad: dict[str, Any]) -> None:
    with pytest.raises(E.InputError, match=next(iter(bad))):
        shapes(**{"n": 4, **bad})


def test_an_unknown_example_offers_the_nearest() -> None:
    assert "digits/lenet5" in list_examples()
    with pytest.raises(E.InputError, match="digits/lenet5"):
        example_parts("digits/lenet")


@pytest.mark.slow
def test_row_46_everything_bundled_loads_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def no(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", no)
    for name in list_examples():
        if not name.startswith("photos"):  # see test_photos.py
            assert len(example_parts(name).test) == 4000


def test_torchvision_nets_by_name_from_a_local_file_and_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torchvision_net("squeezenet1_1", weights=None)
    assert not model.training
    torch.save(model.state_dict(), tmp_path / "net.pt")
    again = torchvision_net("squeezenet1_1", weights=tmp_path / "net.pt")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    with pytest.raises(E.FileError, match="resnet18"):
        torchvision_net("resnet18", weights=tmp_path / "net.pt")
    with pytest.raises(E.FileError, match="not a file"):
        torchvision_net("resnet18", weights=tmp_path / "none.pt")
    with pytest.raises(E.InputError, match="resnet18"):
        torchvision_net("resnet_18")

    def no(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", no)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no)
    with pytest.raises(E.FileError, match="weights=path"):
        torchvision_net("squeezenet1_1")


class Canary:
    """A pickle that would write a file when it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.path),))


def test_row_21_a_pickle_that_carries_code_is_refused_unread(tmp_path: Path) -> None:
    torch.save({"weight": Canary(str(tmp_path / "canary"))}, tmp_path / "bad.pt")
    with pytest.raises(E.FileError, match="safely"):
        torchvision_net("squeezenet1_1", weights=tmp_path / "bad.pt")
    assert not (tmp_path / "canary").exists()
