"""The error analysis as a whole: states of the flowchart, findings, remedies on paired seeds, the track, practice, recordings."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_diagnosis import blobs, dense, trained
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.diagnosis import REMEDIES, Analysis, Remedy
from nnwidgets.engine.diagnosis._arms import Arm
from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.flowchart import NODES, Share, causes_of, states_of
from nnwidgets.engine.diagnosis.plants import planted
from nnwidgets.engine.diagnosis.practice import draw_exercise, result_of_guess, score_of
from nnwidgets.engine.diagnosis.recording import recorded_text, replay
from nnwidgets.engine.diagnosis.remedies._base import Changed
from nnwidgets.engine.diagnosis.remedies._layers import activated, lacks_activations, with_dropout, with_relus, without_softmax
from nnwidgets.engine.diagnosis.trials import Difference, difference_of, of_images, smallest_effect, verdict_of
from nnwidgets.engine.trace import fingerprint
from nnwidgets.engine.values.steps import result_of


def share(value: float, half: float = 0.01) -> Share:
    return Share(value, value - half, value + half, 1000)


# --- the way through the flowchart ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test", "met", "train_high", "test_high"),
    [
        (0.01, 0.02, "lit", "off", "off"),
        (0.01, 0.10, "off", "off", "lit"),
        (0.10, 0.10, "off", "lit", "off"),
        (0.05, 0.10, "off", "undecided", "undecided"),
        (0.01, 0.05, "undecided", "off", "undecided"),
        (0.10, 0.055, "undecided", "undecided", "off"),
        (None, 0.10, "off", "undecided", "undecided"),
    ],
)
def test_what_is_inside_the_noise_is_undecided(
    train: float | None, test: float, met: str, train_high: str, test_high: str
) -> None:
    states = states_of(None if train is None else share(train), share(test), 0.05)
    assert (states["goal_met"], states["train_high"], states["test_high"]) == (met, train_high, test_high)
    assert states["enlarge_network"] == train_high and states["more_data"] == test_high
    order = ("off", "undecided", "lit")  # data leaves are reached from both branches
    assert states["labels"] == states["data"] == max(train_high, test_high, key=order.index)
    assert set(states) == {node.id for node in NODES}


def test_every_leaf_has_a_cause_and_every_cause_a_remedy_but_for_the_exit() -> None:
    leaves = [node.id for node in NODES if causes_of(node.id)]
    assert {"labels", "another_algorithm", "regularization", "implementation"} <= set(leaves)
    advised = {cause for remedy in REMEDIES for cause in remedy.causes}
    assert advised == {cause for leaf in leaves for cause in causes_of(leaf)} - {"goal_met"}
    assert len({remedy.name for remedy in REMEDIES}) == len(REMEDIES)


class Slow(E.EvidenceTest):
    """Said to take a second, takes a tenth."""

    name, title, method, seconds = "slow", "Slow", "waits", 1.0

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    def steps(self, ctx: Context) -> Any:
        time.sleep(0.1)
        yield
        return {}, "", {}


def test_what_tests_cost_is_told_by_those_that_ran_here() -> None:
    findings = Analysis(trained(), tests=(Slow("one"), Slow("two"))).findings
    one, two = findings.tests
    assert findings.seconds_of(two) == 1.0 and findings.seconds_left == 2.0
    result_of(findings.run("one"))
    took = findings.evidence["one"].seconds
    assert findings.seconds_of(one) == took >= 0.1 and findings.seconds_of(two) == pytest.approx(took) == findings.seconds_left
    result_of(findings.run("two"))
    assert findings.seconds_left == 0


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_the_interval_of_paired_differences_is_students() -> None:
    found = difference_of([0.10, 0.12, 0.14], [0.05, 0.08, 0.06], 1000)
    mean, spread = -0.17 / 3, math.sqrt(sum((d + 0.17 / 3) ** 2 for d in (-0.05, -0.04, -0.08)) / 2)
    assert found.mean == pytest.approx(mean) and found.pairs == 3
    assert found.high - found.mean == pytest.approx(4.303 * spread / math.sqrt(3), rel=1e-3)
    assert difference_of([0.1, 0.1], [0.05, 0.05], 100).high > -0.05  # equal by chance is not certain


def test_such_an_interval_holds_the_truth_in_95_of_100() -> None:
    draw = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(2000):
        before, after = 0.1 + 0.01 * torch.randn(3, generator=draw), 0.09 + 0.01 * torch.randn(3, generator=draw)
        found = difference_of(before.tolist(), after.tolist(), 10_000)
        held += found.low <= -0.01 <= found.high
    assert 0.935 < held / 2000 < 0.965


def test_of_one_network_the_interval_is_that_of_new_images() -> None:
    before, after = torch.zeros(1000, dtype=torch.bool), torch.zeros(1000, dtype=torch.bool)
    before[:200], after[:50] = True, True
    found = of_images(before, after)
    assert found.mean == pytest.approx(-0.15) and found.low < -0.15 < found.high < -0.12


@pytest.mark.parametrize(
    ("low", "mean", "high", "verdict"),
    [
        (-0.05, -0.03, -0.01, "confirmed"),
        (-0.005, -0.004, -0.003, "refuted"),  # beyond noise, but too small to count
        (-0.008, 0.02, 0.05, "refuted"),
        (-0.05, -0.01, 0.03, "not established"),
    ],
)
def test_a_verdict_needs_an_effect_that_counts(low: float, mean: float, high: float, verdict: str) -> None:
    assert verdict_of(Difference(mean, low, high, 3), 0.01) == verdict


def test_the_smallest_effect_follows_the_goal() -> None:
    assert smallest_effect(0.03) == pytest.approx(0.006) and smallest_effect(0.5) == 0.01 and smallest_effect(0.001) == 0.002


# --- changes of networks ----------------------------------------------------------------------------------------------


def test_layers_are_put_in_and_taken_out() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(1))
    assert lacks_activations(plain)
    bent = activated(plain)
    assert [type(each).__name__ for each in bent][:4] == ["Flatten", "Linear", "ReLU", "Linear"] and not lacks_activations(bent)
    logits = without_softmax(bent)(torch.randn(2, 64))
    assert (logits.sum(1) - 1).abs().max() > 1e-3
    dropped = with_dropout(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), 0.3)
    assert any(isinstance(each, nn.Dropout) and each.p == 0.3 for each in dropped.modules())
    assert [type(each).__name__ for each in with_relus(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()))] == ["Linear", "ReLU"]
    assert not lacks_activations(nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)))


# --- attempts ---------------------------------------------------------------------------------------------------------


def narrow(width: float = 1.0) -> nn.Module:
    size = max(1, round(width))
    return nn.Sequential(nn.Flatten(), nn.Linear(64, size), nn.ReLU(), nn.Linear(size, 3))


@pytest.fixture(scope="module")
def small() -> E.Experiment:
    """One hidden unit for three classes: too narrow."""
    return trained(narrow, training=E.TrainingSetup(lr=5e-3, epochs=6, batch_size=32))


@pytest.mark.slow
def test_an_action_is_tried_on_paired_seeds_and_enters_the_track(small: E.Experiment) -> None:
    before = fingerprint(small.model)
    analysis = Analysis(small)
    steps = list_steps(analysis, "width_x4", 3)
    trial = analysis.trials[-1]
    assert fingerprint(small.model) == before
    assert [each.verdict for each in analysis.trials] == ["start", "confirmed"] and analysis.present == trial.id == 1
    assert len(trial.before) == len(trial.after) == 3 and trial.difference is not None and trial.difference.high < 0
    assert trial.change == "width 1 to 4" and trial.leaf == "enlarge_network" and trial.epochs == trial.of_epochs == 6
    assert trial.spent.samples == 2 * 3 * 6 * len(small.train) and trial.spent.flops > 0
    assert [step.share for step in steps] == sorted(step.share for step in steps) or steps
    made = trial.experiment
    assert made is not None and made.model is not small.model and analysis.experiment is made
    assert E.evaluate(made.model, made.test).error == pytest.approx(trial.errors["test"].value)
    assert analysis.looks == 2
    analysis.adopt(0)
    assert analysis.experiment is small
    told = json.loads(analysis.to_json())
    assert [each["verdict"] for each in told["trials"]] == ["start", "confirmed"]
    analysis.close()


def list_steps(analysis: Analysis, name: str, seeds: int) -> list[Any]:
    return list(analysis.apply(name, seeds, 20.0))


@pytest.mark.slow
def test_the_way_without_the_change_is_trained_once(small: E.Experiment) -> None:
    analysis = Analysis(small)
    first = result_of(analysis.apply("width_x2", 2, 20.0))
    analysis.adopt(0)
    second = result_of(analysis.apply("width_x4", 2, 20.0))
    assert first.before == second.before and len(analysis._runs) == 2
    analysis.close()


@pytest.mark.slow
def test_the_same_seeds_give_the_same_attempt(small: E.Experiment) -> None:
    one, two = (E.try_remedy(small, "decay", 2, 20.0) for _ in range(2))
    assert one.before == two.before and one.after == two.after and one.difference == two.difference


CURES = [
    ("too_narrow", "width_x4"),
    ("rate_high", "rate_x0.01"),
    ("rate_low", "rate_x1000"),
    ("decay_high", "no_decay"),
    ("dead_relu", "anew"),
    ("deep_sigmoid", "relus"),
    ("no_zero_grad", "usual_step"),
    ("no_activation", "activations"),
    ("not_normalized", "normalize"),
    ("test_not_normalized", "scale_test"),
    ("test_swapped", "mend_test"),
    ("labels_shifted", "move_labels"),
    ("labels_random", "drop_suspects"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "remedy"), CURES)
def test_a_planted_fault_is_cured_by_what_is_advised_for_it(fault: str, remedy: str) -> None:
    found = next(each for each in (planted(fault, seed) for seed in range(60, 80)) if each.hurts)
    pairs = 8 if fault == "labels_random" else 3  # S_val is small, and its labels are wrong as well
    trial = E.try_remedy(found.experiment, remedy, pairs, 30.0)
    assert trial.verdict == "confirmed", (trial.change, trial.difference)
    assert set(next(each for each in REMEDIES if each.name == remedy).causes) & found.answers


@pytest.mark.slow
def test_copies_are_taken_out_and_no_error_is_to_fall() -> None:
    found = planted("leak", 3)
    trial = E.try_remedy(found.experiment, "no_copies", 2, 20.0)
    assert trial.verdict == "measured" and "copies" in trial.change
    made = trial.experiment
    assert made is not None and len(made.train) < len(found.experiment.train)


@pytest.mark.slow
def test_all_that_applies_can_be_tried_and_leaves_the_network_as_it_was() -> None:
    exp = trained(training=E.TrainingSetup(lr=5e-3, epochs=2, batch_size=32), reserve=blobs(60, 5))
    before, analysis = fingerprint(exp.model), Analysis(exp)
    tried = []
    for remedy in REMEDIES:
        if remedy.why_not(analysis.findings.context):
            continue
        analysis.adopt(0)
        try:
            tried.append(result_of(analysis.apply(remedy.name, 2, 4.0)).remedy)
        except E.DataError as error:  # there is nothing to mend, and it says so
            assert str(error)
        assert fingerprint(exp.model) == before
    assert {"width_x2", "more_data", "resample", "normalize", "augment_shift", "dropout", "smooth", "anew"} <= set(tried)
    assert len(analysis.trials) == 1 + len(tried)
    with pytest.raises(E.InputError, match="not kept"):
        analysis.adopt(analysis.trials[1].id)  # only the last twelve keep their networks
    analysis.close()


def test_what_cannot_be_tried_says_why() -> None:
    found = trained()
    exp = E.Experiment(found.model, train=found.train, val=found.val, test=found.test, goal=0.05)
    analysis = Analysis(exp)
    whys = {remedy.name: remedy.why_not(analysis.findings.context) for remedy in REMEDIES}
    assert "factory" in whys["width_x2"] and "reserve" in whys["more_data"] and "step, loop or loss" in whys["usual_step"]
    assert whys["anew"] == ""  # Linear layers can be drawn anew without a factory
    with pytest.raises(E.InputError, match="factory"):
        analysis.apply("width_x2")
    with pytest.raises(E.InputError, match=r"there is no remedy 'widht_x2'.*width_x2"):
        analysis.apply("widht_x2")
    with pytest.raises(E.InputError, match="seeds: got 1"):
        analysis.apply("anew", 1)
    assert analysis.trials == []
    frame = E.list_remedies(exp, "labels")
    assert list(frame["remedy"]) == ["drop_suspects", "relabel_suspects"]
    with pytest.raises(E.InputError, match="cause: got 'lables'"):
        E.list_remedies(exp, "lables")


@pytest.mark.slow
def test_training_that_diverges_is_said_and_nothing_is_lost() -> None:
    exp = trained(training=E.TrainingSetup(optimizer="sgd", lr=30.0, epochs=2, batch_size=32))
    analysis = Analysis(exp)
    trial = result_of(analysis.apply("rate_x0.01", 2, 10.0))
    assert trial.difference is not None and max(trial.before) <= 1.0
    with pytest.raises(E.NnwError, match="diverged with every seed"):
        result_of(Analysis(trained(training=E.TrainingSetup(optimizer="sgd", lr=1e30, epochs=2))).apply("decay", 2, 10.0))


@pytest.mark.slow
def test_what_a_person_decided_about_an_image_counts() -> None:
    found = planted("labels_random", 61)
    analysis = Analysis(found.experiment)
    ctx = analysis.findings.context
    from nnwidgets.engine.diagnosis.remedies._data import suspects_of

    rows, _ = result_of(suspects_of(ctx))
    kept, other = int(rows[0]), next(row for row in range(len(found.experiment.train)) if row not in set(rows.tolist()))
    ctx.decisions.update({kept: "keep", other: "drop"})
    again, _ = result_of(suspects_of(ctx))
    assert kept not in again.tolist() and other in again.tolist() and len(again) == len(rows)


class Blur(Remedy):
    """A remedy of a user's own: nothing but another seed."""

    name, title, text, causes = "mine", "Mine", "Nothing is changed.", ("low_signal",)

    def change(self, ctx: Context, arm: Arm) -> Changed:
        yield
        return arm, "nothing"


@pytest.mark.slow
def test_a_remedy_of_ones_own_that_changes_nothing_is_refuted() -> None:
    analysis = Analysis(trained(train=blobs(1500)), remedies=(Blur(),))
    trial = result_of(analysis.apply("mine", 3, 20.0))
    assert trial.before == trial.after and trial.verdict == "refuted" and analysis.present == 0


@pytest.mark.slow
def test_advice_that_is_cancelled_leaves_the_analysis_where_it_stood(small: E.Experiment) -> None:
    analysis = Analysis(small)
    result_of(analysis.findings.run_all(5))
    steps = analysis.try_advised(2, 20.0)
    while len(analysis.trials) < 2:  # until the first attempt is in the track; wider helps, so it was adopted for a moment
        next(steps)
    steps.close()
    assert analysis.present == 0 and analysis.experiment is small
    analysis.close()


# --- one's own loop ---------------------------------------------------------------------------------------------------


def own_step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(images), labels)
    torch.autograd.backward(loss)
    optimizer.step()
    return loss.detach()


@pytest.mark.slow
def test_ones_own_step_is_what_attempts_train_with() -> None:
    calls: list[int] = []

    def counted(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
        calls.append(len(images))
        return own_step(model, optimizer, images, labels)

    exp = trained(training=E.TrainingSetup(lr=5e-3, epochs=2, batch_size=32), train_step=counted)
    trial = E.try_remedy(exp, "decay", 2, 10.0)
    assert sum(calls) >= trial.spent.samples


@pytest.mark.slow
def test_noise_in_training_is_kept_by_whoever_goes_on_from_there() -> None:
    clean = blobs(200, 1)
    draw = torch.Generator().manual_seed(0)
    noise = (80 * torch.randn(clean.images.shape, generator=draw)).round()
    noisy = E.Split((clean.images + noise).clamp(0, 255).to(torch.uint8), clean.labels, [0.2], [0.25])
    exp = trained(training=E.TrainingSetup(lr=5e-3, epochs=2, batch_size=32), test=noisy)
    one, two = (E.try_remedy(exp, "noisy_training", 2, 10.0) for _ in range(2))
    assert one.after == two.after, "the same seeds give the same noise"
    made = one.experiment
    assert made is not None and made.train_step is not None and exp.train_step is None
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = dense()

        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            answers: Tensor = self.inner(x)
            return answers

    network, images = Watching(), exp.train.inputs(slice(0, 16))
    optimizer = torch.optim.SGD(network.parameters(), 0.0)
    for _ in range(2):
        made.train_step(network, optimizer, images, exp.train.labels[:16])
    assert torch.equal(seen[0], seen[1]) and 0.05 < float((seen[0] - images).std()) < 3


@pytest.mark.slow
def test_ones_own_whole_loop_is_what_attempts_train_with() -> None:
    seen: list[int] = []

    def loop(model: nn.Module, train: E.Split) -> None:
        seen.append(len(train))
        for _ in E.fit(model, train, setup=E.TrainingSetup(lr=5e-3, epochs=3, batch_size=32)):
            pass

    exp = trained(fit=loop, training=E.TrainingSetup(lr=5e-3, epochs=3, batch_size=32))
    frame = E.list_remedies(exp).set_index("remedy")["not here, because"]
    assert frame["rate_x10"] == frame["decay"] == "your own fit decides that" and frame["width_x2"] == frame["usual_step"] == ""
    trial = E.try_remedy(exp, "width_x2", 2, 20.0)
    assert seen == [len(exp.train)] * 4 and trial.experiment is not None and trial.experiment.fit is loop

    def fails(model: nn.Module, train: E.Split) -> None:
        raise RuntimeError("no disk")

    with pytest.raises(E.InputError, match="your own fit raised RuntimeError: no disk"):
        E.try_remedy(trained(fit=fails), "width_x2", 2, 20.0)


# --- practice and recordings ------------------------------------------------------------------------------------------


def test_points_fall_with_the_tests_that_were_used() -> None:
    answers = frozenset({"labels"})
    assert [score_of("labels", answers, n) for n in (0, 3, 5, 9, 40)] == [10, 10, 9, 7, 1]
    assert score_of("imbalance", answers, 0) == 4 and score_of("dead_units", answers, 0) == 0
    with pytest.raises(E.InputError, match="guess: got 'lables'"):
        score_of("lables", answers, 0)


@pytest.mark.slow
def test_a_result_that_is_handed_in_can_be_checked() -> None:
    exercise = draw_exercise(7)
    assert draw_exercise(7).fault == exercise.fault
    result = result_of_guess(exercise, next(iter(exercise.answers)), 4)
    text = result.to_text()
    assert E.check_practice(text) == result and result.right and result.score == 10
    better = json.loads(text)
    better["tests"] = 0
    with pytest.raises(E.InputError, match="changed after it was saved"):
        E.check_practice(json.dumps(better))
    with pytest.raises(E.InputError, match="no result of a practice"):
        E.check_practice("[]")
    with pytest.raises(E.InputError, match="seed: got -1"):
        draw_exercise(-1)


@pytest.mark.slow
def test_a_recording_is_replayed_for_the_same_network_alone(small: E.Experiment) -> None:
    analysis = Analysis(small)
    result_of(analysis.findings.run_all(5))
    result_of(analysis.apply("width_x4", 2, 10.0))
    text = recorded_text(analysis)
    assert analysis.present == 1, "recording changes nothing"
    analysis.adopt(0)
    other = Analysis(small)
    label = replay(other, text)
    assert label.startswith("recorded on ") and "cores" in label
    assert other.findings.errors == analysis.findings.errors and other.findings.causes == analysis.findings.causes
    assert other.trials[-1].recorded == label and other.trials[-1].verdict == analysis.trials[-1].verdict
    with pytest.raises(E.InputError, match="not kept"):
        other.adopt(1)
    with pytest.raises(E.InputError, match="another network"):
        replay(Analysis(trained()), text)
    with pytest.raises(E.InputError, match="no recording"):
        replay(other, '{"format": 3}')


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: trained(train=blobs(12)),
        lambda: trained(test=None),
        lambda: trained(test=blobs(12, 1)),
        lambda: trained(train=E.Split(blobs().images, torch.zeros(300, dtype=torch.int64), [0.2], [0.25])),
    ],
    ids=["S_train of 12", "no S_test", "S_test of 12", "one class only"],
)
@pytest.mark.slow
def test_odd_samples_end_in_findings_not_in_errors(make: Callable[[], E.Experiment]) -> None:
    exp = make()
    analysis = Analysis(exp)
    found = result_of(analysis.findings.run_all(20))
    assert all(each.state in ("done", "not tested", "does not apply") for each in found.evidence), [
        (each.test, each.text) for each in found.evidence if each.state == "failed"
    ]
    assert found.causes and str(found)


@pytest.mark.slow
def test_without_s_train_only_s_test_is_looked_at() -> None:
    exp = E.Experiment(dense(), test=blobs(60, 1), goal=0.05)
    analysis = Analysis(exp)
    found = result_of(analysis.findings.run_all(20))
    assert found.branch == "unknown" and any(each.state == "done" for each in found.evidence)
    assert {remedy.why_not(analysis.findings.context) != "" for remedy in REMEDIES} == {True}
