"""What is on the screen as a file: drawn in the background, then sent to the front end, which saves it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.widgets._base import LiveWidget

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

__all__ = ["Drawable", "send_figure"]

_MIME = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf"}


class Drawable(Protocol):
    """A widget that can draw itself."""

    def figure(self) -> MplFigure:
        """What is on the screen."""


def send_figure(widget: LiveWidget, drawn: Drawable, experiment: Experiment, name: str, format: str) -> None:
    """Draw and send ``name.format``; an error is shown in the widget.

    Raises:
        InputError: another format than svg, png or pdf.
    """
    if format not in _MIME:
        raise InputError(f"figure format: got {format!r:.40}, expected one of {', '.join(_MIME)}.")

    def work() -> Iterator[None]:
        sheet, buffer = drawn.figure(), io.BytesIO()
        yield
        sheet.savefig(buffer, format=format)
        widget.send({"kind": "file", "name": f"{name}.{format}", "mime": _MIME[format]}, [buffer.getvalue()])
        yield

    experiment.jobs.submit(
        f"figure-{id(widget)}", work, on_error=lambda error: widget.show_error("The figure was not saved", error)
    )
