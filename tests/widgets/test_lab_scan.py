"""The lab's scan of layers without a browser: asked for, on images that nothing is reported on, cancelled, shown, marked anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment.scanning import AMOUNTS, sample_for
from nnwidgets.engine.trace import fingerprint


@pytest.fixture
def lab() -> Iterator[Any]:
    made = nw.CompressionLab(nw.load_example("digits/lenet300"))
    assert made.wait(60)
    yield made
    made.close()
    made.experiment.close()


def cells(lab: Any) -> list[str]:
    titles: list[str] = lab._shown["charts"]["sensitivity"]["series"][0]["titles"]
    return titles


def test_the_chart_is_there_once_it_was_asked_for_and_says_what_the_engine_says(lab: Any) -> None:
    exp = lab.experiment
    before = fingerprint(exp.model)
    assert "sensitivity" not in lab._shown["charts"] and "scan_layers" in lab.commands()
    lab.scan_layers()
    assert lab.wait(120) and lab.task is None and lab.error is None and lab.status == "idle"
    name, split = sample_for(exp)
    assert name == "val" and len(split) == 1000
    table = E.sensitivity_scan(exp.model, split, AMOUNTS)
    assert len(cells(lab)) == len(table) == 3 * len(AMOUNTS)
    for said, row in zip(cells(lab), table.to_dict("records"), strict=True):
        assert said.startswith(f"{row['layer']}, {100 * row['amount']:.0f} % removed: accuracy {100 * row['accuracy']:.1f} %")
    assert "1,000 images of S_val" in lab.last_task["text"] and lab.last_task["role"] == "good"
    assert fingerprint(exp.model) == before and exp.recipe == E.Recipe(), "nothing is applied"
    assert lab.help["sensitivity"]["what"] and len(lab.figure().axes) == 4 + 4, "four figures, four charts"


def test_the_marks_follow_the_state_and_other_weights_are_said(lab: Any) -> None:
    lab.scan_layers()
    assert lab.wait(120)
    assert [series["type"] for series in lab._shown["charts"]["sensitivity"]["series"][:2]] == ["bars", "text"]
    lab.sparsity = 0.5
    assert lab.wait(60)
    marks = lab._shown["charts"]["sensitivity"]["series"][1]
    assert marks["type"] == "points" and len(marks["x"]) == 3
    lab.epochs = 1
    lab.fine_tune()
    assert lab.wait(300)
    assert "other weights" in lab._shown["charts"]["sensitivity"]["title"]
    lab.scan_layers()
    assert lab.wait(120) and "other weights" not in lab._shown["charts"]["sensitivity"]["title"]


def test_a_scan_that_is_cancelled_shows_nothing_and_two_clicks_are_one_scan(lab: Any) -> None:
    lab.scan_layers()
    first = lab.experiment.jobs.running("task")
    lab.scan_layers()
    assert lab.experiment.jobs.running("task") is first and first is not None
    lab.cancel()
    assert lab.wait(30) and first.status == "cancelled"
    assert "sensitivity" not in lab._shown["charts"] and lab.task is None and "cancelled" in lab.last_task["text"]


def test_without_training_data_the_test_sample_is_taken_and_said() -> None:
    made = nw.load_example("digits/lenet300")
    assert made.test is not None
    exp = nw.Experiment(made.model, test=made.test.take(torch.arange(300)))
    lab = nw.CompressionLab(exp)
    lab.scan_layers()
    assert lab.wait(120) and "300 images of S_test" in lab.last_task["text"]
    lab.close()
    exp.close()
    made.close()


def test_a_large_network_is_scanned_on_fewer_images_drawn_with_a_seed() -> None:
    exp = nw.load_example("digits/resnet20")
    name, few = sample_for(exp)
    again = sample_for(exp)[1]
    assert name == "val" and 200 <= len(few) < 1000 and torch.equal(few.images, again.images)
    exp.close()
