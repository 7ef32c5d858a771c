"""The error analysis's records: errors, flowchart, the chosen leaf and the track, as plain data for the front end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nnwidgets.engine.diagnosis._analysis import Analysis
from nnwidgets.engine.diagnosis._findings import Findings, ranked
from nnwidgets.engine.diagnosis.evidence import EvidenceTest
from nnwidgets.engine.diagnosis.flowchart import CAUSES, NODES, Share, causes_of, states_of
from nnwidgets.engine.diagnosis.records import WEAK, Evidence, badge_for
from nnwidgets.engine.diagnosis.remedies import Remedy
from nnwidgets.engine.diagnosis.trials import Trial
from nnwidgets.figures import text
from nnwidgets.figures.diagnosis_charts import counts_chart, errors_chart, values_chart
from nnwidgets.figures.records import Chart, to_wire
from nnwidgets.figures.scales import round_marks
from nnwidgets.widgets._analysis_text import LEAVES

__all__ = ["LEAF_IDS", "detail_record", "flow_record", "leaf_tests", "line_record", "track_record", "trial_record"]

_MOST_BARS = 6
_SIGNS = {"train": ("E_train", "accent"), "val": ("E_val", "muted"), "test": ("E_test", "alt")}
_COLUMNS = {"train_high": "train", "test_high": "test", "data": "data"}
_OWN = {"start": "top", "goal_met": "top", "train_high": "train", "test_high": "test", "data": "train", "implementation": "both"}
LEAF_IDS = tuple(node.id for node in NODES if causes_of(node.id))


def leaf_tests(findings: Findings, leaf: str) -> tuple[EvidenceTest, ...]:
    """Tests that can speak for a cause of a leaf, and those that did."""
    causes = set(causes_of(leaf))

    def speaks(test: EvidenceTest) -> bool:
        found = findings.evidence.get(test.name)
        return bool(causes & set(test.causes)) or (found is not None and any(found.weights.get(cause, 0) > 0 for cause in causes))

    return tuple(test for test in findings.tests if speaks(test))


# --- the number line --------------------------------------------------------------------------------------------------


def line_record(findings: Findings) -> dict[str, Any]:
    """Errors with their intervals, and the goal."""
    goal, errors = findings.experiment.goal, findings.errors
    highest = max([goal * 1.6, *(share.high for share in errors.values()), 0.02])
    top = min(
        1.0, next(mark for mark in (0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0) if mark >= min(1.0, highest))
    )
    marks = round_marks(0.0, top, 6)
    digits = 0 if all(abs(100 * mark - round(100 * mark)) < 1e-6 for mark in marks) else 1
    return {
        "domain": [0.0, top],
        "ticks": [{"at": mark, "text": f"{100 * mark:.{digits}f} %"} for mark in marks],
        "marks": [_mark(name, errors[name]) for name in ("train", "val", "test") if name in errors],
        "goal_text": f"goal {text.share(goal)} %",
    }


def _mark(name: str, share: Share) -> dict[str, Any]:
    label, role = _SIGNS[name]
    wrong = round(share.value * share.n)
    return {
        "name": name,
        "label": label,
        "value": share.value,
        "low": share.low,
        "high": share.high,
        "text": f"{text.share(share.value)} %",
        "tip": f"{text.count(wrong)} of {text.count(share.n)} wrong; on new images like these {_span(share)} %",
        "role": role,
    }


def _span(share: Share) -> str:
    return f"{text.share(share.low)} to {text.share(share.high)}"


# --- the flowchart ----------------------------------------------------------------------------------------------------


def flow_record(findings: Findings, busy: str, hidden: bool, secret: bool) -> dict[str, Any]:
    """Nodes and edges. ``busy``: name of the test that runs; ``hidden``: badges wait; ``secret``: no ranking is shown."""
    errors, goal = findings.errors, findings.experiment.goal
    states = states_of(errors.get("train"), errors.get("test") or errors.get("val"), goal)
    places = {} if hidden or secret else _places(findings)
    nodes = [_node(findings, node.id, states[node.id], busy, hidden, places) for node in NODES]
    return {"nodes": nodes, "edges": _edges(states), "sentence": sentence(findings)}


def _places(findings: Findings) -> dict[str, int]:
    """The leaves of the likeliest causes that something speaks for, 1 to 3."""
    found: dict[str, int] = {}
    for cause in findings.causes:
        speaks = sum(e.weights.get(cause.name, 0.0) for e in cause.evidence) >= WEAK
        if speaks and cause.name != "goal_met" and cause.leaf not in found and len(found) < 3 and findings.branch != "goal_met":
            found[cause.leaf] = len(found) + 1
    return found


def _node(findings: Findings, name: str, state: str, busy: str, hidden: bool, places: Mapping[str, int]) -> dict[str, Any]:
    node = next(each for each in NODES if each.id == name)
    leaf = bool(causes_of(name)) and name != "goal_met"
    tests = leaf_tests(findings, name) if leaf else ()
    badge, words = badge_of(findings, name, tests) if leaf else ("", "")
    open_tests = [test for test in tests if _open(findings, test)]
    return {
        "id": name,
        "kind": _kind(name),
        "title": LEAVES[name][0],
        "text": _under(findings, name, state) if not leaf else ("" if hidden else words),
        "column": _OWN.get(name) or _COLUMNS[node.parents[0]],
        "state": state,
        "badge": "hidden" if hidden and leaf else badge,
        "cost": text.duration(sum(findings.seconds_of(test) for test in open_tests)) if badge == "not tested" else "",
        "place": places.get({"another_algorithm": "training_algorithm"}.get(name, name), 0),
        "extension": not node.from_lecture,
        "busy": any(test.name == busy for test in tests),
    }


def _kind(name: str) -> str:
    return {"start": "start", "goal_met": "exit", "train_high": "branch", "test_high": "branch", "data": "group"}.get(
        name, "leaf"
    )


def _open(findings: Findings, test: EvidenceTest) -> bool:
    found = findings.evidence.get(test.name)
    return found is None or found.state == "not tested"


def badge_of(findings: Findings, leaf: str, tests: Sequence[EvidenceTest]) -> tuple[str, str]:
    """(badge, a few words) of a leaf: all that its tests say for the likeliest of its causes."""
    done = [findings.evidence[test.name] for test in tests if test.name in findings.evidence]
    told = [evidence for evidence in done if evidence.state == "done"]
    if told:
        sums = {cause: sum(e.weights.get(cause, 0.0) for e in findings.evidence.values()) for cause in causes_of(leaf)}
        cause = max(sums, key=lambda name: sums[name])
        speaks = speaking(findings, (cause,), told)
        badge = badge_for(sums[cause])
        if badge != "none":
            return badge, short(speaks.text)
        if any(_open(findings, test) for test in tests) and sums[cause] > -WEAK:
            return "none", "so far"
        return "none", ""
    if done and all(evidence.state in ("does not apply", "failed") for evidence in done) and len(done) == len(tests):
        first = done[0]
        return first.state, short(first.text)
    return "not tested", ""


def short(sentence: str, most: int = 64) -> str:
    """The start of a sentence, cut at a word."""
    if len(sentence) <= most:
        return sentence
    return sentence[:most].rsplit(" ", 1)[0].rstrip(",;:") + " …"


def _under(findings: Findings, name: str, state: str) -> str:
    errors, goal = findings.errors, findings.experiment.goal
    if not errors:
        return "not measured yet"
    test, train = errors.get("test") or errors.get("val"), errors.get("train")
    if name == "start":
        if test is None:
            return "only S_train was given"
        return {True: "E_test is above the goal", False: "E_test is within the goal"}[test.value > goal]
    if name == "goal_met":
        return {"lit": "yes", "undecided": "cannot be told yet", "off": "no"}[state]
    if name == "train_high":
        return "no S_train was given" if train is None else {"lit": "yes", "undecided": "cannot be told yet", "off": "no"}[state]
    if name == "test_high":
        return "no S_train was given" if train is None else {"lit": "yes", "undecided": "cannot be told yet", "off": "no"}[state]
    return ""


def _edges(states: Mapping[str, str]) -> list[dict[str, Any]]:
    order = ("off", "undecided", "lit")
    found = []
    for node in NODES:
        for parent in node.parents:
            state = min(states[parent], states[node.id], key=order.index)
            found.append({"from": parent, "to": node.id, "state": state, "extension": not node.from_lecture})
    found.append({"from": "test_high", "to": "data", "state": states["test_high"], "extension": True})
    return found


def sentence(findings: Findings) -> str:
    """Where the way leads, in words."""
    errors, goal = findings.errors, findings.experiment.goal
    if not errors:
        return "The errors are being measured."
    test = errors.get("test") or errors.get("val") or errors["train"]
    name = "E_test" if "test" in errors else "E_val" if "val" in errors else "E_train"
    states = states_of(errors.get("train"), errors.get("test") or errors.get("val"), goal)
    first = f"{name} is {text.share(test.value)} % ({_span(test)}), the goal {text.share(goal)} %"
    if states["goal_met"] == "lit":
        return f"{first}: the goal is met."
    if states["goal_met"] == "undecided":
        return f"{first}: whether the goal is met cannot be told yet, {text.count(test.n)} images are too few."
    if errors.get("train") is None:
        return f"{first}; without S_train the branch cannot be told."
    train = f"E_train is {text.share(errors['train'].value)} % ({_span(errors['train'])})"
    if states["train_high"] == "undecided":
        return f"{first}. {train}: on which side of the goal cannot be told yet."
    if states["train_high"] == "lit":
        return f"{first}. {train}: too high as well, so the network or its training comes first."
    return f"{first}. {train}, within it: what was learnt does not carry over."


# --- the chosen leaf --------------------------------------------------------------------------------------------------


def detail_record(analysis: Analysis, leaf: str, hidden: bool, secret: bool, seeds: int) -> dict[str, Any]:
    """What is known about a node, what can be tested, and what can be done.

    ``hidden``: nothing depends on what was found; ``secret``: what was found is told, but not which cause it makes likely.
    """
    findings = analysis.findings
    title, meaning = LEAVES[leaf]
    causes = causes_of(leaf)
    tests = leaf_tests(findings, leaf) if causes and leaf != "goal_met" else ()
    if hidden:
        tests = tuple(test for test in tests if set(causes) & set(test.causes))
    ranking = ranked(findings.branch, ()) if hidden or secret else findings.causes
    found = {cause.name: cause for cause in ranking}
    likely = max(causes, key=lambda name: found[name].confidence, default="")
    told = any(evidence.state == "done" for evidence in findings.evidence.values())
    shown = bool(likely) and not hidden and not secret and (told or leaf == "goal_met") and bool(findings.errors)
    badge, _ = badge_of(findings, leaf, tests) if tests and not hidden else ("", "")
    record: dict[str, Any] = {
        "leaf": leaf,
        "title": title if len(causes) < 2 or badge not in ("strong", "weak") or secret else found[likely].title,
        "family": CAUSES[likely].family if likely else "",
        "lead": "" if badge not in ("strong", "weak") else _lead(findings, causes if secret else (likely,)),
        "role": {"strong": "bad", "weak": "warn"}.get(badge, "muted"),
        "confidence": f"confidence {text.percent(found[likely].confidence, 0)} %" if shown else "",
        "confidence_raw": found[likely].confidence if shown else None,
        "text": meaning,
        "action": CAUSES[likely].action if likely else "",
        "chart": None if hidden else _picture(findings, leaf, tests),
        "tests": [_test_record(findings, test, causes, hidden) for test in tests],
        "remedies": [_remedy_record(analysis, remedy, seeds) for cause in causes for remedy in analysis.remedies_for(cause)],
        "attempt": _last_attempt(analysis, leaf),
    }
    unique = {each["name"]: each for each in record["remedies"]}
    record["remedies"] = sorted(unique.values(), key=lambda each: bool(each["reason"]))
    return record


def _lead(findings: Findings, causes: Sequence[str]) -> str:
    """What speaks most for one of the causes."""
    told = [e for e in findings.evidence.values() if e.text and any(e.weights.get(cause, 0.0) > 0 for cause in causes)]
    return speaking(findings, causes, told).text if told else ""


def speaking(findings: Findings, causes: Sequence[str], told: Sequence[Evidence]) -> Evidence:
    """What says most for one of the causes; a test that is made for it comes before one that speaks of it by the way."""
    made_for = {test.name for test in findings.tests if set(test.causes[:1]) & set(causes)}

    def weight(evidence: Evidence) -> float:
        found = max(evidence.weights.get(cause, 0.0) for cause in causes)
        return found + (found > 0 and evidence.test in made_for)

    return max(told, key=weight)


def _test_record(findings: Findings, test: EvidenceTest, causes: Sequence[str], hidden: bool) -> dict[str, Any]:
    found: Evidence = findings.evidence.get(test.name) or test.without("not tested", "")
    badges = [found.badge(cause) for cause in causes]
    order = ("strong", "weak", "none", "not tested")
    badge = found.state if found.state in ("does not apply", "failed") else min(badges, key=order.index)
    ran = f"ran {found.seconds:.1f} s" if found.state == "done" else f"about {text.duration(findings.seconds_of(test))}"
    why = test.why_not(findings.context) if found.state == "not tested" else ""
    return {
        "test": test.name,
        "title": test.title,
        "badge": "hidden" if hidden else "does not apply" if why else badge,
        "text": "" if hidden else why or found.text or (NOTHING if found.state == "done" else ""),
        "numbers": [] if hidden else [{"name": name, "text": number(name, value)} for name, value in found.numbers.items()],
        "method": test.method,
        "source": test.source,
        "cost": ran,
        "can_run": not why and found.state != "does not apply",
    }


NOTHING = "nothing found"


def number(name: str, value: float) -> str:
    """A figure of a test: errors and shares in per cent, the rest with three digits."""
    if not math.isfinite(value):
        return str(value)
    if name.startswith(("E_", "recall", "agreement", "share", "suspect", "error", "chance", "moved")):
        return f"{text.share(max(0.0, value))} %"
    return f"{value:.3g}".replace("-", text.MINUS)


def _picture(findings: Findings, leaf: str, tests: Sequence[EvidenceTest]) -> dict[str, Any] | None:
    """A chart of the numbers of a leaf's evidence: classes for imbalance, errors beside each other elsewhere."""
    chart: Chart | None = None
    train = findings.context.splits.get("train")
    if leaf == "imbalance" and train is not None and train.labels is not None:
        names = findings.experiment.class_names
        counts = torch.bincount(train.labels.cpu(), minlength=len(names)).tolist()
        chart = counts_chart(counts, names)
    else:
        for test in sorted(tests, key=lambda each: -_weight(findings, each, leaf)):
            found = findings.evidence.get(test.name)
            errors = {} if found is None else {n: v for n, v in found.numbers.items() if n.startswith("E_") and math.isfinite(v)}
            if len(errors) > 1:
                few = dict(sorted(errors.items(), key=lambda pair: pair[1])[:8]) if len(errors) > 8 else errors
                chart = errors_chart(few, findings.experiment.goal, test.title)
                break
            figures = {} if found is None else {n: v for n, v in found.numbers.items() if math.isfinite(v)}
            if figures:
                chart = values_chart(dict(list(figures.items())[:_MOST_BARS]), test.title)
                break
    return None if chart is None else to_wire(chart)


def _weight(findings: Findings, test: EvidenceTest, leaf: str) -> float:
    found = findings.evidence.get(test.name)
    return -math.inf if found is None else max((abs(found.weights.get(cause, 0.0)) for cause in causes_of(leaf)), default=0.0)


def _remedy_record(analysis: Analysis, remedy: Remedy, seeds: int) -> dict[str, Any]:
    why = remedy.why_not(analysis.findings.context)
    if remedy.measure == "test" and remedy.beside_given:
        cost = "some seconds; nothing is trained"
    else:
        arms = "" if remedy.beside_given else ", each trained with the change and without it"
        cost = f"{seeds} paired seeds{arms}"
    return {"name": remedy.name, "title": remedy.title, "text": remedy.text, "cost": cost, "reason": why}


def _last_attempt(analysis: Analysis, leaf: str) -> dict[str, Any] | None:
    same = {"another_algorithm": "training_algorithm"}.get(leaf, leaf)
    mine = [trial for trial in analysis.trials if trial.leaf == same]
    return trial_record(mine[-1], analysis.present) if mine else None


# --- the track --------------------------------------------------------------------------------------------------------


def track_record(analysis: Analysis) -> list[dict[str, Any]]:
    """All attempts, the start first."""
    return [trial_record(trial, analysis.present) for trial in analysis.trials]


def trial_record(trial: Trial, present: int) -> dict[str, Any]:
    """One attempt in words."""
    where = trial.measured_on.split(",")[0].replace(" on the half that decides", "")
    before, after = (f"{where} {text.share(sum(side) / len(side))} %" if side else "" for side in (trial.before, trial.after))
    return {
        "id": trial.id,
        "title": trial.title,
        "change": trial.change,
        "before": before,
        "after": after,
        "train": _error(trial, "train"),
        "test": _error(trial, "test"),
        "verdict": trial.verdict,
        "verdict_text": _verdict(trial),
        "cost": _cost(trial),
        "current": trial.id == present,
        "note": trial.recorded,
    }


def _error(trial: Trial, name: str) -> str:
    share = trial.errors.get(name)
    return "" if share is None else f"{text.share(share.value)} %"


def _verdict(trial: Trial) -> str:
    found = trial.difference
    if found is None:
        return ""
    points = f"{text.signed_points(found.mean)} points ({text.signed_points(found.low)} to {text.signed_points(found.high)})"
    of = f"{found.pairs} paired seeds" if found.pairs > 1 else "for new images like these"
    if trial.verdict == "measured":
        return f"{trial.measured_on} {points}, {of}; no error was to fall"
    return f"{trial.measured_on} {points}, {of}; {text.percent(trial.smallest)} points would count"


def _cost(trial: Trial) -> str:
    if trial.spent.samples == 0:
        return ""
    flops, unit = text.scaled(trial.spent.flops, ("", "k", "M", "G", "T", "P"))
    parts = [text.duration(trial.spent.seconds), f"{text.count(trial.spent.samples)} images", f"{flops} {unit}FLOP"]
    if trial.epochs < trial.of_epochs:
        parts.append(f"{trial.epochs} of {trial.of_epochs} epochs")
    return ", ".join(parts)
