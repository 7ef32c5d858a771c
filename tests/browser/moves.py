"""Many slider moves as a hand makes them, from inside the page, and when what they led to was painted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lab import Notebook, Widget

__all__ = ["MoveLog", "asked_meanwhile", "click_until", "move"]

# Each value is put into the native input and an input event is sent, one a frame of the screen, or after a pause (ms).
# A sequence number counts as painted in the second frame after the change of the document: the first one has been drawn then.
_MOVE = """async ([root, input, values, pause, limit, tail]) => {
  const moved = [], painted = [], seen = [];
  const number = () => Number(root.dataset.nnwSeq ?? -1);
  const watch = new MutationObserver(() => {
    const seq = number();
    seen.push(seq);
    requestAnimationFrame(() => requestAnimationFrame(() => painted.push([seq, performance.now()])));
  });
  watch.observe(root, {attributes: true, attributeFilter: ['data-nnw-seq']});
  const frame = () => new Promise(requestAnimationFrame);
  const put = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
  input.dispatchEvent(new PointerEvent('pointerdown', {bubbles: true}));
  for (const value of values) {
    if (pause) {
      const end = performance.now() + limit;
      while (root.dataset.nnwStatus === 'running' && performance.now() < end) await new Promise(done => setTimeout(done, 20));
      await new Promise(done => setTimeout(done, pause));
    }
    await frame();
    put.call(input, value);
    moved.push([input.valueAsNumber, performance.now()]);
    input.dispatchEvent(new Event('input', {bubbles: true}));
  }
  input.dispatchEvent(new PointerEvent('pointerup', {bubbles: true}));
  if (tail) await new Promise(done => setTimeout(done, tail));
  watch.disconnect();
  return {moved, painted, seen}; }"""


class MoveLog:
    """What the page saw.

    Attributes:
        moved: (value of the input, ms) of each move; painted: (sequence number, ms), in the order of painting.
        seen: sequence numbers in the order in which the document showed them.
    """

    def __init__(self, found: dict[str, Any]) -> None:
        self.moved: list[tuple[float, float]] = [(value, at) for value, at in found["moved"]]
        self.painted: list[tuple[int, float]] = [(int(seq), at) for seq, at in found["painted"]]
        self.seen: list[int] = [int(seq) for seq in found["seen"]]

    def first_paint(self, seq: int) -> float | None:
        """When this publication, or a later one, was first on the screen (ms); None if it was not."""
        return min((at for number, at in self.painted if number >= seq), default=None)


def move(
    widget: Widget, trait: str, values: Sequence[float], pause_ms: float = 0, rest_ms: float = 0, tail_ms: float = 0
) -> MoveLog:
    """Move a slider through ``values``, one a frame, or each after the widget is idle (``rest_ms`` at most) and a pause.

    The page is watched for ``tail_ms`` more.
    """
    slider = widget.input(trait).element_handle()
    root = widget.root.element_handle()
    return MoveLog(widget.page.evaluate(_MOVE, [root, slider, list(values), pause_ms, rest_ms, tail_ms]))


# Clicks, and tells how long it took until what matches the selector holds the text, painted (the second frame after the change).
_CLICK = """([root, button, selector, text]) => new Promise(done => {
  const there = () => [...root.querySelectorAll(selector)].some(each => each.textContent.includes(text));
  const watch = new MutationObserver(() => {
    if (!there()) return;
    watch.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
  });
  watch.observe(root, {subtree: true, childList: true, characterData: true});
  const began = performance.now();
  button.click(); })"""


def click_until(widget: Widget, action: str, selector: str, text: str) -> float:
    """Click a button; milliseconds until an element that matches ``selector`` was painted with ``text`` in it."""
    button = widget.action(action).element_handle()
    return float(widget.page.evaluate(_CLICK, [widget.root.element_handle(), button, selector, text]))


# A client of its own, in a process of its own: neither the page nor this process delays what it measures.
_ASK = """import json, sys, threading, time
from jupyter_client import BlockingKernelClient
client = BlockingKernelClient()
client.load_connection_file(sys.argv[1])
client.start_channels()
client.wait_for_ready(60)
over, taken = threading.Event(), []
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
print("ready", flush=True)
while not over.is_set():
    began = time.perf_counter()
    asked = client.execute("1", silent=True, store_history=False)
    while client.get_shell_msg(timeout=60)["parent_header"].get("msg_id") != asked:
        pass
    taken.append(time.perf_counter() - began)
    over.wait(float(sys.argv[2]))
print(json.dumps(taken), flush=True)
client.stop_channels()
"""


@contextmanager
def asked_meanwhile(notebook: Notebook, every_s: float = 0.02) -> Iterator[list[float]]:
    """Run the cell ``1`` in the notebook's kernel again and again, over a connection of its own, while the block runs.

    The list that is given is filled when the block ends: seconds from request to reply.
    """
    file = notebook.python("__import__('ipykernel.connect').connect.get_connection_file()")
    command = [sys.executable, "-c", _ASK, file, str(every_s)]
    taken: list[float] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin is not None and client.stdout is not None
        assert client.stdout.readline() == "ready\n", "the client has not started"
        yield taken
        client.stdin.close()
        taken += json.loads(client.stdout.readline())
