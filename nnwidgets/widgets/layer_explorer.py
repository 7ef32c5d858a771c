"""LayerExplorer: what happens inside a network, layer by layer, for one image and over a sample."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from nnwidgets.engine.errors import InputError, UnsupportedError
from nnwidgets.engine.experiment import Event, Experiment, Notice, Task
from nnwidgets.engine.experiment.pictures import samples_of
from nnwidgets.engine.values._fields import nearest
from nnwidgets.figures import text
from nnwidgets.figures.records import to_wire
from nnwidgets.widgets import _explorer_view as records
from nnwidgets.widgets._base import LiveWidget, static_text
from nnwidgets.widgets._cells import retire_earlier_run
from nnwidgets.widgets._explorer_code import code_of
from nnwidgets.widgets._explorer_tasks import ExplorerTasks
from nnwidgets.widgets._explorer_text import HELP, OPTIONS
from nnwidgets.widgets._explorer_work import ExplorerWork, Wish
from nnwidgets.widgets._saved_figure import send_figure
from nnwidgets.widgets._upload import LARGEST_FILE, decoded, drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

__all__ = ["LayerExplorer"]

_BETWEEN_NEWS = 0.1  # seconds between two publications of progress
_WISHES = (
    "layer",
    "channel",
    "view",
    "image_index",
    "sample",
    "pick",
    "picked_class",
    "order",
    "scale",
    "input_channel",
    "position",
    "compare",
)
_LARGE = ("panel", "unit", "input")


def _values(name: str) -> list[Any]:
    return [each["value"] for each in OPTIONS[name]]


class LayerExplorer(LiveWidget):
    """Structure, filters, feature maps, outputs, Deconvnet and strongest images of an experiment's network.

    Every control is a trait that can be set, observed and linked (``ipywidgets.link``).

    Args:
        experiment: whose network to look into. Several widgets may show one experiment.
        layer: a row of the structure to begin with, by default the first convolution or, without one, the first layer.

    Raises:
        InputError: not an Experiment, or no such layer. UnsupportedError: the network has no layers and computes nothing.
    """

    _esm = static_text("layer_explorer.js")
    _css = static_text("layer_explorer.css")
    writable: ClassVar[frozenset[str]] = frozenset({*_WISHES, "epochs", "learning_rate", "fresh"})
    with_buffers: ClassVar[frozenset[str]] = frozenset({"upload", "draw"})

    layer = traitlets.Unicode("", help="Row of the structure: a layer's name, name#1 for its second call.").tag(sync=True)
    channel = traitlets.Int(0, min=0, help="Channel of the layer that is shown at the right.").tag(sync=True)
    view = traitlets.Enum(_values("view"), "maps", help="What is shown of the layer.").tag(sync=True)
    image_index = traitlets.Int(0, min=0, help="Which of the chosen images.").tag(sync=True)
    sample = traitlets.Enum(_values("sample"), "val", help="Where images come from: val, test or train.").tag(sync=True)
    pick = traitlets.Enum(_values("pick"), "index", help="Which images are gone through: index, class or worst.").tag(sync=True)
    picked_class = traitlets.Int(0, min=0, help="The class that images are gone through of.").tag(sync=True)
    order = traitlets.Enum(_values("order"), "index", help="How tiles are sorted.").tag(sync=True)
    scale = traitlets.Enum(_values("scale"), "layer", help="One scale for all tiles (layer), or each its own (tile).").tag(
        sync=True
    )
    input_channel = traitlets.Int(-1, min=-1, help="Slice of the filters that is shown; -1 for their mean.").tag(sync=True)
    position = traitlets.Unicode("", help="Place in the map, 'y,x'; '' for the strongest.").tag(sync=True)
    compare = traitlets.Bool(False, help="Show the compressed network beside the dense one.").tag(sync=True)
    epochs = traitlets.Int(1, min=1, max=50, help="Epochs of the copy that is trained in the training view.").tag(sync=True)
    learning_rate = traitlets.Float(1e-3, min=1e-6, max=1.0, help="Learning rate of that copy.").tag(sync=True)
    fresh = traitlets.Bool(True, help="Train from new weights instead of the present ones.").tag(sync=True)

    about = traitlets.Dict(read_only=True).tag(sync=True)
    options = traitlets.Dict(read_only=True).tag(sync=True)
    help = traitlets.Dict(read_only=True).tag(sync=True)
    tree: traitlets.List[Any] = traitlets.List(read_only=True).tag(sync=True)
    panel = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    unit = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    input = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    answers = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    switched = traitlets.Dict(read_only=True).tag(sync=True)
    task = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    last_task = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    notices: traitlets.List[Any] = traitlets.List(read_only=True).tag(sync=True)
    code = traitlets.Unicode("", read_only=True, help="Python that gives what is on the screen.").tag(sync=True)

    _exp: Experiment = None  # type: ignore[assignment]  # until __init__ has accepted one

    def __init__(self, experiment: Experiment, layer: str | None = None) -> None:
        if not isinstance(experiment, Experiment):
            raise InputError(
                f"LayerExplorer: got {type(experiment).__name__}, expected an Experiment, such as nw.load_example('digits')."
            )
        work = ExplorerWork(experiment, self._publish)
        rows = work.inspection.structure.rows
        if not rows:
            raise UnsupportedError(
                "LayerExplorer: this network computes nothing that could be shown, it has no layer or function."
            )
        start = _first_layer(rows) if layer is None else work.inspection.structure.find(layer).id
        self._exp, self._work = experiment, work
        self._turn = 0
        self._turns = threading.Lock()
        self._rendering = self._could_not_show = False
        self._closed = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self._last_news = 0.0
        super().__init__()
        self._tasks = ExplorerTasks(self, experiment, work)
        with self.publishing():
            self.set_trait("sample", samples_of(experiment)[0])
            self.set_trait("layer", start)
            self._describe()
            self.set_trait("status", "running")
        self._follow(self._asked, list(_WISHES))
        self._unsubscribe = experiment.subscribe(self._heard)
        retire_earlier_run(self)
        self._submit()

    @property
    def experiment(self) -> Experiment:
        """What is shown."""
        return self._exp

    @traitlets.validate("layer")
    def _known_layer(self, proposal: Any) -> str:
        value: str = proposal["value"]
        known = {row.id for row in self._work.inspection.structure.rows}
        if value not in known and known:
            raise traitlets.TraitError(f"layer: got {value!r:.80}, this network has no such row; {nearest(value, known)}")
        return value

    @traitlets.validate("sample")
    def _known_sample(self, proposal: Any) -> str:
        there = samples_of(self._exp)
        if proposal["value"] not in there:
            raise traitlets.TraitError(f"sample: got {proposal['value']!r}, this experiment has {', '.join(there)}.")
        return str(proposal["value"])

    def _describe(self) -> None:
        """What seldom changes while the widget lives."""
        exp, found = self._exp, self._work.inspection.structure
        there = samples_of(exp)
        options = {name: list(choices) for name, choices in OPTIONS.items()}
        options["sample"] = [choice for choice in options["sample"] if choice["value"] in there]
        if all(getattr(exp, name).labels is None for name in there):
            options["pick"] = options["pick"][:1]
        can = {view for row in self._tree() for view in row["views"]}
        options["view"] = [choice for choice in options["view"] if choice["value"] in can]
        macs = "".join(text.scaled(found.total_macs, ("", " k", " M", " G")))
        subtitle = f"{exp.title}: {text.count(found.total_params)} parameters, {macs} MACs an image"
        about = {"title": "Layer explorer", "subtitle": subtitle, "classes": list(exp.class_names), "max_upload": LARGEST_FILE}
        self.set_trait("about", about)
        self.set_trait("options", options)
        self.set_trait("help", {name: dict(words) for name, words in HELP.items()})
        self.set_trait("tree", self._tree())
        self.set_trait("switched", self._tasks.switched_record())
        self._publish_notices()

    def _tree(self) -> list[dict[str, Any]]:
        return records.tree_record(self._work.inspection.structure.rows, self._work.inspection.dead(self.sample))

    def _publish_notices(self) -> None:
        notes = [
            {"id": f"net-{i}", "text": note, "role": "muted"} for i, note in enumerate(self._work.inspection.structure.notes)
        ]
        self.set_trait("notices", [*(to_wire(notice) for notice in self._exp.notices.values()), *notes])

    # --- from the controls to the work --------------------------------------------------------------------------------

    def _asked(self, change: Any) -> None:
        """A control was moved: hand the newest wish over and return."""
        if change["name"] in ("sample", "pick", "picked_class"):
            self._work.own = None
        if self.last_task is not None and self.last_task["role"] == "good":  # it was read where it was said
            self.set_trait("last_task", None)
        if change["name"] == "sample":  # dead channels are those of the sample
            self._publish({"tree": self._tree()})
        if self._could_not_show:  # what was said of another position
            self._could_not_show = False
            self.clear_error()
        self._submit()

    def _submit(self) -> None:
        """Show what the controls ask for now. Called by messages, cells and the worker: the newest turn has the last job."""
        with self._turns:
            if self._closed:
                return
            self._turn += 1
            turn = self._turn
            self._rendering = True
            self._exp.jobs.submit(
                f"explorer-{id(self)}",
                lambda: self._render(turn),
                on_error=lambda error: self._failed(turn, error),
                interactive=True,
            )

    def _wish(self, turn: int) -> Wish:
        return Wish(turn, **{name: getattr(self, name) for name in _WISHES})

    def _stale(self, turn: int) -> bool:
        return turn != self._turn or self._closed

    def _render(self, turn: int) -> Iterator[None]:
        exp = self._exp
        exp.notice_changes()
        if self._work.inspection.refresh():
            self._tasks.forget()
            with self.publishing():
                self._describe()
        yield
        wish = self._wish(turn)
        yield from self._work.render(wish, lambda: self._stale(turn))
        if not self._stale(turn):
            self._rendering = False
            if self._could_not_show:  # mended by other code: nobody has moved a control
                self._could_not_show = False
                self.clear_error()
            self._publish({"status": self._status(), "code": code_of(exp, wish, self._work)})
            self._tasks.wanted_by(wish)
        yield

    def _publish(self, traits: dict[str, Any]) -> None:
        """Send some traits as one message with a new sequence number.

        Large records end with that number: a front end compares them from the end, and need not look at their bytes.
        """
        with self.publishing():
            for name, value in traits.items():
                numbered = {**value, "serial": self.seq} if name in _LARGE and value is not None else value
                self.set_trait(name, numbered)

    def _failed(self, turn: int, error: BaseException) -> None:
        if not self._stale(turn):
            self._rendering, self._could_not_show = False, True
            self.show_error("This could not be shown", error, "Choose another layer or image, or retry.", retry=True)

    def _status(self) -> str:
        if self.error is not None:
            return "error"
        return "running" if self._rendering or self.task is not None else "idle"

    def _heard(self, event: Event) -> None:
        """Called by the experiment, in whichever thread changed something."""
        if event.kind == "notice":
            with self.publishing():
                self._publish_notices()
            if event.notice is not None and event.notice.id == "model_changed" and event.notice.text:
                self._submit()
        elif event.kind in ("state", "figures") and self.compare:
            self._submit()

    def show_task(self, task: Task | None, ended: str = "", role: str = "good", chart: Any = None) -> None:
        """Show how far background work is, or how it ended."""
        now = time.monotonic()
        if task is not None and 0 < task.progress < 1 and now - self._last_news < _BETWEEN_NEWS:
            return
        self._last_news = now
        with self.publishing():
            if task is None:
                self.set_trait("task", None)
                if ended:
                    self.set_trait("last_task", {"text": ended, "role": role})
            else:
                left = "" if task.seconds_left is None else f", {text.duration(task.seconds_left)} left"
                shown = {"id": task.name, "name": task.name, "label": task.label, "progress": task.progress}
                shown["text"] = (task.text + left).lstrip(", ")
                if chart is not None:
                    shown["chart"] = to_wire(chart)
                self.set_trait("task", shown)
            self.set_trait("status", self._status())

    # --- buttons ------------------------------------------------------------------------------------------------------

    def commands(self) -> dict[str, Callable[..., object]]:
        """What the buttons call. Each hands its work over and returns."""
        return {
            "show": self.show,
            "measure": self.measure,
            "find_top": self.find_top,
            "switch_off": self.switch_off,
            "switch_on": self.switch_on,
            "switch_on_all": self.switch_on_all,
            "upload": self._upload,
            "draw": self._draw,
            "own_image_off": self.own_image_off,
            "train_start": self._tasks.train_start,
            "train_pause": self._tasks.train_pause,
            "train_step": self._tasks.train_step,
            "train_reset": self._tasks.train_reset,
            "cancel": self.cancel,
            "retry": self._try_again,
            "dismiss": self._dismiss,
            "figure": self._send_figure,
            "resync": self.tell_all,
        }

    def show(self) -> None:
        """Capture the chosen layer although it is large, and others as large as it from now on."""
        self._work.inspection.allow(self._work.inspection.structure.find(self.layer))
        self._submit()

    def measure(self) -> None:
        """Measure the outputs of all layers over the sample, in the background."""
        self._tasks.measure(self.sample)

    def find_top(self) -> None:
        """Find the nine strongest images of each channel of the chosen layer, in the background."""
        self._tasks.find_top(self.layer, self.sample)

    def switch_off(self, layer: str | None = None, channel: int | None = None) -> None:
        """Switch a channel off (by default the chosen one): answers at once, accuracy in the background.

        Raises:
            InputError: there is no such layer or channel, or its channels cannot be switched off.
        """
        self._tasks.switch(self.layer if layer is None else layer, self.channel if channel is None else channel, True)

    def switch_on(self, layer: str | None = None, channel: int | None = None) -> None:
        """Take a channel back."""
        self._tasks.switch(self.layer if layer is None else layer, self.channel if channel is None else channel, False)

    def switch_on_all(self) -> None:
        """Take all channels back."""
        self._tasks.switch_all_on()

    def look_at(self, pixels: Any, note: str = "yours") -> None:
        """Look at an image of one's own, uint8 (h, w) or (h, w, 3) of any size; it is cropped and resized to the network's input.

        Raises:
            InputError: other numbers or axes, or a network that takes no images.
        """
        import numpy as np

        image = np.asarray(pixels)
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
            raise InputError(f"pixels: got {image.dtype} of shape {image.shape}, expected uint8 (h, w) or (h, w, 3).")
        self._work.take_own(image, hashlib.sha1(image.tobytes()).hexdigest(), note)
        self._submit()

    def own_image_off(self) -> None:
        """Back to the sample's images."""
        self._work.own = None
        self._submit()

    def _upload(self, name: str = "picture", size: int = 0, buffers: list[bytes] | None = None) -> None:
        if not buffers:
            raise InputError(f"upload: got no file for {name!r:.80}, expected one; choose it again.")
        shown = str(name)[:60]
        self.look_at(decoded(buffers[0], shown), f"yours: {shown}")

    def _draw(self, width: int = 0, height: int = 0, buffers: list[bytes] | None = None) -> None:
        self.look_at(drawn((buffers or [b""])[0], width, height), "yours: drawn")

    def cancel(self) -> None:
        """Stop what runs in the background; what it found so far is dropped."""
        self._tasks.cancel()

    def _try_again(self) -> None:
        self.clear_error()
        self._tasks.retry()
        self._submit()

    def _dismiss(self, id: str = "") -> None:
        if id:
            self._exp.notify(Notice(str(id), ""))
        else:
            self.clear_error()

    def _send_figure(self, format: str = "svg") -> None:
        send_figure(self, self, self._exp, "layer_explorer", format)

    def figure(self) -> MplFigure:
        """What is on the screen as a matplotlib figure, for papers and slides. Draws what is known so far."""
        from nnwidgets.figures._explorer_page import explorer_page

        return explorer_page(self.about["subtitle"], self.panel, self.unit, self.input)

    def wait(self, timeout: float | None = 60.0) -> bool:
        """Wait until all background work is done, such as after setting a trait.

        Returns False if ``timeout`` seconds passed first.
        """
        return self._exp.wait(timeout)

    def close(self) -> None:
        """Stop the work it asked for and free it. The experiment stays usable."""
        if getattr(self, "_exp", None) is None or self._closed:  # refused at birth
            return
        self._closed = True
        self._unsubscribe()
        self._tasks.close()
        self._exp.jobs.cancel(f"explorer-{id(self)}")
        if not self._exp.has_subscribers:
            self._exp.release()
        super().close()


def _first_layer(rows: Any) -> str:
    """The first convolution, else the first layer that can be shown, else the first row."""
    shown = [row for row in rows if row.maps and not row.container]
    found = [row for row in shown if row.kind.startswith("Conv")] or shown or list(rows)
    return found[0].id if found else ""
