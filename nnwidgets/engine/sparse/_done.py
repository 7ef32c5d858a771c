"""Rounds that are done, kept in a dict or in a file of JSON lines."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from nnwidgets.engine.errors import FileError, InputError
from nnwidgets.engine.values.mask import Mask

__all__ = ["Done"]

Place = tuple[int, int]
"""(seed, round)."""


class Done:
    """The records of rounds, each written as soon as it is there.

    Args:
        where: None; a dict (seed, round) -> record, which is added to; or a file, one record a line, made where it is missing.
        settings: what the rounds are made with; records of other settings are refused.

    Raises:
        InputError: a record of other settings, or none of ours. FileError: the file cannot be read.
    """

    def __init__(
        self, where: str | os.PathLike[str] | MutableMapping[Place, dict[str, Any]] | None, settings: Mapping[str, Any]
    ) -> None:
        self._settings = dict(settings)
        self._path = None
        self._records: MutableMapping[Place, dict[str, Any]]
        if where is None or isinstance(where, MutableMapping):
            self._records = {} if where is None else where
        elif isinstance(where, str | os.PathLike):
            self._path = Path(where)
            self._records = _read(self._path)
        else:
            raise InputError(f"resume: got {type(where).__name__}, expected a file name, a dict, or None.")
        for place, record in self._records.items():
            self._check(place, record)

    def get(self, seed: int, number: int) -> dict[str, Any] | None:
        """The record of a round, None where it has to be run."""
        return self._records.get((seed, number))

    def masks(self, seed: int, number: int) -> dict[str, Mask]:
        """The masks of a round, from the one before; none in round 0."""
        if number == 0:
            return {}
        return {name: Mask.from_json(mask) for name, mask in self._records[seed, number - 1]["next"].items()}

    def put(self, record: dict[str, Any]) -> None:
        """Keep a round.

        Raises:
            FileError: the file cannot be written.
        """
        record = {**record, "settings": self._settings}
        if self._path is not None:
            try:
                with self._path.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(record, separators=(",", ":")) + "\n")
                    stream.flush()
                    os.fsync(stream.fileno())
            except OSError as error:
                raise FileError(f"resume: {self._path} cannot be written: {error}. Choose another file.") from error
        self._records[record["seed"], record["round"]] = record

    def _check(self, place: object, record: object) -> None:
        if not isinstance(record, Mapping) or not {"seed", "round", "runs", "next", "settings"} <= set(record):
            raise InputError(f"resume: {place!r:.40} holds no round of a lottery; take another file or dict.")
        theirs = record["settings"]
        if theirs != self._settings:
            other = [key for key in self._settings if not isinstance(theirs, Mapping) or theirs.get(key) != self._settings[key]]
            raise InputError(
                f"resume: the rounds that are done were made with another {', '.join(other)}; "
                "expected the same. Take another file, or the settings of then."
            )


def _read(path: Path) -> dict[Place, dict[str, Any]]:
    """Records by place. A last line that was cut off while it was written is taken out of the file."""
    try:
        if not path.exists():
            path.touch()
            return {}
        text = path.read_bytes()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            os.truncate(path, whole)
        records = [json.loads(line) for line in text[:whole].splitlines()]
        return {(int(record["seed"]), int(record["round"])): record for record in records}
    except OSError as error:
        raise FileError(f"resume: {path} cannot be used: {error}. Choose another file.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(
            f"resume: {path} is no record of a lottery ({type(error).__name__}: {error!s:.100}). Choose another file."
        ) from None
