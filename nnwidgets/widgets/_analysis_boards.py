"""Panels of the error analysis: confusion, classes, calibration, worst errors, suspects, runs, cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.diagnosis._analysis import Analysis
from nnwidgets.engine.diagnosis._arms import seconds_an_epoch, start_of, train_arm
from nnwidgets.engine.diagnosis._suspects import KEPT, suspected_labels
from nnwidgets.engine.diagnosis.learning_curve import LearningCurve, Needed, learning_curve_steps
from nnwidgets.engine.diagnosis.rate_test import RateTest, rate_range_steps
from nnwidgets.engine.experiment.pictures import picture_of
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import retold
from nnwidgets.figures import text
from nnwidgets.figures.diagnosis_charts import calibration_chart, classes_chart, cost_chart, curve_chart, losses_chart, rate_chart
from nnwidgets.figures.records import to_wire

__all__ = ["BOARDS", "NEED_WORK", "BoardWish", "Marks", "board", "prepare"]

_TILES = 60
_SIDE = 64  # pixels of a tile's side at most
_BINS = 10
_FAR = 30  # times as many images as were tried: a law says nothing beyond
_CURVE_S, _CURVE_EPOCHS = 45.0, 18.0  # of three networks of each size; of the whole sample's epochs, all of them together
Steps = Generator[None, None, dict[str, Any]]


@dataclass
class Marks:
    """What a person said of images: tags of errors by (sample, row)."""

    tags: dict[tuple[str, int], str] = field(default_factory=dict)


@dataclass(frozen=True)
class BoardWish:
    """What is to be shown: name of the panel, sample, order and pair of the worst errors, share of the suspects."""

    name: str
    sample: str
    order: str
    pair: str
    threshold: float


def empty(name: str, title: str, why: str = "", run: str = "") -> dict[str, Any]:
    """A panel with nothing in it."""
    return {
        "name": name, "title": title, "text": "", "empty": why, "charts": {}, "columns": [], "rows": [], "matrix": None,
        "tiles": None, "items": [], "notes": [], "can_run": run,
    }  # fmt: skip


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
    k, names = p.shape[1], _names(analysis, p.shape[1])
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
        _note(f"accuracy {text.percent(right)} %", "accuracy", right),
        _note(f"macro F1 {text.percent(float(f1[there].mean()))} %", "macro_f1", float(f1[there].mean())),
        _note(f"always the largest class {text.percent(most)} %", "majority", most),
        _note(f"drawn by the shares of the classes {text.percent(drawn)} %", "random", drawn),
    ]
    return found


def _rates(counts: Tensor) -> tuple[Tensor, Tensor]:
    hits = counts.diagonal().float()
    return hits / counts.sum(1).clamp_min(1), hits / counts.sum(0).clamp_min(1)


def _note(words: str, name: str, raw: float) -> dict[str, Any]:
    return {"text": words, "name": name, "raw": raw}


def _names(analysis: Analysis, k: int) -> list[str]:
    names = list(analysis.experiment.class_names)
    return (names + [str(i) for i in range(len(names), k)])[:k]


def _classes(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    p, labels, _, _ = yield from _answers(analysis, wish.sample)
    k, names, answers = p.shape[1], _names(analysis, p.shape[1]), p.argmax(1)
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
    found["notes"] = [_note(f"expected calibration error {text.percent(off)} %", "ece", off)]
    return found


def _worst(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    p, labels, split, rows = yield from _answers(analysis, wish.sample)
    answers, names = p.argmax(1), _names(analysis, p.shape[1])
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
    chosen = order[:_TILES].tolist()
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
    found["notes"] = [_note(f"{tag}: {n}", f"tag {tag}", n) for tag, n in sorted(counted.items(), key=lambda each: -each[1])]
    return found


def pairs_of(analysis: Analysis, sample: str) -> list[dict[str, Any]]:
    """Choices of the filter by pair, the most frequent errors first."""
    logits = analysis.findings.context.known_logits(sample)
    if logits is None:
        return [{"value": "", "label": "all"}]
    labels, answers = analysis.findings.context.labels(sample), logits.argmax(1)
    names, k = _names(analysis, logits.shape[1]), logits.shape[1]
    counts = torch.bincount(labels * k + answers, minlength=k * k).reshape(k, k)
    counts.fill_diagonal_(0)
    found = sorted(((int(counts[i, j]), i, j) for i in range(k) for j in range(k) if counts[i, j]), reverse=True)[:40]
    return [
        {"value": "", "label": "all"},
        *({"value": f"{i},{j}", "label": f"{names[i]} → {names[j]} ({n})"} for n, i, j in found),
    ]


def _suspects(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    ctx = analysis.findings.context
    title = "Suspect labels"
    if "train" not in ctx.splits:
        return empty("suspects", title, "It needs S_train: Experiment(..., train=...).")
    why = "" if analysis.experiment.pred_probs is not None else ctx.why_untrainable()
    if why:
        return empty("suspects", title, f"It cannot be found out here: {why}.")
    if ctx.known(KEPT) is None:
        why = "Networks that have not seen an image judge its label; they have to be trained first."
        return empty("suspects", title, why, "Find")
    rows, suspected = yield from suspected_labels(ctx)
    yield
    split = analysis.experiment.train
    assert split is not None
    names = _names(analysis, suspected.confusion.shape[0])
    there = [int(i) for i in suspected.rows if suspected.found[i]]
    take = math.ceil(wish.threshold * len(there))
    chosen = there[:take]
    found = empty("suspects", title, "" if chosen else "No label is contradicted with confidence.")
    seen = text.count(len(rows)) if len(rows) == len(split) else f"{text.count(len(rows))} of {text.count(len(split))}"
    found["text"] = (
        f"S_train, {seen} images: {text.count(len(there))} labels are contradicted, the surest {text.count(take)} taken. "
        "What you decide counts when suspects are dropped or relabelled."
    )
    shown = chosen[:_TILES]
    found["tiles"] = tiles_of(split, [int(rows[i]) for i in shown])
    for i in shown:
        row, own, other = int(rows[i]), names[int(suspected.labels[i])], names[int(suspected.suggested[i])]
        decided = ctx.decisions.get(row, "")
        chance = text.percent(float(suspected.chance[i]), 0)
        said = f"image {row}: labelled {own}, the others say {other}; wrong with a chance of {chance} %"
        role = {"keep": "good", "drop": "bad", "relabel": "warn"}.get(decided, "alt")
        found["items"].append({"id": str(row), "label": f"{own}, not {other}?", "text": said, "mark": decided, "role": role})
    found["notes"] = [_note(f"{text.count(take)} taken", "taken", take)]
    if take:
        precision = float(suspected.precision[take - 1])
        found["notes"].append(_note(f"estimated precision {text.percent(precision, 0)} %", "precision", precision))
    found["notes"].append(_note(f"about {suspected.expected:.0f} labels are wrong in all", "expected", float(suspected.expected)))
    return found


def _curve_of(analysis: Analysis) -> Generator[None, None, tuple[LearningCurve, int]]:
    """The curve, and for how many epochs all of S_train was trained on."""
    exp, ctx = analysis.experiment, analysis.findings.context
    arm = start_of(exp, ctx)
    assert exp.val is not None
    epoch_s = yield from seconds_an_epoch(arm)
    most = max(1, int(_CURVE_S / max(1e-9, _CURVE_EPOCHS * epoch_s)))
    setup = replace(arm.setup, epochs=min(arm.setup.epochs, most))
    steps = learning_curve_steps(lambda seed: ctx.fresh(seed=seed), exp.train, exp.val, setup, loss=exp.loss)  # type: ignore[arg-type]
    return (yield from retold(steps, lambda: None)), setup.epochs


def _curve(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    exp, ctx, title = analysis.experiment, analysis.findings.context, "More data"
    if exp.val is None or exp.train is None:
        return empty("curve", title, "It needs S_train, out of which S_val is carved.")
    why = ctx.why_untrainable() or ("at least 160 images are needed" if len(exp.train) < 160 else "")
    if why:
        return empty("curve", title, f"It cannot be found out here: {why}.")
    known: tuple[LearningCurve, int] | None = ctx.known("curve")
    if known is None:
        why = "Networks are trained on parts of S_train, from a sixteenth to all of it, three of each size."
        return empty("curve", title, why, "Measure")
    yield
    curve, epochs = known
    needed = curve.needed(exp.goal)
    largest = curve.sizes[-1]
    ahead = [curve.predict(n) for n in (*curve.sizes, 2 * largest, 4 * largest, 8 * largest)]
    found = empty("curve", title)
    found["charts"] = {"learning-curve": to_wire(curve_chart(curve.sizes, curve.errors, ahead, exp.goal))}
    found["text"] = (
        f"E_val of three networks of each size, and the power law that fits; beyond {text.count(largest)} images it is "
        f"extrapolated. Each network is trained as here, with all of S_train for {epochs} epochs and with less of it in more "
        "passes; own training steps are not used."
    )
    twice = curve.predict(2 * largest)
    found["notes"] = [
        _note(
            f"twice as many: {text.share(twice.value)} % ({text.share(twice.low)} to {text.share(twice.high)})",
            "at_2n",
            twice.value,
        ),
        _note(_needed_words(needed, largest), "needed", needed.value if math.isfinite(needed.value) else -1.0),
    ]
    return found


def _needed_words(needed: Needed, largest: int) -> str:
    goal = f"the goal of {text.share(needed.goal)} %"
    if not math.isfinite(needed.value):
        never = text.percent(needed.never, 0)
        return f"{goal} is not reached by more images alone ({never} % of the laws that fit stay above it)"
    low, middle, high = (_images(value, largest) for value in (needed.low, needed.value, needed.high))
    if needed.value > _FAR * largest:
        return f"{goal} needs {middle} images ({low} at least), too far beyond S_train to tell"
    beyond = ", extrapolated" if needed.value > largest else ""
    return f"{goal} at n = {middle} ({low} to {high}){beyond}"


def _images(n: float, largest: int) -> str:
    """A number of images, two digits of which are known; far beyond what was tried it is only said to be more."""
    if not math.isfinite(n) or n > _FAR * largest:
        return f"over {text.count(_FAR * largest)}"
    return text.count(int(round(n, 1 - math.floor(math.log10(n)))) if n >= 100 else round(n))


def _rate_of(analysis: Analysis) -> Generator[None, None, RateTest]:
    exp, ctx = analysis.experiment, analysis.findings.context
    arm = start_of(exp, ctx)
    steps = rate_range_steps(lambda seed: ctx.fresh(seed=seed), arm.train, arm.setup, loss=exp.loss)
    return (yield from retold(steps, lambda: None))


def _rate(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    ctx, title = analysis.findings.context, "Learning rate"
    why = ctx.why_untrainable()
    if why:
        return empty("rate", title, f"It cannot be found out here: {why}.")
    known: RateTest | None = ctx.known("rate")
    if known is None:
        return empty("rate", title, "Three fresh networks are trained for some steps while the rate grows.", "Measure")
    yield
    found = empty("rate", title)
    told = analysis.experiment.training is not None
    found["charts"] = {"rate": to_wire(rate_chart(known.rates, known.losses, known.suggested, known.present if told else None))}
    found["text"] = f"Loss of the next batch, smoothed, while the rate grows. {known.rule}"
    if known.suggested is None:
        found["notes"] = [_note("the loss falls nowhere beyond noise", "suggested", -1.0)]
        return found
    found["notes"] = [_note(f"suggested {known.suggested:.1e}", "suggested", known.suggested)]
    if told:
        near = "within half a decade of it" if known.near else "more than half a decade away from it"
        found["notes"].append(_note(f"present {known.present:.1e}, {near}", "present", known.present))
    return found


def _run(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    yield
    losses = analysis.losses.get(analysis.present, ())
    if not losses:
        why = analysis.findings.context.why_untrainable()
        if why:
            return empty("run", "Run", f"How it was trained is not recorded, and it cannot be trained anew: {why}.")
        return empty(
            "run", "Run", "How this network was trained is not recorded; a run of the same recipe can be watched.", "Train anew"
        )
    found = empty("run", "Run")
    found["text"] = f"{text.count(len(losses))} steps of the recipe, of a network of the same kind from new weights."
    if analysis.present:
        found["text"] = f"{text.count(len(losses))} steps of the run that made this network."
    found["charts"] = {"loss": to_wire(losses_chart(losses))}
    return found


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
    "suspects": _suspects,
    "curve": _curve,
    "rate": _rate,
    "run": _run,
    "cost": _cost,
}


def prepare(analysis: Analysis, name: str) -> Generator[None, None, None]:
    """The work that a panel needs before it can be shown."""
    ctx = analysis.findings.context
    if name == "suspects":
        yield from suspected_labels(ctx)
    elif name == "curve":
        yield from ctx.kept("curve", lambda: _curve_of(analysis))
    elif name == "rate":
        yield from ctx.kept("rate", lambda: _rate_of(analysis))
    elif name == "run":
        run = yield from train_arm(start_of(analysis.experiment, ctx), 0, analysis.experiment.input_shape)
        analysis.losses[analysis.present] = run.losses


NEED_WORK = ("suspects", "curve", "rate", "run")


def tiles_of(split: Split, rows: list[int]) -> dict[str, Any] | None:
    """Images as a raster of one size; large ones are made smaller."""
    if not rows or len(split.sample_shape) not in (2, 3):
        return None
    pixels = np.stack([picture_of(split, "", row).pixels for row in rows])
    colour = pixels.ndim == 4
    side = max(pixels.shape[1:3])
    if side > _SIDE:
        images = torch.from_numpy(pixels).float()
        images = images.permute(0, 3, 1, 2) if colour else images[:, None]
        size = [max(1, round(_SIDE * extent / side)) for extent in pixels.shape[1:3]]
        smaller = F.interpolate(images, size, mode="area").round().clamp(0, 255).to(torch.uint8)
        pixels = (smaller.permute(0, 2, 3, 1) if colour else smaller[:, 0]).contiguous().numpy()
    return {
        "count": len(pixels),
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "channels": 3 if colour else 1,
        "kind": "colour" if colour else "grey",
        "low": 0.0,
        "high": 255.0,
        "data": np.ascontiguousarray(pixels).tobytes(),
    }
