"""Panels of the error analysis that need no training: confusion, classes, calibration, worst errors, cost."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import torch
from torch import Tensor

from nnwidgets.engine.diagnosis._analysis import Analysis
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.split import Split
from nnwidgets.figures import text
from nnwidgets.figures.diagnosis_charts import calibration_chart, classes_chart, cost_chart
from nnwidgets.figures.records import to_wire
from nnwidgets.widgets._analysis_probes import curve, rate, run, suspects
from nnwidgets.widgets._board_parts import MOST_TILES, BoardWish, Marks, Steps, empty, names_of, note, tiles_of

__all__ = ["BOARDS", "board", "pairs_of"]

_BINS = 10


def board(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    """The panel that is asked for."""
    return BOARDS[wish.name](analysis, wish, marks)


def _answers(analysis: Analysis, sample: str) -> Generator[None, None, tuple[Tensor, Tensor, Split, Tensor]]:
    """(probabilities, labels, the images, their rows in the sample)."""
    ctx = analysis.findings.context
    logits = yield from ctx.logits(sample)
    return logits.softmax(1), ctx.labels(sample), ctx.splits[sample], ctx.rows[sample]


def _of(analysis: Analysis, sample: str) -> str:
    ctx = analysis.findings.context
    n, whole = len(ctx.splits[sample]), len(getattr(analysis.experiment, sample))
    seen = f"{text.count(n)} images" if n == whole else f"{text.count(n)} of {text.count(whole)} images"
    return f"S_{sample}, {seen}"


def _confusion(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    p, labels, _, _ = yield from _answers(analysis, wish.sample)
    k, names = p.shape[1], names_of(analysis, p.shape[1])
    counts = torch.zeros(k, k, dtype=torch.int64)
    counts.index_put_((labels, p.argmax(1)), torch.ones_like(labels), accumulate=True)
    recall, precision = _rates(counts)
    f1 = torch.where(recall + precision > 0, 2 * recall * precision / (recall + precision).clamp_min(1e-12), torch.zeros(k))
    there = counts.sum(1) > 0
    right = float(counts.diagonal().sum() / counts.sum())
    most = float(counts.sum(1).max() / counts.sum())
    drawn = float((counts.sum(1).double() / counts.sum()).square().sum())
    found = empty("confusion", "Confusion")
    found["text"] = f"{_of(analysis, wish.sample)}. Rows: the label; columns: the answer. A click on a cell shows its images."
    found["matrix"] = {"labels": names, "counts": counts.tolist()}
    found["notes"] = [
        note(f"accuracy {text.percent(right)} %", "accuracy", right),
        note(f"macro F1 {text.percent(float(f1[there].mean()))} %", "macro_f1", float(f1[there].mean())),
        note(f"always the largest class {text.percent(most)} %", "majority", most),
        note(f"drawn by the shares of the classes {text.percent(drawn)} %", "random", drawn),
    ]
    return found


def _rates(counts: Tensor) -> tuple[Tensor, Tensor]:
    hits = counts.diagonal().float()
    return hits / counts.sum(1).clamp_min(1), hits / counts.sum(0).clamp_min(1)


def _classes(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    p, labels, _, _ = yield from _answers(analysis, wish.sample)
    k, names, answers = p.shape[1], names_of(analysis, p.shape[1]), p.argmax(1)
    counts = torch.zeros(k, k, dtype=torch.int64)
    counts.index_put_((labels, answers), torch.ones_like(labels), accumulate=True)
    recall, precision = _rates(counts)
    train = analysis.findings.context.splits.get("train")
    in_train = None if train is None or train.labels is None else torch.bincount(train.labels.cpu(), minlength=k)
    found = empty("classes", "Classes")
    found["text"] = f"{_of(analysis, wish.sample)}. Intervals: 95 %, for new images like these."
    found["columns"] = ["class", "in S_train", "images", "recall", "precision", "F1", "most often taken for"]
    shown, lows, highs = [], [], []
    for i in range(k):
        n = int(counts[i].sum())
        if not n:
            continue
        low, high = wilson(int(counts[i, i]), n)
        shown.append(i)
        lows.append(low)
        highs.append(high)
        others = counts[i].clone()
        others[i] = 0
        worst = int(others.argmax())
        r, q = float(recall[i]), float(precision[i])
        f1 = 2 * r * q / (r + q) if r + q else 0.0
        taken = f"{names[worst]} ({int(others[worst])})" if int(others[worst]) else ""
        cells = [names[i], "" if in_train is None else text.count(int(in_train[i])), text.count(n)]
        rates = [{"text": f"{text.percent(v)} %", "raw": v} for v in (r, q, f1)]
        found["rows"].append([*({"text": cell} for cell in cells), *rates, {"text": taken}])
    chart = classes_chart([float(recall[i]) for i in shown], lows, highs, [names[i] for i in shown])
    found["charts"] = {"per-class": to_wire(chart)}
    return found


def _calibration(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    p, labels, _, _ = yield from _answers(analysis, wish.sample)
    sure, answers = p.max(1)
    right = (answers == labels).double()
    bins = (sure * _BINS).long().clamp_max(_BINS - 1)
    rows, points, off = [], [], 0.0
    for b in range(_BINS):
        here = bins == b
        n = int(here.sum())
        if not n:
            continue
        stated, hit = float(sure[here].mean()), float(right[here].mean())
        low, high = wilson(int(right[here].sum()), n)
        off += n / len(labels) * abs(hit - stated)
        points.append((stated, hit, low, high))
        rows.append(
            [{"text": f"{100 * b / _BINS:.0f} to {100 * (b + 1) / _BINS:.0f} %"}, {"text": text.count(n)},
             {"text": f"{text.percent(stated)} %"}, {"text": f"{text.percent(hit)} %", "raw": hit}]
        )  # fmt: skip
    found = empty("calibration", "Calibration")
    found["text"] = f"{_of(analysis, wish.sample)}. Below the diagonal it is surer than it is right."
    found["columns"], found["rows"] = ["confidence", "images", "mean stated", "right"], rows
    found["charts"] = {"calibration": to_wire(calibration_chart(*map(list, zip(*points, strict=True))))}
    found["notes"] = [note(f"expected calibration error {text.percent(off)} %", "ece", off)]
    return found


def _worst(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    p, labels, split, rows = yield from _answers(analysis, wish.sample)
    answers, names = p.argmax(1), names_of(analysis, p.shape[1])
    own = p.gather(1, labels[:, None])[:, 0]
    best = p.scatter(1, labels[:, None], 0.0).max(1).values
    key = {"margin": best - own, "loss": -own.clamp_min(1e-12).log(), "entropy": -(p * p.clamp_min(1e-12).log()).sum(1)}[
        wish.order
    ]
    keep = torch.ones_like(answers, dtype=torch.bool) if wish.order == "entropy" else answers != labels
    if wish.pair:
        i, j = (int(part) for part in wish.pair.split(","))
        keep &= (labels == i) & (answers == j)
    order = torch.argsort(key, descending=True, stable=True)
    order = order[keep[order]]
    yield
    chosen = order[:MOST_TILES].tolist()
    found = empty("worst", "Worst errors", "" if chosen else "There is no such error in this sample.")
    of = "" if len(chosen) == len(order) else f", the first {len(chosen)}"
    found["text"] = f"{_of(analysis, wish.sample)}: {text.count(len(order))} shown by {wish.order}{of}."
    found["tiles"] = tiles_of(split, chosen)
    for i in chosen:
        row, label, answer = int(rows[i]), names[int(labels[i])], names[int(answers[i])]
        tag = marks.tags.get((wish.sample, row), "")
        said = f"image {row}: {label}, answered {answer} with {text.percent(float(p[i].max()), 0)} %"
        found["items"].append({"id": str(row), "label": f"{label} → {answer}", "text": said, "mark": tag, "role": "alt"})
    counted: dict[str, int] = {}
    for (sample, _), tag in marks.tags.items():
        if sample == wish.sample and tag:
            counted[tag] = counted.get(tag, 0) + 1
    found["notes"] = [note(f"{tag}: {n}", f"tag {tag}", n) for tag, n in sorted(counted.items(), key=lambda each: -each[1])]
    return found


def pairs_of(analysis: Analysis, sample: str) -> list[dict[str, Any]]:
    """Choices of the filter by pair, the most frequent errors first."""
    logits = analysis.findings.context.known_logits(sample)
    if logits is None:
        return [{"value": "", "label": "all"}]
    labels, answers = analysis.findings.context.labels(sample), logits.argmax(1)
    names, k = names_of(analysis, logits.shape[1]), logits.shape[1]
    counts = torch.bincount(labels * k + answers, minlength=k * k).reshape(k, k)
    counts.fill_diagonal_(0)
    found = sorted(((int(counts[i, j]), i, j) for i in range(k) for j in range(k) if counts[i, j]), reverse=True)[:40]
    return [
        {"value": "", "label": "all"},
        *({"value": f"{i},{j}", "label": f"{names[i]} → {names[j]} ({n})"} for n, i, j in found),
    ]


def _cost(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    yield
    made = [trial for trial in analysis.trials if trial.spent.samples and "test" in trial.errors]
    if not made:
        return empty("cost", "Cost", "Apply an action first: each attempt becomes a point.")
    found = empty("cost", "Cost of training")
    runs = [max(1, 2 * len(trial.after)) for trial in made]
    flops = [trial.spent.flops / n for trial, n in zip(made, runs, strict=True)]
    shares = [trial.errors["test"] for trial in made]
    present = next((i for i, trial in enumerate(made) if trial.id == analysis.present), len(made) - 1)
    titles = [f"{t.title}: E_test {text.share(s.value)} %" for t, s in zip(made, shares, strict=True)]
    values, lows, highs = ([getattr(share, part) for share in shares] for part in ("value", "low", "high"))
    chart = cost_chart(flops, values, lows, highs, titles, present, analysis.experiment.goal)
    found["charts"] = {"cost": to_wire(chart)}
    found["text"] = (
        "One run of each attempt: seconds and operations (about 6 MACs an image and pass), and the error that came of it."
    )
    found["columns"] = ["attempt", "seconds", "images passed", "FLOP", "E_test"]
    for trial, n, share in zip(made, runs, shares, strict=True):
        value, unit = text.scaled(trial.spent.flops / n, ("", "k", "M", "G", "T", "P"))
        cells = [trial.title, f"{trial.spent.seconds / n:.1f}", text.count(trial.spent.samples // n), f"{value} {unit}"]
        found["rows"].append([*({"text": cell} for cell in cells), {"text": f"{text.share(share.value)} %", "raw": share.value}])
    return found


BOARDS: Mapping[str, Callable[[Analysis, BoardWish, Marks], Steps]] = {
    "confusion": _confusion,
    "classes": _classes,
    "calibration": _calibration,
    "worst": _worst,
    "suspects": suspects,
    "curve": curve,
    "rate": rate,
    "run": run,
    "cost": _cost,
}
