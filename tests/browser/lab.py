"""A real JupyterLab in a folder of its own, and a notebook in it as a user drives it. Playwright's names are used as they are.

with start_lab(folder) as lab:
    notebook = Notebook.open(page, lab, "start.ipynb", ["import nnwidgets as nw", "nw.CompressionLab(...)"])
    notebook.run_all()
    widget = notebook.widget("compression-lab")
    widget.set("sparsity", 0.7)
    widget.wait_idle(after=0)
    widget.raw("accuracy"), notebook.python("lab.accuracy")
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page, expect

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark", "contrast": "JupyterLab Dark High Contrast"}
START_S = 90.0  # a cold Lab on a busy two-core machine takes 25 s
CELL_MS = 180_000.0


def find_browser() -> str | None:
    """Return the path of Chromium: NNW_CHROMIUM, else chromium or chrome on the PATH, else None."""
    named = os.environ.get("NNW_CHROMIUM")
    if named and not shutil.which(named):
        raise FileNotFoundError(f"NNW_CHROMIUM={named} is not a program; unset it or give the path of Chromium")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address without a slash at the end, the folder it serves, the file of its output."""

    url: str
    folder: Path
    log: Path

    def write(self, name: str, cells: Sequence[str]) -> Path:
        """Write a notebook of code cells into the folder."""
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=kernel)
        nbformat.write(notebook, self.folder / name)
        return self.folder / name


@contextlib.contextmanager
def start_lab(folder: Path, python: str = sys.executable, env: dict[str, str] | None = None) -> Iterator[Lab]:
    """Start JupyterLab on ``folder/files`` with all its settings in ``folder``; stop it and its kernels at the end.

    Args:
        folder: an empty folder.
        python: the interpreter that has JupyterLab; kernels run on it too.
        env: the environment of the server and its kernels; the present one if None.

    Raises:
        RuntimeError: it ended early, or did not answer; the end of its output is in the message.
    """
    files, log = folder / "files", folder / "jupyterlab.log"
    files.mkdir(parents=True)
    quiet = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"checkForUpdates": False, "fetchNews": "false"}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [python, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += ["--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", f"--ServerApp.root_dir={files}"]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=_environment(folder, env), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _wait_for_server(url, server, log)
            yield Lab(url, files, log)
        finally:
            _stop(server)


def _environment(folder: Path, base: dict[str, str] | None) -> dict[str, str]:
    """Keep everything that Jupyter reads or writes for a user inside the folder."""
    places = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    return {**(os.environ if base is None else base), **{key: str(folder / name) for key, name in places.items()}}


def _wait_for_server(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/api/status", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    said = log.read_text(errors="replace")[-3000:]
    raise RuntimeError(f"JupyterLab did not answer at {url} (exit code {server.poll()}):\n{said}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server; it ends its kernels (on Windows they watch their parent and end by themselves)."""
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(10)


# Finds the panel of the notebook with a kernel that has answered. `app` is there because of expose_app_in_browser.
PANEL = """async () => {
  const app = window.jupyterapp; await app.restored;
  const panel = [...app.shell.widgets('main')].find(w => w.sessionContext && w.content && w.content.widgets);
  await panel.context.ready; await panel.revealed; await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  window.nnwPanel = panel; return panel.content.widgets.length; }"""

# Right after loading, a run command can be lost; it is repeated until the cell has a number (execution_count) or has begun.
RUN_CELL = """async ([index, limit]) => {
  const app = window.jupyterapp, panel = window.nnwPanel, model = panel.content.widgets[index].model;
  if (model.type !== 'code') return null;
  const before = model.executionCount, end = Date.now() + limit;
  const done = () => model.executionCount !== null && model.executionCount !== before;
  while (!done() && Date.now() < end) {
    app.shell.activateById(panel.id); panel.content.activeCellIndex = index; panel.content.deselectAll();
    const run = app.commands.execute('notebook:run-cell').then(() => true);
    await Promise.race([run, new Promise(r => setTimeout(r, limit))]);
    if (!done()) await new Promise(r => setTimeout(r, 100));
  }
  if (!done()) throw new Error(`cell ${index} has not ended after ${limit} ms`);
  return model.outputs.toJSON(); }"""

ASK_KERNEL = """async ([code, expression]) => {
  const kernel = window.nnwPanel.sessionContext.session.kernel;
  const future = kernel.requestExecute({code, store_history: false, user_expressions: expression ? {value: expression} : {}});
  const reply = (await future.done).content;
  if (reply.status !== 'ok') throw new Error(`${reply.ename}: ${reply.evalue}`);
  if (!expression) return null;
  const value = reply.user_expressions.value;
  if (value.status !== 'ok') throw new Error(`${value.ename}: ${value.evalue}`);
  return value.data['text/plain']; }"""


@dataclass
class Notebook:
    """An open notebook; ``errors`` are console errors and exceptions of the page, ``left`` requests that left the machine."""

    page: Page
    lab: Lab
    errors: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, page: Page, lab: Lab, name: str, cells: Sequence[str] | None = None) -> Notebook:
        """Open a notebook of the Lab's folder; with ``cells`` it is written first. Returns when its kernel has answered."""
        if cells is not None:
            lab.write(name, cells)
        self = cls(page, lab)
        page.on("console", lambda m: self.errors.append(f"{m.text} ({m.location.get('url', '')})") if m.type == "error" else None)
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("request", lambda r: None if r.url.startswith((lab.url, "blob:", "data:")) else self.left.append(r.url))
        page.on("websocket", lambda w: None if w.url.startswith(lab.url.replace("http", "ws", 1)) else self.left.append(w.url))
        page.goto(f"{lab.url}/doc/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=START_S * 1000)
        page.evaluate(PANEL)
        return self

    def run_cell(self, index: int, *, may_raise: bool = False, timeout_ms: float = CELL_MS) -> list[dict[str, Any]]:
        """Run one cell and return its outputs (nbformat); an error in it fails the test unless ``may_raise``."""
        outputs: list[dict[str, Any]] = self.page.evaluate(RUN_CELL, [index, timeout_ms]) or []
        failed = [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]
        assert may_raise or not failed, f"cell {index} raised {failed}"
        return outputs

    def run_all(self) -> list[list[dict[str, Any]]]:
        """Run the cells in order, each awaited; return the outputs of each cell (none for text)."""
        count: int = self.page.evaluate("() => window.nnwPanel.content.widgets.length")
        return [self.run_cell(index) for index in range(count)]

    def python(self, expression: str) -> Any:
        """Evaluate a Python expression in the kernel; its repr must be a literal (numbers, strings, lists, dicts)."""
        return ast.literal_eval(self.page.evaluate(ASK_KERNEL, ["", expression]))

    def execute(self, code: str) -> None:
        """Run Python statements in the kernel, outside the cells; an exception fails the test."""
        self.page.evaluate(ASK_KERNEL, [code, ""])

    def shut_down(self) -> None:
        """End the kernel, so that it does not compete with the next test."""
        self.page.evaluate("() => window.nnwPanel.sessionContext.shutdown()")

    def theme(self, name: str) -> None:
        """Switch to ``light``, ``dark`` or ``contrast``."""
        label = THEMES[name]
        self.page.evaluate("n => window.jupyterapp.commands.execute('apputils:change-theme', {theme: n})", label)
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", label)

    def widget(self, name: str, nth: int = 0) -> Widget:
        """Return the nth widget whose root is marked ``data-nnw=name``, once it is on the page."""
        root = self.page.locator(f'[data-nnw="{name}"]').nth(nth)
        expect(root).to_be_visible(timeout=30_000)
        return Widget(self.page, root)


@dataclass(frozen=True)
class Widget:
    """A widget on the page, found by its marks (``data-nnw-*``)."""

    page: Page
    root: Locator

    def control(self, trait: str) -> Locator:
        """The wrapper of a control."""
        return self.root.locator(f'[data-nnw-control="{trait}"]')

    def input(self, trait: str) -> Locator:
        """The native input or select of a control (the first one, of radio buttons)."""
        return self.control(trait).locator("input, select").first

    def set(self, trait: str, value: str | float | bool) -> None:
        """Set a control as a user would: choose an option or a radio button, tick a box, or fill in a number or a slider."""
        native = self.input(trait)
        if native.evaluate("e => e.tagName") == "SELECT":
            native.select_option(str(value))
            return
        kind = native.get_attribute("type")
        if kind == "radio":  # often invisible behind its label
            self.control(trait).locator(f'input[value="{value}"]').check(force=True)
        elif kind == "checkbox":
            native.set_checked(bool(value), force=True)
        else:
            native.fill(str(value))

    def drag(self, trait: str, start: float, stop: float, steps: int = 60, pause: Callable[[int], None] | None = None) -> None:
        """Drag a slider's thumb with the mouse, from one share of its track [0, 1] to another, in equal steps.

        ``pause(i)`` is called after each step, with the button still down.
        """
        slider = self.input(trait)
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box is not None, f"the slider of {trait} is not visible"
        y = box["y"] + box["height"] / 2

        def at(share: float) -> float:
            return box["x"] + min(max(share * box["width"], 1.0), box["width"] - 1.0)

        self.page.mouse.move(at(start), y)
        self.page.mouse.down()
        for i in range(1, steps + 1):
            self.page.mouse.move(at(start + (stop - start) * i / steps), y)
            if pause:
                pause(i)
        self.page.mouse.up()

    def press(self, trait: str, *keys: str) -> None:
        """Focus a control and press keys."""
        self.input(trait).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def action(self, name: str) -> Locator:
        """The button of a command."""
        return self.root.locator(f'[data-nnw-action="{name}"]')

    def chart(self, name: str) -> Locator:
        """A chart."""
        return self.root.locator(f'[data-nnw-chart="{name}"]')

    def raw(self, figure: str) -> float | None:
        """The plain number of a printed figure; None where it has none yet."""
        text = self.root.locator(f'[data-nnw-value="{figure}"]').first.get_attribute("data-nnw-raw")
        return float(text) if text not in (None, "", "null") else None

    def text(self, figure: str) -> str:
        """A figure as it is printed."""
        return self.root.locator(f'[data-nnw-value="{figure}"]').first.inner_text()

    @property
    def status(self) -> str | None:
        """idle, running or error."""
        return self.root.get_attribute("data-nnw-status")

    @property
    def seq(self) -> int:
        """Sequence number of what is shown; -1 before the first."""
        return int(self.root.get_attribute("data-nnw-seq") or -1)

    def wait_idle(self, after: int = -1, timeout_ms: float = 60_000) -> int:
        """Wait until the widget is idle and shows a sequence number above ``after``; return that number.

        Take ``seq`` before a change and pass it here, or the rest before the change would be taken for the one after it.
        """
        return self.wait_status("idle", after, timeout_ms)

    def wait_status(self, status: str, after: int = -1, timeout_ms: float = 60_000) -> int:
        """Wait until the widget has this status and shows a sequence number above ``after``; return that number."""
        handle = self.root.element_handle(timeout=timeout_ms)
        script = """([e, status, after]) => { const seq = Number(e.dataset.nnwSeq || -1);
          return e.dataset.nnwStatus === status && seq > after ? [seq] : null; }"""
        got = self.page.wait_for_function(script, arg=[handle, status, after], timeout=timeout_ms)
        return int(got.json_value()[0])
