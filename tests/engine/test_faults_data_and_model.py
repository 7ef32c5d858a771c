"""Data that raise or vanish in the middle, and networks that other code changes between two moves of a slider."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_experiment import data, measured, net, pruned
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment import Event, Experiment
from nnwidgets.engine.experiment.tasks import start_fine_tuning, start_latency
from nnwidgets.engine.values.setup import TrainingSetup


class Broken(Dataset[tuple[Tensor, int]]):
    """Raises at item 500 of 600; counts what is read."""

    def __init__(self, error: BaseException) -> None:
        self.error, self.read = error, 0

    def __len__(self) -> int:
        return 600

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.read += 1
        if index == 500:
            raise self.error
        return torch.rand(1, 8, 8), index % 3


class Stream(IterableDataset[tuple[Tensor, int]]):
    """Raises when item 500 is asked for."""

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        for index in range(500):
            yield torch.rand(1, 8, 8), index % 3
        raise OSError("connection lost")


@pytest.mark.parametrize("error", [OSError("image file is truncated"), KeyError("label"), ZeroDivisionError(), MemoryError()])
def test_a_data_set_that_raises_in_the_middle_is_said_with_its_index_and_cause(error: Exception) -> None:
    state = torch.get_rng_state()
    with pytest.raises(E.DataError, match=rf"item 500 .* {type(error).__name__}.*Mend or drop") as found:
        E.Split.from_dataset(Broken(error))
    assert found.value.__cause__ is error
    assert torch.equal(torch.get_rng_state(), state)


def test_the_index_is_that_of_the_data_set_also_in_a_random_choice_and_in_a_stream() -> None:
    broken = Broken(OSError("bad"))
    with pytest.raises(E.DataError, match="item 500 "):
        E.Split.from_dataset(broken, limit=599)
    with pytest.raises(E.DataError, match=r"item 500 .*OSError: connection lost"):
        E.Split.from_dataset(Stream())
    assert len(E.Split.from_dataset(Stream(), limit=500)) == 500, "what is not asked for is not read"


def test_an_experiment_of_such_data_keeps_nothing_and_says_which_part_it_was() -> None:
    model = net()
    with pytest.raises(E.DataError, match=r"train: item 500"):
        Experiment(model, train=Broken(OSError("bad")), test=data())
    exp = Experiment(model, test=data())
    exp.close()


def test_an_interrupt_while_data_are_read_is_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt):
        E.Split.from_dataset(Broken(KeyboardInterrupt()))


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_mapped_file_that_is_cut_off_is_said_before_it_is_touched(tmp_path: Path, mode: Any, kind: Any) -> None:
    """Touching it would end the process. Written again in full, it is read again."""
    path = tmp_path / "images.npy"
    images = np.random.default_rng(0).integers(0, 256, (400, 1, 8, 8)).astype(kind)
    np.save(path, images)
    whole = path.read_bytes()
    split = E.Split(np.load(path, mmap_mode=mode)[100:], np.arange(300) % 3)
    exp = Experiment(net(), test=split)
    events = measured(exp)
    assert exp.live.estimate is not None and exp.live.estimate.final
    with path.open("r+b") as stream:
        stream.truncate(4096)
    for touch in (lambda: split.inputs(slice(0, 2)), lambda: split.take([299]), lambda: split.to("cpu"), lambda: split.carve()):
        with pytest.raises(E.DataError, match=r"4,096 bytes now, expected .*Write it again"):
            touch()
    exp.apply(pruned(0.5))
    assert exp.wait(30)
    assert any(event.kind == "error" and "4,096 bytes" in str(event.error) for event in events)
    with path.open("r+b") as stream:
        stream.write(whole)
    exp.live.refresh()
    assert exp.wait(30) and exp.live.at_rest
    assert exp.live.estimate.accuracy == E.evaluate(E.compress(exp.model, pruned(0.5)), split).accuracy
    exp.close()


def test_a_mapped_file_may_grow_be_deleted_or_replaced(tmp_path: Path) -> None:
    """The mapping lives on: no false alarm."""
    path = tmp_path / "images.npy"
    np.save(path, np.ones((50, 1, 8, 8), np.uint8))
    split = E.Split(np.load(path, mmap_mode="r"))
    with path.open("ab") as stream:
        stream.write(b"more")
    assert split.inputs(slice(0, 50)).shape == (50, 1, 8, 8)
    path.unlink()
    assert split.inputs(slice(49, 50)).shape == (1, 1, 8, 8)
    path.write_bytes(b"another, shorter file")
    assert float(split.inputs(slice(49, 50)).sum()) == pytest.approx(64 / 255)


# --- the network --------------------------------------------------------------------------------------------------------


def scale(model: nn.Module) -> None:
    with torch.no_grad():
        model[0].weight.mul_(-3)  # type: ignore[index,union-attr,operator]


def scale_behind_torch(model: nn.Module) -> None:
    model[0].weight.detach().numpy()[:] *= -3  # type: ignore[index,union-attr,operator]


def other_width(model: nn.Sequential) -> None:
    """Another network that still works."""
    torch.manual_seed(5)
    model[4] = nn.Conv2d(6, 16, 3)
    model[7] = nn.Linear(64, 3)


def does_not_fit(model: nn.Sequential) -> None:
    model[4] = nn.Conv2d(6, 16, 3)


def too_few_outputs(model: nn.Sequential) -> None:
    model[7] = nn.Linear(32, 2)


def double(model: nn.Module) -> None:
    model.double()


def to_meta(model: nn.Module) -> None:
    model.to("meta")


def half_on_meta(model: nn.Sequential) -> None:
    model[7].to("meta")


def nan(model: nn.Module) -> None:
    with torch.no_grad():
        model[7].bias[0] = float("nan")  # type: ignore[index,union-attr,operator]


def another_answer(model: nn.Sequential) -> None:
    model.append(nn.Unflatten(1, (3, 1)))


WORKS = [scale, scale_behind_torch, other_width]
FAILS = [does_not_fit, too_few_outputs, double, to_meta, half_on_meta, nan, another_answer]


def put_right(model: nn.Sequential, original: nn.Sequential) -> None:
    """As a user does: the former layers with the former weights."""
    twin = copy.deepcopy(original)
    while len(model):
        del model[0]
    model.extend(twin)


@pytest.mark.parametrize("edit", WORKS, ids=lambda edit: edit.__name__)
def test_an_edit_that_works_is_noticed_and_everything_is_measured_anew(edit: Callable[[Any], None]) -> None:
    exp = Experiment(net(), train=data(240, 1), test=data(300, 2))
    events = measured(exp)
    exp.apply(pruned(0.4))
    assert exp.wait(30)
    before = exp.live.cost, exp.live.estimate
    edit(exp.model)
    exp.apply(pruned(0.5))
    assert exp.wait(30) and exp.live.at_rest
    assert "model_changed" in exp.notices and not [event for event in events if event.kind == "error"]
    assert exp.live.cost == E.cost(exp.model, (1, 8, 8), pruned(0.5)) and exp.live.cost != before[0]
    assert exp.live.estimate is not None and exp.live.dense is not None
    assert exp.live.estimate.accuracy == E.evaluate(E.compress(exp.model, pruned(0.5)), exp.test).accuracy
    assert exp.live.dense.accuracy == E.evaluate(exp.model, exp.test).accuracy
    exp.undo()
    assert exp.wait(30)
    assert exp.live.estimate.accuracy == E.evaluate(E.compress(exp.model, pruned(0.4)), exp.test).accuracy
    assert exp.live.estimate != before[1], "what was known of the former network is forgotten"
    exp.close()


@pytest.mark.parametrize("edit", FAILS, ids=lambda edit: edit.__name__)
def test_an_edit_that_does_not_work_is_an_error_at_every_move_until_it_is_put_right(edit: Callable[[Any], None]) -> None:
    original = net()
    exp = Experiment(copy.deepcopy(original), train=data(240, 1), test=data(300, 2))
    events = measured(exp)
    edit(exp.model)
    for amount in (0.3, 0.5):
        events.clear()
        exp.request(pruned(amount))  # as a slider does
        assert exp.wait(30)
        errors = [event.error for event in events if event.kind == "error"]
        assert len(errors) == 1 and isinstance(errors[0], E.NnwError), errors
        assert len(str(errors[0])) > 40, "got, expected, what to do"
        assert not [event for event in events if event.kind == "estimate"], "no figure of another network is shown"
    put_right(exp.model, original)  # type: ignore[arg-type]
    events.clear()
    exp.apply(pruned(0.6))
    assert exp.wait(30) and exp.live.at_rest and not [event for event in events if event.kind == "error"]
    assert exp.live.estimate is not None
    assert exp.live.estimate.accuracy == E.evaluate(E.compress(original, pruned(0.6)), exp.test).accuracy
    exp.close()


def test_the_very_same_layer_put_back_is_measured_as_before() -> None:
    """Pointers and versions are then those of the start: nothing of the time between may be kept."""
    exp = Experiment(net(), test=data(300, 2))
    events = measured(exp)
    layer = exp.model[4]  # type: ignore[index]
    does_not_fit(exp.model)  # type: ignore[arg-type]
    exp.apply(pruned(0.5))
    assert exp.wait(30) and any(event.kind == "error" for event in events)
    exp.model[4] = layer  # type: ignore[index,operator]
    exp.live.refresh()
    assert exp.wait(30) and exp.live.at_rest and exp.live.estimate is not None
    assert exp.live.estimate.accuracy == E.evaluate(E.compress(exp.model, pruned(0.5)), exp.test).accuracy
    exp.close()


def test_trained_weights_of_the_former_layers_are_refused_in_words_and_undo_leads_out() -> None:
    exp = Experiment(net(), train=data(240, 1), test=data(300, 2))
    exp.apply(pruned(0.5))
    exp.fine_tune(TrainingSetup(epochs=1))
    events = measured(exp)
    other_width(exp.model)  # type: ignore[arg-type]
    exp.live.refresh()
    assert exp.wait(30)
    errors = [str(event.error) for event in events if event.kind == "error"]
    assert len(errors) == 1 and "trained weights" in errors[0] and "Undo" in errors[0], errors
    events.clear()
    exp.undo()
    assert exp.wait(30) and exp.live.at_rest and not [event for event in events if event.kind == "error"]
    exp.close()


def test_without_a_widget_an_edit_is_noticed_by_what_is_asked_for_next() -> None:
    exp = Experiment(net(), train=data(240, 1), test=data(300, 2))
    exp.apply(pruned(0.5))
    before = E.bake(exp.compressed).state_dict()["0.weight"]
    scale(exp.model)
    after = E.bake(exp.compressed).state_dict()["0.weight"]
    assert torch.equal(after, E.bake(E.compress(exp.model, pruned(0.5))).state_dict()["0.weight"])
    assert not torch.equal(after, before) and "model_changed" in exp.notices
    exp.model.to("meta")
    for ask in (lambda: exp.compressed, lambda: exp.apply(pruned(0.6)), lambda: exp.fine_tune(TrainingSetup(epochs=1))):
        with pytest.raises(E.ModelError, match="meta"):
            ask()
    assert exp.recipe == pruned(0.5)
    exp.close()


@pytest.mark.parametrize("start", [lambda exp: start_fine_tuning(exp), lambda exp: start_latency(exp, print)])
def test_a_button_after_an_edit_works_on_the_network_as_it_is(start: Callable[[Experiment], Any]) -> None:
    exp = Experiment(net(), train=data(240, 1), test=data(300, 2))
    events: list[Event] = measured(exp)
    exp.model.to("meta")
    start(exp)
    assert exp.wait(30)
    assert any(event.kind == "error" and "meta" in str(event.error) for event in events)
    assert [event.task.ended for event in events if event.task and event.task.ended] == ["failed"]
    exp.close()


def test_a_model_edited_while_it_is_measured_ends_with_its_last_numbers() -> None:
    """Edits in the user's thread, measuring in the worker's."""
    exp = Experiment(net(), test=data(300, 2))
    measured(exp)
    for turn in range(50):
        with torch.no_grad():
            exp.model[0].weight.mul_(-1.01)  # type: ignore[index,union-attr,operator]
        exp.request(pruned((turn % 9) / 10))
    assert exp.wait(60)
    exp.live.refresh()
    assert exp.wait(60) and exp.live.at_rest and exp.live.estimate is not None
    assert exp.live.estimate.accuracy == E.evaluate(E.compress(exp.model, exp.recipe), exp.test).accuracy
    exp.close()
