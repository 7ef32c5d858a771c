"""FAULTS.md row 4: 100,000 random messages, none unhandled; more of them through the wire of each kernel."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_messages import COMMANDS, CONTROLS, OTHERS, PRIVATE, TOLD, messages
from wire import Front, Kernel

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812

WHILE_WORKING, HELD, WHILE_HELD = 8_000, 9, 10_000  # the worker works meanwhile, or what is asked for piles up, nine times
BY_HYPOTHESIS = 2_000
ON_THE_WIRE = 2_500


class Records(logging.Handler):
    """Counts what is logged and keeps the last line."""

    count, last = 0, ""

    def emit(self, record: logging.LogRecord) -> None:
        self.count, self.last = self.count + 1, record.getMessage()


@pytest.fixture
def records() -> Iterator[Records]:
    """What the package logs, past pytest's own capture, which would keep every line."""
    log, handler = logging.getLogger("nnwidgets"), Records()
    log.addHandler(handler)
    log.propagate = False
    yield handler
    log.removeHandler(handler)
    log.propagate = True


@pytest.fixture
def sent() -> list[bytes]:
    return []


@pytest.fixture
def lab(records: Records, sent: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A lab whose messages have to be JSON in UTF-8 without NaN, as a browser reads it."""
    made = nw.CompressionLab(nw.load_example("digits/lenet300"))
    assert made.wait(60)
    code = {"_esm", "_css"}

    def send(message: dict[str, Any], buffers: object = None) -> None:
        state = {name: value for name, value in (message.get("state") or {}).items() if name not in code}
        sent[:] = [json.dumps({**message, "state": state}, allow_nan=False, ensure_ascii=False, default=str).encode()]

    monkeypatch.setattr(made, "_send", send)
    unraised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", unraised.append)
    yield made
    made.close()
    made.experiment.close()
    assert not unraised, "a thread died"


@contextmanager
def held(lab: Any) -> Iterator[None]:
    """Keep the worker busy: what is asked for meanwhile piles up."""
    gate = threading.Event()
    lab.experiment.jobs.submit("gate", lambda: (gate.wait(60) for _ in range(1)), interactive=True)
    yield
    gate.set()


def still_works(lab: Any) -> None:
    """Back to the dense network, then a valid move: the engine's own figures, and nothing wrong on the screen."""
    for command in ("cancel", "reset", "dismiss"):
        lab._handle_msg({"content": {"data": {"method": "custom", "content": {"kind": "command", "name": command}}}})
    assert lab.wait(60)
    calm = {"sparsity": 0.5, "structure": "weight", "criterion": "magnitude", "allocation": "global", "weight_bits": 32}
    lab._handle_msg({"content": {"data": {"method": "update", "state": {**calm, "sample": "test"}}}})
    assert lab.wait(60)
    assert (lab.status, lab.error) == ("idle", None)
    exp = lab.experiment
    assert exp.recipe == E.Recipe(E.Pruning(0.5, norm=lab.norm))
    figures = lab.snapshot_view["figures"]
    assert figures["accuracy"]["raw"] == E.evaluate(E.compress(exp.model, exp.recipe), exp.test).accuracy
    assert figures["size_encoded"]["raw"] == E.cost(exp.model, (1, 28, 28), exp.recipe).bytes_encoded


def test_row_4_98_000_random_messages_are_handled(lab: Any, records: Records, sent: list[bytes]) -> None:
    before, code = E.fingerprint(lab.experiment.model), lab._esm
    handled = 0
    for message in messages(1, WHILE_WORKING):
        lab._handle_msg(message)
        handled += 1
    for seed in range(HELD):
        with held(lab):
            for message in messages(2 + seed, WHILE_HELD):
                lab._handle_msg(message)
                handled += 1
            lab.experiment.jobs.cancel("task")
            lab.experiment.undo()  # takes back what was asked for and not begun: thousands of recipes
        assert lab.wait(60), "the worker came to rest"
    assert handled == 98_000 and records.count > handled / 10 and sent
    assert (E.fingerprint(lab.experiment.model), lab._esm) == (before, code)
    still_works(lab)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(st.characters())
    | st.sampled_from(["global", "fc1", "val"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from((*CONTROLS, *OTHERS, *PRIVATE, *TOLD)) | st.text(max_size=5)
updates = st.fixed_dictionaries(
    {"method": st.just("update"), "state": st.dictionaries(names, json_values, max_size=4)},
    optional={"buffer_paths": json_values},
)
arguments = st.dictionaries(st.sampled_from(("name", "id", "format", "key")), json_values, max_size=2) | json_values
commands = st.fixed_dictionaries(
    {"kind": st.just("command"), "name": st.sampled_from(COMMANDS) | json_values}, optional={"args": arguments, "id": json_values}
)
customs = st.fixed_dictionaries({"method": st.just("custom"), "content": commands | json_values})
wires = st.fixed_dictionaries(
    {}, optional={"content": st.fixed_dictionaries({}, optional={"data": updates | customs | json_values})}
)


def test_row_4_2_000_shapes_that_hypothesis_finds_are_handled(lab: Any) -> None:
    before = E.fingerprint(lab.experiment.model)

    @settings(max_examples=BY_HYPOTHESIS, suppress_health_check=list(HealthCheck))
    @given(wires | json_values)
    def send(message: Any) -> None:
        lab._handle_msg(message)
        for name in lab.writable:
            lab.traits()[name]._validate(lab, getattr(lab, name))

    with held(lab):
        send()
    assert lab.wait(60)
    assert E.fingerprint(lab.experiment.model) == before
    still_works(lab)


def test_row_4_2_500_random_messages_through_the_wire(kernel: Kernel, front: Front) -> None:
    """A cell is answered while they come and after them; a move gives the right figures."""
    said = len(kernel.said)
    for number, message in enumerate(messages(4_711, ON_THE_WIRE)):
        last = front.send(message["content"].get("data"), buffers=message["buffers"])
        if number == ON_THE_WIRE // 2:
            assert kernel.value("1 + 1") == 2
    front.handled(last, timeout=120)
    for command in ("cancel", "reset", "dismiss"):
        front.handled(front.click(command))
    calm = {
        "structure": "weight",
        "criterion": "magnitude",
        "allocation": "global",
        "weight_bits": 32,
        "sample": "test",
        "norm": 1,
    }
    front.wait_idle()
    front.update(sparsity=0.5, **calm)
    front.wait_idle(sparsity=0.5, error=None)
    assert front.raw("accuracy") == kernel.value(
        "E.evaluate(E.compress(lab.experiment.model, E.Recipe(E.Pruning(0.5))), lab.experiment.test).accuracy"
    )
    assert "CompressionLab: refused" in kernel.said[said:] and "Traceback" not in kernel.said[said:]
