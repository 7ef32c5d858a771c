"""Panels of the error analysis for which networks are trained: suspect labels, learning curve, rate test, a run."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace

from nnwidgets.engine.diagnosis._analysis import Analysis
from nnwidgets.engine.diagnosis._arms import error_of, seconds_an_epoch, start_of, train_arm
from nnwidgets.engine.diagnosis._suspects import KEPT, suspected_labels
from nnwidgets.engine.diagnosis.learning_curve import LearningCurve, Needed, learning_curve_steps
from nnwidgets.engine.diagnosis.rate_test import RateTest, rate_range_steps
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.steps import retold
from nnwidgets.figures import text
from nnwidgets.figures.diagnosis_charts import curve_chart, epochs_chart, losses_chart, rate_chart
from nnwidgets.figures.records import to_wire
from nnwidgets.widgets._board_parts import MOST_TILES, BoardWish, Marks, Steps, empty, names_of, note, tiles_of

__all__ = ["NEED_WORK", "curve", "prepare", "rate", "run", "suspects"]

_EPOCHS = "epochs of a run"
_FAR = 30  # times as many images as were tried: a law says nothing beyond
_CURVE_S, _CURVE_EPOCHS = 45.0, 18.0  # of three networks of each size; of the whole sample's epochs, all of them together
NEED_WORK = ("suspects", "curve", "rate", "run")


def suspects(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    """Images whose label is contradicted, with what was decided about them."""
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
    names = names_of(analysis, suspected.confusion.shape[0])
    there = [int(i) for i in suspected.rows if suspected.found[i]]
    take = math.ceil(wish.threshold * len(there))
    chosen = there[:take]
    found = empty("suspects", title, "" if chosen else "No label is contradicted with confidence.")
    seen = text.count(len(rows)) if len(rows) == len(split) else f"{text.count(len(rows))} of {text.count(len(split))}"
    found["text"] = (
        f"S_train, {seen} images: {text.count(len(there))} labels are contradicted, the surest {text.count(take)} taken. "
        "What you decide counts when suspects are dropped or relabelled."
    )
    shown = chosen[:MOST_TILES]
    found["tiles"] = tiles_of(split, [int(rows[i]) for i in shown])
    for i in shown:
        row, own, other = int(rows[i]), names[int(suspected.labels[i])], names[int(suspected.suggested[i])]
        decided = ctx.decisions.get(row, "")
        chance = text.percent(float(suspected.chance[i]), 0)
        said = f"image {row}: labelled {own}, the others say {other}; wrong with a chance of {chance} %"
        role = {"keep": "good", "drop": "bad", "relabel": "warn"}.get(decided, "alt")
        found["items"].append({"id": str(row), "label": f"{own}, not {other}?", "text": said, "mark": decided, "role": role})
    found["notes"] = [note(f"{text.count(take)} taken", "taken", take)]
    if take:
        precision = float(suspected.precision[take - 1])
        found["notes"].append(note(f"estimated precision {text.percent(precision, 0)} %", "precision", precision))
    found["notes"].append(note(f"about {suspected.expected:.0f} labels are wrong in all", "expected", float(suspected.expected)))
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


def curve(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    """Error over the size of S_train, and how many images the goal needs."""
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
        note(
            f"twice as many: {text.share(twice.value)} % ({text.share(twice.low)} to {text.share(twice.high)})",
            "at_2n",
            twice.value,
        ),
        note(_needed_words(needed, largest), "needed", needed.value if math.isfinite(needed.value) else -1.0),
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


def rate(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    """Loss while the rate grows, the suggested and the present rate."""
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
    found["text"] = f"Loss of the next batch, smoothed, while the rate grows. Suggested: {known.rule}."
    if known.suggested is None:
        found["notes"] = [note("the loss falls nowhere beyond noise", "suggested", -1.0)]
        return found
    found["notes"] = [note(f"suggested {known.suggested:.1e}", "suggested", known.suggested)]
    if told:
        near = "within half a decade of it" if known.near else "more than half a decade away from it"
        found["notes"].append(note(f"present {known.present:.1e}, {near}", "present", known.present))
    return found


def run(analysis: Analysis, wish: BoardWish, marks: Marks) -> Steps:
    """Loss of the run, step by step."""
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
    epochs: tuple[list[float], list[float]] | None = analysis.findings.context.known(_EPOCHS)
    if epochs is not None:
        found["charts"] = {"epochs": to_wire(epochs_chart(*epochs, analysis.experiment.goal)), **found["charts"]}
    return found


def _watched(analysis: Analysis) -> Generator[None, None, None]:
    """A run of the recipe: losses of its steps, and errors after each epoch where no loop of one's own does the work."""
    exp, ctx = analysis.experiment, analysis.findings.context
    arm = start_of(exp, ctx)
    if arm.step is not None or arm.fit is not None:
        found = yield from train_arm(arm, 0, exp.input_shape)
        analysis.losses[analysis.present] = found.losses
        return
    network = arm.make(0, arm.width)
    losses: list[float] = []
    wrong: list[float] = []
    train: list[float] = []
    val: list[float] = []
    for record in fit(network, arm.train, setup=arm.setup, loss=arm.loss).in_parts():
        yield
        if record is None:
            continue
        losses.append(record.loss)
        wrong.append(record.train_error)
        if record.step * record.epochs % record.steps == 0:  # the last step of an epoch
            train.append(sum(wrong) / len(wrong))
            wrong.clear()
            if exp.val is not None:
                network.eval()
                share, _ = yield from error_of(network, exp.val)
                val.append(share.value)
    analysis.losses[analysis.present] = tuple(losses)
    yield from ctx.kept(_EPOCHS, lambda: _as_steps((train, val)))


def _as_steps(value: tuple[list[float], list[float]]) -> Generator[None, None, tuple[list[float], list[float]]]:
    yield
    return value


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
        yield from _watched(analysis)
