"""Trained weights of the bundled networks, as safetensors with how they were made."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from torch import nn

from nnwidgets.engine.errors import FileError

__all__ = ["load_bundled", "read_record", "save_bundled"]


def load_bundled(model: nn.Module, name: str) -> dict[str, Any]:
    """Put the bundled weights ``name`` into a network and return their record (see ``save_bundled``).

    Raises:
        FileError: the file is missing, damaged or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = resources.files("nnwidgets") / "assets" / f"{name}.safetensors"
    try:
        with resources.as_file(file) as path:
            model.load_state_dict(load_file(path))
            return read_record(path)
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise FileError(f"the bundled weights {name!r} cannot be used ({error}); install nnwidgets again.") from error


def read_record(path: Path) -> dict[str, Any]:
    """How the weights in a file were made: script, seed, setup, errors on train, val and test, and how many images each has."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        record: dict[str, Any] = json.loads(file.metadata()["record"])
    return record


def save_bundled(model: nn.Module, path: Path, record: dict[str, Any]) -> None:
    """Write weights with their record."""
    from safetensors.torch import save_file

    weights = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    save_file(weights, path, metadata={"record": json.dumps(record, sort_keys=True)})
    path.chmod(0o644)  # safetensors writes files that only their owner can read
