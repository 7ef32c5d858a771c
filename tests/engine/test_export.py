"""Exported files give the same answers where this package is not installed, or they are not written."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle_plan import Small, same_bits
from safetensors.torch import load_file
from torch import Tensor, nn

from nnwidgets.engine.compression import (
    Exported,
    _export_child,
    _export_graph,
    bake,
    compress,
    cost,
    export,
    export_steps,
    load_packed,
    materialize,
    save_packed,
)
from nnwidgets.engine.errors import FileError, InputError, ModelError, NnwError, RecipeError, UnsupportedError
from nnwidgets.engine.files import read_pickled, read_tensors
from nnwidgets.engine.trace import fingerprint, portable_graph
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe

RECIPE = Recipe(Pruning(0.7), Quantization(4))
NUMBERS, GRAPHS = ("state_dict", "safetensors"), ("torch_export", "onnx")

# What a stranger has: torch, safetensors and onnxruntime, the class of the network, and the lines of the record.
CLEAN = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "nnwidgets":
            raise ModuleNotFoundError("nnwidgets is not here")

sys.meta_path.insert(0, Absent())
sys.path.insert(0, {tests!r})
import torch
from oracle_plan import Small as YourNetwork

given = torch.load("given.pt", weights_only=True)
for lines, numpy in {files!r}:
    images, space = given["images"], {{}}
    for part in (images, images[:1]):
        space = {{"YourNetwork": YourNetwork, "images": part.numpy() if numpy else part}}
        with torch.no_grad():
            exec(lines, space)
            logits = space["logits"] if "logits" in space else space["model"](part)
        logits, expected = torch.as_tensor(logits), given["logits"][: len(part)]
        assert logits.shape == expected.shape
        worst = float((logits - expected).abs().max() / expected.abs().max())
        assert worst <= 1e-5, (lines, worst)
assert not [name for name in sys.modules if name.startswith("nnwidgets")]
sys.stdout.write("same")
"""


def answers_elsewhere(folder: Path, net: nn.Module, files: list[Exported]) -> str:
    """Load files in a clean process and compare the answers of a network on fixed images."""
    images = torch.randn((5, *Small.shape), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.save({"images": images, "logits": net(images)}, folder / "given.pt")
    code = CLEAN.format(tests=str(Path(__file__).parent), files=[(file.load, file.format == "onnx") for file in files])
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else done.stderr


def in_a_notebook(folder: Path, code: str) -> str:
    """Run code as ``__main__`` in a fresh process, with all warnings as errors; return what it writes."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else done.stderr


@pytest.mark.slow
def test_numbers_alone_give_the_same_answers_elsewhere(tmp_path: Path) -> None:
    """state_dict and safetensors, loaded into the class by the lines of the record."""
    net = Small()
    files = [export(net, RECIPE, tmp_path / name, name) for name in NUMBERS]
    assert answers_elsewhere(tmp_path, bake(compress(net, RECIPE)), files) == "same"


@pytest.mark.slow
@pytest.mark.parametrize("kind", GRAPHS)
def test_computations_give_the_same_answers_elsewhere(tmp_path: Path, kind: str) -> None:
    """At batch 5 and 1; the network is as it was, in train mode."""
    net = Small().train()
    before = fingerprint(net)
    found = export(net, RECIPE, tmp_path / "net", kind, input_shape=Small.shape)
    assert fingerprint(net) == before and found.bytes == (tmp_path / "net").stat().st_size
    assert found.notes[0].startswith("Quantized weights are written as floats") and len(found.notes) == 1
    assert answers_elsewhere(tmp_path, bake(compress(net, RECIPE)).eval(), [found]) == "same"


NOTEBOOK = """
import sys
import torch
from torch import nn
from nnwidgets import engine as E

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 3)
    def forward(self, x):
        {line}
        return self.fc(x.flatten(1))

net = Net()
found = E.export(net, E.Recipe(E.Pruning(0.5)), "net.pt2", "torch_export", input_shape=(2, 4))
loaded = "torch._dynamo" in sys.modules
net = E.bake(E.compress(net, E.Recipe(E.Pruning(0.5)))).eval()
x = torch.rand(7, 2, 4)
assert torch.allclose(torch.export.load("net.pt2").module()(x), net(x), rtol=1e-5)
sys.stdout.write(f"{{loaded}} {{' '.join(found.notes)}}")
"""


@pytest.mark.slow
def test_a_class_of_a_notebook_is_sent_as_its_graph(tmp_path: Path) -> None:
    """torch's compiler is not loaded."""
    assert in_a_notebook(tmp_path, NOTEBOOK.format(line="x += 1")) == "False "


@pytest.mark.slow
def test_where_there_is_no_graph_it_is_made_here_and_said(tmp_path: Path) -> None:
    """A forward pass that decides."""
    said = in_a_notebook(tmp_path, NOTEBOOK.format(line="x = x.relu() if x.dim() == 3 and x.sum is not None else x"))
    assert said.startswith("True Made in this process, which took about 200 MB"), said


class Limited(nn.Module):
    """Takes few images only."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x if x.shape[0] < 9 else x[:9])


@pytest.mark.slow
def test_what_cannot_be_exported_is_a_sentence_and_no_file(tmp_path: Path) -> None:
    """The exporter's reason, what to look at, and another format."""
    with pytest.raises(UnsupportedError, match=r"(?s)format='torch_export': UserError: Constraints.*input_shape, or use format"):
        export(Limited(), None, tmp_path / "net", "torch_export", input_shape=(8,))
    assert list(tmp_path.iterdir()) == []


def test_numbers_are_those_of_the_baked_network(tmp_path: Path) -> None:
    """Bit for bit, read by torch, by safetensors and by this package's careful readers; the record says how."""
    net = Small()
    expected = bake(compress(net, RECIPE))
    for name, read in (("state_dict", lambda p: torch.load(p, weights_only=True)), ("safetensors", load_file)):
        found = export(net, RECIPE, tmp_path / name, name)
        back = Small(seed=1)
        back.load_state_dict(read(tmp_path / name))
        assert same_bits(back, expected)
        assert found == dataclasses.replace(found, path=str(tmp_path / name), format=name)
        assert found.bytes == (tmp_path / name).stat().st_size and repr(str(tmp_path / name)) in found.load
        assert "floats on their grid" in found.notes[0] and "nnwidgets" not in found.load
    assert type(torch.load(tmp_path / "state_dict", weights_only=True)) is dict
    assert set(read_pickled(tmp_path / "state_dict", 10**7)) == set(expected.state_dict())
    assert set(read_tensors(tmp_path / "safetensors", 10**7)[0]) == set(expected.state_dict())


def test_a_dense_network_has_no_notes_and_tied_weights_are_stored_once_in_a_state_dict(tmp_path: Path) -> None:
    """safetensors knows no ties: twice there."""
    sizes = {}
    for name in NUMBERS:
        found = export(Small(), None, tmp_path / name, name)
        assert found.notes == ()
        sizes[name] = found.bytes
    assert sizes["safetensors"] - sizes["state_dict"] > 0.8 * 128 * 128 * 4


def test_a_view_into_large_memory_is_stored_alone(tmp_path: Path) -> None:
    """torch.save would write all of what lies under it."""
    net = nn.Linear(4, 4, bias=False)
    net.weight = nn.Parameter(torch.rand(1000, 4)[:4])
    assert export(net, None, tmp_path / "net").bytes < 4000


def test_packed_is_the_file_of_save_packed(tmp_path: Path) -> None:
    """Its size is that of `cost`; its lines name this package."""
    net = Small()
    found = export(net, RECIPE, tmp_path / "a", "packed", input_shape=Small.shape)
    save_packed(net, RECIPE, tmp_path / "b", input_shape=Small.shape)
    back, other = Small(seed=1), Small(seed=2)
    load_packed(tmp_path / "a", back)
    load_packed(tmp_path / "b", other)
    assert same_bits(back, other) and same_bits(back, bake(compress(net, RECIPE)))
    assert found.bytes == cost(net, Small.shape, RECIPE).bytes_encoded and "load_packed" in found.load


def test_a_compressed_copy_can_be_exported(tmp_path: Path) -> None:
    """Its masks are baked."""
    twin = compress(Small(), Recipe(Pruning(0.7)))
    export(twin, None, tmp_path / "a", "safetensors")
    back = Small(seed=1)
    back.load_state_dict(load_file(tmp_path / "a"))
    assert same_bits(back, bake(twin))


class Extra(nn.Linear):
    """Has something in its state dict that is no tensor."""

    def get_extra_state(self) -> dict[str, int]:
        return {"a": 1}

    def set_extra_state(self, state: Any) -> None:
        pass


REFUSED: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], type[Exception], str]] = {
    "format": (Small, {"format": "safetensor"}, InputError, "did you mean 'safetensors'"),
    "flag": (Small, {"materialized": 1}, InputError, "materialized is 1"),
    "recipe": (Small, {"recipe": 0.5}, RecipeError, "recipe is float"),
    "packed": (Small, {"format": "packed", "materialized": True}, UnsupportedError, "Leave materialized out"),
    "activations": (
        Small,
        {"recipe": Recipe(quantization=Quantization(8, 8))},
        UnsupportedError,
        "activation_bits=8 round numbers while",
    ),
    "meta": (lambda: nn.Linear(2, 2, device="meta"), {}, ModelError, "meta device"),
    "extra": (lambda: Extra(2, 2), {}, UnsupportedError, "_extra_state.*expected tensors"),
    "no module": (lambda: 3, {}, ModelError, "Got int"),  # type: ignore[dict-item, return-value]
    "layer": (Small, {"recipe": Recipe(Pruning(0.5, exclude=("conf1",)))}, RecipeError, "did you mean"),
    "shape": (Small, {"format": "torch_export", "input_shape": (0,)}, InputError, "input_shape"),
}


@pytest.mark.parametrize(("net", "arguments", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_before_anything_is_written(
    tmp_path: Path, net: Callable[[], nn.Module], arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    """What was got, what was expected; the folder stays empty."""
    with pytest.raises(error, match=message):
        export(**{"model": net(), "recipe": None, "path": tmp_path / "net", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what installs them, and a format that needs none."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name.startswith("onnx") else real(name, *a))
    with pytest.raises(UnsupportedError, match=r"packages onnx and onnxscript: pip install 'nnwidgets\[export\]', or use"):
        export(Small(), None, tmp_path / "net", "onnx")
    assert list(tmp_path.iterdir()) == []


SMALLER = Recipe(Pruning(0.34, "filter"), Quantization(8))


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_materialized_network_is_written_with_smaller_tensors(tmp_path: Path, kind: str) -> None:
    """Those of ``materialize``, bit for bit; the note says that the class it was made from cannot load them."""
    net = Small()
    found = export(net, SMALLER, tmp_path / "net", kind, materialized=True, input_shape=Small.shape)
    wanted = materialize(net, SMALLER, Small.shape).state_dict()
    read = torch.load(tmp_path / "net", weights_only=True) if kind == "state_dict" else load_file(tmp_path / "net")
    assert read.keys() == wanted.keys() and all(torch.equal(read[name], value) for name, value in wanted.items())
    assert wanted["conv1.weight"].shape[0] == 4 and "cannot load them" in found.notes[0]
    assert found.bytes < export(net, SMALLER, tmp_path / "full", kind, input_shape=Small.shape).bytes


@pytest.mark.slow
@pytest.mark.parametrize("kind", GRAPHS)
def test_a_materialized_graph_answers_as_the_masked_network(tmp_path: Path, kind: str) -> None:
    """It needs no class: the smaller network is in the file."""
    net, images = Small(), torch.rand(3, *Small.shape, generator=torch.Generator().manual_seed(1))
    found = export(net, SMALLER, tmp_path / "net", kind, materialized=True, input_shape=Small.shape)
    space: dict[str, Any] = {"images": images.numpy() if kind == "onnx" else images}
    with torch.no_grad():
        exec(found.load, space)
        wanted = bake(compress(net, SMALLER, input_shape=Small.shape))(images)
        answers = torch.as_tensor(space["logits"] if "logits" in space else space["model"](images))
    assert float((answers - wanted).abs().max() / wanted.abs().max()) <= 1e-5 and not found.notes


def test_a_file_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    """FAULTS 27, in each format; nothing is left beside it."""
    path = tmp_path / "a"
    path.write_text("mine")
    for name in ("state_dict", "safetensors", "packed"):
        for bad in (path, tmp_path, tmp_path / "missing" / "a"):
            with pytest.raises(FileError):
                export(Small(), None, bad, name)
        assert path.read_text() == "mine" and [p.name for p in tmp_path.iterdir()] == ["a"]
    export(Small(), None, path, overwrite=True)
    assert len(read_pickled(path, 10**7)) == len(Small().state_dict())


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed: No space left")]
)
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """FAULTS 45: as the system says it, and as torch does."""
    path = tmp_path / "a"
    path.write_text("mine")

    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(FileError, match="No space left"):
        export(Small(), None, path, overwrite=True)
    assert path.read_text() == "mine" and [p.name for p in tmp_path.iterdir()] == ["a"]


# The other process


def graph_export(tmp_path: Path) -> Exported:
    """An export that starts another process."""
    return export(Small(), None, tmp_path / "net", "torch_export", input_shape=Small.shape)


@pytest.mark.parametrize(
    ("boot", "error", "message"),
    [
        ("import sys; sys.stderr.write('a\\nKilled: 9\\n'); raise SystemExit(3)", UnsupportedError, "ended with 3: Killed: 9"),
        ("print('{\"notes\": []}')", UnsupportedError, "nothing was written"),
        ("pass", UnsupportedError, "ended with 0: it said nothing"),
        ('print(\'{"kind": "disk", "error": "No space left"}\')', FileError, "cannot be written: No space left"),
        ('print(\'noise\'); print(\'{"kind": "failed", "error": "why."}\')', UnsupportedError, "why. Look at"),
    ],
)
def test_whatever_ends_the_other_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: str, error: type[NnwError], message: str
) -> None:
    """And no file is left."""
    monkeypatch.setattr(_export_graph, "_BOOT", boot)
    with pytest.raises(error, match=message):
        graph_export(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_job_yields_and_its_end_is_the_end_of_the_other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled while it works: killed, waited for, no file."""
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(_export_graph, "_BOOT", "import time; time.sleep(600)")
    monkeypatch.setattr(_export_graph.subprocess, "Popen", Noted)
    steps = export_steps(Small(), None, tmp_path / "net", "torch_export", input_shape=Small.shape)
    said = [next(steps) for _ in range(5)]
    assert said == ["compressing", "writing", "exporting", "exporting", "exporting"] and started[0].poll() is None
    steps.close()
    assert started[0].returncode is not None and list(tmp_path.iterdir()) == []


def test_what_another_process_cannot_read_is_sent_as_a_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class without an address: first the network, then its graph, of which torch has all classes."""

    class Local(Small):
        pass

    sent: list[nn.Module] = []

    def child(job: Any) -> Any:
        sent.append(job[0])
        Path(job[4]).write_text("done")
        yield "exporting"
        return {"kind": "unreadable", "error": "no"} if len(sent) == 1 else {"notes": []}

    monkeypatch.setattr(_export_graph, "_in_child", child)
    net = Local()
    export(net, None, tmp_path / "net", "torch_export", input_shape=Small.shape)
    assert isinstance(sent[0], Local) and isinstance(sent[1], torch.fx.GraphModule) and len(sent) == 2
    x = torch.rand(2, *Small.shape)
    with torch.no_grad():
        assert torch.equal(sent[1](x), net(x)) and torch.equal(portable_graph(net)(x), net(x))


def test_other_answers_are_not_written() -> None:
    """Another shape, other numbers, NaN; a difference within rounding passes."""
    logits = torch.tensor([[1.0, -2.0]])
    _export_child._check(logits + 1e-5, logits)
    for bad in (logits + 1e-3, logits[:, :1], logits * float("nan")):
        with pytest.raises(RuntimeError, match="something else"):
            _export_child._check(bad, logits)
    with pytest.raises(TypeError, match="one tensor of logits"):
        _export_child._check(logits, (logits,))  # type: ignore[arg-type]


class Program:
    """Stands for what torch.onnx gives; answers, or misses onnxruntime."""

    def __init__(self, answer: Tensor | None) -> None:
        self.answer = answer

    def __call__(self, images: Tensor) -> list[Tensor]:
        if self.answer is None:
            raise ModuleNotFoundError("No module named 'onnxruntime'")
        return [self.answer]

    def release(self) -> None:
        pass

    def save(self, path: str) -> None:
        Path(path).write_text("onnx")


def test_without_onnxruntime_the_file_is_written_and_not_called_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note; with onnxruntime none; with other answers no file."""
    x = torch.ones(2, 3)
    program: Any = None
    for answer, notes in ((None, 1), (x, 0)):
        monkeypatch.setattr(torch.onnx, "export", lambda *_, a=answer, **__: Program(a))
        path = tmp_path / str(notes)
        assert len(_export_child._write_onnx(program, x, x, x, str(path))) == notes and path.read_text() == "onnx"
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: Program(x + 1))
    with pytest.raises(RuntimeError, match="something else"):
        _export_child._write_onnx(program, x, x, x, str(tmp_path / "bad"))
    assert not (tmp_path / "bad").exists()
