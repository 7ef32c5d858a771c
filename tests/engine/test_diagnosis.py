"""The diagnosis: the flowchart, each test of evidence against what it is told to see, and experiments with a known cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.diagnosis import EvidenceTest, flowchart
from nnwidgets.engine.diagnosis._context import Context, first_of
from nnwidgets.engine.diagnosis._diagnose import diagnose_steps
from nnwidgets.engine.diagnosis.evidence import ALL, suspects
from nnwidgets.engine.diagnosis.flowchart import CAUSES, FAMILIES, NODES, Share, branch_of
from nnwidgets.engine.diagnosis.plants import planted
from nnwidgets.engine.diagnosis.records import Evidence
from nnwidgets.engine.inspect._sites import Site, run, unwatched

BY_NAME = {test.name: test for test in ALL}


def blobs(n: int = 300, seed: int = 0, classes: int = 3, side: int = 8) -> E.Split:
    """A bright square whose place tells the class, on faint noise: uint8."""
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = draw.integers(0, 60, (n, 1, side, side))
    for i, label in enumerate(labels):
        images[i, 0, 2 * label : 2 * label + 2, 2:6] += 150
    return E.Split(images.astype(np.uint8), labels.astype(np.int64), [0.2], [0.25])


def dense(width: float = 1.0) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, max(1, round(16 * width))), nn.ReLU(), nn.Linear(max(1, round(16 * width)), 3)
    )


def trained(build: Callable[[float], nn.Module] = dense, train: E.Split | None = None, **given: Any) -> E.Experiment:
    torch.manual_seed(0)
    network, train = build(1.0), blobs() if train is None else train
    for _ in E.fit(network, train, setup=E.TrainingSetup(lr=5e-3, epochs=6, batch_size=32)):
        pass
    return E.Experiment(network.eval(), **{"train": train, "test": blobs(200, 1), "goal": 0.05, "build": build, **given})


def found(name: str, exp: E.Experiment) -> Evidence:
    """What one test finds."""
    return E.diagnose(exp, 30, tests=(BY_NAME[name],)).evidence[0]


# --- the flowchart ----------------------------------------------------------------------------------------------------


def test_the_flowchart_hangs_together() -> None:
    ids = [node.id for node in NODES]
    assert len(set(ids)) == len(ids) and NODES[0].id == "start" and NODES[0].parents == ()
    assert all(parent in ids for node in NODES for parent in node.parents)
    assert all(text.leaf in ids and (text.family in FAMILIES or name == "goal_met") for name, text in CAUSES.items())
    assert {text.family for text in CAUSES.values()} == {*FAMILIES, ""}
    assert flowchart.CAUSES.keys() >= {answer for name in E.list_faults() for answer in planted_answers(name)}


def planted_answers(name: str) -> frozenset[str]:
    from nnwidgets.engine.diagnosis.plants._faults import FAULTS

    return FAULTS[name].answers


@pytest.mark.parametrize(
    ("train", "test", "branch", "decided"),
    [
        ((0.01, 0.0, 0.02), (0.03, 0.02, 0.04), "goal_met", True),
        ((0.01, 0.0, 0.02), (0.04, 0.03, 0.06), "goal_met", False),
        ((0.30, 0.28, 0.32), (0.30, 0.27, 0.33), "train_high", True),
        ((0.06, 0.04, 0.08), (0.30, 0.27, 0.33), "train_high", False),
        ((0.01, 0.0, 0.02), (0.30, 0.27, 0.33), "test_high", True),
        ((0.01, 0.0, 0.02), (0.06, 0.04, 0.08), "test_high", False),
        (None, (0.30, 0.27, 0.33), "unknown", False),
    ],
)
def test_two_errors_and_the_goal_take_one_branch(train: Any, test: Any, branch: str, decided: bool) -> None:
    shares = [None if each is None else Share(*each, 500) for each in (train, test)]
    assert branch_of(shares[0], shares[1], 0.05) == (branch, decided)  # type: ignore[arg-type]


# --- each test of evidence ----------------------------------------------------------------------------------------------


def test_a_healthy_experiment_gives_no_alarm() -> None:
    exp = trained()
    before = E.fingerprint(exp.model), torch.get_rng_state()
    said = E.diagnose(exp, 20)
    assert (said.branch, said.causes[0].name) == ("goal_met", "goal_met") and said.decided
    assert abs(sum(cause.confidence for cause in said.causes) - 1) < 1e-9 and len(said.causes) == len(CAUSES)
    assert (E.fingerprint(exp.model), bool((torch.get_rng_state() == before[1]).all())) == (before[0], True)
    assert said.to_frame()["cause"].iloc[0] == "goal_met" and "the goal is met" in str(said)
    assert said.errors["test"].value == pytest.approx(E.evaluate(exp.model, blobs(200, 1)).error)
    exp.close()


def test_answers_that_are_probabilities_already() -> None:
    exp = trained(lambda width: nn.Sequential(dense(width), nn.Softmax(1)))
    assert found("outputs", exp).badge("implementation") == "strong" and found("outputs", trained()).weights == {}


def test_a_network_without_activations() -> None:
    exp = trained(lambda width: nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Linear(16, 3)))
    assert "linear" in found("linearity", exp).text and found("linearity", trained()).weights == {}


def test_images_in_both_samples() -> None:
    train, test = blobs(), blobs(200, 1)
    images = train.images.clone()
    images[:4] = test.images[:4]
    exp = trained(train=E.Split(images, train.labels, [0.2], [0.25]))
    evidence = found("duplicates", exp)
    assert evidence.numbers["share of S_test"] == 4 / 200 and evidence.badge("leakage") == "strong"
    assert found("duplicates", trained()).numbers["share of S_test"] == 0


def test_images_that_are_fed_as_stored() -> None:
    train, test = (E.Split(split.images.float(), split.labels, [0.2], [0.25]) for split in (blobs(), blobs(200, 1)))
    assert found("inputs", trained(train=train, test=test)).badge("preprocessing") == "strong"
    assert found("inputs", trained(test=test)).badge("mismatch") == "strong", "S_test alone"
    assert found("inputs", trained()).weights == {}


def test_labels_that_moved() -> None:
    train = blobs()
    draw = torch.from_numpy(np.random.default_rng(0).permutation(300))
    train = train.take(draw)
    assert train.labels is not None
    exp = trained(train=E.Split(train.images, train.labels.roll(2), [0.2], [0.25]), val=blobs(60, 2))
    evidence = found("neighbours", exp)
    assert evidence.badge("implementation") == "strong" and "moved by -2" in evidence.text
    assert found("neighbours", trained(train=train)).weights == {}


def test_rare_classes_that_are_missed() -> None:
    train = blobs(600)
    keep = [i for i in range(600) if i % 3 or i < 9]
    exp = trained(lambda width: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), train=train.take(keep), val=blobs(60, 2))
    evidence = found("counts", exp)
    assert evidence.numbers["rarest / most frequent"] == pytest.approx(3 / 200) and evidence.weights["imbalance"] > 0
    assert found("counts", trained()).weights["imbalance"] < 0


def test_noise_is_told_from_a_picture() -> None:
    draw = np.random.default_rng(0)
    for sigma in (0.05, 0.2):
        images = np.tile(np.linspace(0, 1, 16, dtype=np.float32), (100, 1, 16, 1)) + draw.normal(0, sigma, (100, 1, 16, 16))
        split = E.Split(images.astype(np.float32), np.arange(100) % 3)
        exp = E.Experiment(nn.Sequential(nn.Flatten(), nn.Linear(256, 3)).eval(), train=split, test=split)
        assert found("noise", exp).numbers["noise of S_train"] == pytest.approx(sigma, rel=0.05)
        exp.close()


def good_step(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(network(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss


def bad_step(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    loss = nn.functional.cross_entropy(network(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss


def test_a_step_that_never_clears_its_gradients() -> None:
    evidence = found("step", trained(train_step=bad_step))
    assert evidence.numbers["ratio"] == pytest.approx(2.0) and evidence.badge("implementation") == "strong"
    assert found("step", trained(train_step=good_step)).numbers["ratio"] == pytest.approx(1.0)
    assert "train_step=" in found("step", trained()).text


def test_units_that_are_dead() -> None:
    exp = trained()
    with torch.no_grad():
        exp.model[1].bias.fill_(-100.0)  # type: ignore[union-attr, operator, index]
    exp = E.Experiment(exp.model, train=blobs(), test=blobs(200, 1))
    assert found("units", exp).numbers["largest share of dead units"] == 1.0
    assert found("units", exp).badge("dead_units") == "strong"


def test_gradients_that_do_not_arrive() -> None:
    def deep(width: float) -> nn.Module:
        middle = [layer for _ in range(8) for layer in (nn.Linear(16, 16), nn.Sigmoid())]
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Sigmoid(), *middle, nn.Linear(16, 3))

    assert found("gradients", trained(deep)).badge("training_algorithm") == "strong"
    assert (
        found("gradients", trained(lambda w: nn.Sequential(dense(w), nn.ReLU(), nn.Linear(3, 3)))).badge("training_algorithm")
        == "none"
    )


def test_weights_that_have_not_moved_and_such_that_shrank() -> None:
    torch.manual_seed(5)
    still = E.Experiment(dense().eval(), train=blobs(), test=blobs(200, 1), build=dense)
    assert found("weights", still).badge("learning_rate_low") == "strong"
    with torch.no_grad():
        for parameter in still.model.parameters():
            parameter.mul_(0.1)
    shrunk = E.Experiment(still.model, train=blobs(), test=blobs(200, 1), build=dense)
    assert found("weights", shrunk).badge("regularization_too_strong") == "strong"


def test_confident_errors_equal_the_slow_twin() -> None:
    """Confident learning, image by image."""
    draw = torch.Generator().manual_seed(0)
    probabilities = torch.rand(300, 4, generator=draw).pow(3)
    probabilities /= probabilities.sum(1, keepdim=True)
    labels = torch.randint(0, 4, (300,), generator=draw)
    thresholds = [float(probabilities[labels == k, k].double().mean()) for k in range(4)]
    slow = []
    for p, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
        likely = [k for k in range(4) if p[k] >= thresholds[k]]
        slow.append(bool(likely) and max(likely, key=lambda k: p[k]) != label)
    fast = suspects.confident_errors(probabilities, labels).tolist()
    assert sum(a != b for a, b in zip(fast, slow, strict=True)) <= 1, "one may lie on a threshold"
    assert 20 < sum(slow) < 280


def test_given_probabilities_are_taken() -> None:
    exp = trained()
    assert exp.train is not None and exp.train.labels is not None
    given = np.full((len(exp.train), 3), 0.05)
    given[np.arange(len(exp.train)), exp.train.labels.numpy()] = 0.9
    given[:40] = np.roll(given[:40], 1, axis=1)
    again = E.Experiment(exp.model, train=exp.train, val=exp.val, test=exp.test, goal=0.001, build=dense, pred_probs=given)
    ctx = Context(again, 5)
    for _ in (steps := suspects.out_of_fold(ctx)):
        pass
    assert steps.gi_frame is None
    probabilities = torch.as_tensor(given, dtype=torch.float32)
    assert int(suspects.confident_errors(probabilities, exp.train.labels).sum()) == 40


# --- bad input, budget, own tests ---------------------------------------------------------------------------------------


def test_what_cannot_be_diagnosed_is_said() -> None:
    with pytest.raises(E.InputError, match="expected an Experiment"):
        E.diagnose(nn.Linear(2, 2))  # type: ignore[arg-type]
    exp = trained()
    for budget in (0, -1, float("nan"), True, "60"):
        with pytest.raises(E.InputError, match="budget_s"):
            E.diagnose(exp, budget)  # type: ignore[arg-type]


def test_without_s_train_the_branch_is_unknown_and_the_tests_say_what_they_need() -> None:
    exp = E.Experiment(dense().eval(), test=blobs(200, 1), goal=0.05)
    said = E.diagnose(exp, 10)
    assert said.branch == "unknown" and not said.decided and "Without S_train" in said.notes[0]
    reasons = {evidence.test: evidence.text for evidence in said.evidence if evidence.state == "does not apply"}
    assert "S_train" in reasons["retrain"] and "S_train" in reasons["duplicates"]


@pytest.mark.parametrize("n", [12, 30])
def test_few_images_and_vectors_are_no_failure(n: int) -> None:
    split = blobs(n)
    vectors = E.Split(split.images.flatten(1).float() / 255, split.labels)
    network = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    exp = E.Experiment(network, train=vectors, test=vectors, goal=0.05)
    said = E.diagnose(exp, 6)
    assert {evidence.test for evidence in said.evidence} == set(BY_NAME)
    assert all(evidence.state != "failed" for evidence in said.evidence), [e for e in said.evidence if e.state == "failed"]
    assert "images" in next(evidence.text for evidence in said.evidence if evidence.test == "transforms")


def test_one_class_alone() -> None:
    split = blobs(60)
    one = E.Split(split.images, torch.zeros(60, dtype=torch.int64), [0.2], [0.25])
    said = E.diagnose(E.Experiment(dense().eval(), train=one, test=one, goal=0.05), 5)
    states = {evidence.test: evidence.state for evidence in said.evidence}
    assert states["counts"] == states["neighbours"] == "done" and "failed" not in states.values()
    assert said.errors["test"].n == 60 and said.branch in ("goal_met", "train_high")


def test_a_network_that_cannot_be_made_anew_says_what_it_needs() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(64, 3))

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) @ self.weight

    said = E.diagnose(E.Experiment(Own().eval(), train=blobs(), test=blobs(200, 1), goal=0.01), 5)
    retrain = next(evidence for evidence in said.evidence if evidence.test == "retrain")
    assert retrain.state == "does not apply" and "build=lambda width" in retrain.text


def test_own_code_that_raises_is_named_and_the_other_tests_go_on() -> None:
    def broken(*given: Any) -> Any:
        raise RuntimeError("broken on purpose")

    exp = trained(goal=0.001)
    again = E.Experiment(exp.model, train=exp.train, val=exp.val, test=exp.test, goal=0.001, train_step=broken, build=broken)
    said = {evidence.test: evidence for evidence in E.diagnose(again, 10).evidence}
    assert (said["step"].state, said["step"].text) == ("failed", "RuntimeError: broken on purpose")
    assert said["retrain"].state == "does not apply" and "build(1.0) raised RuntimeError" in said["retrain"].text
    assert said["outputs"].state == said["duplicates"].state == "done" and set(said) == set(BY_NAME)


def test_short_runs_use_ones_own_loss() -> None:
    calls: list[int] = []

    def own(logits: Tensor, labels: Tensor) -> Tensor:
        calls.append(len(labels))
        return nn.functional.cross_entropy(logits, labels)

    exp = trained(lambda width: nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.ReLU(), nn.Linear(1, 3)), goal=0.001, loss=own)
    assert found("gradients", exp).state == "done" and len(calls) == 1
    assert found("retrain", exp).state == "done" and len(calls) > 10


def test_of_large_samples_and_images_a_part_is_looked_at() -> None:
    """Given probabilities stay with their images; as many large images as fit are fed at once."""
    many = blobs(2600)
    assert many.labels is not None
    given = np.full((2600, 3), 0.05)
    given[np.arange(2600), many.labels.numpy()] = 0.9
    given[::26] = np.roll(given[::26], 1, axis=1)
    exp = E.Experiment(dense().eval(), train=many, val=blobs(60, 2), test=blobs(200, 1), build=dense, pred_probs=given)
    ctx = Context(exp, 5)
    assert len(ctx.splits["train"]) == 2000 and len(ctx.rows["train"]) == 2000
    assert torch.equal(ctx.splits["train"].images, many.images[ctx.rows["train"]])
    evidence = found("suspects", exp)
    wrong = sum(int(row) % 26 == 0 for row in ctx.rows["train"])
    assert evidence.state == "not tested" or evidence.numbers["suspect"] == pytest.approx(wrong / 2000)
    work = BY_NAME["suspects"].steps(ctx)
    with pytest.raises(StopIteration) as end:
        while True:
            next(work)
    assert end.value.value[2]["suspect"] == pytest.approx(wrong / 2000)
    large = E.Split(torch.zeros(20, 3, 512, 512, dtype=torch.uint8), torch.arange(20) % 3, [0.5] * 3, [0.5] * 3)
    assert len(first_of(large, 300)) == 5 and len(first_of(many, 300)) == 300


def test_a_pass_of_another_thread_is_not_met() -> None:
    """An explorer is in the middle of a pass over the experiment's copy, with hooks on it."""
    exp, said = trained(), list[Evidence]()

    def meanwhile(result: Any) -> None:
        with unwatched():
            said.append(found("outputs", exp))

    base = exp.bench(None).base
    run(base, blobs(4).inputs(slice(0, 4)), {Site("2"): meanwhile}, stop=True)
    assert [evidence.state for evidence in said] == ["done"]


def test_the_budget_is_kept_and_what_did_not_fit_is_named() -> None:
    exp = trained(lambda width: nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.ReLU(), nn.Linear(1, 3)), goal=0.001)
    said = E.diagnose(exp, 0.5)
    assert said.seconds < 3
    assert any(evidence.state == "not tested" and "budget" in evidence.text for evidence in said.evidence)


def test_steps_can_be_left_at_any_time() -> None:
    exp = trained()
    before = E.fingerprint(exp.model)
    steps = diagnose_steps(exp, 10)
    told = [next(steps) for _ in range(8)]
    assert all(0 <= step.share <= 1 and step.text for step in told)
    steps.close()
    assert E.fingerprint(exp.model) == before


class Brightness(EvidenceTest):
    """A test of one's own: what users write."""

    name, title, method = "brightness", "Brightness of S_test", "mean of S_test"

    def steps(self, ctx: Context) -> Any:
        mean = float(ctx.inputs("test").mean())
        yield
        return {"mismatch": 12.0}, f"the mean is {mean:.2f}", {"mean": mean}


def test_users_add_a_test_of_their_own() -> None:
    said = E.diagnose(trained(), 10, tests=(*ALL, Brightness()))
    assert said.causes[0].name == "mismatch" and said.causes[0].evidence[0].test == "brightness"


# --- experiments with a known cause -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("healthy", 1), ("too_narrow", 1), ("rate_high", 1), ("rate_low", 1), ("dead_relu", 1), ("no_activation", 1),
        ("no_zero_grad", 1), ("not_normalized", 1), ("test_not_normalized", 1), ("test_swapped", 1), ("leak", 1),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(name: str, seed: int) -> None:
    plant = planted(name, seed)
    said = E.diagnose(plant.experiment, 8)
    assert said.causes[0].name in plant.answers, str(said)
    plant.experiment.close()
