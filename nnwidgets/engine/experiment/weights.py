"""Trained weights of an experiment, kept by the hash of what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nnwidgets.engine.errors import FileError, InputError

__all__ = ["WeightStore"]


class WeightStore:
    """Weights by key. Tensors go in as copies on the cpu and are never handed out for writing."""

    def __init__(self) -> None:
        self._weights: dict[str, dict[str, Tensor]] = {}

    def put(self, weights: Mapping[str, Tensor]) -> str:
        """Keep a copy of a state dict and return its key, the SHA-256 of names, shapes, types and values."""
        digest = hashlib.sha256()
        kept: dict[str, Tensor] = {}
        for name in sorted(weights):
            value = weights[name].detach().to("cpu", copy=True).contiguous()
            digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
            digest.update(
                value.view(torch.uint8).numpy().tobytes() if value.dim() else value.reshape(1).view(torch.uint8).numpy().tobytes()
            )
            kept[name] = value
        key = digest.hexdigest()
        self._weights.setdefault(key, kept)
        return key

    def __contains__(self, key: object) -> bool:
        return key in self._weights

    def __len__(self) -> int:
        return len(self._weights)

    def get(self, key: str) -> Mapping[str, Tensor]:
        """The weights of a key.

        Raises:
            InputError: they are not here, as after pasting a state from elsewhere.
        """
        if key not in self._weights:
            raise InputError(
                f"the trained weights {key[:12]} are not in this experiment (it holds {len(self)} sets); "
                "load them with exp.load_weights(path), or train them again."
            )
        return self._weights[key]

    def save(self, key: str, path: str | Path) -> None:
        """Write the weights of a key as safetensors.

        Raises:
            FileError: the file exists already or cannot be written.
        """
        from safetensors.torch import save_file

        path = Path(path)
        if path.exists():
            raise FileError(f"{path} exists already; choose another name or remove it first.")
        try:
            save_file(dict(self.get(key)), path, metadata={"key": key})
        except OSError as error:
            raise FileError(f"{path} cannot be written: {error}") from error

    def load(self, path: str | Path) -> str:
        """Read weights that ``save`` wrote and return their key.

        Raises:
            FileError: the file is missing or no safetensors file.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return self.put(load_file(path))
        except (OSError, SafetensorError) as error:
            raise FileError(f"{path} is no readable safetensors file: {error}") from error
