"""What a front end may send to a kernel: FAULTS.md rows 1-7, 18 and 38, through the wire of a real kernel."""

from __future__ import annotations

import math
import time

import pytest
from wire import Front, Kernel

ENGINE = "E.evaluate(E.compress(lab.experiment.model, E.Recipe(E.Pruning({}))), lab.experiment.test).accuracy"
BYTES = "E.cost(lab.experiment.model, (1, 28, 28), E.Recipe(E.Pruning({}))).bytes_encoded"


def works(kernel: Kernel, front: Front, share: float) -> None:
    """A valid move still gives the engine's own figures, and nothing is wrong on the screen."""
    front.update(sparsity=share, weight_bits=32)
    front.wait_idle(sparsity=share, error=None)
    assert front.raw("accuracy") == kernel.value(ENGINE.format(share))
    assert front.raw("size_encoded") == kernel.value(BYTES.format(share))


def test_row_1_a_value_out_of_range_comes_back_corrected(kernel: Kernel, front: Front) -> None:
    front.handled(front.update(sparsity=7))
    assert front.state["sparsity"] == 0.99 and {"sparsity": 0.99} in [state for _, state in front.updates]
    front.wait_idle(sparsity=0.99)
    assert kernel.value("lab.sparsity") == 0.99
    works(kernel, front, 0.5)


BAD = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "text": "0.5", "null": None, "list": [0.5], "true": True}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_row_2_what_is_no_number_is_refused_and_corrected(kernel: Kernel, front: Front, bad: object) -> None:
    front.handled(front.update(sparsity=0.25))
    front.state["sparsity"] = bad  # the front end keeps what it sent until it is corrected
    front.handled(front.update(sparsity=bad))
    assert front.state["sparsity"] == 0.25 == kernel.value("lab.sparsity")


def nested(depth: int) -> object:
    value: object = 0.5
    for _ in range(depth):
        value = [value]
    return value


WRONG = {
    "another choice": {"weight_bits": 77},
    "unknown name": {"nonsense": 1},
    "400 digits": {"learning_rate": -(10**400)},
    "nested 400 deep": {"weight_bits": nested(400)},
    "half a surrogate pair": {"selected_layer": "\ud800"},
    "shares that are none": {"allocation": {"fc1": "much", "\udfff": 0.5}},
    "private": {"_esm": "alert(1)", "_exp": None, "comm": None},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_row_3_a_good_key_beside_a_wrong_one_is_kept(kernel: Kernel, front: Front, wrong: dict[str, object]) -> None:
    before = {name: front.state[name] for name in wrong if name in front.state and name != "learning_rate"}
    front.handled(front.update(**wrong, sparsity=0.5))
    front.wait_idle(sparsity=0.5, error=None, **before)
    assert kernel.value("lab.experiment.recipe == E.Recipe(E.Pruning(0.5))")


MALFORMED: dict[str, object] = {
    "nothing": None,
    "a number": 3,
    "a list": [],
    "no method": {},
    "no state": {"method": "update"},
    "a state that is a text": {"method": "update", "state": "sparsity"},
    "unknown method": {"method": "erase", "state": {}},
    "a method that is a list": {"method": ["update"]},
    "no content": {"method": "custom"},
    "a command without a name": {"method": "custom", "content": {"kind": "command"}},
    "a command that is a list": {"method": "custom", "content": {"kind": "command", "name": ["undo"], "args": 3}},
    "an unknown command": {"method": "custom", "content": {"kind": "command", "name": "__del__", "args": {}}},
    "buffers that are not there": {"method": "update", "state": {"sparsity": 0.1}, "buffer_paths": [["sparsity"], ["x", 7]]},
    "buffer paths that are none": {"method": "update", "state": {}, "buffer_paths": 3},
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_row_4_a_malformed_message_leaves_the_widget_working(kernel: Kernel, front: Front, data: object) -> None:
    said = len(kernel.said)
    front.handled(front.send(data, buffers=[b"\x00" * 8]))
    works(kernel, front, 0.75)
    assert "Traceback" not in kernel.said[said:]
    well_formed = isinstance(data, dict) and data.get("method") == "update" and isinstance(data.get("state"), dict)
    assert well_formed or "CompressionLab" in kernel.said[said:], "it was logged"


def test_row_4_a_message_to_no_comm_and_a_closed_comm_do_not_stop_the_kernel(kernel: Kernel, front: Front) -> None:
    front.handled(kernel.send("comm_msg", {"comm_id": "nobody", "data": {}}, front.subshell))
    front.handled(kernel.send("comm_open", {"comm_id": "new", "target_name": "nobody", "data": {}}, front.subshell))
    front.handled(kernel.send("comm_close", {"comm_id": front.comm_id, "data": {}}, front.subshell))
    kernel.run("lab.sparsity = 0.5; assert lab.wait(60) and lab.error is None")


@pytest.mark.parametrize("name", ["_esm", "_css", "_anywidget_id", "_view_module", "seq", "status", "accuracy", "view", "code"])
def test_row_5_code_private_and_read_only_traits_cannot_be_written(kernel: Kernel, front: Front, name: str) -> None:
    kernel.run(f"before = lab.{name}")
    front.handled(front.update(**{name: "alert(1)"}))
    assert kernel.value(f"lab.{name} == before")
    assert front.state[name] != "alert(1)"


def test_row_6_a_thousand_rapid_moves_end_with_the_last_and_show_nothing_stale(kernel: Kernel, front: Front) -> None:
    alone = []  # how long one new position takes
    for share in (0.111, 0.222, 0.333):
        began = time.monotonic()
        front.update(sparsity=share, gesture=1)
        front.wait_idle(sparsity=share)
        alone.append(time.monotonic() - began)
    seen, threads = len(front.updates), kernel.value("threading.active_count()")
    for move in range(1000):
        front.update(sparsity=(move * 7 % 1900) / 2000, gesture=2)
    last = front.handled(front.update(sparsity=0.42, gesture=2))
    front.wait_idle()
    settled = next(at for at, state in reversed(front.updates) if "snapshot_view" in state and "_esm" not in state) - last
    assert (front.state["sparsity"], front.raw("accuracy")) == (0.42, kernel.value(ENGINE.format(0.42)))
    assert front.raw("size_encoded") == kernel.value(BYTES.format(0.42))
    sequence = [state["seq"] for _, state in front.updates[seen:] if "seq" in state and "_esm" not in state]
    assert sequence == sorted(set(sequence)), "each publication is newer than the one before"
    assert kernel.value("len(lab.experiment.history)") == 3, "two gestures, two steps"
    assert kernel.value("threading.active_count()") <= threads + 1
    assert settled <= 4 * max(alone) + 1.0, f"settled after {settled:.2f} s; one move alone takes {max(alone):.2f} s"


HELD = """
gate, plan = threading.Event(), type(lab.experiment.bench(None).plan)
kept, held = plan.load, []
def load(self, recipe, work):
    if recipe == E.Recipe(E.Pruning(0.3)) and not held:
        held.append(recipe)
        gate.wait(30)
    return kept(self, recipe, work)
plan.load = load
"""


def test_row_7_an_older_result_that_arrives_late_is_dropped(kernel: Kernel, front: Front) -> None:
    """The older position is held in the middle of its measurement until the newer one was asked for."""
    kernel.run(HELD)
    old, new = kernel.value(BYTES.format(0.3)), kernel.value(BYTES.format(0.6))
    front.handled(front.update(sparsity=0.3, gesture=1))
    front.wait(lambda: shown_sizes(front, 0)[-1:] == [old])
    asked = len(front.updates)
    front.handled(front.update(sparsity=0.6, gesture=1))
    kernel.run("gate.set()")
    front.wait_idle(sparsity=0.6)
    kernel.run("plan.load = kept")
    sizes = shown_sizes(front, asked)
    assert set(sizes) == {new}, "no figure of the older position after the newer one was asked for"
    accuracies = [state["accuracy"] for _, state in front.updates[asked:] if "accuracy" in state]
    assert accuracies[-1] == kernel.value(ENGINE.format(0.6))


def shown_sizes(front: Front, since: int) -> list[int]:
    """Sizes in the parts of the view that were told since then."""
    views = [state["view"]["figures"] for _, state in front.updates[since:] if "view" in state and "_esm" not in state]
    return [figures["size_encoded"]["raw"] for figures in views if "size_encoded" in figures]


def test_row_18_two_labs_and_two_front_ends_agree(kernel: Kernel, front: Front) -> None:
    kernel.run("other = nw.CompressionLab(lab.experiment); assert lab.wait(60)", cell="another cell")
    other = kernel.newest()
    assert other.comm_id != front.comm_id
    front.update(sparsity=0.6, weight_bits=4)
    front.wait_idle(sparsity=0.6)
    other.update(granularity="tensor")
    other.wait_idle(granularity="tensor")
    front.wait_idle(granularity="tensor")
    same = ("sparsity", "weight_bits", "granularity", "accuracy", "n_seen", "history", "status", "layer_rows")
    assert {name: front.state[name] for name in same} == {name: other.state[name] for name in same}
    assert front.state["snapshot_view"]["figures"] == other.state["snapshot_view"]["figures"]
    assert front.raw("accuracy") == kernel.value("E.evaluate(lab.experiment.compressed, lab.experiment.test).accuracy")
    kernel.run("other.close(); del other")
    works(kernel, front, 0.5)


def test_row_38_slider_up_then_down_is_bit_exact(kernel: Kernel, front: Front) -> None:
    kernel.run("weights = [w.clone() for w in lab.experiment.compressed.parameters()]")
    first = front.state["snapshot_view"]["figures"]
    for share in (0.9, 0.5, 0.0):
        front.update(sparsity=share)
        front.wait_idle(sparsity=share)
    same = "all(torch.equal(a, b) for a, b in zip(weights, lab.experiment.compressed.parameters(), strict=True))"
    assert kernel.value(same)
    assert [front.raw(name) for name in ("accuracy", "size_encoded", "macs_nonzero")] == [
        first[name]["raw"] for name in ("accuracy", "size_encoded", "macs_nonzero")
    ]
