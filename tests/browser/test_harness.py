"""The browser harness itself, on a widget of a few lines: what it sets, reads, waits for and reports."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe import findings
from lab import Notebook

PROBE = '''
import anywidget, ipywidgets, threading, traitlets

class Probe(anywidget.AnyWidget):
    """Shows twice its value; mode b keeps it busy for 0.3 s. Marked like a widget of the package."""
    _esm = """
    export default { render({ model, el }) {
      el.dataset.nnw = "probe";
      el.innerHTML = `<label data-nnw-control="value">Value <input type="range" min="0" max="1" step="0.01" value="0"></label>
        <fieldset data-nnw-control="mode"><legend>Mode</legend>
          <label><input type="radio" name="m" value="a" checked>a</label>
          <label><input type="radio" name="m" value="b">b</label></fieldset>
        <b data-nnw-value="twice"></b>`;
      const range = el.querySelector("input"), figure = el.querySelector("b");
      const show = () => { figure.dataset.nnwRaw = model.get("twice"); figure.textContent = model.get("twice").toFixed(2);
        el.dataset.nnwStatus = model.get("status"); el.dataset.nnwSeq = model.get("seq"); };
      el.onkeydown = e => e.stopPropagation();  // the notebook has its own use for arrow keys
      range.oninput = () => { model.set("value", Number(range.value)); model.save_changes(); };
      el.querySelector("fieldset").onchange = e => { model.set("mode", e.target.value); model.save_changes(); };
      model.on("change", show); show(); } };
    """
    value = traitlets.Float(0.0).tag(sync=True)
    mode = traitlets.Unicode("a").tag(sync=True)
    twice = traitlets.Float(0.0).tag(sync=True)
    status = traitlets.Unicode("idle").tag(sync=True)
    seq = traitlets.Int(0).tag(sync=True)
    seen = ()

    @traitlets.observe("value")
    def _moved(self, change):
        self.seen += (change.new,)
        with self.hold_sync():
            self.twice, self.seq = 2 * change.new, self.seq + 1

    @traitlets.observe("mode")
    def _busy(self, change):
        self.status = "running"
        threading.Timer(0.3, self._rest).start()

    def _rest(self):
        with self.hold_sync():
            self.seq, self.status = self.seq + 1, "idle"

probe, slider = Probe(), ipywidgets.FloatSlider(max=1.0, step=0.01)
link = ipywidgets.jslink((slider, "value"), (probe, "value"))
'''


def test_a_control_moves_the_kernel_and_the_figure_comes_back(notebook: Callable[..., Notebook]) -> None:
    """Slider and radio buttons reach Python; raw and printed figures are read; nothing leaves the machine, no console error."""
    book = notebook(PROBE, "ipywidgets.VBox([slider, probe])")
    outputs = book.run_all()
    assert "application/vnd.jupyter.widget-view+json" in outputs[1][0]["data"]
    probe = book.widget("probe")
    assert (probe.status, probe.seq, probe.raw("twice")) == ("idle", 0, 0.0)
    probe.set("value", 0.3)
    assert probe.wait_idle(after=0) == 1
    assert probe.raw("twice") == pytest.approx(book.python("2 * probe.value")) == 0.6
    assert probe.text("twice") == "0.60"
    probe.set("mode", "b")
    probe.wait_status("running")
    assert probe.wait_idle(after=1) == 2
    assert book.python("(probe.mode, slider.value)") == ("b", 0.3)
    assert (book.errors, book.left) == ([], [])


def test_dragging_passes_many_positions_and_ends_where_the_mouse_was_let_go(notebook: Callable[..., Notebook]) -> None:
    """A drag is a real one (mouse down, 60 moves, up); keys move the slider by one step."""
    book = notebook(PROBE, "probe")
    book.run_all()
    probe = book.widget("probe")
    probe.drag("value", 0.0, 1.0, steps=60, pause=lambda i: book.page.wait_for_timeout(10))
    book.page.wait_for_function("() => document.querySelector('[data-nnw-value=twice]').dataset.nnwRaw === '2'")
    assert len(book.python("probe.seen")) >= 10
    assert book.python("probe.value") == 1.0
    before = probe.wait_idle()
    probe.press("value", "ArrowLeft")
    probe.wait_idle(after=before)
    assert book.python("probe.value") == 0.99


def test_what_goes_wrong_in_the_page_is_collected(notebook: Callable[..., Notebook]) -> None:
    """A console error, a request to another machine and a raising cell are reported, not lost."""
    book = notebook("1 / 0")
    with pytest.raises(AssertionError, match=r"cell 0 raised .*ZeroDivisionError"):
        book.run_cell(0)
    assert book.run_cell(0, may_raise=True)[0]["ename"] == "ZeroDivisionError"
    book.page.evaluate("() => { console.error('planted'); return fetch('http://nowhere.invalid/x').catch(() => 0); }")
    assert any("planted" in e for e in book.errors)
    assert book.left == ["http://nowhere.invalid/x"]
    with pytest.raises(Exception, match="NameError"):
        book.python("no_such_name")


def test_axe_finds_what_is_planted_and_themes_change(notebook: Callable[..., Notebook], npm: object) -> None:
    """The probe has no serious finding; an input without a name has one."""
    book = notebook(PROBE, "probe")
    book.run_all()
    book.widget("probe")
    assert findings(book.page, '[data-nnw="probe"]') == []
    book.page.evaluate("() => { document.querySelector('[data-nnw=probe]').innerHTML += '<input type=text>'; }")
    assert any(f.startswith("label (critical)") for f in findings(book.page, '[data-nnw="probe"]'))
    book.theme("dark")
    book.theme("light")
