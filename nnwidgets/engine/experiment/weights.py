"""Trained weights of an experiment, kept by the hash of what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nnwidgets.engine.errors import FileError, InputError
from nnwidgets.engine.files import read_tensors, written_whole

__all__ = ["WeightStore", "unlike"]

_LARGEST = 4_000_000_000  # bytes of a file that is still read where no network says how many there should be


class WeightStore:
    """Weights by key. Tensors go in as copies on the cpu and are never handed out for writing."""

    def __init__(self) -> None:
        self._weights: dict[str, dict[str, Tensor]] = {}

    def put(self, weights: Mapping[str, Tensor], own: bool = False) -> str:
        """Keep a copy of a state dict and return its key, the SHA-256 of names, shapes, types and values.

        Args:
            own: nobody writes to the tensors any more: they need no copy.
        """
        kept, key = _copied(weights, copy=not own)
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
        """Write the weights of a key as safetensors, whole or not at all.

        Raises:
            FileError: the file exists already or cannot be written. InputError: the weights are not here.
        """
        from safetensors.torch import save_file

        weights = dict(self.get(key))
        with written_whole(path) as spare:
            save_file(weights, spare, metadata={"key": key})

    def load(self, path: str | Path, like: Mapping[str, Tensor] | None = None) -> str:
        """Read weights that ``save`` wrote and return their key. Nothing is kept of a file that is refused.

        Args:
            like: a state dict; names and shapes have to be the same.

        Raises:
            FileError: missing, damaged, no safetensors file, or the weights of another network.
        """
        limit = _LARGEST if like is None else 1_000_000 + sum(2 * value.nbytes + 1000 for value in like.values())
        weights, metadata = read_tensors(path, limit)
        if like is not None and (other := unlike(weights, like)):
            raise FileError(f"{path} holds weights of another network: {other}. Give the file that was saved for this network.")
        kept, key = _copied(weights)
        if metadata.get("key", key) != key:
            raise FileError(f"{path} is damaged: its numbers are not those that were written. Save or copy it again.")
        self._weights.setdefault(key, kept)
        return key


def unlike(weights: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> str:
    """Say in which tensor weights differ from a state dict in shape, "" where they fit."""
    found, wanted = ({name: tuple(value.shape) for name, value in side.items()} for side in (weights, like))
    if found == wanted:
        return ""
    name = min(found.items() ^ wanted.items())[0]
    return f"{name!r} is {found.get(name, 'missing')}, expected {wanted.get(name, 'no such tensor')}"


def _copied(weights: Mapping[str, Tensor], copy: bool = True) -> tuple[dict[str, Tensor], str]:
    """Copies on the cpu (unless they are there and ``copy`` is not set), and the SHA-256 of names, shapes, types and values."""
    digest = hashlib.sha256()
    kept: dict[str, Tensor] = {}
    for name in sorted(weights):
        value = weights[name].detach().to("cpu", copy=copy).contiguous()
        digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        if value.numel():
            digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
        kept[name] = value
    return kept, digest.hexdigest()
