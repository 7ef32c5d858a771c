"""What all widgets share: a lock around both directions of the wire, cleaned input, guarded observers, errors on the screen.

Measured reasons: trait writes from a worker thread that race with messages were rolled back 69 to 292 times of 3,000 without a
common lock; one bad key drops a whole update; one raising observer silences those after it.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any, ClassVar

import anywidget
import traitlets
from ipywidgets.widgets import widget as ipywidget

from nnwidgets.engine.errors import NnwError
from nnwidgets.widgets._incoming import RefusedError, clean, sendable
from nnwidgets.widgets._interrupts import interrupts_allowed, uninterrupted

__all__ = ["LiveWidget", "static_text"]

log = logging.getLogger("nnwidgets")


def static_text(name: str) -> str:
    """A file of the built front end, as text (given as a path it would keep widgets alive after ``close``).

    Raises:
        FileNotFoundError: the front end was not built.
    """
    file = resources.files("nnwidgets") / "static" / name
    if not file.is_file():
        raise FileNotFoundError(f"the front end is not built: {name} is missing. From a checkout: pip install -e . builds it.")
    return file.read_text(encoding="utf-8")


class _Guarded:
    """An observer whose exceptions go to the widget, so that the observers after it still run; ``own``: one of the widget's."""

    def __init__(self, handler: Callable[[Any], Any], failed: Callable[[Exception], None], own: bool = False) -> None:
        self.handler, self.failed, self.own = handler, failed, own

    def __call__(self, change: Any) -> None:
        try:
            if self.own:
                self.handler(change)
            else:
                with interrupts_allowed():
                    self.handler(change)
        except Exception as error:  # a user's observer may raise anything
            self.failed(error)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Guarded) and self.handler == other.handler

    def __hash__(self) -> int:
        return hash(self.handler)


class LiveWidget(anywidget.AnyWidget):
    """Base of the widgets. Traits that a front end may write are listed in ``writable``; all else is refused."""

    writable: ClassVar[frozenset[str]] = frozenset()
    with_buffers: ClassVar[frozenset[str]] = frozenset()  # commands that are given the message's binary buffers

    seq = traitlets.Int(0, read_only=True, help="Counts publications; a front end drops what is older.").tag(sync=True)
    status = traitlets.Enum(["idle", "running", "error"], "idle", read_only=True, help="idle, running or error.").tag(sync=True)
    error: traitlets.TraitType[Any, Any] = traitlets.Dict(
        default_value=None, allow_none=True, read_only=True, help="What went wrong, in words."
    ).tag(sync=True)  # Any: the type of Dict leaves None out

    _holder: int | None = None  # thread that holds the wire
    _lasting = False  # the shown error is of no state: another state does not take it away
    _own_layout: Any = None

    def __init__(self, **traits: Any) -> None:
        self._wire = threading.RLock()
        self._later: list[Any] = []
        super().__init__(**traits)
        self._own_layout = None if "layout" in traits else self.layout

    def open(self) -> None:
        """As in ipywidgets; messages stay in the thread that the front end sends them to.

        JupyterLab (4.4 and later) sends them to a subshell, so that they do not wait for cells. ipykernel 7.4 sends them on to
        where the widget published last: once a worker publishes while a cell runs, every message, Cancel too, would wait for it.
        """
        super().open()
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda data, subshell: subshell

    def close(self) -> None:
        """As in ipywidgets; the layout that was made for this widget alone, itself a widget with a channel, goes with it."""
        super().close()
        if self._own_layout is not None:
            self._own_layout.close()
            self._own_layout = None

    # --- both directions under one lock; observers outside it ---------------------------------------------------------

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the wire. Observers of what changes inside run after it is free again, in this thread."""
        later: list[Any] = []
        with uninterrupted():
            with self._wire:
                inner = self._holder == threading.get_ident()
                try:
                    self._holder = threading.get_ident()
                    yield
                finally:
                    if not inner:
                        self._holder = None
                        later, self._later = self._later, []
            self._tell(later)

    def _tell(self, changes: list[Any]) -> None:
        """Call the observers of each change; an interrupt that strikes in one of the user's does not lose the other changes."""
        struck: BaseException | None = None
        for change in changes:
            try:
                traitlets.HasTraits.notify_change(self, change)
            except KeyboardInterrupt as interrupt:
                struck = interrupt
        if struck is not None:
            raise struck

    def __setattr__(self, name: str, value: Any) -> None:
        """As usual; no interrupt strikes between the new value of a trait and those who have to hear of it."""
        if name in type(self)._traits:
            with uninterrupted():
                super().__setattr__(name, value)
        else:
            super().__setattr__(name, value)

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Change several traits as one message with a new sequence number."""
        with self._exclusive():
            try:
                with self.hold_sync():
                    self.set_trait("seq", self.seq + 1)
                    yield
            finally:
                if not self._holding_sync:  # what could not be sent is not tried again for ever
                    self._states_to_send.clear()

    def notify_change(self, change: Any) -> None:
        """Send a changed trait at once; call its observers as soon as this thread does not hold the wire."""
        if self._holder != threading.get_ident():
            with self._exclusive():  # a cell sets a trait: the worker's hold_sync must not swallow it
                self.notify_change(change)
            return
        name = change["name"]
        if self.comm is not None and name in self.keys and self._should_send_property(name, getattr(self, name)):
            self.send_state(key=name)
        self._later.append(change)

    def observe(self, handler: Any, names: Any = traitlets.All, type: Any = "change") -> None:
        """As in traitlets; an exception in ``handler`` is shown in the widget and the other observers still run."""
        super().observe(self._guard(handler), names, type)

    def _follow(self, handler: Any, names: Any) -> None:
        """Observe as the widget itself: the handler only hands work over, and no interrupt strikes in the middle of it."""
        super().observe(_Guarded(handler, self._observer_failed, own=True), names, "change")

    def unobserve(self, handler: Any, names: Any = traitlets.All, type: Any = "change") -> None:
        """As in traitlets."""
        super().unobserve(self._guard(handler), names, type)

    def _guard(self, handler: Any) -> Any:
        # traitlets' own handlers (decorated methods) are the widget's code, not the user's
        return handler if isinstance(handler, traitlets.EventHandler) else _Guarded(handler, self._observer_failed)

    def _observer_failed(self, error: Exception) -> None:
        self.show_error(
            "An observer of this widget raised",
            error,
            "Mend the function that was given to observe(); the widget goes on.",
            lasting=True,
        )

    # --- what comes in ------------------------------------------------------------------------------------------------

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what the front end sent: each key by itself, cleaned; a refused or clamped one is sent back as it now stands."""
        with self._exclusive():
            good: dict[str, Any] = {}
            corrected: list[str] = []
            for name, value in sync_data.items():
                try:
                    good[name] = self._cleaned(name, value)
                    if good[name] != value:
                        corrected.append(name)
                except Exception as reason:  # of a value nested too deep even comparing raises: the other keys are kept
                    self._log_refused(name, reason)
                    if name in self.writable:
                        corrected.append(name)
            self._echo({name: value for name, value in good.items() if name not in corrected})
            with self._lock_property(**good):
                for name, value in good.items():
                    try:
                        self.set_trait(name, value)
                    except traitlets.TraitError as reason:
                        self._log_refused(name, reason)
                        corrected.append(name)
            if corrected:
                self.send_state(corrected)

    def _log_refused(self, name: Any, reason: Exception) -> None:
        log.warning("%s: refused %.60r from the front end: %.200s", type(self).__name__, name, sendable(str(reason)))

    def _cleaned(self, name: Any, value: Any) -> Any:
        if not isinstance(name, str) or name not in self.writable:
            raise RefusedError("the front end may not write it")
        return clean(self.traits()[name], value)

    def _echo(self, state: dict[str, Any]) -> None:
        """Tell other front ends of the same kernel at once, as ipywidgets does."""
        if ipywidget.JUPYTER_WIDGETS_ECHO and state:
            self._send({"method": "echo_update", "state": state, "buffer_paths": []})

    def _handle_msg(self, msg: Any) -> None:
        """One message from the front end. Whatever it holds, the widget lives; a malformed one is logged."""
        with uninterrupted():
            self._take(msg)

    def _take(self, msg: Any) -> None:
        try:
            data = msg["content"]["data"]
            method = data["method"]
            if method == "update":
                self.set_state(dict(data["state"]))
            elif method == "request_state":
                self.tell_all()
            elif method == "custom":
                self._command(data["content"], msg.get("buffers", []))
            else:
                log.warning("%s: unknown message method %.60r", type(self).__name__, method)
        except Exception as error:  # the wire must survive anything that arrives
            words = sendable(str(error))
            log.warning("%s: malformed message: %s: %.200s", type(self).__name__, type(error).__name__, words)

    def tell_all(self) -> None:
        """Send every trait, as to a front end that has lost count."""
        with self._exclusive():
            self.send_state()

    def _command(self, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict) or content.get("kind") != "command":
            self._handle_custom_msg(content, buffers)
            return
        name, arguments = content.get("name"), content.get("args") or {}
        handler = self.commands().get(name) if isinstance(name, str) else None
        if handler is None or not isinstance(arguments, dict):
            log.warning("%s: unknown command %.60r", type(self).__name__, name)
            return
        if any(isinstance(value, str) and value != sendable(value) for value in arguments.values()):
            log.warning("%s: refused command %.60r: a text that is not Unicode", type(self).__name__, name)
            return
        given = {str(key): value for key, value in arguments.items()}
        if name in self.with_buffers:
            given["buffers"] = [bytes(buffer) for buffer in buffers or ()]
        try:
            handler(**given)
        except Exception as error:
            self.show_error(f"{name} did not work", error)

    def commands(self) -> dict[str, Callable[..., object]]:
        """Name -> what the front end's buttons may call. Each only hands its work over."""
        return {}

    # --- errors -------------------------------------------------------------------------------------------------------

    def show_error(
        self, title: str, error: BaseException, next_step: str = "", *, retry: bool = False, lasting: bool = False
    ) -> None:
        """Show an error inside the widget, its traceback one click away; ``lasting``: until it is dismissed."""
        ours = isinstance(error, NnwError)
        message = str(error) if ours else f"{type(error).__name__}: {error}"
        shown = {
            "title": sendable(title),
            "message": sendable(message),
            "next": next_step,
            "traceback": sendable("".join(traceback.format_exception(error))),
            "retry": retry,
        }
        with self.publishing():
            self._lasting = lasting
            self.set_trait("error", shown)
            self.set_trait("status", "error")

    def clear_error(self) -> None:
        """Take the shown error away."""
        if self.error is not None:
            with self.publishing():
                self._lasting = False
                self.set_trait("error", None)
                self.set_trait("status", self._status())

    def _status(self) -> str:
        """What the widget is doing once no error is shown."""
        return "idle"
