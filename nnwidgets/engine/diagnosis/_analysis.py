"""An error analysis as a whole: findings, and a track of attempts, each of which is an experiment that can be gone on from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from nnwidgets.engine.diagnosis._arms import Arm, Run, Spent, error_of, seconds_an_epoch, start_of, train_arm
from nnwidgets.engine.diagnosis._diagnose import check_budget
from nnwidgets.engine.diagnosis._findings import Findings
from nnwidgets.engine.diagnosis.evidence import ALL, EvidenceTest
from nnwidgets.engine.diagnosis.flowchart import CAUSES, Share
from nnwidgets.engine.diagnosis.remedies import REMEDIES, Remedy
from nnwidgets.engine.diagnosis.trials import Difference, Trial, difference_of, of_images, smallest_effect, verdict_of
from nnwidgets.engine.errors import InputError, ModelError, NnwError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of, retold

__all__ = ["Analysis", "TrialStep", "list_remedies", "try_remedy"]

_MOST_KEPT = 12  # attempts whose experiments are kept; older ones stay in the track without
_NEAR, _TRIED = 0.2, (3, 2, 1)  # causes near the likeliest one, and how many remedies of each are tried
_LARGE = 5.0  # times the smallest effect
_NEXT = 4  # causes behind the likeliest one that are tried where nothing near it helps
_WORDS = {
    "val": "E_val",
    "balanced": "E_val, each class alike",
    "test": "E_test on the half that decides",
    "none": "E_val",
}


@dataclass(frozen=True)
class TrialStep:
    """How far an attempt is: share of its work, what is being done, and about how many seconds are left."""

    share: float
    text: str
    seconds_left: float | None = None


class Analysis:
    """Findings for the experiment as it was given, and for each attempt that was adopted.

    Args:
        experiment: what is analysed; it is never changed. tests, remedies: what there is to look at, and to try.

    Raises:
        InputError: not an experiment. DataError: no labels.

    Attributes:
        looks: how often E_test of another network was measured. trials: the track. losses: of the runs of attempts, by id.
    """

    def __init__(
        self, experiment: Experiment, tests: Sequence[EvidenceTest] = ALL, remedies: Sequence[Remedy] = REMEDIES
    ) -> None:
        if not isinstance(experiment, Experiment):
            raise InputError(f"experiment: got {type(experiment).__name__}, expected an Experiment.")
        self.tests, self.remedies = tuple(tests), tuple(remedies)
        self.looks = 0
        self._given = experiment
        self._findings = {0: Findings(experiment, tests)}
        self._runs: dict[tuple[Any, ...], Run] = {}
        self._present = 0
        self.trials: list[Trial] = []
        self.losses: dict[int, tuple[float, ...]] = {}

    # --- where it stands ----------------------------------------------------------------------------------------------

    @property
    def present(self) -> int:
        """Id of the attempt that is looked at; 0 for the experiment as it was given."""
        return self._present

    @property
    def findings(self) -> Findings:
        """What is known of it."""
        return self._findings[self._present]

    @property
    def given(self) -> Findings:
        """What is known of the experiment as it was given."""
        return self._findings[0]

    @property
    def experiment(self) -> Experiment:
        """The experiment that is looked at."""
        return self.findings.experiment

    def measure(self) -> Generator[str, None, None]:
        """Measure the errors of what is looked at, and enter the start into the track."""
        fresh = "test" not in self.findings.measured
        yield from self.findings.measure()
        self.looks += fresh and "test" in self.findings.errors
        if not self.trials:
            self.trials.append(_start(self.findings.errors))

    def adopt(self, trial_id: int) -> None:
        """Look at what an attempt led to, or with 0 at the experiment as it was given.

        Raises:
            InputError: no such attempt, or one whose network was not kept.
        """
        if trial_id != 0 and trial_id not in {trial.id for trial in self.trials}:
            raise InputError(f"there is no attempt {trial_id!r:.40}; the track has {[trial.id for trial in self.trials]}.")
        if trial_id not in self._findings:
            experiment = next(trial.experiment for trial in self.trials if trial.id == trial_id)
            if experiment is None:
                raise InputError(f"the network of attempt {trial_id} was not kept; apply it again.")
            experiment.goal = self.experiment.goal
            self._findings[trial_id] = Findings(experiment, self.tests)
        self._present = trial_id

    def set_goal(self, goal: float) -> None:
        """Another goal for all of it.

        Raises:
            InputError: no share inside (0, 1).
        """
        if self._given.goal != goal:  # each setting is told to all who listen
            self._given.goal = goal
        for findings in list(self._findings.values()):
            if findings.experiment is not self._given:
                findings.experiment.goal = goal

    # --- remedies -----------------------------------------------------------------------------------------------------

    def remedy(self, name: str) -> Remedy:
        """A remedy by name.

        Raises:
            InputError: no such remedy.
        """
        for remedy in self.remedies:
            if remedy.name == name:
                return remedy
        raise InputError(f"there is no remedy {name!r:.60}; {nearest(name, {remedy.name for remedy in self.remedies})}")

    def remedies_for(self, cause: str) -> tuple[Remedy, ...]:
        """Those advised for a cause, the first choice first; those that cannot be applied here last."""
        found = [remedy for remedy in self.remedies if cause in remedy.causes]
        return tuple(sorted(found, key=lambda remedy: bool(remedy.why_not(self.findings.context))))

    def apply(self, name: str, seeds: int = 3, budget_s: float = 60.0, first_seed: int = 0) -> Generator[TrialStep, None, Trial]:
        """Train with a change and without it, on paired seeds, compare, and enter the result into the track.

        Both arms are trained for the same share of their epochs: as much as the budget allows.

        Args:
            name: of the remedy. seeds: pairs. budget_s: seconds that all runs may take. first_seed: of the pairs.

        Raises:
            InputError: an unknown remedy, or fewer than two seeds. NnwError: it cannot be applied here; nothing is changed.
        """
        remedy = self.remedy(name)
        if isinstance(seeds, bool) or not isinstance(seeds, int) or not 2 <= seeds <= 30:
            raise InputError(f"seeds: got {seeds!r}, expected 2 to 30 pairs.")
        why = remedy.why_not(self.findings.context)
        if why:
            raise InputError(f"{remedy.title}: {why}.")
        return self._apply(remedy, range(first_seed, first_seed + seeds), budget_s)

    def _apply(self, remedy: Remedy, pairs: range, budget_s: float) -> Generator[TrialStep, None, Trial]:
        said = TrialStep(0.0, "preparing the change")
        yield from retold(self.measure(), lambda: said)
        findings = self.findings
        ctx, exp = findings.context, findings.experiment
        ctx.ends = time.monotonic() + max(30.0, budget_s)
        arm = _arm(exp, ctx, remedy)
        changed, words = yield from retold(remedy.change(ctx, arm), lambda: said)
        base = remedy.control(ctx, arm, changed)
        if remedy.beside_given:
            base = replace(base, given=ctx.network)
        if changed.given is not None:
            pairs = pairs[:1]
        share, expected_s = yield from self._fitted(base, changed, len(pairs), budget_s, lambda: said)
        asked = changed.setup.epochs
        base, changed = _for(base, share), _for(changed, share)
        dev = _decides(remedy.measure, arm, changed)
        work = _Work(self._runs, (self._present, id(exp.model)), pairs, expected_s)
        before: list[float] = []
        after: list[float] = []
        wrong: list[tuple[Tensor, Tensor]] = []
        first: Run | None = None
        spent = Spent()
        for seed in pairs:
            pair: list[tuple[float, Tensor | None]] = []
            for which, one in enumerate((base, changed)):
                old_way = which == 0 and one == _for(arm, share)
                run = yield from retold(work.run(one, seed, exp, kept=old_way), work.said(which, seed))
                sample = dev[which]
                if run is None:
                    pair.append((_chance(exp), None))
                    continue
                spent = spent + run.spent
                if which == 1 and first is None:
                    first = run
                balanced = remedy.measure == "balanced"
                error, bad = yield from retold(error_of(run.network, sample, balanced), work.said(which, seed))
                pair.append((error.value, bad))
            before.append(pair[0][0])
            after.append(pair[1][0])
            if pair[0][1] is not None and pair[1][1] is not None:
                wrong.append((pair[0][1], pair[1][1]))
        if first is None:
            raise ModelError(f"{remedy.title}: training diverged with every seed; nothing was changed. Try a lower rate.")
        found = of_images(*wrong[0]) if len(pairs) == 1 else difference_of(before, after, len(dev[0]))
        return (yield from self._entered(remedy, changed, words, first, before, after, found, spent, asked, work))

    def advised(self) -> tuple[tuple[Remedy, ...], tuple[Remedy, ...]]:
        """Remedies to try first: three for the likeliest cause, fewer for those that come near it; and then, where none of them
        helps: one for each of the next causes. All of them apply here."""
        if self.findings.branch == "goal_met":
            return (), ()
        causes = [cause for cause in self.findings.causes if cause.name != "goal_met"]
        least = _NEAR * max((cause.confidence for cause in causes), default=1.0)
        found: dict[str, Remedy] = {}
        for cause, most in zip((each for each in causes if each.confidence >= least), _TRIED, strict=False):
            can = [remedy for remedy in self.remedies_for(cause.name) if not remedy.why_not(self.findings.context)]
            found |= {remedy.name: remedy for remedy in can[:most]}
        more: dict[str, Remedy] = {}
        for cause in causes[: _NEXT + 1]:
            can = [remedy for remedy in self.remedies_for(cause.name) if not remedy.why_not(self.findings.context)]
            more |= {remedy.name: remedy for remedy in can[:1] if remedy.name not in found}
        return tuple(found.values()), tuple(more.values())

    def try_advised(self, seeds: int = 3, budget_s: float = 60.0) -> Generator[TrialStep, None, Trial | None]:
        """Try what is advised, one after the other from where the analysis stands, and adopt the best that is confirmed.

        A large gain that so few pairs cannot tell from chance is measured again, on twice as many fresh seeds.

        Returns:
            The best attempt, confirmed or not; None where nothing can be tried.
        """
        yield from retold(self.measure(), lambda: TrialStep(0.0, "measuring the errors"))
        start, now = self._present, self.findings.errors
        first, more = self.advised()
        made = yield from self._try_each(first, seeds, budget_s)
        if not any(_helped(each, now) for each in made):
            made += yield from self._try_each(more, seeds, budget_s)
        promising = min(made, key=lambda trial: _gain(trial, now), default=None)
        if promising is not None and _unsure(promising, now) and not any(_helped(each, now) for each in made):
            made += yield from self._try_each((self.remedy(promising.remedy),), 2 * seeds, budget_s, first_seed=seeds)
        helped = [each for each in made if _helped(each, now)]
        best = min(helped or made, key=lambda trial: _gain(trial, now), default=None)
        self._present = best.id if best is not None and helped else start
        return best

    def _try_each(
        self, remedies: Sequence[Remedy], seeds: int, budget_s: float, first_seed: int = 0
    ) -> Generator[TrialStep, None, list[Trial]]:
        """Attempts from where the analysis stands, where it stands again at the end."""
        start, made = self._present, []
        try:
            for i, remedy in enumerate(remedies):
                self._present = start
                steps = self._numbered(self.apply(remedy.name, seeds, budget_s / len(remedies), first_seed), i, remedies)
                try:
                    made.append((yield from steps))
                except NnwError:  # there is nothing to mend in this way, or it diverged: the next one
                    continue
        finally:  # cancelled as well
            self._present = start
        return made

    @staticmethod
    def _numbered(
        steps: Generator[TrialStep, None, Trial], place: int, remedies: Sequence[Remedy]
    ) -> Generator[TrialStep, None, Trial]:
        """The steps of one attempt among several."""
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                made: Trial = end.value
                return made
            text = f"{remedies[place].title}: {step.text}"
            yield TrialStep((place + step.share) / len(remedies), text, step.seconds_left)

    def _fitted(
        self, base: Arm, changed: Arm, seeds: int, budget_s: float, said: Callable[[], TrialStep]
    ) -> Generator[TrialStep, None, tuple[float, float]]:
        """(share of the epochs that the budget allows, at most 1; seconds that it will take)."""
        whole = 0.0
        for arm in (base, changed):
            try:
                whole += arm.setup.epochs * (yield from retold(seconds_an_epoch(arm), said))
            except ModelError:  # it diverges at once: its runs will be short
                continue
        share = min(1.0, budget_s / max(1e-9, seeds * whole))
        return share, seeds * share * whole if whole else budget_s  # how long one's own loop takes is not known

    def _entered(
        self,
        remedy: Remedy,
        changed: Arm,
        words: str,
        first: Run,
        before: list[float],
        after: list[float],
        found: Difference,
        spent: Spent,
        asked: int,
        work: _Work,
    ) -> Generator[TrialStep, None, Trial]:
        exp = self.experiment
        test = changed.test if remedy.measure != "test" or changed.test is None else _half(changed.test, 1)
        made = _experiment_of(exp, changed, first.network, test, f"{self._given.title}: {remedy.title.lower()}")
        findings = Findings(made, self.tests)
        yield from retold(findings.measure(), work.said(1, work.last))
        self.looks += "test" in findings.errors
        smallest = smallest_effect(exp.goal)
        verdict = "measured" if remedy.measure == "none" else verdict_of(found, smallest)
        cause = next((name for name in self._likely() if name in remedy.causes), remedy.causes[0])
        trial = Trial(
            id=max(trial.id for trial in self.trials) + 1,
            parent=self._present,
            remedy=remedy.name,
            cause=cause,
            leaf=CAUSES[cause].leaf,
            title=remedy.title,
            change=words,
            measured_on=_WORDS[remedy.measure],
            before=tuple(before),
            after=tuple(after),
            difference=found,
            smallest=smallest,
            verdict=verdict,
            errors=dict(findings.errors),
            spent=spent,
            epochs=changed.setup.epochs if changed.given is None else 0,
            of_epochs=asked if changed.given is None else 0,
            experiment=made,
        )
        self.trials.append(trial)
        self._findings[trial.id] = findings
        self.losses[trial.id] = first.losses
        if verdict in ("confirmed", "measured"):
            self._present = trial.id
        self._forget_old()
        return trial

    def _likely(self) -> list[str]:
        return [cause.name for cause in self.findings.causes]

    def _forget_old(self) -> None:
        made = [trial.id for trial in self.trials if trial.experiment is not None]
        for old in [each for each in made[:-_MOST_KEPT] if each != self._present]:
            self._findings.pop(old, None)
            self.trials = [replace(trial, experiment=None) if trial.id == old else trial for trial in self.trials]

    # --- as text ------------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The track as text: what was changed, errors, verdicts, cost; no weights."""
        rows = [trial.to_data() for trial in self.trials]
        return json.dumps({"format": "nnwidgets.track.1", "goal": self._given.goal, "trials": rows}, indent=1)

    def close(self) -> None:
        """Free the experiments of the attempts."""
        for trial in self.trials:
            if trial.experiment is not None:
                trial.experiment.close()
        self._runs.clear()


def list_remedies(experiment: Experiment, cause: str | None = None) -> pd.DataFrame:
    """What can be tried: name, title, causes, what is done, and why it cannot be applied here ("" where it can).

    Raises:
        InputError: not an experiment, or no such cause.
    """
    if cause is not None and cause not in CAUSES:
        raise InputError(f"cause: got {cause!r:.60}; {nearest(str(cause), CAUSES)}")
    analysis = Analysis(experiment)
    rows = [
        (each.name, each.title, ", ".join(each.causes), each.text, each.why_not(analysis.findings.context))
        for each in (analysis.remedies if cause is None else analysis.remedies_for(cause))
    ]
    return pd.DataFrame(rows, columns=["remedy", "title", "causes", "what is done", "not here, because"])


def try_remedy(experiment: Experiment, remedy: str, seeds: int = 3, budget_s: float = 60.0) -> Trial:
    """Train with a change and without it, on paired seeds, and say whether it helps; ``.experiment`` is what came out.

    Args:
        experiment: is not changed. remedy: a name of ``list_remedies``. seeds: pairs, at least 2. budget_s: seconds of training
            in all; where they do not suffice, both arms are trained for the same share of their epochs.

    Raises:
        InputError: an unknown remedy, one that cannot be applied here, or fewer than two seeds.
    """
    check_budget(budget_s)
    analysis = Analysis(experiment)
    return result_of(analysis.apply(remedy, seeds, float(budget_s)))


def _gain(trial: Trial, now: Mapping[str, Share]) -> float:
    """How far an attempt moved the error that decides, from the old way or from the network as it is, whichever is better."""
    before, after = sum(trial.before) / len(trial.before), sum(trial.after) / len(trial.after)
    return after - (min(before, now["val"].value) if trial.measured_on == _WORDS["val"] and "val" in now else before)


def _unsure(trial: Trial, now: Mapping[str, Share]) -> bool:
    return trial.verdict == "not established" and _gain(trial, now) < -_LARGE * trial.smallest


def _helped(trial: Trial, now: Mapping[str, Share]) -> bool:
    return trial.verdict == "measured" or (trial.verdict == "confirmed" and _gain(trial, now) < 0)


class _Work:
    """The runs of one attempt: what is known already is not trained again."""

    def __init__(self, known: dict[tuple[Any, ...], Run], key: tuple[Any, ...], pairs: range, expected_s: float) -> None:
        self._known, self._key, self._pairs, self._expected_s = known, key, pairs, max(expected_s, 1e-3)
        self._began = time.monotonic()
        self.last = pairs[-1]

    def run(self, arm: Arm, seed: int, exp: Experiment, kept: bool) -> Generator[None, None, Run | None]:
        """One trained network; None where it diverged."""
        key = (*self._key, seed, arm.setup)
        if kept and key in self._known:
            return self._known[key]
        try:
            run = yield from train_arm(arm, seed, exp.input_shape)
        except ModelError:
            return None
        if kept:
            self._known[key] = run
        return run

    def said(self, which: int, seed: int) -> Callable[[], TrialStep]:
        """What is told while an arm is at work."""
        arm = ("without the change", "with the change")[which]

        def say() -> TrialStep:
            spent = time.monotonic() - self._began
            share = min(spent / self._expected_s, 1 - 1 / (2 * len(self._pairs) * self._expected_s + 1))
            return TrialStep(
                share, f"pair {self._pairs.index(seed) + 1} of {len(self._pairs)}, {arm}", max(0.0, self._expected_s - spent)
            )

        return say


def _arm(exp: Experiment, ctx: Any, remedy: Remedy) -> Arm:
    """The present way; where nothing can be trained, what a remedy without training needs of it."""
    if not ctx.why_untrainable():
        return start_of(exp, ctx)

    def make(seed: int, width: float) -> nn.Module:
        raise ModelError(f"this network cannot be trained anew: {ctx.why_untrainable()}.")

    assert exp.train is not None, remedy.name
    return Arm(make, exp.train, exp.val, exp.test, exp.training or ctx.usual)


def _for(arm: Arm, share: float) -> Arm:
    return replace(arm, setup=replace(arm.setup, epochs=max(1, round(share * arm.setup.epochs))))


def _decides(measure: str, arm: Arm, changed: Arm) -> tuple[Split, Split]:
    """The sample that each arm is judged on."""
    if measure == "test":
        assert arm.test is not None and changed.test is not None
        return _half(arm.test, 0), _half(changed.test, 0)
    return arm.val or arm.train, changed.val or changed.train


def _half(split: Split, which: int) -> Split:
    """Every second image."""
    return split.take(torch.arange(which, len(split), 2))


def _chance(exp: Experiment) -> float:
    return 1 - 1 / max(2, len(exp.class_names))


def _start(errors: dict[str, Share]) -> Trial:
    return Trial(
        0, 0, "", "", "", "As it was given", "", "E_val", (), (), None, 0.0, "start", dict(errors), Spent(), 0, 0,
    )  # fmt: skip


def _experiment_of(exp: Experiment, arm: Arm, network: nn.Module, test: Split | None, title: str) -> Experiment:
    """What came out, as an experiment to go on with."""
    width = arm.width
    build = None if exp.build is None else (lambda times: arm.make(int(torch.randint(2**31, ())), times * width))
    made = Experiment(
        network, arm.train, test, exp.goal, exp.class_names, exp.input_shape, build, arm.setup, loss=arm.loss, fit=arm.fit,
        train_step=arm.step, val=arm.val, reserve=exp.reserve, title=title,
    )  # fmt: skip
    return made
