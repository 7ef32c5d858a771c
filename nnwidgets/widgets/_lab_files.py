"""Files of the compression lab: the present state exported, what it takes in every encoding, and whether sparse products pay."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from nnwidgets.engine.compression._export import checked_format, lacking_packages
from nnwidgets.engine.compression.exported import ExportFormat
from nnwidgets.engine.costs import energy, energy_of
from nnwidgets.engine.errors import FileError, InputError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.experiment.exporting import (
    ENDINGS,
    Export,
    check_free,
    default_name,
    file_name,
    start_export,
    whole_units_gone,
)
from nnwidgets.engine.experiment.measuring import Encoded, start_crossover, start_encodings
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.figures import text
from nnwidgets.figures.file_charts import crossover_chart, crossover_words, encodings_chart, energy_chart
from nnwidgets.figures.records import Chart
from nnwidgets.widgets._code import code_for
from nnwidgets.widgets._lab_files_text import FORMATS
from nnwidgets.widgets._lab_view import recipe_words

if TYPE_CHECKING:
    import pandas as pd

    from nnwidgets.widgets.compression_lab import CompressionLab

__all__ = ["FILE_CONTROLS", "FileTraits", "LabFiles"]

FILE_CONTROLS = ("export_format", "export_materialized", "export_name")


class FileTraits(traitlets.HasTraits):
    """The part of the lab that can be seen and set from code."""

    export_format = traitlets.Enum([each.value for each in ExportFormat], "state_dict", help="Kind of file to export.").tag(
        sync=True
    )
    export_materialized = traitlets.Bool(False, help="Export really smaller tensors, where whole units are removed.").tag(
        sync=True
    )
    export_name = traitlets.Unicode("network", help="Name of the file in the kernel's folder, without its ending.").tag(sync=True)
    exported = traitlets.Dict(default_value=None, allow_none=True, read_only=True, help="What was written last.").tag(sync=True)
    export_view = traitlets.Dict(read_only=True, help="What can be exported, and why not.").tag(sync=True)
    file_about = traitlets.Dict(read_only=True, help="What the charts of files are of.").tag(sync=True)

    _files: LabFiles

    def export(
        self,
        path: str | os.PathLike[str],
        format: str = "state_dict",
        *,
        materialized: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Write the present state to a file in the background; ``exported`` then tells what was written. See `E.export`.

        Raises:
            FileError: the file is there, and ``overwrite`` is not set. InputError, UnsupportedError: an unknown format, or one
            that needs packages which are not here. What else goes wrong is shown in the widget.
        """
        self._files.export(path, format, materialized, overwrite)

    def measure_encodings(self) -> None:
        """Encode the weights of the present state in every way, in the background, and show the bytes."""
        self._files.measure_encodings()

    def measure_crossover(self) -> None:
        """Time the linear layers, dense against CSR, in the background, and show from which share of zeros CSR is faster."""
        self._files.measure_crossover()


class LabFiles:
    """Starts the work on files for one lab, and keeps what it found."""

    def __init__(self, widget: CompressionLab, experiment: Experiment) -> None:
        self._widget, self._exp = widget, experiment
        self._asked: Callable[[], None] = self.press  # how the export was asked for last
        self._refused: dict[str, Any] | None = None
        self._lacking = {each.value: lacking_packages(each.value) for each in ExportFormat}  # once: it looks at the disk
        self._export: Export | None = None
        self._export_code = ""
        self._encoded: Encoded | None = None
        self._crossover: pd.DataFrame | None = None

    def begin(self) -> None:
        """Name the file after the experiment, and follow the controls; called once the traits are there."""
        widget = self._widget
        widget.export_name = default_name(self._exp)
        widget._follow(self._control_moved, list(FILE_CONTROLS))

    def commands(self) -> dict[str, Callable[..., object]]:
        """What the buttons call."""
        return {
            "export": self.press,
            "measure_encodings": self.measure_encodings,
            "measure_crossover": self.measure_crossover,
        }

    def starters(self) -> dict[str, Callable[[], object]]:
        """Name of a task -> what begins it once more."""
        return {
            "export": lambda: self._asked(),
            "encodings": self.measure_encodings,
            "crossover": self.measure_crossover,
        }

    # --- export -------------------------------------------------------------------------------------------------------

    def press(self, replace: object = False) -> None:
        """Export as the controls say, into the kernel's folder; what is there is replaced only once that was asked."""
        widget = self._widget
        self._asked = self.press
        if self._exp.jobs.running("task") is not None:
            return
        try:
            name = file_name(widget.export_name, widget.export_format)
            place = str(Path(name).absolute())
            over = replace is True and self._refused is not None and self._refused["place"] == place
            if not over:
                check_free(name)
        except InputError as error:
            self._refuse(str(error), "")
        except FileError as error:
            self._refuse(str(error), place)
        else:
            small = widget.export_materialized and not self._small_off(self._exp.recipe)
            self._start(name, widget.export_format, small, over)

    def export(self, path: str | os.PathLike[str], format: str, materialized: bool, overwrite: bool) -> None:
        """Export to any path, as code asks for it."""
        kind = checked_format(self._exp.recipe, format, materialized)
        if not overwrite:
            check_free(path)

        def start() -> None:
            self._start(path, kind, materialized, overwrite)

        self._asked = start
        start()

    def _start(self, path: str | os.PathLike[str], kind: str, materialized: bool, overwrite: bool) -> None:
        def done(export: Export) -> None:
            small = ", materialized=True" if materialized else ""
            line = f"exp.export({export.written.path!r}, {kind!r}{small})"
            self._export, self._export_code = export, f"{code_for(self._exp, export.state)}{line}\n"
            self._widget.show_records(**self.traits())

        self._refuse("", "")
        start_export(self._exp, path, kind, done, materialized=materialized, overwrite=overwrite)

    def _refuse(self, words: str, place: str) -> None:
        """Say beside the button why nothing was begun; ``place`` is a file that could be replaced."""
        self._refused = {"text": words, "place": place} if words else None
        with self._widget.publishing():
            self._widget.set_trait("export_view", self._export_view())

    def _control_moved(self, change: Any) -> None:
        self._refuse("", "")

    def _small_off(self, recipe: Recipe) -> str:
        """Why there are no really smaller tensors to export; "" where there are."""
        if self._widget.export_format == "packed":
            return "this format holds the network with its zeros"
        if not whole_units_gone(recipe):
            return "no filters, neurons or heads are removed"
        return ""

    def _export_view(self) -> dict[str, Any]:
        formats = [dict(each) for each in FORMATS]
        for each in formats:
            if lacking := self._lacking[each["value"]]:
                each["disabled"] = f"needs {' and '.join(lacking)}: pip install 'nnwidgets[export]'"
        refused = self._refused
        told = None if refused is None else {"text": refused["text"], "replace": bool(refused["place"])}
        small = self._small_off(self._exp.live.state.recipe)
        return {"formats": formats, "endings": dict(ENDINGS), "small_off": small, "refused": told}

    def _exported(self) -> dict[str, Any] | None:
        export = self._export
        if export is None:
            return None
        written = export.written
        return {
            "path": written.path,
            "folder": export.folder,
            "format": written.format,
            "bytes": written.bytes,
            "size": " ".join(text.size(written.bytes)),
            "load": written.load,
            "notes": list(written.notes),
            "of": recipe_words(export.state.recipe),
            "earlier": export.state != self._exp.live.state,
            "code": self._export_code,
        }

    # --- what a file holds --------------------------------------------------------------------------------------------

    def measure_encodings(self) -> None:
        """Encode the weights of the present state in every way."""

        def done(found: Encoded) -> None:
            self._encoded = found
            self._widget.show_records(charts=self.charts(), **self.traits())

        start_encodings(self._exp, done)

    def measure_crossover(self) -> None:
        """Time dense and CSR products of the linear layers."""

        def done(table: pd.DataFrame) -> None:
            self._crossover = table
            self._widget.show_records(charts=self.charts(), **self.traits())

        start_crossover(self._exp, done)

    # --- on the screen ------------------------------------------------------------------------------------------------

    def traits(self) -> dict[str, Any]:
        """The read-only traits, of the state that is shown."""
        table, encoded = self._crossover, self._encoded
        about = {
            "earlier": encoded is not None and encoded.state != self._exp.live.state,
            "csr_off": self._csr_off(),
            "csr": [] if table is None else crossover_words(table, self._zeros()),
        }
        return {"exported": self._exported(), "export_view": self._export_view(), "file_about": about}

    def charts(self) -> dict[str, Chart]:
        """The charts that were asked for; energy and the marks of the layers follow the present state."""
        live, found = self._exp.live, {}
        if self._encoded is not None:
            state = self._encoded.state
            found["encodings"] = encodings_chart(self._encoded.table, recipe_words(state.recipe), state != live.state)
            if live.cost is not None and live.dense_cost is not None:
                found["energy"] = energy_chart(energy(live.dense_cost), energy_of(live.cost, live.state.recipe))
        if self._crossover is not None:
            found["crossover"] = crossover_chart(self._crossover, self._zeros())
        return found

    def _zeros(self) -> dict[str, float]:
        cost = self._exp.live.cost
        if cost is None:
            return {}
        return {name: 1 - layer.nonzero / layer.params if layer.params else 0.0 for name, layer in cost.layers.items()}

    def _csr_off(self) -> str:
        layers = self._exp.bench(None).plan.layers
        return "" if any(len(layer.shape) == 2 for layer in layers) else "this network has no linear layers"
