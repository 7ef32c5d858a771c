"""The present state as a file for other programs: under a name that leads nowhere else, over nothing that is there."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nnwidgets.engine.compression.choose import UNITS
from nnwidgets.engine.compression.exported import Exported, ExportFormat
from nnwidgets.engine.errors import FileError, InputError
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.experiment.state import State
from nnwidgets.engine.values.recipe import Recipe

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["ENDINGS", "Export", "check_free", "default_name", "exporting", "file_name", "start_export", "whole_units_gone"]

ENDINGS = {
    "state_dict": ".pt",
    "safetensors": ".safetensors",
    "onnx": ".onnx",
    "torch_export": ".pt2",
    "packed": ".packed.safetensors",
}
_LABEL = "Exporting"
_LONGEST = 100  # characters of a name; with its ending it fits every file system
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # devices of Windows
_GRAPH_SECONDS = 10.0  # that another process takes, about


@dataclass(frozen=True)
class Export:
    """Attributes:
    state: what was exported. written: the record of the file, its path as it was given. folder: where it is.
    """

    state: State
    written: Exported
    folder: str


def default_name(experiment: Experiment) -> str:
    """A name made of the experiment's own, without an ending."""
    title = experiment.example or experiment.title
    return re.sub(r"[^\w-]+", "_", title).strip("_")[:60] or "network"


def file_name(name: str, format: str) -> str:
    """A name as somebody typed it, with the ending of its format: of a file in this folder, and nothing else.

    Raises:
        InputError: empty, too long, hidden, a device, or with a character that leads to another folder.
    """
    ending = ENDINGS[ExportFormat(format).value]
    stem = name.strip().removesuffix(ending)
    wrong = ""
    if not stem:
        wrong = "it is empty"
    elif len(stem) > _LONGEST or len(stem.encode("utf-8", "replace")) > 2 * _LONGEST:
        wrong = f"it has {len(stem)} characters, at most {_LONGEST} are taken"
    elif (bad := _FORBIDDEN.search(stem)) is not None:
        wrong = f"it has the character {bad.group()!r}"
    elif stem.startswith(".") or stem.endswith((".", " ")):
        wrong = "it begins or ends with a dot"
    elif _RESERVED.match(stem):
        wrong = "it is the name of a device"
    elif not stem.isprintable():
        wrong = "it has characters that cannot be seen"
    if wrong:
        raise InputError(
            f"{name[:40]!r} is no file name: {wrong}. Give a plain name, such as network; the file comes into the kernel's "
            "folder. To write elsewhere: lab.export(path)."
        )
    return stem + ending


def check_free(path: str | os.PathLike[str]) -> None:
    """Raises:
    FileError: there is something of this name already.
    """
    if os.path.lexists(path):
        raise FileError(f"{os.fspath(path)} exists already. Choose another name, or replace it.")


def whole_units_gone(recipe: Recipe) -> bool:
    """True where a recipe removes filters, neurons or heads, so that a network with really smaller tensors can be made."""
    pruning = recipe.pruning
    return pruning is not None and pruning.masks is None and pruning.structure in UNITS and not pruning.removes_nothing


def exporting(
    experiment: Experiment,
    path: str | os.PathLike[str],
    format: str = "state_dict",
    *,
    materialized: bool = False,
    overwrite: bool = False,
) -> Generator[tuple[str, float], None, Export]:
    """Export the present state by what its bench knows, as `export` does; yields what is being done, and a share of the time.

    What a criterion has seen is not looked at again. Closed early it leaves no file, and an older one as it was.
    """
    place = Path(path).absolute()  # a cell may change the folder meanwhile
    if not overwrite:
        check_free(place)
    experiment.notice_changes()
    state = experiment.state
    plan = experiment.bench(state.weights_key).plan
    for _, share in plan.preparing(state.recipe):
        yield "the criterion looks at images", 0.2 * share
    for _ in plan.making(state.recipe):
        yield "compressing", 0.2
    yield "compressing", 0.2
    began = time.monotonic()
    steps = plan.exporting(state.recipe, place, format, materialized=materialized, overwrite=overwrite)
    while True:
        try:
            doing = next(steps)
        except StopIteration as end:
            made: Exported = end.value
            break
        spent = time.monotonic() - began
        yield f"{doing}, {spent:.0f} s", min(0.95, 0.3 + 0.65 * spent / _GRAPH_SECONDS)
    shown = os.fspath(path)
    made = replace(made, path=shown, load=made.load.replace(repr(str(place)), repr(shown)))
    return Export(state, made, str(place.parent))


def start_export(
    experiment: Experiment,
    path: str | os.PathLike[str],
    format: str,
    done: Callable[[Export], None],
    *,
    materialized: bool = False,
    overwrite: bool = False,
) -> Job:
    """Export the present state in the background; ``done`` gets what was written. A second call while it runs starts nothing."""

    def work() -> Generator[Task, None, Export]:
        steps = exporting(experiment, path, format, materialized=materialized, overwrite=overwrite)
        while True:
            try:
                text, share = next(steps)
            except StopIteration as end:
                found: Export = end.value
                return found
            yield Task("export", _LABEL, share, text=text)

    def ended(export: Export) -> str:
        done(export)
        return f"{export.written.path} was written"

    return tasks.start(experiment, "export", _LABEL, work, ended)
