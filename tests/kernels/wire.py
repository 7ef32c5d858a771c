"""A real Jupyter kernel, and a front end that talks to it as JupyterLab does, without a screen.

with start_kernel(folder, overlay) as kernel:
    kernel.run("lab = nw.CompressionLab(nw.load_example('digits/lenet300'))")
    front = kernel.newest()
    front.update(sparsity=0.7)
    front.wait_idle()
    front.state["accuracy"], kernel.value("lab.accuracy")
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from jupyter_client import KernelManager
from jupyter_client.session import Session

__all__ = ["Front", "Kernel", "Reply", "start_kernel"]

REPO = Path(__file__).resolve().parents[2]
START_S = 90.0
SETUP = """
import gc, hashlib, math, threading, time, weakref
import torch
import nnwidgets as nw
from ipywidgets.widgets.widget import _instances
from nnwidgets import engine as E
lab_of = lambda comm_id: _instances[comm_id]
"""


def _pack(data: Any) -> bytes:
    """JSON that may hold NaN and lone surrogates: a front end that means harm writes its own bytes."""
    return json.dumps(data, default=str).encode()


@dataclass(frozen=True)
class Reply:
    """How a cell ended: "ok", "error" or "aborted"; the name and text of its error; when it was answered (monotonic)."""

    status: str
    error: str
    at: float
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class Front:
    """One widget model as a front end keeps it: what the kernel said of it, and what is said to it.

    Attributes:
        state: all traits as last told. updates: each told part with its time (monotonic), oldest first. customs: contents of
        custom messages. closed: the kernel closed it.
    """

    kernel: Kernel
    comm_id: str
    state: dict[str, Any]
    subshell: str | None
    updates: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    customs: list[Any] = field(default_factory=list)
    closed: bool = False

    def send(self, data: Any, buffers: Sequence[bytes] = (), *, subshell: str | None = None) -> str:
        """Send one message as it is; returns its id. It goes where JupyterLab sends it, or to the subshell given."""
        return self.kernel.send("comm_msg", {"comm_id": self.comm_id, "data": data}, subshell or self.subshell, buffers)

    def update(self, **state: Any) -> str:
        """Write traits, as a moved slider does."""
        return self.send({"method": "update", "state": state, "buffer_paths": []})

    def click(self, name: str, /, **args: Any) -> str:
        """Press a button."""
        return self.send({"method": "custom", "content": {"kind": "command", "name": name, "args": args, "id": f"{name}-1"}})

    def wait(self, what: Callable[[], Any], timeout: float = 60.0) -> None:
        """Wait until ``what()`` is true of the state.

        Raises:
            TimeoutError: it was not in time; the present state is told.
        """
        if not self.kernel.until(what, timeout):
            told = {name: self.state.get(name) for name in ("seq", "status", "error", "sparsity", "task", "last_task")}
            raise TimeoutError(f"not within {timeout} s: {told}\n{self.kernel.said[-2000:]}")

    def wait_idle(self, timeout: float = 60.0, **traits: Any) -> None:
        """Wait until the kernel has dealt with all that was sent and measured it, and shows traits (sparsity=0.5) as given."""
        self.handled(self.send({"method": "request_state"}), timeout)
        assert self.kernel.value(f"lab_of({self.comm_id!r}).wait({timeout})", timeout + 5), "still at work"
        self.wait(lambda: self.state["status"] == "idle" and all(self.state[k] == v for k, v in traits.items()), 10.0)

    def handled(self, message: str, timeout: float = 60.0) -> float:
        """Wait until the kernel has dealt with a message; returns when it said so (monotonic)."""
        if not self.kernel.until(lambda: message in self.kernel.idle_at, timeout):
            raise TimeoutError(f"message not dealt with in {timeout} s\n{self.kernel.said[-2000:]}")
        return self.kernel.idle_at[message]

    def raw(self, figure: str) -> Any:
        """A figure of the last rest, unrounded."""
        return self.state["snapshot_view"]["figures"][figure]["raw"]


class Kernel:
    """A running kernel. A thread of its own listens to what it publishes."""

    def __init__(self, manager: KernelManager, log: Path) -> None:
        self.manager, self.log = manager, log
        self.fronts: dict[str, Front] = {}
        self.idle_at: dict[str, float] = {}  # message id -> when the kernel said it was done with it
        self.said = ""  # standard output and error, warnings included
        self.subshells = False
        self._shell_of_widgets: str | None = None
        self._replies: dict[str, Reply] = {}
        self._heard = threading.Condition()
        self._session, own = self._new_session(), self._new_session()
        self._shell = manager.connect_shell(identity=self._session.bsession)
        self._control = manager.connect_control(identity=self._session.bsession)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(own, manager.connect_iopub()), daemon=True)
        self._thread.start()

    def _new_session(self) -> Session:
        return Session(key=self.manager.session.key, pack=_pack)

    def ready(self) -> None:
        """Wait until the kernel answers and is heard."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            asked = self.send("kernel_info_request", {})
            if self.until(lambda asked=asked: asked in self.idle_at, 1.0):
                answer = self._receive(self._shell, asked, end - time.monotonic())
                self.subshells = "kernel subshells" in answer["content"].get("supported_features", [])
                return
        raise TimeoutError(f"the kernel did not answer within {START_S} s:\n{self.log.read_text(errors='replace')[-3000:]}")

    def _receive(self, socket: zmq.Socket[bytes], asked: str, timeout: float) -> dict[str, Any]:
        """The answer to a message; answers to cells that come before it are kept for ``reply``."""
        end = time.monotonic() + timeout
        while socket.poll(max(0, int((end - time.monotonic()) * 1000))):
            _, message = self._session.recv(socket)
            parent, content = message["parent_header"].get("msg_id", ""), message["content"]
            if message["msg_type"] == "execute_reply":
                words = f"{content.get('ename', '')}: {content.get('evalue', '')}"
                values = content.get("user_expressions", {})
                self._replies[parent] = Reply(content["status"], words, time.monotonic(), values)
            if parent == asked:
                return dict(message)
        raise TimeoutError(f"no answer within {timeout:.0f} s\n{self.said[-2000:]}")

    def widget_shell(self) -> str | None:
        """The subshell that JupyterLab (4.4 and later) gives to all widgets of a kernel; None where there is none."""
        if self.subshells and self._shell_of_widgets is None:
            self._shell_of_widgets = self.control("create_subshell_request")["subshell_id"]
        return self._shell_of_widgets

    # --- to the kernel ------------------------------------------------------------------------------------------------

    def send(
        self, kind: str, content: Any, subshell: str | None = None, buffers: Sequence[bytes] = (), metadata: Any = None
    ) -> str:
        """Send one message on the shell channel; returns its id."""
        message = self._session.msg(kind, content, metadata=metadata)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self._session.send(self._shell, message, buffers=list(buffers) or None)
        return str(message["header"]["msg_id"])

    @contextlib.contextmanager
    def second_hand(self) -> Iterator[Callable[[Front, Any], None]]:
        """``send(front, data)`` for another thread: a connection of its own, as sockets belong to one thread."""
        session = self._new_session()
        with self.manager.connect_shell(identity=session.bsession) as socket:

            def send(front: Front, data: Any) -> None:
                message = session.msg("comm_msg", {"comm_id": front.comm_id, "data": data})
                if front.subshell is not None:
                    message["header"]["subshell_id"] = front.subshell
                session.send(socket, message)

            yield send

    def start(self, code: str, cell: str = "cell", wanted: dict[str, str] | None = None) -> str:
        """Run a cell and return at once; ``reply(id)`` waits for it."""
        content = {"code": code, "silent": False, "store_history": False, "user_expressions": wanted or {}, "allow_stdin": False}
        return self.send("execute_request", {**content, "stop_on_error": True}, metadata={"cellId": cell})

    def reply(self, message: str, timeout: float = 60.0) -> Reply:
        """Wait until a cell has ended and all that it published was heard.

        Raises:
            TimeoutError: it did not end in time.
        """
        if message not in self._replies:
            self._receive(self._shell, message, timeout)
        self.until(lambda: message in self.idle_at, 10.0)
        return self._replies.pop(message)

    def run(self, code: str, cell: str = "cell", timeout: float = 60.0) -> None:
        """Run a cell to its end.

        Raises:
            RuntimeError: it raised; its error is told.
        """
        ended = self.reply(self.start(code, cell), timeout)
        if ended.status != "ok":
            raise RuntimeError(f"{ended.status}: {ended.error}\nin: {code}\n{self.said[-2000:]}")

    def value(self, expression: str, timeout: float = 60.0) -> Any:
        """Evaluate a Python expression in the kernel; its answer has to be JSON."""
        ended = self.reply(self.start("", wanted={"value": f"__import__('json').dumps({expression})"}), timeout)
        got = ended.values.get("value", {"status": ended.status, "evalue": ended.error})
        if got["status"] != "ok":
            raise RuntimeError(f"{expression}: {got.get('ename', '')}: {got.get('evalue', '')}")
        return json.loads(ast.literal_eval(got["data"]["text/plain"]))

    def control(self, kind: str, timeout: float = 30.0, **content: Any) -> dict[str, Any]:
        """Ask on the control channel and return the content of the answer."""
        message = self._session.msg(kind, content)
        self._session.send(self._control, message)
        return dict(self._receive(self._control, message["header"]["msg_id"], timeout)["content"])

    def interrupt(self) -> None:
        """As the Stop button of a notebook: a signal to the kernel's process."""
        self.manager.interrupt_kernel()

    # --- from the kernel ----------------------------------------------------------------------------------------------

    def newest(self, mark: str = "sparsity") -> Front:
        """The model that was opened last and shows a lab, or what else has a trait of this name."""
        return self.labs(mark)[-1]

    def labs(self, mark: str = "sparsity") -> list[Front]:
        """Models with this trait, oldest first. Each gets the subshell that JupyterLab would give it."""
        found = [front for front in list(self.fronts.values()) if mark in front.state]
        for front in found:
            front.subshell = self.widget_shell()
        return found

    def until(self, what: Callable[[], Any], timeout: float) -> bool:
        """Wait until something heard makes ``what()`` true."""
        with self._heard:
            return bool(self._heard.wait_for(what, timeout))

    def _listen(self, session: Session, socket: zmq.Socket[bytes]) -> None:
        while not self._stop.is_set():
            if socket.poll(200):
                _, message = session.recv(socket)
                with self._heard:
                    self._take(message["msg_type"], message["content"], message["parent_header"].get("msg_id", ""))
                    self._heard.notify_all()
        socket.close()

    def _take(self, kind: str, content: dict[str, Any], parent: str) -> None:
        now = time.monotonic()
        if kind == "stream":
            self.said += content["text"]
        elif kind == "status" and content["execution_state"] == "idle":
            self.idle_at[parent] = now
        elif kind == "comm_open" and content["target_name"] == "jupyter.widget":
            self.fronts[content["comm_id"]] = Front(self, content["comm_id"], content["data"]["state"], None)
        elif kind == "comm_close" and content["comm_id"] in self.fronts:
            self.fronts[content["comm_id"]].closed = True
        elif kind == "comm_msg" and content["comm_id"] in self.fronts:
            front, data = self.fronts[content["comm_id"]], content["data"]
            if data["method"] == "custom":
                front.customs.append(data["content"])
            else:
                if data["method"] == "update":
                    front.updates.append((now, data["state"]))
                front.state.update(data["state"])

    def close(self) -> None:
        """End the listener and the kernel."""
        self._stop.set()
        self._thread.join(10)
        self._shell.close()
        self._control.close()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@contextlib.contextmanager
def start_kernel(folder: Path, overlay: Path | None) -> Iterator[Kernel]:
    """Start a kernel on the present interpreter, with the ipykernel of a folder before the installed one.

    Args:
        folder: for the kernel's own files. overlay: a folder that pip filled with ``--target``; None: the installed ipykernel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    path = [*([] if overlay is None else [str(overlay)]), str(REPO), *kept]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "IPYTHONDIR": str(folder / "ipython")}
    manager = KernelManager(connection_file=str(folder / "kernel.json"))
    manager.kernel_spec.argv[0] = sys.executable  # never a kernel that the user has registered under this name
    with (folder / "kernel.log").open("wb") as output:
        manager.start_kernel(env=env, cwd=str(folder), stdout=output, stderr=output)
        kernel = Kernel(manager, folder / "kernel.log")
        try:
            kernel.ready()
            kernel.run(SETUP, timeout=START_S)
            yield kernel
        finally:
            kernel.close()
