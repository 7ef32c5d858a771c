"""An experiment: history, background measuring, fine-tuning, text; what was given is never changed."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.evaluation import Prepared
from nnwidgets.engine.experiment import Event, Experiment, History, State
from nnwidgets.engine.experiment.tasks import Timing, fine_tuning, start_disk, start_fine_tuning, start_latency
from nnwidgets.engine.trace import fingerprint


def net(classes: int = 3, seed: int = 0) -> nn.Module:
    """A small convolution net for 1 x 8 x 8 images."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(32, classes),
        ).eval()  # fmt: skip


def data(n: int = 300, seed: int = 0) -> E.Split:
    """Blurry blobs in one of three corners: learnable."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    images = 0.3 * torch.randn(n, 1, 8, 8, generator=draw)
    for label, (y, x) in enumerate([(0, 0), (0, 4), (4, 0)]):
        images[labels == label, :, y : y + 4, x : x + 4] += 1.0
    return E.Split(images, labels)


@pytest.fixture
def exp() -> Iterator[Experiment]:
    experiment = Experiment(net(), train=data(240, 1), test=data(300, 2), goal=0.1)
    yield experiment
    experiment.close()


def pruned(amount: float, **more: Any) -> E.Recipe:
    return E.Recipe(pruning=E.Pruning(amount, **more))


def measured(exp: Experiment) -> list[Event]:
    """Subscribe, measure, and wait until all is at rest."""
    events: list[Event] = []
    exp.subscribe(events.append)
    exp.live.refresh()
    assert exp.wait(30)
    return events


def test_validation_data_are_carved_out_of_the_training_data(exp: Experiment) -> None:
    assert exp.train is not None and exp.val is not None
    assert len(exp.train) + len(exp.val) == 240
    assert len(exp.val) == 40


def test_a_change_is_a_step_that_can_be_undone_and_redone(exp: Experiment) -> None:
    exp.apply(pruned(0.5))
    exp.apply(pruned(0.8))
    assert exp.undo() and exp.recipe == pruned(0.5)
    assert exp.undo() and exp.recipe == E.Recipe()
    assert not exp.undo()
    assert exp.redo() and exp.redo() and not exp.redo()
    assert exp.recipe == pruned(0.8)
    exp.undo()
    exp.apply(pruned(0.1))
    assert [state.recipe for state in exp.history] == [E.Recipe(), pruned(0.5), pruned(0.1)]


def test_requests_of_one_gesture_are_one_step_and_a_drag_back_is_none(exp: Experiment) -> None:
    exp.subscribe(lambda event: None)
    for amount in (0.1, 0.2, 0.3):
        exp.request(pruned(amount), merge="drag 1")
        assert exp.wait(10)
    assert [state.recipe for state in exp.history] == [E.Recipe(), pruned(0.3)]
    for amount in (0.6, 0.3):
        exp.request(pruned(amount), merge="drag 2")
        assert exp.wait(10)
    assert [state.recipe for state in exp.history] == [E.Recipe(), pruned(0.3)]


def test_requests_of_two_gestures_are_two_steps_even_if_they_come_at_once(exp: Experiment) -> None:
    exp.subscribe(lambda event: None)
    exp.request(pruned(0.2), merge=1)
    exp.request(pruned(0.4), merge=2)
    assert exp.wait(10)
    assert [state.recipe for state in exp.history] == [E.Recipe(), pruned(0.2), pruned(0.4)]


def test_a_recipe_that_does_not_fit_raises_and_leaves_everything(exp: Experiment) -> None:
    exp.apply(pruned(0.5))
    with pytest.raises(E.RecipeError, match="nowhere"):
        exp.apply(pruned(0.5, exclude=("nowhere",)))
    assert exp.recipe == pruned(0.5) and len(exp.history) == 2


def test_the_model_is_never_changed(exp: Experiment) -> None:
    before = fingerprint(exp.model)
    measured(exp)
    exp.apply(E.Recipe(E.Pruning(0.7), E.Quantization(weight_bits=3)))
    assert exp.wait(30)
    list(fine_tuning(exp, E.TrainingSetup(epochs=1)))
    assert exp.wait(30)
    assert fingerprint(exp.model) == before


def test_live_figures_end_equal_to_the_engines_own(exp: Experiment) -> None:
    measured(exp)
    recipe = E.Recipe(E.Pruning(0.6), E.Quantization(weight_bits=4))
    exp.apply(recipe)
    assert exp.wait(30)
    own = E.evaluate(E.compress(exp.model, recipe), exp.test)
    assert exp.live.at_rest and exp.live.estimate is not None and exp.live.estimate.final
    assert exp.live.estimate.accuracy == own.accuracy
    assert exp.live.cost == E.cost(exp.model, exp.input_shape, recipe)
    dense = E.evaluate(exp.model, exp.test)
    assert exp.live.dense is not None and exp.live.dense.accuracy == dense.accuracy
    assert exp.live.estimate.difference == pytest.approx(own.accuracy - dense.accuracy)


def test_row_38_up_and_down_again_is_the_original_bit_for_bit(exp: Experiment) -> None:
    measured(exp)
    for amount in (0.2, 0.9, 0.4):
        exp.apply(E.Recipe(E.Pruning(amount), E.Quantization(weight_bits=2)))
        assert exp.wait(30)
    exp.apply(E.Recipe())
    assert exp.wait(30)
    quick = exp.bench(None).load(E.Recipe()).network
    assert exp.test is not None
    untouched = Prepared(exp.model, exp.input_shape, exp.test.inputs(slice(0, 8))).network
    for (name, value), original in zip(quick.state_dict().items(), untouched.state_dict().values(), strict=True):
        assert torch.equal(value, original), name


def test_visited_states_are_remembered_and_not_measured_again(exp: Experiment) -> None:
    measured(exp)
    exp.apply(pruned(0.5))
    assert exp.wait(30)
    looks, visits = exp.live.looks, len(exp.live.visits)
    exp.undo()
    exp.redo()
    assert exp.wait(30)
    assert (exp.live.looks, len(exp.live.visits)) == (looks, visits) == (2, 2)


def test_another_sample_is_measured_on_its_own_and_looks_are_counted_on_s_test_only(exp: Experiment) -> None:
    measured(exp)
    exp.live.choose_sample("val")
    assert exp.wait(30)
    assert exp.live.estimate is not None and exp.live.estimate.n_total == len(exp.split("val"))
    assert exp.live.looks == 1


def test_nothing_is_measured_while_nobody_is_subscribed(exp: Experiment) -> None:
    exp.apply(pruned(0.5))
    assert exp.jobs.running("live") is None and exp.live.estimate is None


def test_a_subscriber_that_raises_does_not_silence_the_others(exp: Experiment) -> None:
    def bad(event: Event) -> None:
        raise RuntimeError("mine")

    exp.subscribe(bad)
    events = measured(exp)
    assert any(event.kind == "rest" for event in events)
    assert any(event.kind == "error" and "mine" in str(event.error) for event in events)


def test_a_model_changed_from_outside_is_noticed_said_and_measured_anew(exp: Experiment) -> None:
    measured(exp)
    before = exp.live.dense
    with torch.no_grad():
        exp.model[-1].bias[0] += 50.0  # type: ignore[index,union-attr,operator]
    exp.live.refresh()
    assert exp.wait(30)
    assert "model_changed" in exp.notices
    assert exp.live.dense is not None and exp.live.dense.accuracy == E.evaluate(exp.model, exp.test).accuracy
    assert before is not None and before.accuracy != exp.live.dense.accuracy


def test_row_33_weights_that_become_nan_are_said_and_no_accuracy_is_shown(exp: Experiment) -> None:
    events = measured(exp)
    with torch.no_grad():
        exp.model[0].weight[0] = math.nan  # type: ignore[index,union-attr,operator]
    exp.live.refresh()
    assert exp.wait(30)
    errors = [str(event.error) for event in events if event.kind == "error"]
    assert errors and "NaN" in errors[0]
    assert exp.live.estimate is None or exp.live.estimate.accuracy == E.evaluate(net(), exp.test).accuracy


def test_fine_tuning_keeps_zeros_lowers_the_loss_and_can_be_undone(exp: Experiment) -> None:
    exp.apply(pruned(0.8))
    zero = {
        name: value == 0
        for name, value in E.bake(exp.compressed).state_dict().items()
        if name.endswith("weight") and value.dim() > 1
    }
    state = exp.fine_tune(E.TrainingSetup(lr=0.01, epochs=6))
    after = E.bake(exp.compressed).state_dict()
    assert state.attempt is not None and state.attempt.loss_last < state.attempt.loss_first
    assert all(bool((after[name][where] == 0).all()) for name, where in zero.items())
    assert any(not torch.equal(after[name], value) for name, value in exp.model.state_dict().items() if name in zero)
    assert E.evaluate(exp.compressed, exp.test).accuracy > 0.5
    assert exp.attempts == (state.attempt,)
    assert exp.undo() and exp.state == State(pruned(0.8))


def test_fine_tuning_of_a_quantized_state_ends_on_its_levels(exp: Experiment) -> None:
    recipe = E.Recipe(quantization=E.Quantization(weight_bits=2))
    exp.apply(recipe)
    exp.fine_tune(E.TrainingSetup(lr=0.01, epochs=2))
    weight = E.bake(exp.compressed).state_dict()["4.weight"]
    assert all(len(channel.unique()) <= 3 for channel in weight)


def test_cancelled_fine_tuning_changes_nothing(exp: Experiment) -> None:
    measured(exp)
    exp.apply(pruned(0.5))
    assert exp.wait(30)
    events: list[Event] = []
    exp.subscribe(lambda event: (events.append(event), exp.jobs.cancel("task")) if event.kind == "task" else None)
    start_fine_tuning(exp, E.TrainingSetup(epochs=50))
    assert exp.wait(30)
    ended = [event.task for event in events if event.task is not None and event.task.ended]
    assert [task.ended for task in ended] == ["cancelled"]
    assert exp.state == State(pruned(0.5)) and len(exp.weights) == 0


def test_row_13_a_second_click_starts_no_second_run(exp: Experiment) -> None:
    first = start_fine_tuning(exp, E.TrainingSetup(epochs=50))
    assert start_fine_tuning(exp, E.TrainingSetup(epochs=50)) is first
    exp.jobs.cancel("task")
    assert first.wait(20)


def test_row_9_a_run_that_raises_is_said_and_nothing_is_applied() -> None:
    def bad_loss(logits: Tensor, labels: Tensor) -> Tensor:
        raise RuntimeError("loss is broken")

    exp = Experiment(net(), train=data(), test=data(seed=5), loss=bad_loss)
    events = measured(exp)
    start_fine_tuning(exp)
    assert exp.wait(30)
    assert any(event.kind == "error" and "loss is broken" in str(event.error) for event in events)
    assert [event.task.ended for event in events if event.task and event.task.ended] == ["failed"]
    assert exp.state == State()
    exp.close()


def test_size_on_disk_is_that_of_a_real_file(exp: Experiment) -> None:
    measured(exp)
    exp.apply(E.Recipe(E.Pruning(0.9), E.Quantization(weight_bits=4)))
    assert exp.wait(30)
    start_disk(exp)
    assert exp.wait(30)
    cost = exp.live.cost
    assert cost is not None and cost.bytes_on_disk is not None
    assert abs(cost.bytes_on_disk - cost.bytes_encoded) <= 0.02 * cost.bytes_encoded


def test_latency_is_measured_on_request(exp: Experiment) -> None:
    found: list[Timing] = []
    start_latency(exp, found.append)
    assert exp.wait(30)
    dense = found[0].dense
    assert dense.low_ms <= dense.median_ms <= dense.high_ms and dense.runs == 50
    assert found[0].small is None and found[0].state == exp.state


def test_the_smaller_network_is_measured_in_turns_with_the_dense_one() -> None:
    """Where units are gone; single weights have no smaller form."""
    exp = nw.load_example("digits/lenet5")
    found: list[Timing] = []
    for structure in ("weight", "filter"):
        exp.apply(E.Recipe(E.Pruning(0.5, structure, allocation="uniform")))
        start_latency(exp, found.append)
        assert exp.wait(60)
    single, filters = found
    assert single.small is None and filters.small is not None and filters.state == exp.state
    assert filters.small.median_ms < filters.dense.median_ms and filters.small.runs == filters.dense.runs == 50
    exp.close()


def test_snapshots_are_named_states(exp: Experiment) -> None:
    exp.apply(pruned(0.5))
    exp.save_snapshot("half")
    exp.reset()
    assert exp.recipe == E.Recipe()
    exp.load_snapshot("half")
    assert exp.recipe == pruned(0.5)
    exp.delete_snapshot("half")
    with pytest.raises(E.InputError, match="no snapshot"):
        exp.load_snapshot("half")
    with pytest.raises(E.InputError, match="name"):
        exp.save_snapshot("  ")


def test_text_brings_the_state_back(exp: Experiment) -> None:
    exp.apply(pruned(0.5))
    exp.apply(E.Recipe(E.Pruning(0.7), E.Quantization(weight_bits=4)))
    exp.save_snapshot("small")
    exp.undo()
    other = Experiment.from_json(exp.to_json(), net(), test=data(300, 2))
    assert (other.history, other.position, other.snapshots, other.goal) == (exp.history, 1, exp.snapshots, 0.1)
    other.close()


def test_text_with_trained_weights_says_that_they_are_not_in_it(exp: Experiment, tmp_path: Any) -> None:
    exp.apply(pruned(0.5))
    exp.fine_tune(E.TrainingSetup(epochs=1))
    key = exp.state.weights_key
    assert key is not None
    other = Experiment.from_json(exp.to_json(), net(), train=data(240, 1), test=data(300, 2))
    assert "weights_lacking" in other.notices and other.recipe == pruned(0.5) and other.state.weights_key is None
    exp.weights.save(key, tmp_path / "weights.safetensors")
    assert other.load_weights(tmp_path / "weights.safetensors") == key
    assert other.redo() and other.state.weights_key == key
    assert E.evaluate(other.compressed, other.test).accuracy == E.evaluate(exp.compressed, exp.test).accuracy
    with pytest.raises(E.FileError, match="exists"):
        exp.weights.save(key, tmp_path / "weights.safetensors")
    other.close()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": "other"}', '{"format": "nnwidgets.experiment", "version": 1, "history": []}']
)
def test_text_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(E.InputError):
        Experiment.from_json(text, net(), test=data())


def test_text_of_a_newer_version_and_of_another_network_are_refused(exp: Experiment) -> None:
    with pytest.raises(E.InputError, match="version"):
        Experiment.from_json(exp.to_json().replace('"version": 1', '"version": 9', 1), net(), test=data())
    exp.apply(pruned(0.5, exclude=("4",)))
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(E.RecipeError, match="4"):
        Experiment.from_json(exp.to_json(), other, test=data())


class Pair(nn.Module):
    """Answers a tuple."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x


BAD_INPUT: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("no data", {"test": None}, E.DataError, "no data"),
    ("a goal outside (0, 1)", {"goal": 3}, E.InputError, "goal"),
    ("no model", {"model": "resnet"}, E.ModelError, "Module"),
    (
        "images of another shape",
        {"test": E.Split(torch.zeros(9, 3, 8, 8), torch.zeros(9, dtype=torch.int64))},
        E.NnwError,
        r"3, 8, 8",
    ),
    ("labels beyond the outputs", {"test": E.Split(torch.zeros(9, 1, 8, 8), torch.full((9,), 7))}, E.NnwError, "7"),
    ("images without labels", {"test": E.Split(torch.zeros(9, 1, 8, 8), None)}, E.DataError, "labels"),
    ("too few class names", {"class_names": ["a"]}, E.DataError, "class_names"),
    ("an option of a later version", {"metric": len}, E.UnsupportedError, "metric"),
    ("a step that is none", {"train_step": 3}, E.InputError, "train_step"),
    ("a loop that cannot be called", {"fit": 3}, E.InputError, "fit"),
    ("probabilities of nothing", {"pred_probs": np.ones((9, 3)) / 3}, E.InputError, "train="),
    ("too few probabilities", {"train": data(20), "pred_probs": np.ones((9, 3)) / 3}, E.InputError, r"\(9, 3\)"),
    ("probabilities that sum to 3", {"train": data(20), "pred_probs": np.ones((20, 3))}, E.InputError, "sum to 1"),
    ("NaN for probabilities", {"train": data(20), "pred_probs": np.full((20, 3), np.nan)}, E.InputError, "sum to 1"),
    ("words for probabilities", {"train": data(20), "pred_probs": "high"}, E.InputError, "pred_probs"),
    ("a model on the meta device", {"model": net().to("meta")}, E.ModelError, "meta"),
    ("a model that answers a tuple", {"model": Pair()}, E.ModelError, "tuple"),
    ("a regression model", {"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 1))}, E.NnwError, "1"),
]


@pytest.mark.parametrize(("given", "kind", "words"), [case[1:] for case in BAD_INPUT], ids=[case[0] for case in BAD_INPUT])
def test_bad_input_is_refused_in_words(given: dict[str, Any], kind: type[Exception], words: str) -> None:
    arguments: dict[str, Any] = {"model": net(), "test": data(), **given}
    with pytest.raises(kind, match=words) as found:
        Experiment(**arguments)
    assert len(str(found.value)) > 40, "a message says what was got, what was expected and what to do"


def own_step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


@pytest.mark.parametrize("with_val", [True, False])
def test_ones_own_functions_are_kept_and_probabilities_stay_with_their_images(with_val: bool) -> None:
    train = data(60, 1)
    told = nn.functional.one_hot(train.labels, 3).double()  # type: ignore[arg-type]
    told[:, 0] += torch.arange(60) / 1000  # which row it is
    told /= told.sum(1, keepdim=True)
    exp = Experiment(net(), train, val=data(9, 2) if with_val else None, train_step=own_step, pred_probs=told)
    assert exp.train_step is own_step and exp.train is not None and exp.pred_probs is not None
    assert exp.pred_probs.shape == (60 if with_val else 50, 3)
    where = [int((train.images == image).flatten(1).all(1).nonzero()) for image in exp.train.images]
    assert np.array_equal(exp.pred_probs, told[where].numpy())
    exp.close()


def test_nan_weights_are_refused_at_birth() -> None:
    broken = net()
    with torch.no_grad():
        broken[0].weight[0] = math.nan  # type: ignore[index,union-attr,operator]
    with pytest.raises(E.ModelError, match="NaN"):
        Experiment(broken, test=data())


def test_a_model_in_train_mode_is_measured_in_eval_mode_and_left_so() -> None:
    model = copy.deepcopy(net()).train()
    exp = Experiment(model, test=data())
    measured(exp)
    assert "train_mode" in exp.notices
    assert all(module.training for module in model.modules())
    assert exp.live.dense is not None and exp.live.dense.accuracy == E.evaluate(net(), data()).accuracy
    exp.close()


def test_fine_tuning_without_training_data_is_refused() -> None:
    exp = Experiment(net(), test=data())
    with pytest.raises(E.DataError, match="train="):
        exp.fine_tune()
    with pytest.raises(E.DataError, match="S_val"):
        exp.live.choose_sample("val")
    exp.close()


def test_a_history_keeps_at_most_a_thousand_states() -> None:
    history = History()
    for number in range(1500):
        history.push(State(pruned(number / 2000)))
    assert len(history.states) == 1000 and history.now == State(pruned(1499 / 2000))


def test_an_example_is_an_experiment_and_an_unknown_one_offers_the_nearest() -> None:
    assert "digits" in nw.list_examples()
    experiment = nw.load_example("digits/lenet300")
    assert (len(experiment.train), len(experiment.split("val")), len(experiment.split("test"))) == (5000, 1000, 4000)  # type: ignore[arg-type]
    assert experiment.example == "digits/lenet300" and len(experiment.class_names) == 10
    experiment.close()
    with pytest.raises(E.InputError, match="digits"):
        nw.load_example("digit")


def test_a_refusal_is_told_also_by_a_run_that_was_replaced_while_it_found_it(
    exp: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two quick moves: the first run takes both recipes over, refuses the second one, and is superseded meanwhile."""
    measured(exp)
    events: list[Event] = []
    exp.subscribe(events.append)
    commit, calls = exp.commit_requests, []

    def slowly() -> None:
        calls.append(1)
        if len(calls) == 1:
            exp.live.refresh()
        commit()

    monkeypatch.setattr(exp, "commit_requests", slowly)
    exp.request(E.Recipe(E.Pruning(0.5, exclude=("no such layer",))))
    assert exp.wait(30)
    assert len(calls) == 2 and [event.kind for event in events].count("error") == 1
