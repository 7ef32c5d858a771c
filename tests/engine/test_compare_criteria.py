"""Criteria on equal training: a slow twin, the same bits however the work is distributed, cells that cannot be."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.pruning.criteria import CRITERIA
from nnwidgets.engine.sparse import CriteriaProgress, CriterionCell, compare_criteria_steps
from nnwidgets.engine.trace import weight_layers, weight_of

SETUP = E.TrainingSetup(lr=0.01, batch_size=20, epochs=1)
COLUMNS = ["criterion", "structure", "amount", "seed", "sparsity", "before", "after", "n_images", "seconds", "reason"]
MORE: dict[str, Any] = {
    "criteria": ("random", "taylor", "activation"),
    "structures": ("weight", "filter"),
    "amounts": (0.4, 0.9),
    "setup": SETUP,
    "seeds": (0, 3),
}


def net(seed: int = 0, trained: bool = True) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(36, 3),
        ).eval()
    for _ in E.fit(made, TRAIN, setup=replace(SETUP, epochs=8)) if trained else ():
        pass
    return made


def data(n: int, seed: int) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    images = 0.5 * torch.randn(n, 1, 8, 8, generator=draw)
    images[torch.arange(n), 0, labels] += 1.0
    return E.Split(images, labels)


TRAIN, VAL = data(60, 0), data(150, 1)
MODEL = net()


def ran(**changed: Any) -> pd.DataFrame:
    return E.compare_criteria(MODEL, TRAIN, VAL, **{**MORE, **changed})


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """All but the time, bit for bit."""
    return a.drop(columns="seconds").equals(b.drop(columns="seconds")) and a.attrs == b.attrs


@pytest.fixture(scope="module")
def serial() -> pd.DataFrame:
    return ran()


def test_a_row_for_each_cell_in_order(serial: pd.DataFrame) -> None:
    assert list(serial.columns) == COLUMNS and len(serial) == 3 * 2 * 2 * 2
    wanted = [
        (seed, criterion, structure, amount)
        for seed in (0, 3)
        for criterion in MORE["criteria"]
        for structure in ("weight", "filter")
        for amount in (0.4, 0.9)
    ]
    found = serial[["seed", "criterion", "structure", "amount"]].itertuples(index=False, name=None)
    assert list(found) == wanted
    assert serial["after"].nunique() > 6 and serial["before"].nunique() > 6  # or equal tables would say little
    assert serial.attrs == {"dense": E.evaluate(MODEL, VAL).accuracy, "n": 150}
    valid = serial[serial["reason"] == ""]
    assert valid[["sparsity", "before", "after", "n_images", "seconds"]].notna().all(axis=None)
    assert set(valid[valid["criterion"] == "taylor"]["n_images"]) == {60.0}
    assert set(valid[valid["criterion"] == "random"]["n_images"]) == {0.0}


@pytest.mark.parametrize("criterion", ["magnitude", "random", "obd", "obs", "movement"])
@pytest.mark.parametrize(
    ("structure", "amount", "allocation"), [("weight", 0.5, "uniform"), ("filter", 0.3, "global"), ("2:4", 0.5, "global")]
)
def test_a_cell_is_what_one_does_by_hand(criterion: str, structure: str, amount: float, allocation: str) -> None:
    """compress, evaluate, fit, evaluate; and one round of prune_and_tune."""
    setup = replace(SETUP, weight_decay=1e-3, momentum=0.0)
    told = E.compare_criteria(MODEL, TRAIN, VAL, [criterion], [structure], (amount,), setup, allocation, (7,)).iloc[0]
    pruning = E.Pruning(amount, structure, criterion, allocation, seed=7)
    network = E.compress(MODEL, E.Recipe(pruning), TRAIN)
    assert told["before"] == E.evaluate(network, VAL).accuracy
    weights = [weight_of(network, layer) for layer in weight_layers(network)]
    gone, total = sum(int((weight == 0).sum()) for weight in weights), sum(weight.numel() for weight in weights)
    assert told["sparsity"] == gone / total
    for _ in E.fit(network, TRAIN, setup=replace(setup, seed=7)):
        pass
    assert told["after"] == E.evaluate(network, VAL).accuracy and told["reason"] == ""
    (record,) = E.prune_and_tune(MODEL, TRAIN, E.Recipe(pruning), None, replace(setup, seed=7), VAL)
    assert (told["before"], told["after"], told["sparsity"]) == (record.before, record.accuracy, record.sparsity)


def test_the_network_and_the_random_states_stay_as_they_are() -> None:
    model = net(1)
    before = E.fingerprint(model)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    E.compare_criteria(model, TRAIN, VAL, ("random", "obs"), seeds=(1,), setup=SETUP)
    assert E.fingerprint(model) == before and torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_cells_of_a_seed_are_trained_alike() -> None:
    """With nothing removed every criterion gives the same figures, and another seed another order of images."""
    found = ran(criteria=("random", "taylor"), amounts=(0.0,), structures=("weight",), seeds=(0, 3, 4))
    assert (found["sparsity"] == 0).all() and (found["before"] == found.attrs["dense"]).all()
    assert (found.groupby("seed")["after"].nunique() == 1).all() and found["after"].nunique() > 1


def test_what_cannot_be_is_a_row_with_its_reason(serial: pd.DataFrame) -> None:
    bad = serial[serial["reason"] != ""]
    assert bad[["sparsity", "before", "after", "n_images", "seconds"]].isna().all(axis=None)
    by = {key: set(rows["reason"]) for key, rows in bad.groupby(["criterion", "structure"])}
    (said,) = by["activation", "weight"]
    assert "judges whole units and says nothing of structure='weight'" in said
    assert all("would leave none in" in each for each in by["random", "filter"])
    assert set(bad[bad["structure"] == "filter"]["amount"]) == {0.9}
    found = ran(criteria=("bn_scale", "movement"), structures=("head", "2:4"), amounts=(0.5, 0.75), seeds=(0,))
    assert len(found) == 8 and (found["reason"] == "").sum() == 1
    assert found["reason"].str.contains("There are no attention heads").sum() == 2
    assert found["reason"].str.contains("removes 50.0% of a layer, no more and no less").sum() == 1


def nan_loss(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels) * float("inf")


def broken_loss(logits: Tensor, labels: Tensor) -> Tensor:
    raise KeyError("my own loss")


def test_training_that_loses_its_way_and_a_criterion_that_cannot_look_are_told() -> None:
    found = ran(loss=nan_loss, criteria=("magnitude", "taylor"), structures=("weight",), amounts=(0.5,), seeds=(0,))
    lost, blind = found.iloc[0], found.iloc[1]
    assert lost["reason"].startswith("training: ") and lost["before"] > 0 and pd.isna(lost["after"])
    assert "gave NaN or infinite scores" in blind["reason"] and pd.isna(blind["before"])


def test_progress_ends_at_all_cells_and_gives_the_same_table(serial: pd.DataFrame) -> None:
    told = list[CriteriaProgress]()
    steps = compare_criteria_steps(MODEL, TRAIN, VAL, **MORE)
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            assert same(end.value, serial)
            break
    assert told[0].done == 0 and told[-1].share == 1.0
    cells = [each.cell for each in told if each.cell is not None]
    assert len(cells) == told[-1].total == len(serial) and cells[-1].seed == 3
    assert len(told) > 20 * len(cells) / 4  # many steps a cell: a job can be cancelled within it


def test_what_is_done_is_not_run_again(serial: pd.DataFrame, tmp_path: Path) -> None:
    """From a file whose last line was cut off, with amounts that are new, and in another order."""
    path = tmp_path / "cells.jsonl"
    ran(resume=path, amounts=(0.9,), criteria=("activation", "random"))
    with path.open("a") as stream:
        stream.write('{"criterion": "tay')
    assert same(ran(resume=str(path)), serial) and len(path.read_text().splitlines()) == len(serial)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    kept = {tuple(record[name] for name in ("criterion", "structure", "amount", "seed")): record for record in records}
    assert same(ran(resume=kept), serial)
    total = next(compare_criteria_steps(MODEL, TRAIN, VAL, resume=path, **MORE))
    assert total.done == 2
    for changed, said in (({"setup": replace(SETUP, lr=0.1)}, "setup"), ({"allocation": "uniform"}, "allocation")):
        with pytest.raises(E.InputError, match=f"made with another {said}"):
            ran(resume=path, **changed)
    with pytest.raises(E.InputError, match="made with another network"):
        E.compare_criteria(net(9), TRAIN, VAL, resume=kept, **MORE)
    with pytest.raises(E.InputError, match="no cell of a comparison"):
        ran(resume={(0,): {}})
    (tmp_path / "other.txt").write_text("hello\n")
    with pytest.raises(E.FileError, match="no record of a comparison of criteria"):
        ran(resume=tmp_path / "other.txt")


def test_threads_give_the_serial_result(serial: pd.DataFrame) -> None:
    with ThreadPoolExecutor(2) as pool:
        kept: dict[Any, Any] = {}
        assert same(ran(executor=pool, resume=kept), serial) and len(kept) == len(serial)


@pytest.mark.slow
def test_processes_give_the_serial_result(serial: pd.DataFrame) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert same(ran(executor=pool), serial)
        with pytest.raises(E.NnwError, match=r"criterion='magnitude', structure=.*, seed=., amount=0.4: .*my own loss"):
            ran(executor=pool, loss=broken_loss, criteria=("magnitude",))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::DeprecationWarning:dask")
def test_a_dask_cluster_gives_the_serial_result(serial: pd.DataFrame) -> None:
    """Two workers, each a process."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert same(ran(executor=client.get_executor()), serial)


class Failing(ThreadPoolExecutor):
    """Tasks that end as those of a worker that died."""

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        return super().submit(lambda: 1 / 0)


def test_an_error_names_its_cell() -> None:
    with pytest.raises(E.NnwError, match=r"criterion='magnitude', structure='weight', seed=0, amount=0.4: .*KeyError"):
        ran(loss=broken_loss, criteria=("magnitude",))
    with Failing(1) as pool, pytest.raises(E.NnwError, match=r"criterion='random', structure=.*, seed=.: the task failed: Zero"):
        ran(executor=pool, criteria=("random",))
    with ProcessPoolExecutor(1) as processes, pytest.raises(E.InputError, match="cannot be sent to another process"):
        ran(executor=processes, loss=lambda logits, labels: F.cross_entropy(logits, labels))


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"criteria": ()}, E.InputError, "criteria: got .*at least one"),
        ({"criteria": "taylor"}, E.InputError, "criteria: got 'taylor'"),
        ({"criteria": ("tailor",)}, E.RecipeError, "did you mean 'taylor'"),
        ({"criteria": ("obd", "obd")}, E.InputError, "each once"),
        ({"structures": ("filters",)}, E.RecipeError, "filter"),
        ({"amounts": (0.5, 1.0)}, E.RecipeError, "amount is 1.0"),
        ({"amounts": ()}, E.InputError, "amounts: got"),
        ({"amounts": {"weight": (0.5,)}}, E.InputError, "got none for 'filter'"),
        (
            {"amounts": {"weight": (0.5,), "filtre": (0.5,)}},
            E.InputError,
            "'filtre', which is not compared; did you mean 'filter'",
        ),
        ({"setup": 3}, E.InputError, "TrainingSetup"),
        ({"allocation": "sensitivity"}, E.RecipeError, "needs a scan"),
        ({"allocation": {"fc9": 0.5}}, E.RecipeError, "fc9"),
        ({"seeds": (-1,)}, E.InputError, "seeds: got -1"),
        ({"seeds": (1, 1)}, E.InputError, "each once"),
        ({"executor": 3}, E.InputError, "Executor"),
        ({"resume": 3}, E.InputError, "file name"),
        ({"model": 3}, E.ModelError, "torch.nn.Module"),
        ({"model": E.compress(MODEL, E.Recipe(E.Pruning(0.5)))}, E.ModelError, "masks or grids"),
        ({"train": E.Split(torch.zeros(3, 1, 8, 8))}, E.DataError, "train: got"),
        ({"val": None}, E.DataError, "val: got None"),
    ],
)
def test_what_cannot_be_is_said_at_the_call(changed: dict[str, Any], error: type[Exception], said: str) -> None:
    given: dict[str, Any] = {"model": MODEL, "train": TRAIN, "val": VAL, **MORE, **changed}
    with pytest.raises(error, match=said):
        E.compare_criteria(**given)


def test_every_criterion_is_compared_by_default() -> None:
    steps = compare_criteria_steps(MODEL, TRAIN, VAL, amounts=(0.5,), setup=SETUP)
    assert next(steps).total == len(CRITERIA) and CriterionCell("obs", "weight", 0.5, 0).reason == ""
