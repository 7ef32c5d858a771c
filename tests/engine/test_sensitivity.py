"""The scan equals its slow twin on networks of every kind, says how it ran, and leaves everything as it was."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import oracle_scan as oracle
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import nnwidgets.engine as engine
from nnwidgets.engine.errors import DataError, InputError, ModelError, UnsupportedError
from nnwidgets.engine.scans import sensitivity_steps
from nnwidgets.engine.trace import fingerprint
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.zoo import example_parts

AMOUNTS, BITS = (0.0, 0.5, 0.9), (2, 8, 32)


@pytest.fixture
def split() -> Split:
    draw = torch.Generator().manual_seed(1)
    return Split(torch.randn(150, 1, 8, 8, generator=draw), torch.randint(0, 4, (150,), generator=draw))


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def check(table: pd.DataFrame, model: nn.Module, split: Split, amounts: tuple[float, ...], kind: str = "pruning") -> None:
    """Right answers equal the twin's in every cell; images on the edge of float rounding may fall either way, and are few."""
    wanted = oracle.scan_slowly(model, split, amounts, kind)
    column = "amount" if kind == "pruning" else "bits"
    assert list(zip(table["layer"], table[column], strict=True)) == list(wanted)
    for accuracy, (right, doubtful) in zip(table["accuracy"], wanted.values(), strict=True):
        assert abs(round(accuracy * len(split)) - right) <= doubtful
    assert sum(doubtful for _, doubtful in wanted.values()) <= 0.01 * len(split) * len(wanted)


BUNDLED = [
    ("digits/lenet300", 300, (0.5, 0.95)),
    ("digits/lenet5", 150, (0.5, 0.95)),
    ("digits/resnet20", 24, (0.9,)),
    ("shapes/vgg_small", 24, (0.9,)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n", "amounts"), BUNDLED, ids=[name for name, _, _ in BUNDLED])
def test_bundled_networks_equal_the_slow_twin(name: str, n: int, amounts: tuple[float, ...]) -> None:
    parts = example_parts(name)
    few = parts.val.take(range(n))
    table = engine.sensitivity_scan(parts.model, few, amounts)
    check(table, parts.model, few, amounts)
    assert table.attrs["method"] == "graph" and table.attrs["n"] == n
    assert table["accuracy"].min() < table.attrs["dense"], "half the weights or nearly all: something is lost somewhere"


NETS = [
    (oracle.Functional, "graph"),
    (oracle.InPlace, "graph"),
    (oracle.Viewing, "graph"),
    (oracle.Reused, "graph"),
    (oracle.Tied, "graph"),
    (oracle.Attention, "graph"),
    (oracle.Branching, "layers"),
    (oracle.BranchingByFunction, "whole"),
    (oracle.Counting, "whole"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("net", "method"), NETS, ids=[net.__name__ for net, _ in NETS])
@pytest.mark.parametrize("kind", ["pruning", "quantization"])
def test_row_39_and_40_hard_networks_equal_the_slow_twin_and_say_how(
    split: Split, net: type[nn.Module], method: str, kind: str
) -> None:
    model = made(net)
    before, amounts = fingerprint(model), AMOUNTS if kind == "pruning" else BITS
    table = engine.sensitivity_scan(model, split, amounts, kind)
    check(table, model, split, amounts, kind)
    assert fingerprint(model) == before
    assert table.attrs["method"] == method, table.attrs["note"]
    assert ("no graph" in table.attrs["note"]) == (method != "graph")


@pytest.mark.slow
@pytest.mark.parametrize("net", [oracle.Functional, oracle.InPlace, oracle.Branching], ids=lambda net: net.__name__)
def test_small_chunks_and_whole_passes_count_the_same(split: Split, net: type[nn.Module]) -> None:
    model = made(net)
    table = engine.sensitivity_scan(model, split, AMOUNTS)
    assert table.equals(engine.sensitivity_scan(model, split, AMOUNTS, budget_bytes=1))
    slow = engine.sensitivity_scan(model, split, AMOUNTS, share_prefix=False)
    assert table.equals(slow) and slow.attrs["method"] == "whole" and "asked for" in slow.attrs["note"]


def test_the_columns_say_what_they_say(split: Split) -> None:
    model = made(oracle.InPlace)
    table = engine.sensitivity_scan(model, split, [0.9, 0.5, 0.5])
    assert list(table) == ["layer", "amount", "accuracy", "error", "drop", "n", "low", "high", "macs_share", "bytes_share"]
    assert list(table["amount"][:2]) == [0.5, 0.9], "each once, in ascending order"
    dense = engine.evaluate(model, split).accuracy
    assert table.attrs["dense"] == dense and table.attrs["kind"] == "pruning"
    for row in table.itertuples():
        assert row.error == 1 - row.accuracy and row.drop == pytest.approx(dense - row.accuracy)
        assert (row.low, row.high) == wilson(round(row.accuracy * 150), 150)
        cost = engine.cost(model, (1, 8, 8), oracle.one_layer(str(row.layer), float(str(row.amount)), "pruning"))
        whole = engine.cost(model, (1, 8, 8))
        assert (
            row.macs_share == cost.macs_nonzero / whole.macs_nonzero
            and row.bytes_share == cost.bytes_encoded / whole.bytes_encoded
        )


def test_nothing_removed_is_the_network_as_it_is(split: Split) -> None:
    table = engine.sensitivity_scan(made(oracle.Reused), split, [0.0])
    assert (table["drop"] == 0).all() and (table["macs_share"] == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "pool",
    [
        lambda: ThreadPoolExecutor(3),
        lambda: ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")),
    ],
    ids=["threads", "processes"],
)
def test_an_executor_gives_the_table_of_one_process(split: Split, pool: Callable[[], Executor]) -> None:
    model = made(oracle.InPlace)
    with pool() as executor:
        table = engine.sensitivity_scan(model, split, AMOUNTS, executor=executor)
    alone = engine.sensitivity_scan(model, split, AMOUNTS)
    assert table.equals(alone) and table.attrs == alone.attrs


def test_an_executor_that_fails_says_why_and_begins_nothing_more(split: Split) -> None:
    class Local(oracle.Reused):
        pass

    with pytest.raises(InputError, match="another process"), ProcessPoolExecutor(1) as executor:
        engine.sensitivity_scan(made(Local), split, AMOUNTS, executor=executor)
    with pytest.raises(InputError, match="Executor"):
        engine.sensitivity_scan(made(oracle.Reused), split, AMOUNTS, executor=3)  # type: ignore[arg-type]


def test_steps_tell_their_progress_and_a_scan_left_early_leaves_the_network_as_it_was(split: Split) -> None:
    model = made(oracle.InPlace)
    before = fingerprint(model)
    steps = sensitivity_steps(model, split, AMOUNTS, budget_bytes=1)
    shares = []
    while True:
        try:
            shares.append(next(steps).share)
        except StopIteration as end:
            table = end.value
            break
    assert shares == sorted(shares) and shares[0] == 0 and 0 < shares[-1] <= 1
    assert table.equals(engine.sensitivity_scan(model, split, AMOUNTS))
    steps = sensitivity_steps(model, split, AMOUNTS)
    next(steps)
    steps.close()
    assert fingerprint(model) == before and not torch.is_inference_mode_enabled()


def test_row_10_and_29_an_interrupt_in_the_middle_leaves_the_network_as_it_was(split: Split) -> None:
    class Interrupted(oracle.InPlace):
        left = 15

        def forward(self, x: Tensor) -> Tensor:
            Interrupted.left -= 1
            if Interrupted.left == 0:
                raise KeyboardInterrupt
            return super().forward(x)

    model = made(Interrupted).train()
    before = fingerprint(model)
    with pytest.raises(KeyboardInterrupt):
        engine.sensitivity_scan(model, split, AMOUNTS, share_prefix=False)
    assert fingerprint(model) == before and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_row_30_and_32_train_mode_gradients_and_random_states_are_as_before(split: Split) -> None:
    model = made(oracle.InPlace).train()
    model(split.inputs(slice(0, 8))).sum().backward()
    before, state = fingerprint(model), torch.get_rng_state()
    table = engine.sensitivity_scan(model, split, AMOUNTS)
    assert fingerprint(model) == before and torch.equal(torch.get_rng_state(), state)
    check(table, model.eval(), split, AMOUNTS)


def test_another_thread_may_run_networks_meanwhile(split: Split) -> None:
    """The graph is recorded on a copy, without a change of torch that other threads would see."""
    model, other = made(oracle.InPlace), made(oracle.Reused)
    images = split.inputs(slice(0, 4))
    wanted = other(images)
    with ThreadPoolExecutor(1) as executor:
        scan = executor.submit(lambda: [engine.sensitivity_scan(model, split, [0.5]) for _ in range(5)])
        while not scan.done():
            assert torch.equal(other(images), wanted)
        assert len(scan.result()) == 5


def parametrized() -> nn.Module:
    model = made(oracle.Reused)
    parametrizations.weight_norm(model.first)  # type: ignore[arg-type]
    return model


BAD: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("an amount of 1", {"amounts": [0.5, 1.0]}, InputError, "below 1"),
    ("a negative amount", {"amounts": [-0.1]}, InputError, "amounts is -0.1"),
    ("NaN", {"amounts": [float("nan")]}, InputError, "finite"),
    ("nine bits", {"amounts": [9], "kind": "quantization"}, InputError, "amounts is 9"),
    ("half a bit", {"amounts": [0.5], "kind": "quantization"}, InputError, "whole number"),
    ("one number", {"amounts": 0.5}, InputError, "several"),
    ("a word", {"amounts": "0.5"}, InputError, "several"),
    ("none", {"amounts": []}, InputError, "got none"),
    ("another kind", {"kind": "prunning"}, InputError, "'pruning' or 'quantization'"),
    ("no labels", {"split": Split(torch.zeros(3, 1, 8, 8))}, DataError, "labels"),
    ("no split", {"split": torch.zeros(3, 1, 8, 8)}, DataError, "Tensor"),
    ("no model", {"model": 3}, ModelError, "int"),
    ("no weights", {"model": nn.Flatten()}, ModelError, "no weights"),
    ("compressed", {"model": engine.compress(made(oracle.Reused), oracle.one_layer("out", 0.5, "pruning"))}, ModelError, "bake"),
    ("parametrized", {"model": parametrized()}, UnsupportedError, "'first'"),
    ("no budget", {"budget_bytes": 0}, InputError, "bytes"),
    ("row 33: NaN weights", {"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 4)).requires_grad_(False)}, ModelError, "NaN"),
]
BAD[-1][1]["model"][1].weight.fill_(float("nan"))


@pytest.mark.parametrize(("given", "kind", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_cannot_be_scanned_is_said(split: Split, given: dict[str, Any], kind: type[Exception], words: str) -> None:
    arguments = {"model": made(oracle.Reused), "split": split, "amounts": [0.5], **given}
    with pytest.raises(kind, match=words):
        engine.sensitivity_scan(**arguments)


def test_an_answer_that_overflows_names_the_candidate(split: Split) -> None:
    class Overflow(oracle.Reused):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / self.out.weight.abs().sum().clamp(max=1e-30).sub(1e-30).add(self.out.weight.abs().min())

    model = made(Overflow)
    with pytest.raises(ModelError, match="out at 50 % pruned"):
        engine.sensitivity_scan(model, split, [0.5])
