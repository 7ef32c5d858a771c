"""The Stop button waits for lines that must not be left in the middle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest
import traitlets

from nnwidgets.widgets._base import LiveWidget
from nnwidgets.widgets._interrupts import interrupts_allowed, uninterrupted


class Slider(LiveWidget):
    _esm = "export default {}"
    share = traitlets.Float(0.0).tag(sync=True)


@pytest.fixture
def widget() -> Iterator[Slider]:
    made = Slider()
    yield made
    made.close()


def stop() -> None:
    """Press the button; the interrupt strikes before the next line, unless it is held back."""
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_strikes_right_after_the_block() -> None:
    done, handler = [], signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        with uninterrupted():
            with uninterrupted():
                stop()
                done.append("inner")
            done.append("outer")
        done.append("after")
    assert done == ["inner", "outer"] and signal.getsignal(signal.SIGINT) is handler


def test_nothing_strikes_later_if_nothing_struck_and_errors_pass() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError), uninterrupted():
        raise ValueError
    with uninterrupted():
        pass
    assert signal.getsignal(signal.SIGINT) is handler


def test_code_of_others_can_be_interrupted_inside() -> None:
    with pytest.raises(KeyboardInterrupt), uninterrupted(), interrupts_allowed():
        stop()
        raise AssertionError("it should have struck")


def test_other_threads_pass_through_and_an_ignored_signal_stays_ignored() -> None:
    def work() -> None:
        with uninterrupted():
            assert signal.getsignal(signal.SIGINT) is handler
        done.append(True)

    handler, done = signal.getsignal(signal.SIGINT), []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with uninterrupted():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)
    assert done == [True]


def test_an_interrupt_while_a_trait_is_set_leaves_no_lock_and_the_widgets_own_work_whole(widget: Slider) -> None:
    """It strikes while the widget's own observer is at work, and is raised in the user's, which comes after."""
    heard: list[tuple[str, float]] = []

    def own(change: traitlets.Bunch) -> None:
        stop()
        heard.append(("own", change["new"]))

    def users(change: traitlets.Bunch) -> None:
        stop()
        heard.append(("user", change["new"]))

    widget._follow(own, "share")  # at birth, before any of the user's
    widget.observe(users, "share")
    with pytest.raises(KeyboardInterrupt):
        widget.share = 0.5
    assert heard == [("own", 0.5)] and widget.share == 0.5
    free = []

    def take() -> None:
        free.append(widget._wire.acquire(timeout=1))
        widget._wire.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    assert free == [True]
