"""Parts of a long experiment that are done, kept in a dict or in a file of JSON lines."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnwidgets.engine.errors import FileError, InputError
from nnwidgets.engine.values.split import Split

__all__ = ["Done", "Kind", "Place", "checksum"]

Place = tuple[Any, ...]
"""Values of the fields by which a part is found, e.g. (seed, round)."""

_PROBE = 64  # images by which other data are noticed


@dataclass(frozen=True)
class Kind:
    """What is kept: what a part and the whole are called ("round", "a lottery"), by which fields it is found, what it holds."""

    part: str
    whole: str
    place: tuple[str, ...]
    holds: tuple[str, ...]

    def place_of(self, record: Mapping[str, Any]) -> Place:
        """Where a record belongs."""
        return tuple(record[name] for name in self.place)


class Done:
    """The records of parts, each written as soon as it is there.

    Args:
        where: None; a dict place -> record, which is added to; or a file, one record a line, made where it is missing.
        settings: what the parts are made with, JSON; records of other settings are refused.

    Raises:
        InputError: a record of other settings, or none of ours. FileError: the file cannot be read.
    """

    def __init__(
        self,
        where: str | os.PathLike[str] | MutableMapping[Place, dict[str, Any]] | None,
        settings: Mapping[str, Any],
        kind: Kind,
    ) -> None:
        self._settings, self._kind = dict(settings), kind
        self._path = None
        self._records: MutableMapping[Place, dict[str, Any]]
        if where is None or isinstance(where, MutableMapping):
            self._records = {} if where is None else where
        elif isinstance(where, str | os.PathLike):
            self._path = Path(where)
            self._records = _read(self._path, kind)
        else:
            raise InputError(f"resume: got {type(where).__name__}, expected a file name, a dict, or None.")
        for place, record in self._records.items():
            self._check(place, record)

    def get(self, place: Place) -> dict[str, Any] | None:
        """The record of a part, None where it has to be run."""
        return self._records.get(place)

    def put(self, record: dict[str, Any]) -> None:
        """Keep a part.

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
        self._records[self._kind.place_of(record)] = record

    def _check(self, place: object, record: object) -> None:
        kind = self._kind
        if not isinstance(record, Mapping) or not {*kind.place, *kind.holds, "settings"} <= set(record):
            raise InputError(f"resume: {place!r:.40} holds no {kind.part} of {kind.whole}; take another file or dict.")
        theirs = record["settings"]
        if theirs != self._settings:
            other = [key for key in self._settings if not isinstance(theirs, Mapping) or theirs.get(key) != self._settings[key]]
            raise InputError(
                f"resume: the {kind.part}s that are done were made with another {', '.join(other)}; "
                "expected the same. Take another file, or the settings of then."
            )


def checksum(split: Split) -> int:
    """Of the labels and the first images."""
    assert split.labels is not None
    images = split.inputs(slice(0, _PROBE)).cpu().contiguous().numpy().tobytes()
    return zlib.crc32(images, zlib.crc32(split.labels.cpu().contiguous().numpy().tobytes()))


def _read(path: Path, kind: Kind) -> dict[Place, dict[str, Any]]:
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
        return {kind.place_of(record): record for record in records}
    except OSError as error:
        raise FileError(f"resume: {path} cannot be used: {error}. Choose another file.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(
            f"resume: {path} is no record of {kind.whole} ({type(error).__name__}: {error!s:.100}). Choose another file."
        ) from None
