"""Trained weights of the bundled networks, as safetensors with how they were made."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from torch import nn

from nnwidgets.engine.errors import FileError
from nnwidgets.engine.files import read_tensors, written_whole

__all__ = ["load_bundled", "read_record", "save_bundled"]

_LARGEST = 100_000_000  # bytes


def load_bundled(model: nn.Module, name: str) -> dict[str, Any]:
    """Put the bundled weights ``name`` into a network and return their record (see ``save_bundled``).

    Raises:
        FileError: the file is missing, damaged or of another network.
    """
    file = resources.files("nnwidgets") / "assets" / f"{name}.safetensors"
    try:
        with resources.as_file(file) as path:
            weights, _ = read_tensors(path, _LARGEST)
            model.load_state_dict(weights)
            return read_record(path)
    except (OSError, RuntimeError) as error:
        raise FileError(f"the bundled weights {name!r} cannot be used ({error}); install nnwidgets again.") from error


def read_record(path: Path) -> dict[str, Any]:
    """How the weights in a file were made: script, seed, setup, errors on train, val and test, and how many images each has.

    Raises:
        FileError: the file is missing, damaged, or has no such record.
    """
    try:
        record: dict[str, Any] = json.loads(read_tensors(path, _LARGEST)[1]["record"])
    except (KeyError, ValueError, RecursionError) as error:
        raise FileError(f"{path} does not say how it was made ({error}); expected a file that save_bundled() wrote.") from error
    return record


def save_bundled(model: nn.Module, path: Path, record: dict[str, Any]) -> None:
    """Write weights with their record, whole or not at all; an older file is replaced.

    Raises:
        FileError: the file cannot be written.
    """
    from safetensors.torch import save_file

    weights = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    with written_whole(path, overwrite=True) as spare:
        save_file(weights, spare, metadata={"record": json.dumps(record, sort_keys=True)})
