"""Lottery tickets: the paper's counts, a slow twin, the same bits however the work is cut and distributed."""

from __future__ import annotations

import functools
import json
import multiprocessing
import statistics
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.sparse import LotteryResult, LotteryRun, lottery_steps
from nnwidgets.engine.sparse._arms import kept_of
from nnwidgets.engine.sparse._held import held
from nnwidgets.engine.values.intervals import student
from nnwidgets.engine.zoo.nets import LeNet300

SETUP = E.TrainingSetup(lr=0.01, batch_size=30, epochs=3)
BUILD = functools.partial(LeNet300, 3, 0.02)  # 784-6-2-3, importable by other processes
MORE: dict[str, Any] = {"rounds": 2, "seeds": (0, 5), "every_steps": 4, "rate": 0.5, "output_rate": 0.2}


def data(n: int, seed: int) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    images = 0.3 * torch.randn(n, 1, 28, 28, generator=draw)
    images[torch.arange(n), 0, :, labels] += 1.0
    return E.Split(images, labels)


TRAIN, VAL, TEST = data(120, 0), data(50, 1), data(60, 2)


def ran(**changed: Any) -> LotteryResult:
    return E.lottery_ticket(BUILD, TRAIN, VAL, TEST, **{"setup": SETUP, **MORE, **changed})


@pytest.fixture(scope="module")
def whole() -> LotteryResult:
    return ran()


def test_what_is_left_is_the_papers() -> None:
    """Frankle & Carbin 2019, LeNet-300-100: the formula to 0.001 %; whole weights within half a weight a layer."""
    layers = ((235_200, 0.2), (30_000, 0.2), (1_000, 0.1))
    for number, wanted in ((3, 51.282), (7, 21.072), (9, 13.517), (15, 3.583)):
        exact = sum(n * (1 - rate) ** number for n, rate in layers)
        counted = sum(kept_of(n, rate, number) for n, rate in layers)
        assert round(exact / 2662, 3) == wanted
        assert abs(counted - exact) <= 1.5 and counted / 2662 == pytest.approx(wanted, abs=1.1e-3)


def built(seed: int) -> LeNet300:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LeNet300(3, 0.02).eval()


def loss_of(model: nn.Module, split: E.Split) -> float:
    with torch.no_grad():
        return float(F.cross_entropy(model(split.inputs(slice(None))), split.labels))  # type: ignore[arg-type]


def smallest_go(weight: Tensor, keep: Tensor, left: int) -> Tensor:
    kept = sorted(((abs(w), i) for i, w in enumerate(weight.reshape(-1).tolist()) if keep.reshape(-1)[i]), reverse=True)
    found = torch.zeros(weight.numel(), dtype=torch.bool)
    found[[i for _, i in kept[:left]]] = True
    return found.reshape(weight.shape)


@pytest.mark.parametrize("rewind", [0, 3])
def test_tickets_are_those_of_the_slow_twin(rewind: int) -> None:
    """Train, sort, mask, put back, with plain loops: where each run stops, its figures there and at the end."""
    found = {(run.round, run.arm): run for run in ran(seeds=(5,), rewind_step=rewind).runs}
    names, rates = ("fc1", "fc2", "fc3"), (0.5, 0.5, 0.2)
    keep = {name: torch.ones_like(getattr(built(5), name).weight, dtype=torch.bool) for name in names}
    setup = replace(SETUP, seed=5)
    early, position = built(5), E.fit(built(5), TRAIN, setup=setup).state()
    if rewind:
        run = E.fit(early, TRAIN, setup=setup)
        for _ in range(rewind):
            next(run)
        position = run.state()
    for number in range(3):
        network = built(5)
        if number:
            network.load_state_dict(early.state_dict())
        fresh = E.fit(network, TRAIN, setup=setup)
        with held(network, keep):
            again = {**fresh.state(), **{key: position[key] for key in ("step", "order", "draw")}}
            run = E.fit(network, TRAIN, setup=setup, resume=again) if number and rewind else fresh
            looks = []
            for step in run:
                if step.step % 4 == 0 or step.step == step.steps:
                    looks.append((loss_of(network, VAL), step.step, E.evaluate(network, TEST).accuracy))
        told = found[number, "ticket" if number else "dense"]
        best = min(looks, key=lambda look: look[0])
        assert (told.stop_step, told.steps) == (best[1], 12) and told.stop_val_loss == pytest.approx(best[0], rel=1e-5)
        assert told.stop_test_accuracy == best[2] and told.end_test_accuracy == looks[-1][2]
        assert told.end_val_loss == pytest.approx(looks[-1][0], rel=1e-5)
        assert told.kept == sum(int(mask.sum()) for mask in keep.values())
        for name, rate in zip(names, rates, strict=True):
            left = kept_of(keep[name].numel(), rate, number + 1)
            keep[name] = smallest_go(getattr(network, name).weight, keep[name], left)


def test_the_arms_of_a_round_have_equal_sparsity_and_differ(whole: LotteryResult) -> None:
    frame = whole.to_frame()
    assert list(frame.columns[:3]) == ["seed", "round", "arm"] and len(frame) == 2 * (1 + 2 * 3)
    for _, rows in frame[frame["round"] > 0].groupby(["seed", "round"]):
        assert set(rows["arm"]) == {"ticket", "reinit", "reshuffled"} and rows["kept"].nunique() == 1
        assert rows["end_val_loss"].nunique() == 3
    assert frame["end_val_loss"].nunique() == len(frame)
    assert (frame["stop_val_loss"] <= frame["end_val_loss"]).all() and (frame["steps"] == 12).all()


def test_held_weights_train_as_those_behind_a_mask() -> None:
    """The hook on the gradient gives the bits of the parametrization that compress() registers."""
    draw = torch.Generator().manual_seed(0)
    for setup in (SETUP, E.TrainingSetup("sgd", 0.1, 2, 30, 1e-3, 0.9), E.TrainingSetup("adamw", 0.01, 2, 30, 0.1)):
        plain = built(1)
        masks = {name: torch.rand(getattr(plain, name).weight.shape, generator=draw) < 0.3 for name in ("fc1", "fc3")}
        behind = E.compress(plain, E.Recipe(E.Pruning(0.7, masks=masks)))  # type: ignore[arg-type]
        with held(plain, masks):
            ours = [step.loss for step in E.fit(plain, TRAIN, setup=setup)]
        assert ours == [step.loss for step in E.fit(behind, TRAIN, setup=setup)]
        assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), E.bake(behind).parameters(), strict=True))
        assert not plain.fc1.weight[~masks["fc1"]].any() and not plain.fc1.weight._post_accumulate_grad_hooks


@pytest.mark.slow
@pytest.mark.parametrize("stop", [0, 1, 60, 200])
def test_a_lottery_that_was_left_goes_on_bit_for_bit(whole: LotteryResult, tmp_path: Path, stop: int) -> None:
    """From a file whose last line was cut off while it was written, too; what is done is not run again."""
    path = tmp_path / "rounds.jsonl"
    steps = lottery_steps(BUILD, TRAIN, VAL, TEST, SETUP, resume=path, **MORE)
    for _ in range(stop):
        next(steps)
    steps.close()
    done = path.read_text()
    with path.open("a") as stream:
        stream.write('{"seed": 0, "rou')
    assert ran(resume=str(path)) == whole
    lines = path.read_text().splitlines()
    assert path.read_text().startswith(done) and len(lines) == 6 and all(json.loads(line)["runs"] for line in lines)
    assert next(lottery_steps(BUILD, TRAIN, VAL, TEST, SETUP, resume=path, **MORE)).done == 1


def test_a_dict_is_filled_and_more_rounds_and_seeds_are_added(whole: LotteryResult) -> None:
    kept: dict[tuple[int, int], dict[str, Any]] = {}
    ran(resume=kept, seeds=(0,), rounds=1)
    assert set(kept) == {(0, 0), (0, 1)}
    kept = json.loads(json.dumps(list(kept.values())))  # a record is JSON
    again = {(record["seed"], record["round"]): record for record in kept}
    assert ran(resume=again) == whole and len(again) == 6
    with pytest.raises(E.InputError, match="made with another rate, every_steps"):
        ran(resume=again, rate=0.3, every_steps=5)
    with pytest.raises(E.InputError, match="made with another n, data"):
        E.lottery_ticket(BUILD, data(90, 0), VAL, TEST, SETUP, resume=again, **MORE)


def test_progress_ends_at_all_runs_and_the_random_state_is_left_alone(whole: LotteryResult) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    told = []
    steps = lottery_steps(BUILD, TRAIN, VAL, TEST, SETUP, **MORE)
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            assert end.value == whole
            break
    assert torch.equal(torch.get_rng_state(), state)
    assert told[-1].done == told[-1].total == 14 and told[-1].share == 1.0
    parts = [step.part for step in told if step.done == 3]
    assert len(set(parts)) > 3 and parts == sorted(parts) and parts[-1] == 1.0, "it grows within a run"
    assert tuple(each.run for each in told if each.run is not None) == whole.runs


def test_controls_can_be_left_to_some_rounds() -> None:
    found = ran(seeds=(0,), control_rounds=(2,))
    assert [(run.round, run.arm) for run in found.runs] == [
        (0, "dense"),
        (1, "ticket"),
        (2, "ticket"),
        (2, "reinit"),
        (2, "reshuffled"),
    ]
    assert list(found.differences("ticket", "reinit")["round"]) == [2]
    assert list(found.differences("ticket", "dense")["round"]) == [1, 2]


def test_threads_give_the_serial_result(whole: LotteryResult) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert ran(executor=pool) == whole


@pytest.mark.slow
def test_processes_give_the_serial_result(whole: LotteryResult, tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert ran(executor=pool, resume=tmp_path / "rounds.jsonl") == whole
        assert len((tmp_path / "rounds.jsonl").read_text().splitlines()) == 6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::DeprecationWarning:dask")
def test_a_dask_cluster_gives_the_serial_result(whole: LotteryResult) -> None:
    """Two workers, each a process."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert ran(executor=client.get_executor()) == whole


class Failing(ThreadPoolExecutor):
    def submit(self, *args: Any, **kwargs: Any) -> Any:
        return super().submit(lambda: 1 / 0)


def trained() -> nn.Module:
    made = LeNet300(3, 0.02)
    made.load_state_dict(built(0).state_dict())
    return made


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"rounds": 0}, E.InputError, "rounds: got 0"),
        ({"rate": 1.0}, E.InputError, "rate: got 1.0"),
        ({"seeds": ()}, E.InputError, "at least one"),
        ({"seeds": (1, 1)}, E.InputError, "each once"),
        ({"rewind_step": 12}, E.InputError, "less than the 12 steps"),
        ({"every_steps": 0}, E.InputError, "every_steps"),
        ({"output_layer": "fc4"}, E.InputError, "did you mean"),
        ({"executor": 3}, E.InputError, "Executor"),
        ({"resume": 3}, E.InputError, "file name"),
        ({"resume": {(0, 0): {}}}, E.InputError, "no round of a lottery"),
        ({"setup": None}, E.InputError, "TrainingSetup"),
        ({"build": trained}, E.ModelError, "same weights for two seeds"),
        ({"build": lambda: 3}, E.ModelError, "build"),
        ({"val": E.Split(torch.zeros(3, 1, 28, 28))}, E.DataError, "val"),
    ],
)
def test_what_cannot_be_is_said_at_the_call(changed: dict[str, Any], error: type[Exception], said: str) -> None:
    given: dict[str, Any] = {"build": BUILD, "train": TRAIN, "val": VAL, "test": TEST, "setup": SETUP, **MORE, **changed}
    with pytest.raises(error, match=said):
        E.lottery_ticket(**given)


def test_a_task_that_fails_says_why_and_a_build_that_cannot_travel_too() -> None:
    with Failing(1) as pool, pytest.raises(ZeroDivisionError):
        ran(executor=pool)
    executor: Executor
    with ProcessPoolExecutor(1) as executor, pytest.raises(E.InputError, match="another process"):
        E.lottery_ticket(lambda: LeNet300(3, 0.02), TRAIN, VAL, TEST, SETUP, executor=executor, **MORE)


def test_files_that_are_none_of_ours_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("hello\n")
    with pytest.raises(E.FileError, match="no record of a lottery"):
        ran(resume=tmp_path / "other.txt")
    with pytest.raises(E.FileError, match="cannot be used"):
        ran(resume=tmp_path / "none" / "rounds.jsonl")


def run_of(seed: int, number: int, arm: str, step: int, accuracy: float) -> LotteryRun:
    return LotteryRun(seed, number, arm, 0.8**number, 10, 100, step, 0.1, accuracy, accuracy, 0.1, accuracy, accuracy)


def test_differences_are_paired_with_students_interval() -> None:
    """Against scipy's figures for df = 2: t = 4.302653."""
    steps = {"ticket": (50, 60, 80), "reinit": (100, 120, 90), "dense": (70, 70, 70)}
    runs = tuple(run_of(seed, int(arm != "dense"), arm, values[seed], 0.5) for arm, values in steps.items() for seed in range(3))
    found = LotteryResult(runs, {"every_steps": 25, "n": {"val": 100, "test": 400}})
    row = found.differences("ticket", "reinit", "stop_step").iloc[0]
    apart = [-50, -60, -10]
    half = 4.302653 * statistics.stdev(apart) / 3**0.5
    assert (row["round"], row["pairs"]) == (1, 3) and row["mean"] == statistics.fmean(apart)
    assert (row["low"], row["high"]) == pytest.approx((statistics.fmean(apart) - half, statistics.fmean(apart) + half))
    equal = found.differences("ticket", "dense", "end_test_accuracy").iloc[0]
    assert (equal["low"], equal["high"]) == pytest.approx((-4.302653 * 0.5 / 400 / 3**0.5, 4.302653 * 0.5 / 400 / 3**0.5))
    with pytest.raises(E.InputError, match="expected one of"):
        found.differences("winner")
    with pytest.raises(E.InputError, match="no seed and round"):
        found.differences("reshuffled")


def test_students_interval_beyond_the_table() -> None:
    """97.5 % points of tables: 12.7062 (1), 2.2281 (10), 2.2010 (11), 2.0423 (30), 1.9840 (100)."""
    for freedom, wanted in ((1, 12.7062), (10, 2.2281), (11, 2.2010), (30, 2.0423), (100, 1.9840)):
        n = freedom + 1
        mean, low, high = student([0.0] * n, least=1.0)
        assert mean == 0 and high == -low and high * n**0.5 == pytest.approx(wanted, abs=2e-4)
    assert student([2.0]) == (2.0, float("-inf"), float("inf"))


def test_a_result_is_written_and_read(whole: LotteryResult) -> None:
    again = LotteryResult.from_json(whole.to_json("recorded on Monday"))
    assert again.recorded == "recorded on Monday" and again.settings == json.loads(json.dumps(whole.settings))
    assert again.to_frame().drop(columns=["remaining"]).round(6).equals(whole.to_frame().drop(columns=["remaining"]).round(6))
    for text in ("{", "[]", '{"format": "x"}'):
        with pytest.raises(E.InputError, match="no lottery"):
            LotteryResult.from_json(text)
