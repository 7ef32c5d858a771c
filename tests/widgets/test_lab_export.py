"""Export from the lab, what a file holds, and sparse products, without a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from front import click, from_front
from safetensors.torch import load_file
from small_data import vectors
from torch import nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment.exporting import ENDINGS, default_name, file_name
from nnwidgets.engine.trace import fingerprint


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).eval()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """At work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    made = nw.CompressionLab(E.Experiment(network(), train=vectors(160, 0), test=vectors(90, 1)))
    assert made.wait(60)
    yield made
    made.close()
    made.experiment.close()


def answers(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(vectors(20, 5).inputs(slice(0, 20)))


@pytest.mark.parametrize("format", ["state_dict", "safetensors", "packed"])
def test_the_file_answers_as_the_state_on_the_screen(lab: Any, tmp_path: Path, format: str) -> None:
    """Read as its own lines say; where it is, how large, and of which state."""
    before = fingerprint(lab.experiment.model)
    lab.sparsity, lab.export_format, lab.export_name = 0.5, format, "mine"
    assert lab.wait(60)
    click(lab, "export")
    assert lab.wait(60) and lab.error is None
    path = tmp_path / f"mine{ENDINGS[format]}"
    told = lab.exported
    assert [path.name] == os.listdir(tmp_path) and told["path"] == path.name and told["folder"] == str(tmp_path)
    assert told["bytes"] == path.stat().st_size and told["of"] == "50 % of weights pruned" and not told["earlier"]
    again = network()
    if format == "packed":
        E.load_packed(path, again)
        assert told["bytes"] == lab.experiment.live.cost.bytes_encoded
    else:
        again.load_state_dict(torch.load(path, weights_only=True) if format == "state_dict" else load_file(path))
    assert torch.equal(answers(again), answers(lab.experiment.compressed))
    assert fingerprint(lab.experiment.model) == before
    lab.sparsity = 0.0
    assert lab.wait(60) and lab.exported["earlier"], "the file is of an earlier state now"


def test_what_is_there_is_replaced_only_once_that_was_asked(lab: Any, tmp_path: Path) -> None:
    """A second press is refused beside the button; Replace is offered then, for that name alone."""
    (tmp_path / "mine.pt").write_text("precious")
    lab.export_name = "mine"
    click(lab, "export")
    assert lab.wait(30) and lab.error is None and lab.export_view["refused"]["replace"]
    assert "exists already" in lab.export_view["refused"]["text"] and (tmp_path / "mine.pt").read_text() == "precious"
    lab.export_name = "other"
    assert lab.export_view["refused"] is None
    (tmp_path / "other.pt").write_text("precious too")
    click(lab, "export", replace=True)
    assert lab.wait(30) and (tmp_path / "other.pt").read_text() == "precious too", "it was not asked about this one"
    click(lab, "export", replace=True)
    assert lab.wait(30) and lab.exported["path"] == "other.pt" and lab.export_view["refused"] is None
    assert torch.load(tmp_path / "other.pt", weights_only=True).keys() == network().state_dict().keys()


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "a\\b", "/etc/passwd", "C:x", ".hidden", "", "  ", "con", "a\x00b", "x" * 200, "a\u202eb"]
)
def test_row_27_a_name_leads_nowhere_else(lab: Any, tmp_path: Path, name: str) -> None:
    """From the screen only plain names are taken; nothing is written."""
    from_front(lab, export_name=name)
    if lab.export_name == name:
        click(lab, "export")
        assert lab.wait(30) and "is no file name" in lab.export_view["refused"]["text"]
        assert not lab.export_view["refused"]["replace"]
    assert os.listdir(tmp_path) == [] and lab.exported is None
    with pytest.raises(E.InputError, match="is no file name"):
        file_name(name, "onnx")


def test_names_get_their_ending_once() -> None:
    """And the first name is made of the experiment's."""
    assert file_name("net.pt", "state_dict") == "net.pt" and file_name(" net ", "onnx") == "net.onnx"
    assert default_name(E.Experiment(network(), test=vectors(9, 0), title="Нейросеть/1: <b>")) == "Нейросеть_1_b"


def test_really_smaller_tensors_where_units_are_gone(lab: Any, tmp_path: Path) -> None:
    """Else the reason is said; what is written is smaller."""
    assert lab.export_view["small_off"] == "no filters, neurons or heads are removed"
    lab.structure, lab.sparsity, lab.export_materialized = "neuron", 0.5, True
    assert lab.wait(60) and lab.export_view["small_off"] == ""
    click(lab, "export")
    assert lab.wait(60) and lab.error is None
    weights = torch.load(tmp_path / lab.exported["path"], weights_only=True)
    assert tuple(weights["0.weight"].shape) == (8, 6)
    assert any("cannot load them" in note for note in lab.exported["notes"])


def test_a_double_click_is_one_file_and_code_may_write_anywhere(lab: Any, tmp_path: Path) -> None:
    """`lab.export` takes any path; what is there is said before anything runs."""
    click(lab, "export")
    click(lab, "export")
    assert lab.wait(60) and len(os.listdir(tmp_path)) == 1 and lab.export_view["refused"] is None
    folder = tmp_path / "sub"
    folder.mkdir()
    lab.export(folder / "x.safetensors", "safetensors")
    assert lab.wait(60) and (folder / "x.safetensors").exists()
    with pytest.raises(E.FileError, match="exists already"):
        lab.export(folder / "x.safetensors", "safetensors")
    with pytest.raises(E.InputError, match="format"):
        lab.export(folder / "y", "zip")


def test_row_45_a_folder_that_cannot_be_written_to_is_said(lab: Any, tmp_path: Path) -> None:
    """Nothing half-written; Retry writes it once the folder is there."""
    missing = tmp_path / "gone"
    lab.export(missing / "x.pt")
    assert lab.wait(60) and lab.error is not None and lab.error["retry"] and lab.exported is None
    assert "Nothing was written" in lab.error["next"] and os.listdir(tmp_path) == []
    missing.mkdir()
    click(lab, "retry")
    assert lab.wait(60) and lab.error is None and (missing / "x.pt").exists()


def test_encodings_are_those_of_the_engine_and_of_their_state(lab: Any) -> None:
    """And the energy beside them follows the present state."""
    lab.sparsity = 0.5
    assert lab.wait(60) and "encodings" not in lab._shown["charts"]
    click(lab, "measure_encodings")
    assert lab.wait(60) and lab.error is None
    total = E.encodings(lab.experiment.model, lab.experiment.recipe).iloc[-1]
    drawn = [x for each in lab._shown["charts"]["encodings"]["series"] if each["type"] == "bars" for x in each["x1"]]
    names = ["dense", "bitmask", "csr", "relative_index", "huffman", "codebook", "deep_compression"]
    assert sorted(drawn) == sorted(float(total[name]) for name in names)
    assert lab._shown["charts"]["energy"]["description"].startswith("Estimated, not measured.")
    lab.sparsity = 0.8
    assert lab.wait(60) and lab._shown["charts"]["encodings"]["title"].endswith("an earlier state") and lab.file_about["earlier"]


def test_sparse_products_are_timed_and_cancelled(lab: Any) -> None:
    """A sentence for each shape and batch; cancelled, nothing is drawn."""
    click(lab, "measure_crossover")
    click(lab, "cancel")
    assert lab.wait(30) and "crossover" not in lab._shown["charts"]
    click(lab, "measure_crossover")
    assert lab.wait(60) and lab.error is None
    assert len(lab.file_about["csr"]) == 4 and all("% now." in line for line in lab.file_about["csr"])
    assert lab._shown["charts"]["crossover"]["kind"] == "crossover"
