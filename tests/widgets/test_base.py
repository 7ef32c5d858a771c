"""The wire of every widget: FAULTS.md rows 1-5 and 8, and writes from a worker thread."""

from __future__ import annotations

import math
import threading
from typing import Any, ClassVar

import ipywidgets
import pytest
import traitlets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnwidgets.widgets._base import LiveWidget


class Probe(LiveWidget):
    """A widget with one trait of each kind that a front end may write."""

    _esm = "export default { render() {} }"
    writable: ClassVar[frozenset[str]] = frozenset({"share", "bits", "kind", "flag", "word", "spread"})
    share = traitlets.Float(0.0, min=0.0, max=0.99).tag(sync=True)
    bits = traitlets.Enum([1, 2, 32], 32).tag(sync=True)
    kind = traitlets.Enum(["a", "b"], "a").tag(sync=True)
    flag = traitlets.Bool(False).tag(sync=True)
    word = traitlets.Unicode("").tag(sync=True)
    spread = traitlets.Union([traitlets.Enum(["global"]), traitlets.Dict()], default_value="global").tag(sync=True)
    result = traitlets.Float(0.0, read_only=True).tag(sync=True)
    calls: list[str]

    def commands(self) -> dict[str, Any]:
        return {"go": lambda name="": self.calls.append(name), "fail": self._fail}

    def _fail(self) -> None:
        raise ValueError("no")


@pytest.fixture
def sent() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def probe(sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Any:
    widget = Probe()
    widget.calls = []
    monkeypatch.setattr(widget, "_send", lambda msg, buffers=None: sent.append(msg))
    yield widget
    widget.close()


def message(**state: Any) -> dict[str, Any]:
    return {"content": {"data": {"method": "update", "state": state, "buffer_paths": []}}, "buffers": []}


def updates(sent: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for item in sent:
        if item["method"] == "update":
            merged.update(item["state"])
    return merged


def test_row_1_a_value_out_of_range_is_clamped_and_the_correction_is_sent_back(probe: Any, sent: Any) -> None:
    probe._handle_msg(message(share=7))
    assert probe.share == 0.99
    assert updates(sent)["share"] == 0.99


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "0.5", None, [0.5], True])
def test_row_2_nan_infinity_and_other_types_are_refused_and_corrected(probe: Any, sent: Any, bad: Any) -> None:
    probe.share = 0.25
    sent.clear()
    probe._handle_msg(message(share=bad))
    assert probe.share == 0.25
    assert updates(sent)["share"] == 0.25


def test_row_3_a_good_key_beside_a_bad_one_is_kept(probe: Any, sent: Any) -> None:
    probe._handle_msg(message(bits=77, share=0.5, nonsense=1))
    assert (probe.bits, probe.share) == (32, 0.5)
    assert updates(sent) == {"bits": 32}


@pytest.mark.parametrize(
    "broken", [{}, None, 3, {"content": {}}, {"content": {"data": {"method": "update"}}}, {"content": {"data": []}}]
)
def test_row_4_a_malformed_message_is_logged_and_the_widget_lives(probe: Any, caplog: Any, broken: Any) -> None:
    probe._handle_msg(broken)
    assert "malformed" in caplog.text
    probe._handle_msg(message(share=0.5))
    assert probe.share == 0.5


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
names = st.sampled_from(["share", "bits", "kind", "flag", "word", "spread", "result", "seq", "_esm", "comm", "keys", "x"])


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    state=st.dictionaries(names, json_values),
    method=st.sampled_from(["update", "custom", "request_state"]) | json_values,
    content=json_values,
)
@pytest.mark.slow
def test_row_4_random_messages_leave_every_trait_valid(probe: Any, state: Any, method: Any, content: Any) -> None:
    esm, before = probe._esm, probe.result
    probe._handle_msg(
        {"content": {"data": {"method": method, "state": state, "content": content, "buffer_paths": []}}, "buffers": []}
    )
    for name in Probe.writable:
        trait = probe.traits()[name]
        trait._validate(probe, getattr(probe, name))
    assert math.isfinite(probe.share) and 0 <= probe.share <= 0.99
    assert (probe._esm, probe.result) == (esm, before)


@pytest.mark.parametrize(
    "name", ["_esm", "_css", "_anywidget_id", "result", "seq", "status", "error", "comm", "keys", "_view_module"]
)
def test_row_5_code_private_and_read_only_traits_cannot_be_written(probe: Any, name: str) -> None:
    before = getattr(probe, name, None)
    probe._handle_msg(message(**{name: "alert(1)"}))
    assert getattr(probe, name, None) == before


def test_row_8_an_observer_that_raises_is_shown_and_the_others_run(probe: Any) -> None:
    seen: list[float] = []

    def bad(change: Any) -> None:
        raise RuntimeError("mine")

    probe.observe(bad, "share")
    probe.observe(lambda change: seen.append(change["new"]), "share")
    probe._handle_msg(message(share=0.5))
    assert seen == [0.5]
    assert probe.status == "error" and "mine" in probe.error["message"] and "Traceback" in probe.error["traceback"]
    probe.unobserve(bad, "share")
    probe.clear_error()
    probe.share = 0.75
    assert seen == [0.5, 0.75] and probe.error is None


def test_observers_run_outside_the_lock(probe: Any) -> None:
    """An observer may wait for another thread that publishes."""
    done = threading.Event()

    def publish() -> None:
        with probe.publishing():
            probe.set_trait("result", 1.0)
        done.set()

    def observer(change: Any) -> None:
        thread = threading.Thread(target=publish)
        thread.start()
        assert done.wait(5), "deadlock"
        thread.join()

    probe.observe(observer, "share")
    probe._handle_msg(message(share=0.5))
    assert probe.result == 1.0 and probe.error is None


@pytest.mark.slow
def test_worker_writes_and_messages_do_not_roll_each_other_back(probe: Any) -> None:
    stop = threading.Event()
    lost: list[tuple[float, float]] = []

    def worker() -> None:
        number = 0.0
        while not stop.is_set():
            number += 1
            with probe.publishing():
                probe.set_trait("result", number)
            if probe.result < number:
                lost.append((probe.result, number))

    thread = threading.Thread(target=worker)
    thread.start()
    for step in range(3000):
        probe._handle_msg(message(share=(step % 99) / 100, bits=77))
        assert probe.share == (step % 99) / 100
    stop.set()
    thread.join()
    assert not lost


def test_publishing_is_one_message_with_a_new_sequence_number(probe: Any, sent: Any) -> None:
    with probe.publishing():
        probe.set_trait("result", 3.0)
        probe.set_trait("status", "running")
    assert [item["state"] for item in sent] == [{"seq": 1, "result": 3.0, "status": "running"}]


def test_commands_are_called_by_name_and_their_errors_are_shown(probe: Any) -> None:
    def custom(content: Any) -> dict[str, Any]:
        return {"content": {"data": {"method": "custom", "content": content}}, "buffers": []}

    probe._handle_msg(custom({"kind": "command", "name": "go", "args": {"name": "x"}}))
    assert probe.calls == ["x"]
    probe._handle_msg(custom({"kind": "command", "name": "__init__", "args": {}}))
    probe._handle_msg(custom({"kind": "command", "name": "go", "args": {"wrong": 1}}))
    assert probe.calls == ["x"] and probe.status == "error"
    probe.clear_error()
    probe._handle_msg(custom({"kind": "command", "name": "fail"}))
    assert "no" in probe.error["message"]


def test_close_takes_the_widgets_own_layout_along_and_leaves_one_that_was_given() -> None:
    """Each is a widget with a channel of its own, which ipywidgets keeps until it is closed."""
    before = set(ipywidgets.widgets.widget._instances)
    given = ipywidgets.Layout()
    for widget in (Probe(), Probe(layout=given)):
        widget.close()
        widget.close()
    assert set(ipywidgets.widgets.widget._instances) - before == {given.model_id} and given.comm is not None
    given.close()
