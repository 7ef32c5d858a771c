"""The panels of the error analysis: each against a slow, obvious twin, and what a person says of images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from analysing import HOSTILE, SETUP, Given, analysis_of, blobs, dense, experiment, rest, spoilt
from explorer_wire import pixels_of
from front import click, from_front
from torch import Tensor, nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.diagnosis.label_errors import suspect_labels
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.steps import result_of
from nnwidgets.figures import text


def unsure() -> nn.Module:
    """A network that is seldom sure and often wrong: new weights."""
    torch.manual_seed(3)
    return dense().eval()


@pytest.fixture
def widget() -> Iterator[Any]:
    made = analysis_of(experiment(unsure()))
    made.sample = "test"
    yield made
    made.close()
    made.experiment.close()


def panel(widget: Any, name: str, **traits: Any) -> dict[str, Any]:
    """A panel as the front end gets it once it asked for it."""
    from_front(widget, panel=name, **traits)
    shown: dict[str, Any] = rest(widget).board
    assert shown["name"] == name
    return shown


def answers(widget: Any, sample: str = "test") -> tuple[Tensor, list[int], list[int]]:
    """(probabilities, labels, answers) of the network itself."""
    split = getattr(widget.experiment, sample)
    with torch.inference_mode():
        p = widget.experiment.model(split.inputs(slice(None))).softmax(1)
    return p, split.labels.tolist(), p.argmax(1).tolist()


def note(board: dict[str, Any], name: str) -> float:
    return float(next(each["raw"] for each in board["notes"] if each["name"] == name))


# --- confusion, classes, calibration ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", ["val", "test", "train"])
def test_confusion_is_counted_as_by_hand(widget: Any, sample: str) -> None:
    board = panel(widget, "confusion", sample=sample)
    _, labels, said = answers(widget, sample)
    counts = [[0] * 3 for _ in range(3)]
    for label, answer in zip(labels, said, strict=True):
        counts[label][answer] += 1
    assert board["matrix"] == {"labels": ["0", "1", "2"], "counts": counts}
    assert board["text"].startswith(f"S_{sample}, {len(labels)} images.")
    f1s = []
    for k in range(3):
        hit, given, named = counts[k][k], sum(counts[k]), sum(row[k] for row in counts)
        f1s.append(2 * hit / (given + named))
    assert note(board, "accuracy") == pytest.approx(sum(counts[k][k] for k in range(3)) / len(labels))
    assert note(board, "macro_f1") == pytest.approx(sum(f1s) / 3, abs=1e-6)
    shares = [sum(row) / len(labels) for row in counts]
    assert (note(board, "majority"), note(board, "random")) == (
        pytest.approx(max(shares)),
        pytest.approx(sum(s * s for s in shares)),
    )


def test_the_filter_by_pair_offers_the_errors_the_most_frequent_first(widget: Any) -> None:
    panel(widget, "worst")
    _, labels, said = answers(widget)
    counts: dict[str, int] = {}
    for label, answer in zip(labels, said, strict=True):
        if label != answer:
            counts[f"{label},{answer}"] = counts.get(f"{label},{answer}", 0) + 1
    offered = widget.pairs[1:]
    assert widget.pairs[0] == {"value": "", "label": "all"} and {each["value"] for each in offered} == set(counts)
    assert [counts[each["value"]] for each in offered] == sorted(counts.values(), reverse=True)
    assert offered[0]["label"].endswith(f"({max(counts.values())})")


def test_classes_have_recall_precision_and_intervals(widget: Any) -> None:
    board = panel(widget, "classes")
    _, labels, said = answers(widget)
    for k, row in enumerate(board["rows"]):
        mine = [answer for label, answer in zip(labels, said, strict=True) if label == k]
        named = [label for label, answer in zip(labels, said, strict=True) if answer == k]
        recall = mine.count(k) / len(mine)
        precision = named.count(k) / len(named) if named else 0.0
        assert [row[3]["raw"], row[4]["raw"]] == pytest.approx([recall, precision])
        assert (row[0]["text"], row[2]["text"]) == (str(k), str(len(mine)))
        spans = board["charts"]["per-class"]["series"][0]
        low, high = wilson(len(mine) - mine.count(k), len(mine))
        assert (spans["low"][k], spans["high"][k]) == (pytest.approx(low), pytest.approx(high))
    assert set(board["charts"]) == {"per-class"} and len(board["rows"]) == 3


def test_calibration_has_the_error_of_ten_bins(widget: Any) -> None:
    board = panel(widget, "calibration")
    p, labels, said = answers(widget)
    sure = p.max(1).values.tolist()
    off = 0.0
    filled = 0
    for b in range(10):
        here = [i for i, s in enumerate(sure) if b / 10 <= s < (b + 1) / 10 or (b == 9 and s == 1.0)]
        if here:
            filled += 1
            hit = sum(labels[i] == said[i] for i in here) / len(here)
            stated = sum(sure[i] for i in here) / len(here)
            off += len(here) / len(labels) * abs(hit - stated)
    assert note(board, "ece") == pytest.approx(off, abs=1e-5) and len(board["rows"]) == filled
    assert sum(int(row[1]["text"]) for row in board["rows"]) == len(labels)


# --- worst errors -----------------------------------------------------------------------------------------------------


def by_hand(widget: Any, order: str) -> list[int]:
    """Images of S_test in the order of the panel."""
    p, labels, said = answers(widget)

    def key(i: int) -> float:
        own = float(p[i, labels[i]])
        others = max(float(p[i, k]) for k in range(3) if k != labels[i])
        entropy = -sum(float(q) * math.log(float(q)) for q in p[i])
        return {"margin": others - own, "loss": -math.log(own), "entropy": entropy}[order]

    kept = [i for i in range(len(labels)) if order == "entropy" or labels[i] != said[i]]
    return sorted(kept, key=lambda i: -key(i))


@pytest.mark.parametrize("order", ["margin", "loss", "entropy"])
def test_worst_errors_are_sorted_and_drawn(widget: Any, order: str) -> None:
    board = panel(widget, "worst", order=order)
    wanted = by_hand(widget, order)
    assert [int(each["id"]) for each in board["items"]] == wanted[:60]
    assert f": {len(wanted)} shown by {order}" in board["text"]
    pixels = pixels_of(board["tiles"])
    assert pixels.shape == (min(60, len(wanted)), 8, 8)
    stored = widget.experiment.test.images[wanted[0], 0].numpy().astype(float)
    assert np.corrcoef(stored.ravel(), pixels[0].ravel())[0, 1] > 0.999
    _, labels, said = answers(widget)
    assert board["items"][0]["label"] == f"{labels[wanted[0]]} → {said[wanted[0]]}"


def test_worst_errors_of_one_pair_alone(widget: Any) -> None:
    panel(widget, "confusion")
    _, labels, said = answers(widget)
    label, answer = next((a, b) for a, b in zip(labels, said, strict=True) if a != b)
    board = panel(widget, "worst", pair=f"{label},{answer}")
    wanted = [i for i in by_hand(widget, "margin") if (labels[i], said[i]) == (label, answer)]
    assert [int(each["id"]) for each in board["items"]] == wanted[:60] and wanted
    board = panel(widget, "worst", pair="9,9")
    assert board["items"] == [] and board["tiles"] is None and board["empty"]


def test_tags_are_counted_shown_and_taken_away(widget: Any) -> None:
    first, second = (each["id"] for each in panel(widget, "worst")["items"][:2])
    for id, tag in ((first, "  broken   stroke "), (second, "broken stroke"), (first, "x" * 99)):
        click(widget, "tag", id=id, tag=tag)
    board = rest(widget).board
    assert {each["id"]: each["mark"] for each in board["items"][:2]} == {first: "x" * 40, second: "broken stroke"}
    assert [each["text"] for each in board["notes"]] == [f"{'x' * 40}: 1", "broken stroke: 1"]
    click(widget, "tag", id=first, tag="broken stroke")
    assert rest(widget).board["notes"][0]["text"] == "broken stroke: 2"
    assert panel(widget, "worst", sample="val")["notes"] == [], "of that sample none was tagged"
    from_front(widget, sample="test")
    click(widget, "tag", id=first, tag="")
    assert rest(widget).board["notes"][0]["text"] == "broken stroke: 1"


def test_an_image_is_opened_in_the_linked_explorer() -> None:
    exp = experiment(unsure())
    widget, explorer = analysis_of(exp), nw.LayerExplorer(exp)
    widget.link_explorer(explorer)
    from_front(widget, sample="test")
    click(widget, "open", id="17")
    rest(widget)
    assert (explorer.sample, explorer.image_index) == ("test", 17)
    other = nw.LayerExplorer(experiment())
    with pytest.raises(E.InputError, match="another experiment"):
        widget.link_explorer(other)
    for each in (widget, explorer, other):
        each.close()
    exp.close()
    other.experiment.close()


# --- suspects ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def doubtful() -> Iterator[Any]:
    """One label in ten of S_train is wrong; the probabilities of another model are given, so that nothing is trained."""
    train = blobs(300, wrong=10)
    truth = blobs(300).labels
    assert truth is not None
    draw = np.random.default_rng(5)
    p = np.full((300, 3), 0.05)
    p[np.arange(300), truth.numpy()] = 0.9
    p += 0.01 * draw.random((300, 3))
    exp = experiment(train=train, pred_probs=p / p.sum(1, keepdims=True))
    made = analysis_of(exp)
    yield made
    made.close()
    exp.close()


def wrong_rows(exp: E.Experiment) -> list[int]:
    """Rows of S_train, without S_val, whose label is not what the picture shows."""
    shown = [int(image[0].reshape(4, 2, 8)[:3, :, 2:6].float().mean((1, 2)).argmax()) for image in exp.train.images]
    return [i for i, label in enumerate(exp.train.labels.tolist()) if label != shown[i]]


def test_suspects_are_found_by_a_button_the_surest_first(doubtful: Any) -> None:
    board = panel(doubtful, "suspects")
    assert board["can_run"] == "Find" and board["items"] == []
    click(doubtful, "measure")
    board = rest(doubtful).board
    wrong = wrong_rows(doubtful.experiment)
    assert sorted(int(each["id"]) for each in board["items"]) == wrong and len(wrong) > 15
    assert board["tiles"]["count"] == len(wrong) and note(board, "taken") == len(wrong) and note(board, "precision") > 0.9
    ranked = suspect_labels(doubtful.experiment.pred_probs, doubtful.experiment.train.labels)
    assert [int(each["id"]) for each in board["items"]] == [int(row) for row in ranked.rows if ranked.found[row]]
    taken = note(panel(doubtful, "suspects", threshold=0.25), "taken")
    assert taken == math.ceil(0.25 * len(wrong)) == len(doubtful.board["items"])


def test_what_is_decided_is_shown_and_changes_what_is_dropped(doubtful: Any) -> None:
    panel(doubtful, "suspects")
    click(doubtful, "measure")
    rows = [int(each["id"]) for each in rest(doubtful).board["items"]]
    innocent = next(i for i in range(250) if i not in rows)
    for row, verdict in ((rows[0], "keep"), (rows[1], "drop"), (rows[2], "relabel"), (innocent, "drop")):
        click(doubtful, "label", id=str(row), verdict=verdict)
    marks = {int(each["id"]): (each["mark"], each["role"]) for each in rest(doubtful).board["items"]}
    assert [marks[row] for row in rows[:4]] == [("keep", "good"), ("drop", "bad"), ("relabel", "warn"), ("", "alt")]
    analysis = doubtful._analysis
    changed = changed_by(analysis, "drop_suspects")
    gone = images_of(analysis.experiment.train) - images_of(changed.train)
    wanted = {picture(analysis.experiment.train, row) for row in {*rows[1:], innocent} - {rows[2]}}
    assert gone == wanted, "what was kept stays, what was dropped by hand goes, what was relabelled by hand is not dropped"
    before, after = analysis.experiment.train, changed.train
    (place,) = [i for i in range(len(after)) if picture(after, i) == picture(before, rows[2])]
    assert before.labels is not None and after.labels is not None and int(after.labels[place]) != int(before.labels[rows[2]])
    click(doubtful, "label", id=str(rows[0]), verdict="")
    click(doubtful, "label", id=str(rows[2]), verdict="")
    click(doubtful, "label", id=str(innocent), verdict="keep")
    rest(doubtful)
    assert len(changed_by(analysis, "drop_suspects").train) == len(analysis.experiment.train) - len(rows)


def picture(split: E.Split, row: int) -> bytes:
    return bytes(split.images[row].numpy().tobytes())


def images_of(split: E.Split) -> set[bytes]:
    return {picture(split, row) for row in range(len(split))}


def changed_by(analysis: Any, name: str) -> Any:
    """The arm that an action makes."""
    from nnwidgets.engine.diagnosis._arms import start_of

    ctx = analysis.findings.context
    return result_of(analysis.remedy(name).change(ctx, start_of(analysis.experiment, ctx)))[0]


@pytest.mark.slow
def test_suspects_without_given_probabilities_are_found_by_training() -> None:
    widget = analysis_of(experiment(train=blobs(300, wrong=10)))
    panel(widget, "suspects")
    click(widget, "measure")
    found = {int(each["id"]) for each in rest(widget).board["items"]}
    wrong = set(wrong_rows(widget.experiment))
    assert len(found & wrong) >= 0.8 * len(wrong) and len(found - wrong) <= 5
    widget.close()
    widget.experiment.close()


# --- runs and their cost ----------------------------------------------------------------------------------------------


def test_the_run_is_trained_anew_by_a_button(widget: Any) -> None:
    assert panel(widget, "run")["can_run"] == "Train anew"
    click(widget, "measure")
    board = rest(widget).board
    steps = SETUP.epochs * math.ceil(len(widget.experiment.train) / SETUP.batch_size)
    assert board["text"].startswith(f"{text.count(steps)} steps of the recipe") and set(board["charts"]) == {"epochs", "loss"}
    train, val = (line for line in board["charts"]["epochs"]["series"] if line["type"] == "line")
    assert train["x"] == val["x"] == [float(i + 1) for i in range(SETUP.epochs)] and train["y"][-1] < train["y"][0]


def test_cost_has_a_point_for_each_attempt() -> None:
    remedy = Given()
    widget = analysis_of(experiment(spoilt()), remedies=(remedy,))
    assert "Apply an action first" in panel(widget, "cost")["empty"]
    click(widget, "apply", remedy="given")
    board = rest(widget).board
    assert board["empty"], "nothing was trained, so nothing was spent"
    widget.close()
    widget.experiment.close()


@pytest.mark.slow
def test_cost_of_an_attempt_that_was_trained() -> None:
    widget = analysis_of()
    widget.seeds = 2
    panel(widget, "cost")
    click(widget, "apply", remedy="decay")
    board = rest(widget).board
    trial = widget._analysis.trials[-1]
    assert board["rows"][0][0]["text"] == trial.title and board["rows"][0][4]["raw"] == trial.errors["test"].value
    assert board["rows"][0][2]["text"] == text.count(SETUP.epochs * len(widget.experiment.train))
    assert set(board["charts"]) == {"cost"}
    widget.close()
    widget.experiment.close()


# --- panels while other things go on ----------------------------------------------------------------------------------


def test_a_panel_is_shown_anew_for_what_was_adopted() -> None:
    widget = analysis_of(experiment(spoilt()), remedies=(Given(),))
    widget.sample = "test"
    before = panel(widget, "confusion")["matrix"]
    click(widget, "apply", remedy="given")
    after = rest(widget).board["matrix"]
    assert before != after and sum(after["counts"][k][k] for k in range(3)) == 180
    click(widget, "adopt", id=0)
    assert rest(widget).board["matrix"] == before
    from_front(widget, panel="")
    assert rest(widget).board is None
    widget.close()
    widget.experiment.close()


def test_the_last_of_many_choices_is_shown(widget: Any) -> None:
    for name in ("confusion", "classes", "worst", "calibration") * 20:
        from_front(widget, panel=name)
    assert rest(widget).board["name"] == "calibration"


def test_row_26_script_in_names_travels_as_plain_text() -> None:
    exp = experiment(unsure(), class_names=[HOSTILE, "b", "c"], title=HOSTILE)
    widget = analysis_of(exp)
    widget.sample = "test"
    assert panel(widget, "confusion")["matrix"]["labels"][0] == HOSTILE
    assert panel(widget, "classes")["rows"][0][0]["text"] == HOSTILE
    assert any(HOSTILE in each["label"] for each in panel(widget, "worst")["items"])
    assert widget.about["subtitle"].startswith(HOSTILE) and any(HOSTILE in each["label"] for each in widget.pairs)
    click(widget, "tag", id=widget.board["items"][0]["id"], tag=HOSTILE)
    assert rest(widget).board["items"][0]["mark"] == HOSTILE
    assert widget.figure().axes
    widget.close()
    exp.close()
